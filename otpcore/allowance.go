package otpcore

import (
	"context"
	"fmt"
	"time"
)

// class keeps the allowances of different kinds of visitors apart, so that
// somebody who knows only the password cannot spend what the owner needs: a
// browser that once held a verification of this user has its own, and what is typed
// without any first factor is counted apart from what comes after one. Messages to typed
// numbers are counted apart in any case, see numberCharge.
func (u *Subject) class() string {
	switch {
	case u.known != "":
		return u.known
	case !u.FirstFactor:
		return "asked"
	}
	return ""
}

// name is who is counted: the user, or the number where no user is known.
func (u *Subject) name() string {
	if u.User == "" {
		return "\x00" + string(u.Number)
	}
	return u.User
}

// attempts is one user's allowance of wrong codes, across all challenges, browsers and addresses.
type attempts struct {
	s   *Service
	key Pseudonym
}

func (s *Service) attemptsOf(u Subject) attempts {
	return attempts{s, s.Keys.Pseudonym("attempts "+u.class(), u.name())}
}

// charge takes one attempt before a comparison, and tells how many are left then; settle gives
// it back if it was not a wrong code after all.
func (a attempts) charge(ctx context.Context, now time.Time) (ok bool, left int, retryAt time.Time, err error) {
	err = a.s.Store.Tally(ctx, a.key, func(t *Tally) error {
		if retryAt = a.freeAt(t, now); retryAt.After(now) {
			ok = false
			return nil
		}
		_, ok = t.Take(now, a.s.Limits.UserAttempts)
		t.Streak++
		left = a.leftOf(t, now)
		return nil
	})
	if err != nil {
		return false, 0, time.Time{}, fmt.Errorf("charge attempt: %w", err)
	}
	return ok, left, retryAt, nil
}

func (a attempts) leftOf(t *Tally, now time.Time) int {
	return max(0, min(t.Left(now, a.s.Limits.UserAttempts), a.s.Limits.LockAfter-t.Streak))
}

func (a attempts) freeAt(t *Tally, now time.Time) time.Time {
	if t.Streak >= a.s.Limits.LockAfter {
		return now.Add(lockedFor)
	}
	return t.Free(now, a.s.Limits.UserAttempts)
}

// lockedFor is what a visitor is told to wait where only an administrator can help.
const lockedFor = 24 * time.Hour

func (a attempts) settle(ctx context.Context, at time.Time, right bool) error {
	err := a.s.Store.Tally(ctx, a.key, func(t *Tally) error {
		t.Refund(at)
		t.Streak = max(0, t.Streak-1)
		if right {
			t.Streak = 0
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("settle attempt: %w", err)
	}
	return nil
}

// free tells when the user may answer again: now, or later.
func (a attempts) free(ctx context.Context, now time.Time) (time.Time, error) {
	_, at, err := a.left(ctx, now)
	return at, err
}

// left is how many wrong codes the user may still give, and when the next one.
func (a attempts) left(ctx context.Context, now time.Time) (left int, at time.Time, err error) {
	err = a.s.Store.Tally(ctx, a.key, func(t *Tally) error {
		left, at = a.leftOf(t, now), a.freeAt(t, now)
		return nil
	})
	if err != nil {
		return 0, at, fmt.Errorf("read attempts: %w", err)
	}
	return left, at, nil
}

// charge is one of the budgets that a message uses up.
type charge struct {
	key     Pseudonym
	limit   Limit
	apart   time.Duration
	refused Outcome
}

// messageCharges are the budgets of one message to r's number, cheapest refusal first.
func (s *Service) messageCharges(u Subject, apart time.Duration) []charge {
	charges := []charge{
		s.numberCharge(u, apart),
		{s.Keys.Pseudonym("total", ""), s.Limits.TotalSends, 0, BudgetSpent},
	}
	if u.Source == Asked {
		// Numbers that strangers type may use a quarter at most: the rest is for the operator's own people.
		quarter := Limit{s.Limits.TotalSends.N / 4, s.Limits.TotalSends.Per}
		charges = append(charges, charge{s.Keys.Pseudonym("total", "asked"), quarter, 0, BudgetSpent})
	}
	return charges
}

func (s *Service) numberCharge(u Subject, apart time.Duration) charge {
	class := u.class()
	if u.Source == Asked && u.known == "" {
		class = "asked" // whoever typed it: a user may type the number of any other
	}
	return charge{s.Keys.Pseudonym("number "+class, string(u.Number)), s.Limits.PhoneSends, apart, SendLimited}
}

func (s *Service) startCharges(u Subject) []charge {
	charges := s.messageCharges(u, s.Limits.ResendAfter)
	if !u.FirstFactor {
		charges = append(charges, charge{s.Keys.Pseudonym("address", u.Address), s.Limits.IPStarts, 0, SendLimited})
	}
	return charges
}

// spend takes all of the charges or none. Undo gives them back.
func (s *Service) spend(ctx context.Context, now time.Time, charges []charge) (undo func(), refused Outcome, retryAt time.Time, err error) {
	taken := 0
	undo = func() {
		for _, c := range charges[:taken] {
			// A refund that fails leaves the budget smaller than it need be, never larger.
			_ = s.Store.Tally(context.WithoutCancel(ctx), c.key, func(t *Tally) error { t.Refund(now); return nil })
		}
	}
	for _, c := range charges {
		var ok bool
		err = s.Store.Tally(ctx, c.key, func(t *Tally) error {
			if c.apart > 0 {
				retryAt, ok = t.TakeApart(now, c.limit, c.apart)
			} else {
				retryAt, ok = t.Take(now, c.limit)
			}
			return nil
		})
		if err != nil {
			undo()
			return nil, 0, time.Time{}, fmt.Errorf("charge message: %w", err)
		}
		if !ok {
			undo()
			return nil, c.refused, retryAt, nil
		}
		taken++
	}
	return undo, MessageSent, time.Time{}, nil
}

// nextChallenge tells when this visitor may begin another challenge, as far as
// his own limits say: now, or later.
func (s *Service) nextChallenge(ctx context.Context, now time.Time, r Request) (time.Time, error) {
	at, err := s.attemptsOf(r.Subject).free(ctx, now)
	if err != nil {
		return at, err
	}
	c := s.numberCharge(r.Subject, s.Limits.ResendAfter)
	err = s.Store.Tally(ctx, c.key, func(t *Tally) error {
		at = later(at, t.FreeApart(now, c.limit))
		return nil
	})
	if err != nil {
		return at, fmt.Errorf("read allowance of number: %w", err)
	}
	return at, nil
}
