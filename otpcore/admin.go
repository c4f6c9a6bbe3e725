package otpcore

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// UserState is what an administrator may know of a user. What browsers that the
// owner used before have spent is not part of it: only they know under which name it is counted.
type UserState struct {
	Attempts  AttemptState // after a first factor
	Asked     AttemptState // of visitors without a first factor who typed one of the user's numbers: the worst
	Numbers   []NumberState
	RevokedAt time.Time // zero: never
	PassUntil time.Time // end of the live pass; zero: there is none
}

// AttemptState is one allowance of wrong codes.
type AttemptState struct {
	Wrong       int       // within the time of the limit
	Left        int       // until the user has to wait
	Consecutive int       // since the last right one
	FreeAt      time.Time // when the next code may be tried; zero: now
	Locked      bool      // only [Service.Unlock] helps
}

// NumberState is what was sent to a number of the directory on behalf of visitors behind a first factor.
type NumberState struct {
	Number Number
	Sent   int // within the time of the limit
	Left   int
	FreeAt time.Time // when the next message may go out; zero: now
}

// Inspect tells how the user stands. Numbers are the user's, as the directory says.
func (s *Service) Inspect(ctx context.Context, user string, numbers ...Number) (state UserState, err error) {
	now := s.now()
	if state.Attempts, err = s.attemptState(ctx, now, Subject{User: user, FirstFactor: true}); err != nil {
		return state, err
	}
	for _, n := range numbers {
		asked, err := s.attemptState(ctx, now, typist(n))
		if err != nil {
			return state, err
		}
		state.Asked = worse(state.Asked, asked)
		t, err := s.tally(ctx, s.numberCharge(Subject{Number: n, FirstFactor: true}, 0).key)
		if err != nil {
			return state, err
		}
		left := t.Left(now, s.Limits.PhoneSends)
		state.Numbers = append(state.Numbers, NumberState{n, len(t.Times), left, ahead(t.FreeApart(now, s.Limits.PhoneSends), now)})
	}
	state.RevokedAt = s.Revocations.userRevokedAt(user)
	if issued, err := s.livePass(ctx, now, user); err != nil {
		return state, err
	} else if !issued.IsZero() {
		state.PassUntil = issued.Add(PassLife)
	}
	return state, nil
}

// typist is a visitor without a first factor, who is known by the number that he typed alone.
func typist(n Number) Subject { return Subject{Number: n, Source: Asked} }

func worse(a, b AttemptState) AttemptState {
	if b.Locked || !a.Locked && b.Wrong >= a.Wrong {
		return b
	}
	return a
}

func (s *Service) attemptState(ctx context.Context, now time.Time, u Subject) (AttemptState, error) {
	a := s.attemptsOf(u)
	t, err := s.tally(ctx, a.key)
	if err != nil {
		return AttemptState{}, err
	}
	left := t.Left(now, s.Limits.UserAttempts)
	return AttemptState{
		Wrong: len(t.Times), Left: left, Consecutive: t.Streak,
		FreeAt: ahead(a.freeAt(&t, now), now), Locked: t.Streak >= s.Limits.LockAfter,
	}, nil
}

// Barred tells whether no code of this visitor is taken any more, however long he waits, until
// [Service.Unlock].
func (s *Service) Barred(ctx context.Context, u Subject) (bool, error) {
	if err := s.recall(ctx, &u); err != nil {
		return false, err
	}
	state, err := s.attemptState(ctx, s.now(), u)
	return state.Locked, err
}

// ahead is at, or zero where that is over.
func ahead(at, now time.Time) time.Time {
	if at.After(now) {
		return at
	}
	return time.Time{}
}

// Unlock gives the user all attempts back, in whatever browser, and the numbers
// all of their messages, with the attempts of whoever typed them without a first factor. The
// budget of the whole server stays spent.
func (s *Service) Unlock(ctx context.Context, user string, numbers ...Number) error {
	subjects := []Subject{{User: user, FirstFactor: true}}
	for _, n := range numbers {
		subjects = append(subjects, typist(n))
		for _, u := range []Subject{{Number: n, FirstFactor: true}, typist(n)} {
			if err := s.clear(ctx, s.numberCharge(u, 0).key); err != nil {
				return fmt.Errorf("unlock number: %w", err)
			}
		}
	}
	for _, u := range subjects {
		if err := s.clear(ctx, s.attemptsOf(u).key); err != nil {
			return fmt.Errorf("unlock user: %w", err)
		}
		err := s.Store.Tally(ctx, s.unlocksKey(u), func(t *Tally) error { t.Streak++; return nil })
		if err != nil {
			return fmt.Errorf("unlock known browsers: %w", err)
		}
	}
	return nil
}

func (s *Service) clear(ctx context.Context, key Pseudonym) error {
	return s.Store.Tally(ctx, key, func(t *Tally) error { *t = Tally{}; return nil })
}

// unlocksKey counts how often somebody was unlocked, as a streak, since that is never forgotten.
func (s *Service) unlocksKey(u Subject) Pseudonym { return s.Keys.Pseudonym("unlocks", u.name()) }

// recall finds out under which name the allowance of a browser is counted that
// the owner used before. There is no list of these browsers, so what reaches all
// of them is that each unlocking gives them new names. A subject that was not recalled is
// counted with the strangers, which is never more than it should have.
func (s *Service) recall(ctx context.Context, u *Subject) error {
	// Whoever proved a number of his own must not get an allowance for another's.
	if u.Known == nil || u.Known.Number != u.Number {
		return nil
	}
	t, err := s.tally(ctx, s.unlocksKey(*u))
	if err != nil {
		return err
	}
	u.known = "known " + strconv.Itoa(t.Streak) + " " + u.Known.ID.String()
	return nil
}

// Revoke ends every verification that the user has now.
func (s *Service) Revoke(user string) { s.Revocations.EndUser(user, s.now()) }

// Budget tells how many messages the whole server may still send, and how many
// of these to numbers that visitors typed.
func (s *Service) Budget(ctx context.Context) (left, asked int, err error) {
	now := s.now()
	charges := s.messageCharges(Subject{Source: Asked}, 0)[1:] // without the number's own
	remaining := make([]int, len(charges))
	for i, c := range charges {
		t, err := s.tally(ctx, c.key)
		if err != nil {
			return 0, 0, err
		}
		remaining[i] = t.Left(now, c.limit)
	}
	return remaining[0], min(remaining[0], remaining[1]), nil
}

// tally is a copy to look at.
func (s *Service) tally(ctx context.Context, key Pseudonym) (copied Tally, err error) {
	err = s.Store.Tally(ctx, key, func(t *Tally) error { copied = *t; return nil })
	if err != nil {
		return copied, fmt.Errorf("read tally: %w", err)
	}
	return copied, nil
}
