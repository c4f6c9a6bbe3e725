package otpcore

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ConfirmLife is how long a confirmed request may wait to be passed on.
const ConfirmLife = 5 * time.Minute

// Spend returns the verification by which what the challenge confirmed may be done:
// once, to whom the challenge belongs, soon after the right code, and never again. Otherwise nil.
// It is spent before anything is done, so that a fault in between loses a request and never runs one twice.
func (s *Service) Spend(ctx context.Context, id ID, r Request) (*Verification, error) {
	now := s.now()
	var v *Verification
	err := s.Store.Update(ctx, id, func(c *Challenge) error {
		if err := s.adopt(c, &r); err != nil {
			return err
		}
		age := now.Sub(time.UnixMilli(c.VerifiedAt))
		mine := c.State == Verified && !c.Spent && age < ConfirmLife && age > -clockSkew &&
			s.belongs(c, r) && s.sameNumber(c, r)
		v = nil
		if mine {
			c.Spent = true
			v = s.verification(c, r)
		}
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("spend confirmation: %w", err)
	}
	return v, nil
}

// Once tells whether name is asked about for the first time within life. What it guards must
// not be possible at all once life is over.
func (s *Service) Once(ctx context.Context, name Pseudonym, life time.Duration) (first bool, err error) {
	return s.Within(ctx, name, Limit{1, life})
}

// Within tells whether name may do something once more by the limit, and counts it then.
func (s *Service) Within(ctx context.Context, name Pseudonym, l Limit) (ok bool, err error) {
	err = s.Store.Tally(ctx, name, func(t *Tally) error {
		_, ok = t.Take(s.now(), l)
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("count within limit: %w", err)
	}
	return ok, nil
}

// Noted tells whether Once was asked about name less than a life ago.
func (s *Service) Noted(ctx context.Context, name Pseudonym) (bool, error) {
	t, err := s.tally(ctx, name)
	if err != nil {
		return false, fmt.Errorf("look up first time: %w", err)
	}
	return !t.Idle(s.now()), nil
}
