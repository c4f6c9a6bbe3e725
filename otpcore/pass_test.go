package otpcore_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

func (d *desk) pass(user string) string {
	d.t.Helper()
	code, _, err := d.IssuePass(d.t.Context(), user)
	if err != nil {
		d.t.Fatal(err)
	}
	return code
}

func withPass(r otpcore.Request) otpcore.Request {
	r.Pass = true
	return r
}

func TestPassWorksWithoutAChallengeAndWhenNothingCanBeSent(t *testing.T) {
	d := newDesk(t, 100)
	d.box.ready = otpcore.ErrNoDevice
	r := withPass(request("alice"))
	code := d.pass("alice")
	if len(code) != 12 || strings.Trim(code, "0123456789") != "" {
		t.Fatalf("pass %q, want 12 digits", code)
	}
	res := d.must(otpcore.Accepted)(d.submit(otpcore.ID{}, r, code[:4]+" "+code[4:8]+"-"+code[8:]))
	v := res.Verification
	if v.User != "alice" || v.Number != number || v.Source != otpcore.Directory || v.Site != r.Site || v.ID == (otpcore.ID{}) {
		t.Errorf("verification %+v", v)
	}
	if a := d.inspect("alice").Attempts; a.Wrong != 0 || a.Consecutive != 0 {
		t.Errorf("the right pass was charged as a wrong code: %+v", a)
	}
}

func TestPassWorksOnceUnderConcurrency(t *testing.T) {
	d := newDesk(t, 100)
	d.Limits.UserAttempts.N = 1000
	r := withPass(request("alice"))
	code := d.pass("alice")
	var mu sync.Mutex
	accepted := 0
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			res, err := d.submit(otpcore.ID{}, r, code)
			if err != nil {
				t.Errorf("submit: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if res.Outcome == otpcore.Accepted {
				accepted++
			}
		})
	}
	wg.Wait()
	if accepted != 1 {
		t.Errorf("accepted %d times, want once", accepted)
	}
	d.must(otpcore.NoChallenge)(d.submit(otpcore.ID{}, r, code))
}

func TestGuessesOfAPassAreChargedLikeGuessesOfCodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 100)
		r := withPass(request("alice"))
		code := d.pass("alice")
		for range 10 {
			d.must(otpcore.WrongCode)(d.submit(otpcore.ID{}, r, wrong(code)))
		}
		id, sent := d.start(r)
		for range 5 {
			d.must(otpcore.WrongCode)(d.submit(id, r, wrong(sent)))
		}
		d.must(otpcore.AttemptsSpent)(d.submit(id, r, code))
		if a := d.inspect("alice").Attempts; a.Wrong != 15 || a.Consecutive != 15 {
			t.Errorf("%+v, want one allowance for both", a)
		}
		d.unlock("alice")
		d.must(otpcore.Accepted)(d.submit(id, r, code))
	})
}

func TestBurstOfGuessesAtAPassIsComparedAsOftenAsTheLimitAllows(t *testing.T) {
	d := newDesk(t, 100)
	r := withPass(request("alice"))
	code := d.pass("alice")
	var mu sync.Mutex
	outcomes := map[otpcore.Outcome]int{}
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			res, err := d.submit(otpcore.ID{}, r, wrong(code))
			if err != nil {
				t.Errorf("submit: %v", err)
			}
			mu.Lock()
			outcomes[res.Outcome]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if outcomes[otpcore.WrongCode] != 15 || outcomes[otpcore.AttemptsSpent] != 185 {
		t.Errorf("outcomes %v, want 15 compared and 185 refused", outcomes)
	}
}

func TestPassEndsAfterAQuarterOfAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 100)
		r := withPass(request("alice"))
		late, inTime := d.pass("alice"), d.pass("bob")
		time.Sleep(otpcore.PassLife - time.Millisecond)
		bob := withPass(request("bob"))
		d.must(otpcore.Accepted)(d.submit(otpcore.ID{}, bob, inTime))
		time.Sleep(time.Millisecond)
		d.must(otpcore.NoChallenge)(d.submit(otpcore.ID{}, r, late))
		if until := d.inspect("alice").PassUntil; !until.IsZero() {
			t.Errorf("a dead pass is told to live until %s", until)
		}
	})
}

func TestClockThatIsSetBackMakesNoPassLast(t *testing.T) {
	d := newDesk(t, 100)
	code := d.pass("alice")
	d.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	d.must(otpcore.NoChallenge)(d.submit(otpcore.ID{}, withPass(request("alice")), code))
}

func TestNewPassReplacesTheOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // both in the same millisecond
		d := newDesk(t, 100)
		r := withPass(request("alice"))
		first, second := d.pass("alice"), d.pass("alice")
		if first == second {
			t.Fatal("the same pass twice")
		}
		d.must(otpcore.WrongCode)(d.submit(otpcore.ID{}, r, first))
		d.must(otpcore.Accepted)(d.submit(otpcore.ID{}, r, second))
	})
}

func TestPassIsNoGuessAtTheCodeAndAnswersTheChallenge(t *testing.T) {
	d := newDesk(t, 100)
	r := withPass(request("alice"))
	id, _ := d.start(r)
	code := d.pass("alice")
	res := d.must(otpcore.WrongCode)(d.submit(id, r, wrong(code)))
	if res.View == nil || res.View.AttemptsLeft != 5 {
		t.Errorf("a guess at the pass cost the challenge an attempt: %+v", res.View)
	}
	d.must(otpcore.Accepted)(d.submit(id, r, code))
	if res, err := d.Status(t.Context(), id, r); err != nil || res.View.State != otpcore.Verified {
		t.Errorf("the other tabs are told %+v (%v)", res.View, err)
	}
}

func TestPassIsWorthNothingElsewhere(t *testing.T) {
	for name, change := range map[string]func(*otpcore.Request){
		"another user's":           func(r *otpcore.Request) { r.Subject.User = "bob" },
		"for a number one typed":   func(r *otpcore.Request) { r.Subject.Source = otpcore.Asked },
		"where passes are no good": func(r *otpcore.Request) { r.Pass = false },
		"to confirm a transaction": func(r *otpcore.Request) { r.Binding = otpcore.Pseudonym{1} },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, 100)
			code := d.pass("alice")
			r := withPass(request("alice"))
			change(&r)
			d.must(otpcore.NoChallenge)(d.submit(otpcore.ID{}, r, code))
			if a := d.inspect(r.Subject.User).Attempts; a.Wrong != 0 {
				t.Errorf("charged for what was not compared: %+v", a)
			}
		})
	}
}

func TestWithoutAPassNothingIsChargedForWhatLooksLikeOne(t *testing.T) {
	d := newDesk(t, 100)
	r := withPass(request("alice"))
	id, _ := d.start(r)
	d.must(otpcore.Malformed)(d.submit(id, r, "123456789012"))
	if a := d.inspect("alice").Attempts; a.Wrong != 0 {
		t.Errorf("%+v", a)
	}
}

func TestPassSaysSoWhenItIsUsed(t *testing.T) {
	d := newDesk(t, 100)
	var seen []otpcore.Event
	d.Observe = func(e otpcore.Event) { seen = append(seen, e) }
	r := withPass(request("alice"))
	code := d.pass("alice")
	d.must(otpcore.WrongCode)(d.submit(otpcore.ID{}, r, wrong(code)))
	d.must(otpcore.Accepted)(d.submit(otpcore.ID{}, r, code))
	if len(seen) != 2 || seen[0].Kind != otpcore.EventWrong || seen[1].Kind != otpcore.EventVerified || !seen[0].Pass || !seen[1].Pass {
		t.Errorf("events %+v, want a wrong and a right pass", seen)
	}
}
