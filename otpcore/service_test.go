package otpcore_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore/memstore"
)

// outbox is a gateway that delivers at once and keeps what it was given.
type outbox struct {
	mu       sync.Mutex
	messages []otpcore.Message
	ready    error
}

func (o *outbox) Deliver(_ context.Context, m otpcore.Message, _ func() error, report func(otpcore.Report)) error {
	o.mu.Lock()
	o.messages = append(o.messages, m)
	o.mu.Unlock()
	report(otpcore.Report{Delivery: otpcore.Sent, Device: 1, Attempt: 1})
	return nil
}

func (o *outbox) Ready() error { return o.ready }

func (o *outbox) sent() []otpcore.Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]otpcore.Message(nil), o.messages...)
}

const number = otpcore.Number("+447700900123")

// desk is a service with everything around it.
type desk struct {
	*otpcore.Service
	t     *testing.T
	box   *outbox
	store *memstore.Store
}

// newDesk returns a service in memory. It must be made inside the bubble of a
// test that moves the clock.
func newDesk(t *testing.T, capacity int) *desk {
	t.Helper()
	store, err := memstore.New(capacity)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := otpcore.NewKeyring([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	box := new(outbox)
	workers := otpcore.NewWorkers(1000)
	t.Cleanup(func() { workers.Close(context.Background()); store.Close() })
	return &desk{
		Service: &otpcore.Service{
			Store: store, Keys: keys, Workers: workers, Revocations: new(otpcore.Revocations),
			Sender: box, Limits: otpcore.DefaultLimits(),
		}, t: t, box: box, store: store,
	}
}

func request(user string) otpcore.Request {
	return otpcore.Request{
		Subject: otpcore.Subject{User: user, Number: number, FirstFactor: true, Address: "192.0.2.1"},
		Site:    "site.example.com", Length: 6, TTL: 5 * time.Minute, Seen: -1,
		Compose: func(code string, _ time.Duration) string { return code },
	}
}

// must performs an action and demands its outcome.
func (d *desk) must(want otpcore.Outcome) func(otpcore.Result, error) otpcore.Result {
	d.t.Helper()
	return func(got otpcore.Result, err error) otpcore.Result {
		d.t.Helper()
		if err != nil {
			d.t.Fatalf("error: %v", err)
		}
		if got.Outcome != want {
			d.t.Fatalf("outcome %d, want %d (view %+v)", got.Outcome, want, got.View)
		}
		return got
	}
}

func (d *desk) start(r otpcore.Request) (id otpcore.ID, code string) {
	d.t.Helper()
	before := len(d.box.sent())
	res := d.must(otpcore.MessageSent)(d.Send(d.t.Context(), otpcore.ID{}, r))
	d.waitSent(before + 1)
	sent := d.box.sent()
	return res.ID, sent[len(sent)-1].Text
}

func (d *desk) waitSent(n int) {
	d.t.Helper()
	for range 10_000 {
		if len(d.box.sent()) >= n && d.Workers.Pending() == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	d.t.Fatalf("%d messages were sent, waited for %d", len(d.box.sent()), n)
}

func wrong(code string) string {
	if code[0] == '9' {
		return "0" + code[1:]
	}
	return string(code[0]+1) + code[1:]
}

func (d *desk) submit(id otpcore.ID, r otpcore.Request, code string) (otpcore.Result, error) {
	return d.Submit(d.t.Context(), id, r, code)
}

func TestCodeWorksOnce(t *testing.T) {
	d := newDesk(t, 100)
	r := request("alice")
	id, code := d.start(r)
	var mu sync.Mutex
	verifications := map[otpcore.ID]int{}
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			res, err := d.submit(id, r, code)
			if err != nil {
				t.Errorf("submit: %v", err)
			}
			if res.Outcome != otpcore.Accepted {
				t.Errorf("outcome %d for the same browser's right code within the grace", res.Outcome)
				return
			}
			mu.Lock()
			verifications[res.Verification.ID]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if len(verifications) != 1 {
		t.Errorf("%d verifications came of one code, want 1", len(verifications))
	}
}

func TestRightCodeIsWorthNothingAfterTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 100)
		r := request("alice")
		id, code := d.start(r)
		first := d.must(otpcore.Accepted)(d.submit(id, r, code))
		time.Sleep(otpcore.RepeatGrace)
		if again := d.must(otpcore.Accepted)(d.submit(id, r, code)); again.Verification.ID != first.Verification.ID {
			t.Error("a double click made a second verification")
		}
		time.Sleep(time.Millisecond)
		d.must(otpcore.NoChallenge)(d.submit(id, r, code))
	})
}

func TestSimultaneousWrongCodesAreComparedExactlyAttemptsTimes(t *testing.T) {
	d := newDesk(t, 100)
	r := request("alice")
	id, code := d.start(r)
	counts := map[otpcore.Outcome]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			res, err := d.submit(id, r, wrong(code))
			if err != nil {
				t.Errorf("submit: %v", err)
			}
			mu.Lock()
			counts[res.Outcome]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if counts[otpcore.WrongCode] != 5 || counts[otpcore.AttemptsSpent] != 59 {
		t.Errorf("outcomes %v, want 5 compared and 59 refused", counts)
	}
	d.must(otpcore.AttemptsSpent)(d.submit(id, r, code))
}

func TestGuessesInABurstNeverPassTheLimit(t *testing.T) {
	for range 20 {
		d := newDesk(t, 100)
		r := request("alice")
		id, code := d.start(r)
		var wg sync.WaitGroup
		var mu sync.Mutex
		compared, accepted := 0, 0
		for i := range 200 {
			guess := wrong(code)
			if i%50 == 49 {
				guess = code
			}
			wg.Go(func() {
				res, _ := d.submit(id, r, guess)
				mu.Lock()
				defer mu.Unlock()
				switch res.Outcome {
				case otpcore.WrongCode:
					compared++
				case otpcore.Accepted:
					accepted++
				}
			})
		}
		wg.Wait()
		if compared > 5 {
			t.Fatalf("%d wrong codes were compared, %d accepted", compared, accepted)
		}
	}
}

func TestRightCodeOneMillisecondLateFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 100)
		r := request("alice")
		id, code := d.start(r)
		time.Sleep(5*time.Minute - time.Since(time.Now()))
		d.must(otpcore.CodeExpired)(d.submit(id, r, code))
	})
}

func TestClockThatIsSetBackMakesNoCodeLast(t *testing.T) {
	d := newDesk(t, 100)
	var back atomic.Int64
	d.Now = func() time.Time { return time.Now().Add(-time.Duration(back.Load())) }
	r := request("alice")
	id, code := d.start(r)
	back.Store(int64(time.Hour))
	d.must(otpcore.CodeExpired)(d.submit(id, r, code))
	back.Store(int64(time.Minute / 2)) // servers differ that much
	d.must(otpcore.Accepted)(d.submit(id, r, code))
}

func TestRightCodeOneMillisecondEarlyWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 100)
		r := request("alice")
		began := time.Now()
		id, code := d.start(r)
		time.Sleep(5*time.Minute - time.Millisecond - time.Since(began))
		d.must(otpcore.Accepted)(d.submit(id, r, code))
	})
}

func TestResendSendsTheSameCodeAndKeepsAttemptsSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 100)
		r := request("alice")
		id, code := d.start(r)
		first := d.must(otpcore.WrongCode)(d.submit(id, r, wrong(code)))
		for range 3 {
			d.must(otpcore.WrongCode)(d.submit(id, r, wrong(code)))
		}
		d.must(otpcore.SendLimited)(d.Send(t.Context(), id, r))
		time.Sleep(30 * time.Second)
		res := d.must(otpcore.MessageSent)(d.Send(t.Context(), id, r))
		synctest.Wait()
		if sent := d.box.sent(); len(sent) != 2 || sent[1].Text != code {
			t.Errorf("messages %v, want the same code twice", sent)
		}
		if res.ID != id || res.View.AttemptsLeft != 1 || !res.View.ExpiresAt.Equal(first.View.ExpiresAt) {
			t.Errorf("after a resend %+v: life and attempts must stay", res.View)
		}
		if wait := time.Until(res.View.ResendAt); wait != time.Minute {
			t.Errorf("the next message may be asked for in %s, want the wait to double to 1m", wait)
		}
		d.must(otpcore.WrongCode)(d.submit(id, r, wrong(code)))
		d.must(otpcore.AttemptsSpent)(d.submit(id, r, code))
	})
}

func TestLateResendBeginsANewChallengeWithoutFreshAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 100)
		r := request("alice")
		id, code := d.start(r)
		for range 3 {
			d.must(otpcore.WrongCode)(d.submit(id, r, wrong(code)))
		}
		time.Sleep(4*time.Minute + time.Second)
		res := d.must(otpcore.MessageSent)(d.Send(t.Context(), id, r))
		if res.ID == id || res.View.AttemptsLeft != 2 {
			t.Errorf("new challenge %v with %d attempts, want another one with the 2 that were left", res.ID != id, res.View.AttemptsLeft)
		}
		d.must(otpcore.AttemptsSpent)(d.submit(id, r, code))
	})
}

func TestReloadedFormSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 100)
		r := request("alice")
		id, _ := d.start(r)
		time.Sleep(time.Minute)
		r.Seen = 1
		d.must(otpcore.MessageSent)(d.Send(t.Context(), id, r))
		time.Sleep(2 * time.Minute)
		d.must(otpcore.AlreadySent)(d.Send(t.Context(), id, r))
		synctest.Wait()
		if n := len(d.box.sent()); n != 2 {
			t.Errorf("%d messages, want 2", n)
		}
	})
}

func TestParallelSendsCostOneMessage(t *testing.T) {
	d := newDesk(t, 1000)
	r := request("alice")
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if _, err := d.Send(t.Context(), otpcore.ID{}, r); err != nil {
				t.Errorf("send: %v", err)
			}
		})
	}
	wg.Wait()
	d.waitSent(1)
	if n := len(d.box.sent()); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

func TestFailuresOfAUserCountAcrossChallenges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 100)
		r := request("alice")
		compared := 0
		for range 6 {
			res, err := d.Send(t.Context(), otpcore.ID{}, r)
			if err != nil {
				t.Fatal(err)
			}
			if res.Outcome == otpcore.MessageSent {
				synctest.Wait()
				sent := d.box.sent()
				code := sent[len(sent)-1].Text
				for range 7 {
					if got, _ := d.submit(res.ID, r, wrong(code)); got.Outcome == otpcore.WrongCode {
						compared++
					}
				}
			}
			time.Sleep(time.Minute)
		}
		if compared != 15 {
			t.Errorf("%d wrong codes were compared, want the user's limit of 15", compared)
		}
		refused := d.must(otpcore.AttemptsSpent)(d.Send(t.Context(), otpcore.ID{}, r))
		if wait := time.Until(refused.RetryAt); wait < 23*time.Hour || wait > 24*time.Hour {
			t.Errorf("told to come back in %s, want when the first failure is a day old", wait)
		}
		time.Sleep(time.Until(refused.RetryAt))
		d.start(r)
	})
}

func TestHundredConsecutiveFailuresLockForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 100)
		d.Limits.UserAttempts = otpcore.Limit{N: 1000, Per: time.Hour}
		d.Limits.PhoneSends = d.Limits.UserAttempts
		d.Limits.Attempts = 60
		r := request("alice")
		compared := 0
		var id otpcore.ID
		var code string
		for range 2 {
			id, code = d.start(r)
			for range 60 {
				if res, _ := d.submit(id, r, wrong(code)); res.Outcome == otpcore.WrongCode {
					compared++
				}
			}
			time.Sleep(2 * time.Hour)
		}
		if compared != 100 {
			t.Errorf("%d wrong codes were compared, want 100", compared)
		}
		time.Sleep(30 * 24 * time.Hour)
		d.must(otpcore.AttemptsSpent)(d.Send(t.Context(), otpcore.ID{}, r))
	})
}

func TestSuccessEndsTheStreakButNotTheDaysCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 100)
		d.Limits.UserAttempts = otpcore.Limit{N: 6, Per: 24 * time.Hour}
		r := request("alice")
		for range 2 {
			id, code := d.start(r)
			for range 3 {
				d.must(otpcore.WrongCode)(d.submit(id, r, wrong(code)))
			}
			if len(d.box.sent()) == 1 {
				d.must(otpcore.Accepted)(d.submit(id, r, code))
			}
			time.Sleep(time.Minute)
		}
		d.must(otpcore.AttemptsSpent)(d.Send(t.Context(), otpcore.ID{}, r))
	})
}

func TestMalformedCodeCostsNothing(t *testing.T) {
	d := newDesk(t, 100)
	r := request("alice")
	id, code := d.start(r)
	for _, typed := range []string{"", "12345", "1234567", "abcdef"} {
		res := d.must(otpcore.Malformed)(d.submit(id, r, typed))
		if res.View.AttemptsLeft != 5 {
			t.Errorf("%q cost an attempt", typed)
		}
	}
	d.must(otpcore.Accepted)(d.submit(id, r, "code: "+code[:3]+"-"+code[3:]))
}

func TestRightCodeAsAnotherUserOrOnAnotherSiteIsChargedAsAWrongOne(t *testing.T) {
	d := newDesk(t, 100)
	r := request("alice")
	id, code := d.start(r)
	other := r
	other.Subject.User, other.Subject.Number = "bob", "+447700900456"
	if res := d.must(otpcore.WrongCode)(d.submit(id, other, code)); res.View.AttemptsLeft != 4 {
		t.Errorf("%d attempts left, want 4", res.View.AttemptsLeft)
	}
	other = r
	other.Site = "other.example.com"
	if res := d.must(otpcore.WrongCode)(d.submit(id, other, code)); res.View.AttemptsLeft != 3 {
		t.Errorf("%d attempts left, want 3", res.View.AttemptsLeft)
	}
	d.must(otpcore.Accepted)(d.submit(id, r, code))
}

func TestChangedNumberEndsTheChallenge(t *testing.T) {
	d := newDesk(t, 100)
	r := request("alice")
	id, code := d.start(r)
	r.Subject.Number = "+447700900456"
	d.must(otpcore.NoChallenge)(d.submit(id, r, code))
	if res, _ := d.Status(t.Context(), id, r); res.View != nil {
		t.Error("the challenge of the old number still shows")
	}
}

func TestFullStoreRefusesWithoutAMessageOrACharge(t *testing.T) {
	d := newDesk(t, 1)
	r := request("alice")
	d.start(r)
	other := request("bob")
	other.Subject.Number = "+447700900456"
	for range 20 {
		if _, err := d.Send(t.Context(), otpcore.ID{}, other); !errors.Is(err, otpcore.ErrStoreFull) {
			t.Fatalf("send: %v, want ErrStoreFull", err)
		}
	}
	if n := len(d.box.sent()); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
	d.store.SetCapacity(10)
	d.start(other) // the refused ones were not charged, or the limit of 15 would be reached
}

func TestAFullStoreEndsNoChallengeThatItDoesNotReplace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 1)
		r := request("alice")
		id, code := d.start(r)
		d.must(otpcore.WrongCode)(d.submit(id, r, wrong(code)))
		time.Sleep(r.TTL - 30*time.Second)
		if _, err := d.Send(t.Context(), id, r); !errors.Is(err, otpcore.ErrStoreFull) {
			t.Fatalf("send: %v, want ErrStoreFull", err)
		}
		if res := d.must(otpcore.Accepted)(d.submit(id, r, code)); res.View.AttemptsLeft != 3 {
			t.Errorf("%d attempts left, want 3", res.View.AttemptsLeft)
		}
	})
}

func TestBudgetHoldsUnderConcurrencyAndLetsTheLiveFinish(t *testing.T) {
	d := newDesk(t, 1000)
	d.Limits.TotalSends = otpcore.Limit{N: 10, Per: time.Hour}
	r := request("alice")
	id, code := d.start(r)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			other := request("user" + string(rune('a'+i%26)) + string(rune('a'+i/26)))
			other.Subject.Number = otpcore.Number("+4477009001" + string(rune('0'+i/10%10)) + string(rune('0'+i%10)))
			if _, err := d.Send(t.Context(), otpcore.ID{}, other); err != nil {
				t.Errorf("send: %v", err)
			}
		})
	}
	wg.Wait()
	d.waitSent(10)
	if n := len(d.box.sent()); n != 10 {
		t.Errorf("%d messages with a budget of 10", n)
	}
	d.must(otpcore.Accepted)(d.submit(id, r, code))
}

func TestKnownBrowserHasItsOwnAllowance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 100)
		attacker := request("alice")
		for range 3 {
			id, code := d.start(attacker)
			for range 5 {
				d.must(otpcore.WrongCode)(d.submit(id, attacker, wrong(code)))
			}
			time.Sleep(time.Minute)
		}
		d.must(otpcore.AttemptsSpent)(d.Send(t.Context(), otpcore.ID{}, attacker))
		owner := request("alice")
		owner.Subject.Known = &otpcore.Verification{ID: otpcore.NewID(), Number: number}
		id, code := d.start(owner)
		d.must(otpcore.Accepted)(d.submit(id, owner, code))
	})
}

func TestProvingOnesOwnNumberGivesNoAllowanceForAnothers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 1000)
		d.Limits.IPStarts = otpcore.Limit{N: 1000, Per: time.Hour} // the attacker has many addresses
		victim := request("")
		victim.Subject.Source, victim.Subject.FirstFactor = otpcore.Asked, false
		own := victim
		own.Subject.Number = "+447700900456"
		compared, before := 0, len(d.box.sent())
		for range 6 {
			id, code := d.start(own)
			before++
			victim.Subject.Known = d.must(otpcore.Accepted)(d.submit(id, own, code)).Verification
			for range 4 {
				res, err := d.Send(t.Context(), otpcore.ID{}, victim)
				if err != nil {
					t.Fatal(err)
				}
				for range 5 {
					if got, _ := d.submit(res.ID, victim, "000001"); got.Outcome == otpcore.WrongCode {
						compared++
					}
				}
				time.Sleep(time.Minute)
			}
		}
		synctest.Wait()
		if sent := len(d.box.sent()) - before; compared != 15 || sent > 15 {
			t.Errorf("%d guesses at and %d messages to a number that was never proven, want 15 and at most as many", compared, sent)
		}
	})
}

func TestANumberTypedBehindAFirstFactorSpendsNothingOfItsOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 100)
		d.Limits.PhoneSends.N = 3
		insider := request("bob")
		insider.Subject.Source = otpcore.Asked // and it is alice's number
		for range 3 {
			d.start(insider)
			time.Sleep(time.Minute)
		}
		d.must(otpcore.SendLimited)(d.Send(t.Context(), otpcore.ID{}, insider))
		insider.Subject.User = "carol" // a second account gets no more for that number
		d.must(otpcore.SendLimited)(d.Send(t.Context(), otpcore.ID{}, insider))
		id, code := d.start(request("alice"))
		d.must(otpcore.Accepted)(d.submit(id, request("alice"), code))
	})
}

func TestRepeatingTheCodeDoesNotOutliveARevocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 100)
		r := request("alice")
		id, code := d.start(r)
		d.must(otpcore.Accepted)(d.submit(id, r, code))
		time.Sleep(time.Second)
		d.Revoke("alice")
		again := d.must(otpcore.Accepted)(d.submit(id, r, code)).Verification
		if !d.Revocations.Revoked(again) {
			t.Error("a double click brought a revoked verification back to life")
		}
	})
}

func TestNoDeviceIsSaidBeforehand(t *testing.T) {
	d := newDesk(t, 100)
	d.box.ready = otpcore.ErrNoDevice
	d.must(otpcore.CannotSend)(d.Send(t.Context(), otpcore.ID{}, request("alice")))
}

func TestVerificationAfterARevocationHoldsEvenInTheSameMillisecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 100)
		r := request("alice")
		id, code := d.start(r)
		before := d.must(otpcore.Accepted)(d.submit(id, r, code)).Verification
		time.Sleep(time.Minute)
		id, code = d.start(r)
		d.Revocations.EndUser("alice", time.Now())
		after := d.must(otpcore.Accepted)(d.submit(id, r, code)).Verification
		if !d.Revocations.Revoked(before) {
			t.Error("the verification from before still holds")
		}
		if d.Revocations.Revoked(after) {
			t.Error("the verification that was made after the revocation is dead")
		}
	})
}

func TestEachRevocationEndsWhatWasVerifiedBeforeIt(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"in the same millisecond": 0, "with a clock that was set back": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, 100)
				r := request("alice")
				id, code := d.start(r)
				d.Revocations.EndUser("alice", time.Now().Add(ahead))
				v := d.must(otpcore.Accepted)(d.submit(id, r, code)).Verification
				if d.Revocations.Revoked(v) {
					t.Error("the first revocation ended what came after it")
				}
				d.Revocations.EndUser("alice", time.Now())
				if !d.Revocations.Revoked(v) {
					t.Error("the second revocation did not end what came before it")
				}
			})
		})
	}
}

func TestTheStoreHoldsNothingInClear(t *testing.T) {
	d := newDesk(t, 100)
	known, asked := request("alice"), request("")
	asked.Subject.Number, asked.Subject.Source, asked.Subject.FirstFactor = "+447700900456", otpcore.Asked, false
	id, code := d.start(known)
	_, other := d.start(asked)
	d.must(otpcore.WrongCode)(d.submit(id, known, wrong(code)))
	d.must(otpcore.Accepted)(d.submit(id, known, code))
	pass := d.pass("alice")
	var dump []byte
	for i := range memstore.Slices {
		dump = d.store.AppendSlice(dump, i)
	}
	if c, err := d.store.Get(t.Context(), id); err != nil || !bytes.Contains(dump, c.Code) || !bytes.Contains(dump, c.Subject[:]) {
		t.Fatalf("the dump of %d bytes does not hold the challenge (%v)", len(dump), err)
	}
	for what, secret := range map[string]string{
		"code": code, "code of a typed number": other, "pass": pass, "user": "alice", "number": string(number[1:]),
		"typed number": string(asked.Subject.Number[1:]), "address": known.Subject.Address, "site": known.Site,
	} {
		if bytes.Contains(dump, []byte(secret)) {
			t.Errorf("the %s is in it", what)
		}
	}
}
