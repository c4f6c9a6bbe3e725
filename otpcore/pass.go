package otpcore

import (
	"context"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"
)

// PassLife is how long a pass is good.
const PassLife = 15 * time.Minute

// passLength is longer than any code, so that what is typed is a guess at the
// one or at the other, never at both for the price of one attempt.
const passLength = 12

// A pass is a code that the help desk reads out to a user whose phone gets none.
// What is kept of it is one charge in a tally of the user's: when it was issued. The
// code follows from that and the key, so it is written nowhere, and a pass that
// was used is a charge that was taken back.

func (s *Service) passKey(user string) Pseudonym { return s.Keys.Pseudonym("pass", user) }

// IssuePass makes a pass, in place of the one that the user may have had. It is
// good once, on any site of this server that asks for the directory's number.
func (s *Service) IssuePass(ctx context.Context, user string) (code string, until time.Time, err error) {
	now := s.now()
	var issued int64
	err = s.Store.Tally(ctx, s.passKey(user), func(t *Tally) error {
		issued = now.UnixMilli()
		if len(t.Times) > 0 && t.Times[0] == issued {
			issued++ // another time is another code
		}
		*t = Tally{Times: []int64{issued}, Window: PassLife.Milliseconds()}
		return nil
	})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("issue pass: %w", err)
	}
	return s.Keys.passCode(user, issued), time.UnixMilli(issued).Add(PassLife), nil
}

// passIssued tells when the pass in t was issued; false where there is no live one.
func passIssued(t *Tally, now time.Time) (int64, bool) {
	if len(t.Times) == 0 {
		return 0, false
	}
	age := now.Sub(time.UnixMilli(t.Times[0]))
	// A clock that was set back must not make a pass last.
	return t.Times[0], age < PassLife && age > -clockSkew
}

// livePass tells when the user's pass was issued; zero where there is none.
func (s *Service) livePass(ctx context.Context, now time.Time, user string) (time.Time, error) {
	t, err := s.tally(ctx, s.passKey(user))
	if err != nil {
		return time.Time{}, err
	}
	if issued, live := passIssued(&t, now); live {
		return time.UnixMilli(issued), nil
	}
	return time.Time{}, nil
}

// submitPass answers with a pass. It reports false where what was typed cannot
// be one or the user has none: then nothing was compared and nothing charged. C is the
// browser's challenge, if there is one; the pass answers it too.
func (s *Service) submitPass(ctx context.Context, c *Challenge, r Request, typed string) (Result, bool, error) {
	code, ok := Digits.Normalize(typed, passLength)
	// A code that we read out proves no number that was typed, and confirms no transaction.
	if !ok || !r.Pass || r.Binding != (Pseudonym{}) || r.Subject.Source != Directory || r.Subject.User == "" {
		return Result{}, false, nil
	}
	now := s.now()
	if issued, err := s.livePass(ctx, now, r.Subject.User); err != nil || issued.IsZero() {
		return Result{}, false, err
	}
	allowance := s.attemptsOf(r.Subject)
	charged, _, retryAt, err := allowance.charge(ctx, now)
	if err != nil {
		return Result{}, false, err
	}
	if c != nil && (!s.sameNumber(c, r) || !s.belongs(c, r)) {
		c = nil
	}
	if !charged {
		return s.passResult(now, AttemptsSpent, retryAt, c, r), true, nil
	}
	right, err := s.usePass(ctx, now, r.Subject.User, code)
	if err != nil {
		return Result{}, false, err
	}
	if !right {
		s.observe(Event{Kind: EventWrong, Subject: r.Subject, Pass: true})
		return s.passResult(now, WrongCode, now, c, r), true, nil
	}
	if err := allowance.settle(ctx, now, true); err != nil {
		return Result{}, false, err
	}
	res, err := s.acceptPass(ctx, now, c, r)
	return res, true, err
}

// usePass compares and spends in one step: of any number of right answers one wins.
func (s *Service) usePass(ctx context.Context, now time.Time, user, code string) (right bool, err error) {
	err = s.Store.Tally(ctx, s.passKey(user), func(t *Tally) error {
		right = false
		issued, live := passIssued(t, now)
		if live && subtle.ConstantTimeCompare([]byte(s.Keys.passCode(user, issued)), []byte(code)) == 1 {
			right = true
			t.Refund(time.UnixMilli(issued))
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("use pass: %w", err)
	}
	return right, nil
}

func (s *Service) acceptPass(ctx context.Context, now time.Time, c *Challenge, r Request) (Result, error) {
	made := Challenge{State: Verified, VerifiedAt: s.Revocations.after(r.Subject.User, now).UnixMilli(), VerificationID: NewID()}
	if c != nil {
		// The other tabs wait for this challenge, and its code is of no more use.
		err := s.Store.Update(ctx, c.ID, func(stored *Challenge) error {
			if stored.StateAt(now) == Pending {
				stored.State, stored.VerifiedAt, stored.VerificationID = made.State, made.VerifiedAt, made.VerificationID
			}
			*c = *stored
			return nil
		})
		if err != nil {
			c = nil // lost in between; the pass stands by itself
		}
	}
	res := s.passResult(now, Accepted, time.Time{}, c, r)
	res.Verification = s.verification(&made, r)
	s.observe(Event{Kind: EventVerified, Subject: r.Subject, Pass: true})
	return res, nil
}

func (s *Service) passResult(now time.Time, o Outcome, retryAt time.Time, c *Challenge, r Request) Result {
	res := Result{Outcome: o}
	if c != nil {
		res = s.result(now, o, c, r)
	}
	res.RetryAt = retryAt
	return res
}

// passCode is the code of the pass that was issued to user at that time. A
// remainder of 64 bits favours no digit by more than one part in ten million.
func (k *Keyring) passCode(user string, issued int64) string {
	sum := k.sets[0].pass.sum(strconv.FormatInt(issued, 10), "\x00", user)
	return fmt.Sprintf("%0*d", passLength, binary.BigEndian.Uint64(sum[:8])%1e12)
}
