package gatewayclient_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient"
	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient/gatewaytest"
)

var two = []gatewayclient.DeviceConfig{{ID: "10403"}, {ID: "10404"}}

func TestNothingIsHandedOverAfterItExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{})
		if err := b.deliver(0); err == nil || b.final(t).State != gatewayclient.Failed || b.Calls("") != 0 {
			t.Errorf("an expired text gave %v, %q and %d calls", err, b.story(), b.Calls(""))
		}
		b = newBench(t, "getdata", gatewaytest.Options{})
		b.Break(gatewaytest.Fault{Name: "refuse-connection", Times: 12})
		err := b.deliver(5 * time.Second)
		if class, _ := gatewayclient.ClassOf(err); class != gatewayclient.Expired || len(b.Messages()) != 0 {
			t.Errorf("a text that expired while it was tried gave %v and %+v", err, b.Messages())
		}
	})
}

func TestRefusedFailoverEndsTheDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{}, two...)
		b.Break(gatewaytest.Fault{Name: "refuse", Device: "10403"})
		spent := errors.New("budget spent")
		err := b.fleet.Deliver(context.Background(), gatewayclient.Text{To: number, Body: text, Expires: time.Now().Add(time.Minute)},
			func() error { return spent }, func(p gatewayclient.Progress) { b.seen = append(b.seen, p) })
		if !errors.Is(err, spent) || b.final(t).State != gatewayclient.Failed || len(b.Messages()) != 0 {
			t.Errorf("ended with %v, %q, %+v", err, b.story(), b.Messages())
		}
		if v := b.fleet.Devices()[1]; v.Remaining != v.Limit {
			t.Errorf("the device that was not asked is charged: %+v", v)
		}
	})
}

func TestEndOfContextEndsTheDeliveryAndKeepsTheCharge(t *testing.T) {
	for _, fault := range []string{"", "slow", "no-pickup"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "getdata", gatewaytest.Options{Poll: 5 * time.Second})
			if fault != "" {
				b.Break(gatewaytest.Fault{Name: fault})
			}
			ctx, cancel := context.WithTimeout(context.Background(), 2500*time.Millisecond)
			defer cancel()
			err := b.fleet.Deliver(ctx, gatewayclient.Text{To: number, Body: text, Expires: time.Now().Add(time.Minute)}, nil,
				func(p gatewayclient.Progress) { b.seen = append(b.seen, p) })
			if !errors.Is(err, context.DeadlineExceeded) || b.seen[len(b.seen)-1].Final {
				t.Errorf("%q: ended with %v, %q", fault, err, b.story())
			}
			if v := b.fleet.Devices()[0]; v.Remaining != v.Limit-1 || v.Waiting != 1 {
				t.Errorf("%q: what may be sent is not charged: %+v", fault, v)
			}
		})
	}
}

func TestWrongTokenIsToldFromADeviceThatRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		class := func(b *bench) gatewayclient.Class { c, _ := gatewayclient.ClassOf(b.deliver(time.Minute)); return c }
		b := newBench(t, "getdata", gatewaytest.Options{})
		b.Break(gatewaytest.Fault{Name: "refuse"})
		if got := class(b); got != gatewayclient.Refused || b.fleet.Ready() != nil {
			t.Errorf("a refusal is %v", got)
		}
		b = newBench(t, "getdata", gatewaytest.Options{}, two...)
		for _, fault := range []gatewaytest.Fault{
			{Name: "wrong-token", Call: "addsms"}, {Name: "wrong-token", Call: "getdevicestatus"}, {Name: "http-404", Call: "getalldevices"},
		} {
			b.Break(fault)
		}
		if got := class(b); got != gatewayclient.Auth || b.asked != 0 {
			t.Errorf("without a list of devices a wrong token is %v, after %d failovers", got, b.asked)
		}
		b = newBench(t, "getdata", gatewaytest.Options{}, two...)
		b.Break(gatewaytest.Fault{Name: "wrong-token"})
		if got := class(b); got != gatewayclient.Auth || b.asked != 0 {
			t.Errorf("a wrong token is %v, after %d failovers", got, b.asked)
		}
		if err := b.fleet.Ready(); err == nil || !strings.Contains(err.Error(), "token") || b.fleet.Devices()[0].State != gatewayclient.DeviceRefused {
			t.Errorf("with a wrong token it is ready: %v, %+v", err, b.fleet.Devices())
		}
		calls := b.Calls("")
		if class(b) != gatewayclient.Auth || b.Calls("") != calls {
			t.Error("a token that was just refused is tried again")
		}
		time.Sleep(2 * time.Minute)
		b.Mend(gatewaytest.Fault{})
		if err := b.deliver(time.Minute); err != nil || b.fleet.Ready() != nil {
			t.Errorf("a token that is good again gives %v, %v", err, b.fleet.Ready())
		}
	})
}

func TestUnknownDeviceIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{Devices: []string{"1"}}, two...)
		other, err := gatewayclient.NewFleet(gatewayclient.FleetConfig{
			Client:  newClient(t, gatewayclient.Config{HTTP: b.Client()}),
			Devices: []gatewayclient.DeviceConfig{{ID: "77"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		b.fleet = other
		if err := b.deliver(time.Minute); err == nil || !strings.Contains(err.Error(), "no device 77") {
			t.Errorf("a device that is not there gives %v", err)
		}
	})
}

func TestFailingDeviceRestsAndIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{}, two...)
		b.Break(gatewaytest.Fault{Name: "fail-8", Device: "10403"})
		first := func() int { b.seen = nil; _ = b.deliver(time.Minute); return b.seen[0].Device }
		for range 3 {
			if first() != 1 {
				t.Fatal("the first device is not tried first")
			}
		}
		if first() != 2 || b.fleet.Devices()[0].State != gatewayclient.DeviceResting {
			t.Errorf("after three failures: %+v", b.fleet.Devices()[0])
		}
		time.Sleep(30 * time.Second)
		if first() != 1 || first() != 2 {
			t.Error("after its rest one message tries it, and no other")
		}
		b.Mend(gatewaytest.Fault{})
		time.Sleep(time.Minute)
		if first() != 1 || b.fleet.Devices()[0].Failures != 0 {
			t.Errorf("a device that sends again is %+v", b.fleet.Devices()[0])
		}
	})
}

func TestReadyOnlyWhileADeviceCanSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{}, gatewayclient.DeviceConfig{ID: "10403", LimitN: 2, LimitPer: time.Hour})
		for range 2 {
			if err := b.fleet.Ready(); err != nil {
				t.Fatal(err)
			}
			if err := b.deliver(time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		err := b.fleet.Ready()
		var e *gatewayclient.Error
		if !errors.As(err, &e) || e.Class != gatewayclient.Quota || e.RetryAfter > time.Hour || !strings.Contains(err.Error(), "limit of 2 in 1h") {
			t.Errorf("with its limit used up: %v", err)
		}
		if err := b.deliver(time.Minute); err == nil || len(b.Messages()) != 2 {
			t.Errorf("a third one gave %v, the gateway has %d", err, len(b.Messages()))
		}
		time.Sleep(e.RetryAfter)
		if err := b.fleet.Ready(); err != nil {
			t.Errorf("after the wait it named: %v", err)
		}
		b.Break(gatewaytest.Fault{Name: "refuse"})
		for range 3 {
			_ = b.deliver(time.Minute)
		}
		if err := b.fleet.Ready(); err == nil || !strings.Contains(err.Error(), "rests for 30s") {
			t.Errorf("while its only device rests: %v", err)
		}
	})
}

func TestLimitCountsSegments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{}, gatewayclient.DeviceConfig{ID: "10403", LimitN: 3, LimitPer: time.Hour})
		long := gatewayclient.Text{To: number, Body: strings.Repeat("ж", 71), Expires: time.Now().Add(time.Minute)}
		if err := b.fleet.Deliver(context.Background(), long, nil, func(gatewayclient.Progress) {}); err != nil || b.fleet.Devices()[0].Remaining != 1 {
			t.Errorf("a text of two parts gave %v and left %+v", err, b.fleet.Devices()[0])
		}
		if err := b.fleet.Deliver(context.Background(), long, nil, func(gatewayclient.Progress) {}); err == nil {
			t.Error("two parts went into room for one")
		}
		if err := b.deliver(time.Minute); err != nil {
			t.Errorf("the room for one is not used: %v", err)
		}
	})
}

func TestAskedNumbersGetAQuarterOfTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{}, gatewayclient.DeviceConfig{ID: "10403", LimitN: 8, LimitPer: time.Hour})
		ask := func() error {
			return b.fleet.Deliver(context.Background(), gatewayclient.Text{To: number, Body: text, Asked: true, Expires: time.Now().Add(time.Minute)}, nil, func(gatewayclient.Progress) {})
		}
		for range 2 {
			if err := ask(); err != nil {
				t.Errorf("within a quarter of eight: %v", err)
			}
		}
		if ask() == nil {
			t.Error("beyond a quarter of eight one was sent")
		}
		if err := b.deliver(time.Minute); err != nil {
			t.Errorf("others are held back by them: %v", err)
		}
	})
}

// perDevice counts what the gateway took for each of two phones.
func (b *bench) perDevice() (n [2]int) {
	for _, m := range b.Messages() {
		n[m.DeviceID-10403]++
	}
	return n
}

func TestGatewayIsTriedForLongerWhereNoOtherDeviceCanBeUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{}, gatewayclient.DeviceConfig{ID: "10403"}, gatewayclient.DeviceConfig{ID: "10404", LimitN: 1, LimitPer: time.Hour})
		b.Break(gatewaytest.Fault{Name: "refuse", Device: "10403", Times: 1})
		if err := b.deliver(time.Minute); err != nil || b.fleet.Devices()[1].State != gatewayclient.DeviceUsedUp {
			t.Fatalf("%v, the devices are %+v", err, b.fleet.Devices())
		}
		b.seen, b.asked = nil, 0
		b.Break(gatewaytest.Fault{Name: "refuse-connection"})
		time.AfterFunc(10*time.Second, func() { b.Mend(gatewaytest.Fault{}) })
		if err := b.deliver(time.Minute); err != nil || b.asked != 0 {
			t.Errorf("ended %q after %d failovers, %v", b.story(), b.asked, err)
		}
	})
}

func TestBusyPhoneIsSpared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{}, two...)
		for range 8 {
			_ = b.deliver(time.Minute)
		}
		if got := b.perDevice(); got != [2]int{8, 0} {
			t.Errorf("one after the other went to %v, want all to the first", got)
		}
		b = newBench(t, "getdata", gatewaytest.Options{}, two...)
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				_ = b.fleet.Deliver(context.Background(), gatewayclient.Text{To: number, Body: text, Expires: time.Now().Add(time.Minute)}, nil, func(gatewayclient.Progress) {})
			})
		}
		all.Wait()
		if got := b.perDevice(); got != [2]int{5, 5} {
			t.Errorf("all at once went to %v, want both phones used alike", got)
		}
	})
}

func TestPhonesAreWornAlikeOnceHalfOfALimitIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := func(id string) gatewayclient.DeviceConfig {
			return gatewayclient.DeviceConfig{ID: id, LimitN: 30, LimitPer: time.Hour}
		}
		b := newBench(t, "getdata", gatewaytest.Options{}, limit("10403"), limit("10404"))
		for range 40 {
			_ = b.deliver(time.Minute)
		}
		if got := b.perDevice(); got != [2]int{20, 20} {
			t.Errorf("40 messages went to %v", got)
		}
	})
}

func TestOneMessageAtATimeTriesARestedDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{}, two...)
		b.Break(gatewaytest.Fault{Name: "fail-8", Device: "10403"})
		for range 3 {
			_ = b.deliver(time.Minute)
		}
		time.Sleep(time.Minute)
		before := len(b.Messages())
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				_ = b.fleet.Deliver(context.Background(), gatewayclient.Text{To: number, Body: text, Expires: time.Now().Add(time.Minute)}, nil, func(gatewayclient.Progress) {})
			})
		}
		all.Wait()
		tried := 0
		for _, m := range b.Messages()[before:] {
			if m.DeviceID == 10403 {
				tried++
			}
		}
		if tried != 1 {
			t.Errorf("%d of four messages tried a device that had rested, want one", tried)
		}
	})
}

func TestWhatMayStillBeSentIsNotCalledFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{}, two...)
		b.Break(gatewaytest.Fault{Name: "offline", Device: "10403"})
		b.Break(gatewaytest.Fault{Name: "http-401", Device: "10404"})
		err := b.deliver(time.Minute)
		if last := b.final(t); err != nil || last.State != gatewayclient.Unknown || last.Err == nil {
			t.Errorf("with one message waiting at a phone and another refused it ended %q, %v", b.story(), err)
		}
	})
}

func TestStatesDoNotGoBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said := []string{"2", "1", "4", "6", "3", "2", "7"}
		b := newBench(t, "getdata", gatewaytest.Options{})
		script := roundTrip(func(r *http.Request) (*http.Response, error) {
			if !strings.HasSuffix(r.URL.Path, "getsmsstatus") {
				return b.Client().Transport.RoundTrip(r)
			}
			body := `{"error":0,"status":` + said[0] + `}`
			said = said[1:]
			return &http.Response{StatusCode: 200, Request: r, Body: io.NopCloser(strings.NewReader(body))}, nil
		})
		fleet, err := gatewayclient.NewFleet(gatewayclient.FleetConfig{
			Client:  newClient(t, gatewayclient.Config{HTTP: &http.Client{Transport: script}}),
			Devices: []gatewayclient.DeviceConfig{{ID: "10403"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		b.fleet = fleet
		if err := b.deliver(time.Minute); err != nil {
			t.Fatal(err)
		}
		if got, want := b.story(), "1.1 sending, 1.1 queued, 1.1 on_device, 1.1 sent, 1.1 delivered"; got != want {
			t.Errorf("reported %q, want %q", got, want)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestLateAnswerIsFoundInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{})
		b.Break(gatewaytest.Fault{Name: "late", Call: "addsms", Delay: 15_000})
		if err := b.deliver(5 * time.Minute); err != nil {
			t.Fatal(err)
		}
		if got, want := b.story(), "1.1 sending, 1.1 unknown, 1.1 on_device, 1.1 delivered"; got != want || len(b.Messages()) != 1 {
			t.Errorf("reported %q, want %q; the gateway has %d", got, want, len(b.Messages()))
		}
	})
}

func TestSleepingPhoneIsTurnedBackToWhenTheOtherFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{}, two...)
		b.Break(gatewaytest.Fault{Name: "offline", Device: "10403"})
		b.Break(gatewaytest.Fault{Name: "fail-9", Device: "10404"})
		time.AfterFunc(time.Minute, func() { b.Mend(gatewaytest.Fault{Name: "offline", Device: "10403"}) })
		if err := b.deliver(5 * time.Minute); err != nil {
			t.Fatal(err)
		}
		if got, want := b.story(), "1.1 sending, 1.1 queued, 2.2 sending, 2.2 queued, 2.1 queued, 2.1 sent, 2.1 delivered"; got != want {
			t.Errorf("reported %q, want %q", got, want)
		}
	})
}

func TestStatesThatCannotBeHadAreUnknownUntilTheyCan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{Poll: 10 * time.Second})
		b.Break(gatewaytest.Fault{Name: "http-500", Call: "getsmsstatus", Times: 4})
		if err := b.deliver(5 * time.Minute); err != nil {
			t.Fatal(err)
		}
		if got, want := b.story(), "1.1 sending, 1.1 queued, 1.1 unknown, 1.1 on_device, 1.1 delivered"; got != want {
			t.Errorf("reported %q, want %q", got, want)
		}
	})
}

func TestPollingIsFastWhileSomebodyWaitsAndSlowAfter(t *testing.T) {
	calls := func(watched func() bool) (n int) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "getdata", gatewaytest.Options{})
			b.Break(gatewaytest.Fault{Name: "stuck-sent"})
			_ = b.fleet.Deliver(context.Background(), gatewayclient.Text{To: number, Body: text, Expires: time.Now().Add(5 * time.Minute), Watched: watched}, nil, func(gatewayclient.Progress) {})
			n = b.Calls("getsmsstatus")
		})
		return n
	}
	always := calls(func() bool { return true })
	never := calls(func() bool { return false })
	usual := calls(nil)
	if always < 175 || never > 20 || usual < 30 || usual > 60 {
		t.Errorf("asked %d times while watched, %d while not, %d by default", always, never, usual)
	}
}

func TestManyMessagesShareTheirQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{}, gatewayclient.DeviceConfig{ID: "10403", LimitN: 100, LimitPer: time.Hour})
		var all sync.WaitGroup
		for range 30 {
			all.Go(func() {
				_ = b.fleet.Deliver(context.Background(), gatewayclient.Text{To: number, Body: text, Expires: time.Now().Add(5 * time.Minute)}, nil, func(gatewayclient.Progress) {})
			})
		}
		all.Wait()
		if list, single := b.Calls("getallsms"), b.Calls("getsmsstatus"); list > 20 || single > 40 {
			t.Errorf("30 messages cost %d lists and %d single questions", list, single)
		}
	})
}

func TestTooManyCallsAreFollowedByAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{})
		b.Break(gatewaytest.Fault{Name: "http-429", Call: "getsmsstatus", Delay: 20_000, Times: 1})
		if err := b.deliver(5 * time.Minute); err != nil || b.times[len(b.times)-1] < 20*time.Second || b.Calls("getsmsstatus") > 3 {
			t.Errorf("ended %v after %s and %d questions", err, b.times[len(b.times)-1], b.Calls("getsmsstatus"))
		}
	})
}
