package linear

import (
	"context"
	"runtime"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore/memstore"
)

// busy is the store as it is, on a machine on which others come in between
// whenever they can: before and after each step, and waiting for its lock meanwhile.
type busy struct{ *memstore.Store }

func newBusy(s *memstore.Store) otpcore.Store { return busy{s} }

func (s busy) Get(ctx context.Context, id otpcore.ID) (otpcore.Challenge, error) {
	defer runtime.Gosched()
	return s.Store.Get(ctx, id)
}

func (s busy) Update(ctx context.Context, id otpcore.ID, f func(*otpcore.Challenge) error) error {
	defer runtime.Gosched()
	return s.Store.Update(ctx, id, func(c *otpcore.Challenge) error {
		runtime.Gosched()
		return f(c)
	})
}

func (s busy) Tally(ctx context.Context, key otpcore.Pseudonym, f func(*otpcore.Tally) error) error {
	defer runtime.Gosched()
	return s.Store.Tally(ctx, key, func(t *otpcore.Tally) error {
		runtime.Gosched()
		return f(t)
	})
}

// swapping keeps to the contract in the other way that it allows: like a store
// behind a network it runs a step on a copy, and again if the value has changed meanwhile.
type swapping struct{ *memstore.Store }

func newSwapping(s *memstore.Store) otpcore.Store { return swapping{s} }

func (s swapping) Update(ctx context.Context, id otpcore.ID, f func(*otpcore.Challenge) error) error {
	for {
		before, err := s.Get(ctx, id)
		if err != nil {
			return err
		}
		after := before
		if err := f(&after); err != nil {
			return err
		}
		runtime.Gosched()
		swapped := false
		err = s.Store.Update(ctx, id, func(c *otpcore.Challenge) error {
			if swapped = same(c, &before); swapped {
				*c = after
			}
			return nil
		})
		if swapped || err != nil {
			return err
		}
	}
}

// same compares all that changes in a challenge.
func same(a, b *otpcore.Challenge) bool {
	return a.State == b.State && a.AttemptsLeft == b.AttemptsLeft && a.SendsLeft == b.SendsLeft && a.Sends == b.Sends &&
		a.Delivery == b.Delivery && a.ResendAt == b.ResendAt && a.VerifiedAt == b.VerifiedAt && a.VerificationID == b.VerificationID
}

// What follows is wrong, each in a way that products of this kind were wrong.
// Memory is accessed under a lock all the same: the race detector is to find nothing here.

// step runs f on a copy with nothing that keeps others away, and hands what it
// was and what it has become to keep.
func step(ctx context.Context, s *memstore.Store, id otpcore.ID, f func(*otpcore.Challenge) error,
	keep func(stored, before, after *otpcore.Challenge),
) error {
	before, err := s.Get(ctx, id)
	if err != nil {
		return err
	}
	after := before
	if err := f(&after); err != nil {
		return err
	}
	runtime.Gosched()
	return s.Update(ctx, id, func(stored *otpcore.Challenge) error {
		keep(stored, &before, &after)
		return nil
	})
}

// getThenSet reads, changes and writes back the whole, as one does with a cache.
type getThenSet struct{ *memstore.Store }

func newGetThenSet(s *memstore.Store) otpcore.Store { return getThenSet{s} }

func (s getThenSet) Update(ctx context.Context, id otpcore.ID, f func(*otpcore.Challenge) error) error {
	return step(ctx, s.Store, id, f, func(stored, _, after *otpcore.Challenge) { *stored = *after })
}

// noLock changes fields in place, as they come.
type noLock struct{ *memstore.Store }

func newNoLock(s *memstore.Store) otpcore.Store { return noLock{s} }

func (s noLock) Update(ctx context.Context, id otpcore.ID, f func(*otpcore.Challenge) error) error {
	return step(ctx, s.Store, id, f, func(stored, before, after *otpcore.Challenge) {
		set(&stored.State, before.State, after.State)
		set(&stored.AttemptsLeft, before.AttemptsLeft, after.AttemptsLeft)
		set(&stored.SendsLeft, before.SendsLeft, after.SendsLeft)
		set(&stored.Sends, before.Sends, after.Sends)
		set(&stored.Delivery, before.Delivery, after.Delivery)
		set(&stored.ResendAt, before.ResendAt, after.ResendAt)
		set(&stored.VerifiedAt, before.VerifiedAt, after.VerifiedAt)
		set(&stored.VerificationID, before.VerificationID, after.VerificationID)
	})
}

func set[T comparable](stored *T, before, after T) {
	if before != after {
		*stored = after
	}
}

// chargeLate compares first. No charge is lost, but each comes too late.
type chargeLate struct{ *memstore.Store }

func newChargeLate(s *memstore.Store) otpcore.Store { return chargeLate{s} }

func (s chargeLate) Update(ctx context.Context, id otpcore.ID, f func(*otpcore.Challenge) error) error {
	return step(ctx, s.Store, id, f, func(stored, before, after *otpcore.Challenge) {
		left := stored.AttemptsLeft + after.AttemptsLeft - before.AttemptsLeft
		if stored.State == otpcore.Pending {
			*stored = *after
		}
		stored.AttemptsLeft = left
	})
}

// lostCounts reads, changes and writes back what users and numbers have used up.
type lostCounts struct{ *memstore.Store }

func newLostCounts(s *memstore.Store) otpcore.Store { return lostCounts{s} }

func (s lostCounts) Tally(ctx context.Context, key otpcore.Pseudonym, f func(*otpcore.Tally) error) error {
	var changed otpcore.Tally
	if err := s.Store.Tally(ctx, key, func(t *otpcore.Tally) error { changed = *t; return nil }); err != nil {
		return err
	}
	if err := f(&changed); err != nil {
		return err
	}
	runtime.Gosched()
	return s.Store.Tally(ctx, key, func(t *otpcore.Tally) error { *t = changed; return nil })
}

// anyGeneration believes a gateway whichever message it speaks of.
type anyGeneration struct{ *memstore.Store }

func newAnyGeneration(s *memstore.Store) otpcore.Store { return anyGeneration{s} }

func (s anyGeneration) Update(ctx context.Context, id otpcore.ID, f func(*otpcore.Challenge) error) error {
	return s.Store.Update(ctx, id, func(stored *otpcore.Challenge) error {
		believed := stored.Delivery
		for sends := range stored.Sends {
			older := *stored
			older.Sends = sends
			if err := f(&older); err != nil {
				return err
			}
			if older.Delivery != stored.Delivery && older.Sends == sends {
				believed = older.Delivery
			}
		}
		before := *stored
		err := f(stored)
		if same(stored, &before) {
			stored.Delivery = believed
		}
		return err
	})
}
