package gatewayclient_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient"
	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient/gatewaytest"
)

const (
	number = "+491713920011"
	text   = "Example Co: your code is 847291. Valid for 5 minutes."
)

// bench is a fleet and its emulated account inside a bubble.
type bench struct {
	*gatewaytest.Server
	fleet  *gatewayclient.Fleet
	ledger *gatewayclient.Ledger
	began  time.Time
	asked  int
	seen   []gatewayclient.Progress
	times  []time.Duration
}

func newBench(t *testing.T, api string, o gatewaytest.Options, devices ...gatewayclient.DeviceConfig) *bench {
	t.Helper()
	if len(devices) == 0 {
		devices = []gatewayclient.DeviceConfig{{ID: "10403"}}
	}
	for _, d := range devices {
		o.Devices = append(o.Devices, d.ID)
	}
	b := &bench{Server: gatewaytest.New(o), ledger: gatewayclient.NewLedger(), began: time.Now()}
	t.Cleanup(b.Close)
	b.newFleet(t, api, devices)
	return b
}

func (b *bench) newFleet(t *testing.T, api string, devices []gatewayclient.DeviceConfig) {
	t.Helper()
	c := newClient(t, gatewayclient.Config{API: api, HTTP: b.Client()})
	var err error
	b.fleet, err = gatewayclient.NewFleet(gatewayclient.FleetConfig{Client: c, Devices: devices, Ledger: b.ledger})
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bench) deliver(valid time.Duration) error {
	return b.fleet.Deliver(context.Background(), gatewayclient.Text{To: number, Body: text, Expires: time.Now().Add(valid)},
		func() error { b.asked++; return nil },
		func(p gatewayclient.Progress) {
			b.seen = append(b.seen, p)
			b.times = append(b.times, time.Since(b.began))
		})
}

// story is what was reported, such as "1.1 sending, 1.1 queued".
func (b *bench) story() string {
	var steps []string
	for _, p := range b.seen {
		steps = append(steps, fmt.Sprintf("%d.%d %s", p.Attempt, p.Device, p.State))
	}
	return strings.Join(steps, ", ")
}

func (b *bench) final(t *testing.T) gatewayclient.Progress {
	t.Helper()
	for i, p := range b.seen {
		if p.Final != (i == len(b.seen)-1) {
			t.Fatalf("step %d of %q: final is %v", i, b.story(), p.Final)
		}
	}
	if len(b.seen) == 0 {
		t.Fatal("nothing was reported")
	}
	return b.seen[len(b.seen)-1]
}

func TestTextIsFollowedToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{Pace: 3 * time.Second, Poll: 3 * time.Second, Report: 3 * time.Second})
		if err := b.deliver(5 * time.Minute); err != nil {
			t.Fatal(err)
		}
		if got, want := b.story(), "1.1 sending, 1.1 queued, 1.1 on_device, 1.1 sent, 1.1 delivered"; got != want {
			t.Errorf("reported %q, want %q", got, want)
		}
		b.final(t)
		if all := b.Messages(); len(all) != 1 || all[0].To != number || all[0].Body != text || !all[0].Urgent || all[0].State != 7 {
			t.Errorf("the gateway has %+v", all)
		}
	})
}

func TestSilentPhoneIsPassedOverAfterItsPollInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{}, gatewayclient.DeviceConfig{ID: "10403"}, gatewayclient.DeviceConfig{ID: "10404"})
		b.Break(gatewaytest.Fault{Name: "offline", Device: "10403"})
		if err := b.deliver(5 * time.Minute); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(b.story(), "1.1 sending, 1.1 queued, 2.2 sending, 2.2 queued, ") || b.final(t).State != gatewayclient.Delivered {
			t.Errorf("reported %q", b.story())
		}
		if b.times[2] != 12*time.Second+20*time.Millisecond {
			t.Errorf("passed over after %s, want 12s and the time to ask", b.times[2])
		}
		if all := b.Messages(); b.asked != 1 || len(all) != 2 || all[0].Body != all[1].Body {
			t.Errorf("asked %d times, the gateway has %+v", b.asked, all)
		}
	})
}

func TestLostAnswerIsLookedUpAndNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{})
		b.Break(gatewaytest.Fault{Name: "lost-reply", Call: "addsms"})
		if err := b.deliver(5 * time.Minute); err != nil {
			t.Fatal(err)
		}
		if b.final(t).State != gatewayclient.Delivered || len(b.Messages()) != 1 {
			t.Errorf("reported %q, the gateway has %+v", b.story(), b.Messages())
		}
	})
}
