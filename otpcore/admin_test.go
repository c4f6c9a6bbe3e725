package otpcore_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

func (d *desk) inspect(user string) otpcore.UserState {
	d.t.Helper()
	state, err := d.Inspect(d.t.Context(), user, number)
	if err != nil {
		d.t.Fatal(err)
	}
	return state
}

func (d *desk) unlock(user string) {
	d.t.Helper()
	if err := d.Unlock(d.t.Context(), user, number); err != nil {
		d.t.Fatal(err)
	}
}

// exhaust spends every attempt that r's visitor has.
func (d *desk) exhaust(r otpcore.Request) {
	d.t.Helper()
	for range 10 {
		res, err := d.Send(d.t.Context(), otpcore.ID{}, r)
		if err != nil {
			d.t.Fatal(err)
		}
		if res.Outcome == otpcore.AttemptsSpent {
			return
		}
		synctest.Wait()
		sent := d.box.sent()
		for range d.Limits.Attempts {
			d.submit(res.ID, r, wrong(sent[len(sent)-1].Text)) //nolint:errcheck // the last ones may be refused
		}
		time.Sleep(time.Minute)
	}
	d.t.Fatal("the attempts never end")
}

func TestInspectCountsWrongCodesAndMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 100)
		r := request("alice")
		freeAt := time.Now().Add(30 * time.Second)
		id, code := d.start(r)
		d.must(otpcore.WrongCode)(d.submit(id, r, wrong(code)))
		d.must(otpcore.Malformed)(d.submit(id, r, "1"))
		d.must(otpcore.WrongCode)(d.submit(id, r, wrong(code)))
		if a := d.inspect("alice").Attempts; a.Wrong != 2 || a.Left != 13 || a.Consecutive != 2 || a.Locked || !a.FreeAt.IsZero() {
			t.Errorf("after two wrong codes and a malformed one: %+v", a)
		}
		d.must(otpcore.Accepted)(d.submit(id, r, code))
		state := d.inspect("alice")
		if a := state.Attempts; a.Wrong != 2 || a.Consecutive != 0 {
			t.Errorf("after the right code: %+v, want the day's two and no streak", a)
		}
		if n := state.Numbers[0]; n.Sent != 1 || n.Left != 14 || !n.FreeAt.Equal(freeAt) {
			t.Errorf("messages: %+v", n)
		}
		if a := d.inspect("bob").Attempts; a.Wrong != 0 || a.Left != 15 {
			t.Errorf("another user: %+v", a)
		}
	})
}

func TestUnlockGivesAttemptsAndMessagesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 100)
		r := request("alice")
		d.exhaust(r)
		if a := d.inspect("alice").Attempts; a.Left != 0 || a.FreeAt.IsZero() || a.Locked {
			t.Errorf("with all attempts spent: %+v", a)
		}
		d.unlock("alice")
		if s := d.inspect("alice"); s.Attempts.Wrong != 0 || s.Attempts.Consecutive != 0 || s.Numbers[0].Sent != 0 {
			t.Errorf("after unlocking: %+v", s)
		}
		id, code := d.start(r)
		d.must(otpcore.Accepted)(d.submit(id, r, code))
	})
}

func TestUnlockEndsTheLockThatNothingElseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 100)
		d.Limits.LockAfter = 7
		r := request("alice")
		d.exhaust(r)
		time.Sleep(90 * 24 * time.Hour)
		d.must(otpcore.AttemptsSpent)(d.Send(t.Context(), otpcore.ID{}, r))
		if a := d.inspect("alice").Attempts; !a.Locked || a.Consecutive != 7 {
			t.Errorf("locked for good: %+v", a)
		}
		d.unlock("alice")
		id, code := d.start(r)
		d.must(otpcore.Accepted)(d.submit(id, r, code))
	})
}

func TestUnlockReachesEveryKindOfVisitor(t *testing.T) {
	known := &otpcore.Verification{ID: otpcore.NewID(), Number: number}
	for name, change := range map[string]func(*otpcore.Subject){
		"known browser":   func(u *otpcore.Subject) { u.Known = known },
		"no first factor": func(u *otpcore.Subject) { u.User, u.FirstFactor, u.Source = "", false, otpcore.Asked },
		"no first factor, in a known browser": func(u *otpcore.Subject) {
			u.User, u.FirstFactor, u.Source, u.Known = "", false, otpcore.Asked, known
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, 100)
				d.Limits.LockAfter = 12
				r := request("alice")
				change(&r.Subject)
				d.exhaust(r)
				time.Sleep(48 * time.Hour)
				d.must(otpcore.AttemptsSpent)(d.Send(t.Context(), otpcore.ID{}, r))
				d.unlock("alice")
				id, code := d.start(r)
				d.must(otpcore.WrongCode)(d.submit(id, r, wrong(code)))
				d.must(otpcore.Accepted)(d.submit(id, r, code))
				d.exhaust(r) // and it is counted again
			})
		})
	}
}

func TestUnlockLeavesOtherUsersAndTheBudgetAsTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 100)
		other := request("bob")
		other.Subject.Number = "+447700900456"
		d.exhaust(other)
		before, _, err := d.Budget(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		d.unlock("alice")
		d.must(otpcore.AttemptsSpent)(d.Send(t.Context(), otpcore.ID{}, other))
		if after, _, _ := d.Budget(t.Context()); after != before || after != 997 {
			t.Errorf("budget left: %d before, %d after, want 997", before, after)
		}
	})
}

func TestBudgetTellsWhatIsLeftForTypedNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 100)
		d.Limits.TotalSends = otpcore.Limit{N: 8, Per: time.Hour}
		asked := request("alice")
		asked.Subject.Source = otpcore.Asked
		d.start(asked)
		if left, askedLeft, err := d.Budget(t.Context()); left != 7 || askedLeft != 1 || err != nil {
			t.Errorf("left %d, for typed numbers %d (%v), want 7 and 1", left, askedLeft, err)
		}
		time.Sleep(time.Hour)
		if left, askedLeft, _ := d.Budget(t.Context()); left != 8 || askedLeft != 2 {
			t.Errorf("an hour later left %d, for typed numbers %d, want 8 and 2", left, askedLeft)
		}
	})
}

func TestRevokeEndsWhatIsAndNotWhatComes(t *testing.T) {
	d := newDesk(t, 100)
	r := request("alice")
	id, code := d.start(r)
	before := d.must(otpcore.Accepted)(d.submit(id, r, code)).Verification
	changes := d.Revocations.Changes()
	d.Revoke("alice")
	if d.Revocations.Changes() == changes {
		t.Error("the revocation is not written down, and a restart would forget it")
	}
	if !d.Revocations.Revoked(before) {
		t.Error("the verification outlives its revocation")
	}
	if at := d.inspect("alice").RevokedAt; at.IsZero() {
		t.Error("the revocation is not told")
	}
	after := d.must(otpcore.Accepted)(d.submit(otpcore.ID{}, withPass(r), d.pass("alice"))).Verification
	if d.Revocations.Revoked(after) {
		t.Error("a verification made right after the revocation is dead")
	}
}
