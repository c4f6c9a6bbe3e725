// Package storetest checks that a store keeps the promises of [otpcore.Store].
package storetest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

var errRefused = errors.New("refused by the step")

// Run checks a store. New returns an empty one with room for the given number of
// challenges; it is called several times.
func Run(t *testing.T, open func(t *testing.T, capacity int) otpcore.Store) {
	t.Run("CreatedIsThere", func(t *testing.T) { createdIsThere(t, open(t, 1000)) })
	t.Run("UnknownIsNotFound", func(t *testing.T) { unknownIsNotFound(t, open(t, 10)) })
	t.Run("GetReturnsACopy", func(t *testing.T) { getReturnsACopy(t, open(t, 10)) })
	t.Run("RefusedStepChangesNothing", func(t *testing.T) { refusedStepChangesNothing(t, open(t, 10)) })
	t.Run("UpdatesDoNotOverlap", func(t *testing.T) { updatesDoNotOverlap(t, open(t, 10)) })
	t.Run("FullRefusesNewcomersAndKeepsTheLive", func(t *testing.T) { fullRefusesNewcomers(t, open(t, 50)) })
	t.Run("SimultaneousCreatesStayWithinCapacity", func(t *testing.T) { createsStayWithinCapacity(t, open(t, 100)) })
	t.Run("TalliesCountEveryCharge", func(t *testing.T) { talliesCountEveryCharge(t, open(t, 10)) })
	t.Run("TallyRefusedStepChangesNothing", func(t *testing.T) { tallyRefusedStepChangesNothing(t, open(t, 10)) })
}

// NewChallenge returns a pending challenge of five minutes.
func NewChallenge() *otpcore.Challenge {
	now := time.Now()
	return &otpcore.Challenge{
		ID: otpcore.NewID(), Code: []byte("sealed"), Length: 6, AttemptsLeft: 5, SendsLeft: 2, Sends: 1,
		Created: now.UnixMilli(), Expires: now.Add(5 * time.Minute).UnixMilli(),
	}
}

func create(t *testing.T, s otpcore.Store) *otpcore.Challenge {
	t.Helper()
	c := NewChallenge()
	if err := s.Create(t.Context(), c); err != nil {
		t.Fatalf("create: %v", err)
	}
	return c
}

func createdIsThere(t *testing.T, s otpcore.Store) {
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 50 {
				c := NewChallenge()
				if err := s.Create(t.Context(), c); err != nil {
					t.Errorf("create: %v", err)
					return
				}
				if got, err := s.Get(t.Context(), c.ID); err != nil || got.ID != c.ID {
					t.Errorf("get right after create: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

func unknownIsNotFound(t *testing.T, s otpcore.Store) {
	create(t, s)
	if _, err := s.Get(t.Context(), otpcore.NewID()); !errors.Is(err, otpcore.ErrNotFound) {
		t.Errorf("get: %v, want ErrNotFound", err)
	}
	err := s.Update(t.Context(), otpcore.NewID(), func(*otpcore.Challenge) error {
		t.Error("the step ran for a challenge that is not there")
		return nil
	})
	if !errors.Is(err, otpcore.ErrNotFound) {
		t.Errorf("update: %v, want ErrNotFound", err)
	}
}

func getReturnsACopy(t *testing.T, s otpcore.Store) {
	c := create(t, s)
	got, err := s.Get(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	got.AttemptsLeft, c.AttemptsLeft = 99, 98
	if again, err := s.Get(t.Context(), c.ID); err != nil || again.AttemptsLeft != 5 {
		t.Errorf("attempts = %d, %v; what callers hold reached into the store", again.AttemptsLeft, err)
	}
}

func refusedStepChangesNothing(t *testing.T, s otpcore.Store) {
	c := create(t, s)
	err := s.Update(t.Context(), c.ID, func(c *otpcore.Challenge) error {
		c.AttemptsLeft = 99
		return errRefused
	})
	if !errors.Is(err, errRefused) {
		t.Errorf("update: %v, want the step's own error", err)
	}
	if got, _ := s.Get(t.Context(), c.ID); got.AttemptsLeft != 5 {
		t.Errorf("attempts = %d after a refused step, want 5", got.AttemptsLeft)
	}
}

func updatesDoNotOverlap(t *testing.T, s otpcore.Store) {
	c := create(t, s)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 25 {
				if err := s.Update(t.Context(), c.ID, func(c *otpcore.Challenge) error { c.Sends++; return nil }); err != nil {
					t.Errorf("update: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if got, err := s.Get(t.Context(), c.ID); err != nil || got.Sends != 1+32*25 {
		t.Errorf("sends = %d, %v; want %d: updates were lost", got.Sends, err, 1+32*25)
	}
}

func fullRefusesNewcomers(t *testing.T, s otpcore.Store) {
	live := make([]*otpcore.Challenge, 50)
	for i := range live {
		live[i] = create(t, s)
	}
	for range 500 {
		if err := s.Create(t.Context(), NewChallenge()); !errors.Is(err, otpcore.ErrStoreFull) {
			t.Fatalf("create in a full store: %v, want ErrStoreFull", err)
		}
	}
	for _, c := range live {
		if _, err := s.Get(t.Context(), c.ID); err != nil {
			t.Fatalf("a live challenge was pushed out: %v", err)
		}
	}
}

func createsStayWithinCapacity(t *testing.T, s otpcore.Store) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var kept []otpcore.ID
	for range 300 {
		wg.Go(func() {
			c := NewChallenge()
			switch err := s.Create(t.Context(), c); {
			case err == nil:
				mu.Lock()
				kept = append(kept, c.ID)
				mu.Unlock()
			case !errors.Is(err, otpcore.ErrStoreFull):
				t.Errorf("create: %v", err)
			}
		})
	}
	wg.Wait()
	if len(kept) != 100 {
		t.Errorf("%d of 300 were admitted, want 100", len(kept))
	}
	for _, id := range kept {
		if _, err := s.Get(t.Context(), id); err != nil {
			t.Fatalf("an admitted challenge is not there: %v", err)
		}
	}
}

func talliesCountEveryCharge(t *testing.T, s otpcore.Store) {
	limit := otpcore.Limit{N: 100, Per: time.Hour}
	var key otpcore.Pseudonym
	key[3] = 7
	now := time.Now()
	var wg sync.WaitGroup
	var mu sync.Mutex
	granted := 0
	for range 300 {
		wg.Go(func() {
			ok := false
			if err := s.Tally(t.Context(), key, func(tl *otpcore.Tally) error { _, ok = tl.Take(now, limit); return nil }); err != nil {
				t.Errorf("tally: %v", err)
			}
			if ok {
				mu.Lock()
				granted++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if granted != limit.N {
		t.Errorf("%d of 300 charges were granted, want %d", granted, limit.N)
	}
}

func tallyRefusedStepChangesNothing(t *testing.T, s otpcore.Store) {
	limit := otpcore.Limit{N: 3, Per: time.Hour}
	var key otpcore.Pseudonym
	take := func(fail error) {
		err := s.Tally(t.Context(), key, func(tl *otpcore.Tally) error { tl.Take(time.Now(), limit); return fail })
		if !errors.Is(err, fail) {
			t.Errorf("tally: %v, want %v", err, fail)
		}
	}
	take(nil)
	take(errRefused)
	err := s.Tally(t.Context(), key, func(tl *otpcore.Tally) error {
		if left := tl.Left(time.Now(), limit); left != 2 {
			t.Errorf("left = %d, want 2", left)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
