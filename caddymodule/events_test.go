package caddymodule_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient/gatewaytest"
	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

func init() { caddy.RegisterModule(recorder{}) }

// recorder is a handler of events that keeps them.
type recorder struct{}

var recorded struct {
	sync.Mutex
	events []caddy.Event
}

func (recorder) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.recorder", New: func() caddy.Module { return new(recorder) }}
}

func (*recorder) UnmarshalCaddyfile(*caddyfile.Dispenser) error { return nil }

func (*recorder) Handle(_ context.Context, e caddy.Event) error {
	recorded.Lock()
	defer recorded.Unlock()
	recorded.events = append(recorded.events, e)
	return nil
}

func startWithEvents(t *testing.T, limits string) *harness.Site {
	t.Helper()
	recorded.Lock()
	recorded.events = nil
	recorded.Unlock()
	return harness.Start(t, harness.Options{
		Admin: true, Global: strings.Replace(patient, "%s", limits, 1), Servers: "events {\non * recorder\n}",
	})
}

// told are the events of ours, by name.
func told() map[string][]caddy.Event {
	recorded.Lock()
	defer recorded.Unlock()
	byName := map[string][]caddy.Event{}
	for _, e := range recorded.events {
		if name, ours := strings.CutPrefix(e.Name(), "sms_otp."); ours {
			byName[name] = append(byName[name], e)
		}
	}
	return byName
}

// waitTold waits until an event was told n times.
func waitTold(t *testing.T, name string, n int) []caddy.Event {
	t.Helper()
	for range 1000 {
		if events := told()[name]; len(events) >= n {
			return events
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%d events %s, waited for %d", len(told()[name]), name, n)
	return nil
}

func TestEventsTellWhatHappensAndNameNobody(t *testing.T) {
	s := startWithEvents(t, "total_sends 3 24h")
	visitEverything(t, s)
	want := map[string]int{"sent": 2, "delivered": 2, "failed": 1, "verified": 2, "wrong": 6, "locked": 1, "budget_exhausted": 1}
	for name, n := range want {
		waitTold(t, name, n)
	}
	said := told()
	for name, n := range want {
		if len(said[name]) != n {
			t.Errorf("%d events %s, want %d", len(said[name]), name, n)
		}
	}
	users := map[any]bool{}
	for name, events := range said {
		if !slices.Contains([]string{"sent", "delivered", "failed", "verified", "wrong", "locked", "budget_exhausted", "device_down", "device_up"}, name) {
			t.Errorf("an event %s", name)
		}
		for _, e := range events {
			if e.Origin() == nil || e.Origin().CaddyModule().ID != "sms_otp" {
				t.Errorf("%s comes from %v", name, e.Origin())
			}
			users[e.Data["user"]] = true
			text := asJSON(t, e.Data)
			for user, number := range harness.Numbers {
				if strings.Contains(text, user) || strings.Contains(text, number[4:]) {
					t.Errorf("%s names somebody: %s", name, text)
				}
			}
			for _, m := range s.Gateway.Messages() {
				if strings.Contains(text, harness.CodeIn(m.Body)) {
					t.Errorf("%s tells a code: %s", name, text)
				}
			}
		}
	}
	delete(users, nil)
	if len(users) != 3 {
		t.Errorf("three users have %d pseudonyms", len(users))
	}
	if sent := said["sent"][0].Data; sent["phone"] != "+44•••••23" || sent["device"] != "10403" || sent["gateway"] != "smsgateway24" {
		t.Errorf("sent: %v", sent)
	}
}

func TestEventsOfAMessageGoOnThroughAReload(t *testing.T) {
	s := startWithEvents(t, "")
	s.Gateway.Break(gatewaytest.Fault{Name: "slow", Delay: 500})
	c := s.Client("alice")
	c.Call("send", nil)
	if err := s.Load(s.Caddyfile()); err != nil {
		t.Fatal(err)
	}
	waitTold(t, "delivered", 1)
	if log := s.Log(); strings.Contains(log, "event handling stopped") {
		t.Error("an event went to a configuration that is over")
	}
}

func TestFailingDeviceIsTold(t *testing.T) {
	s := startWithEvents(t, "")
	s.Gateway.Break(gatewaytest.Fault{Name: "refuse", Call: "addsms"})
	for _, user := range []string{"alice", "bob", "carol"} {
		s.Client(user).Call("send", nil)
	}
	down := waitTold(t, "device_down", 1)[0]
	if down.Data["device"] != "10403" || down.Data["state"] != "resting" || down.Data["gateway"] != "smsgateway24" {
		t.Errorf("device_down: %v", down.Data)
	}
	if metric(t, "caddy_sms_otp_device_up", "device", "10403") != 0 {
		t.Error("a device that rests is up")
	}
}
