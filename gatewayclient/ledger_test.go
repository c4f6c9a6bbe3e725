package gatewayclient_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient"
	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient/gatewaytest"
)

func (b *bench) restart(t *testing.T, devices ...gatewayclient.DeviceConfig) {
	t.Helper()
	written, err := b.ledger.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{token, text, "847291", number} {
		if bytes.Contains(written, []byte(secret)) {
			t.Errorf("%q is in what is written: %s", secret, written)
		}
	}
	b.ledger = gatewayclient.NewLedger()
	if err := b.ledger.UnmarshalBinary(written); err != nil {
		t.Fatal(err)
	}
	b.newFleet(t, "getdata", devices)
}

func TestAllowanceAndRestSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		devices := []gatewayclient.DeviceConfig{{ID: "10403", LimitN: 4, LimitPer: time.Hour}, {ID: "10404", LimitN: 4, LimitPer: time.Hour}}
		b := newBench(t, "getdata", gatewaytest.Options{}, devices...)
		b.Break(gatewaytest.Fault{Name: "fail-8", Device: "10404"})
		for range 3 {
			_ = b.deliver(time.Minute)
		}
		before := b.fleet.Devices()
		if before[0].Remaining != 1 {
			t.Fatalf("before: %+v", before)
		}
		b.restart(t, devices...)
		after := b.fleet.Devices()
		for i := range before {
			after[i].LastContact, before[i].LastContact = after[i].LastContact.UTC(), before[i].LastContact.UTC().Round(0)
			if before[i] != after[i] {
				t.Errorf("device %d was %+v and is %+v", i+1, before[i], after[i])
			}
		}
	})
}

func TestMessageInFlightIsChargedAndClosedAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		devices := []gatewayclient.DeviceConfig{{ID: "10403", LimitN: 4, LimitPer: 10 * time.Minute}}
		b := newBench(t, "getdata", gatewaytest.Options{Poll: 10 * time.Second}, devices...)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = b.fleet.Deliver(ctx, gatewayclient.Text{To: number, Body: text, Expires: time.Now().Add(time.Minute)}, nil, func(gatewayclient.Progress) {})
		b.restart(t, devices...)
		if v := b.fleet.Devices()[0]; v.Remaining != 3 || v.Waiting != 1 {
			t.Errorf("after the restart: %+v", v)
		}
		defer b.watch()()
		time.Sleep(time.Minute)
		if v := b.fleet.Devices()[0]; v.Remaining != 3 || v.Waiting != 0 {
			t.Errorf("when it was sent: %+v", v)
		}
	})
}

func TestGenerationsShareWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{}, gatewayclient.DeviceConfig{ID: "10403", LimitN: 4, LimitPer: time.Hour})
		_ = b.deliver(time.Minute)
		b.newFleet(t, "getdata", []gatewayclient.DeviceConfig{{ID: "10404"}, {ID: "10403", LimitN: 2, LimitPer: time.Hour}})
		if v := b.fleet.Devices()[1]; v.Remaining != 1 {
			t.Errorf("after a reload with a lower limit: %+v", v)
		}
	})
}

func TestLedgerStaysSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{Poll: 100 * time.Millisecond, Pace: time.Millisecond, Report: time.Millisecond}, gatewayclient.DeviceConfig{ID: "10403", LimitN: 5000, LimitPer: time.Hour})
		for range 2000 {
			_ = b.deliver(time.Minute)
		}
		written, err := b.ledger.MarshalBinary()
		if err != nil || len(written) > 12<<10 {
			t.Errorf("2,000 messages are written as %d bytes, %v", len(written), err)
		}
		if v := b.fleet.Devices()[0]; v.Remaining != 5000-900 {
			// An hour holds 1,800 at two seconds each; what left it is no longer counted.
			if v.Remaining > 5000-1790 || v.Remaining < 5000-1840 {
				t.Errorf("of 2,000 messages at two seconds each an hour's window counts %d", 5000-v.Remaining)
			}
		}
	})
}

func TestBrokenSnapshotChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{}, gatewayclient.DeviceConfig{ID: "10403", LimitN: 4, LimitPer: time.Hour})
		_ = b.deliver(time.Minute)
		for _, broken := range []string{"", "{", "[]", `{"version":2}`, `{"version":1,"phones":{"1":7}}`} {
			if err := b.ledger.UnmarshalBinary([]byte(broken)); err == nil || !strings.Contains(err.Error(), "device ledger") {
				t.Errorf("%q gives %v", broken, err)
			}
		}
		if v := b.fleet.Devices()[0]; v.Remaining != 3 {
			t.Errorf("afterwards: %+v", v)
		}
	})
}

func TestMomentsAheadDoNotCountForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{}, gatewayclient.DeviceConfig{ID: "10403", LimitN: 4, LimitPer: time.Hour})
		ahead := time.Now().Add(24 * 365 * time.Hour)
		written, err := json.Marshal(map[string]any{"version": 1, "phones": map[string]any{"10403": map[string]any{
			"spent":    []any{map[string]any{"From": ahead, "At": ahead, "Segments": 2}},
			"open":     map[string]any{"5": map[string]any{"At": ahead, "Segments": 1}},
			"breakers": []any{map[string]any{"sim": 0, "failures": 9, "until": ahead}, map[string]any{"sim": 99}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.ledger.UnmarshalBinary(written); err != nil {
			t.Fatal(err)
		}
		time.Sleep(61 * time.Minute)
		if v := b.fleet.Devices()[0]; v.Remaining != 3 || b.fleet.Ready() != nil {
			t.Errorf("an hour later: %+v, %v", v, b.fleet.Ready())
		}
		time.Sleep(24 * time.Hour)
		if v := b.fleet.Devices()[0]; v.Remaining != 4 {
			t.Errorf("a day later: %+v", v)
		}
	})
}
