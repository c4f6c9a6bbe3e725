package gatewayclient_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient"
	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient/gatewaytest"
)

// watch runs the fleet's health checks until the returned function is called.
func (b *bench) watch() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { b.fleet.Run(ctx) })
	return func() { cancel(); running.Wait() }
}

func TestSleepingPhoneIsKnownBeforeAnybodyWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{}, two...)
		defer b.watch()()
		time.Sleep(time.Second)
		if v := b.fleet.Devices()[0]; v.State != gatewayclient.DeviceUp || time.Since(v.LastContact) > 2*time.Second {
			t.Errorf("a phone in contact is %+v", v)
		}
		b.Break(gatewaytest.Fault{Name: "offline", Device: "10403"})
		time.Sleep(2 * time.Minute)
		if v := b.fleet.Devices()[0]; v.State != gatewayclient.DeviceOffline || time.Since(v.LastContact) < 90*time.Second {
			t.Errorf("a phone that sleeps is %+v", v)
		}
		if err := b.deliver(time.Minute); err != nil || b.seen[0].Device != 2 {
			t.Errorf("it was tried first: %v, %q", err, b.story())
		}
		b.Mend(gatewaytest.Fault{})
		time.Sleep(time.Minute)
		b.seen = nil
		if err := b.deliver(time.Minute); err != nil || b.seen[0].Device != 1 {
			t.Errorf("awake again it is not used: %v, %q", err, b.story())
		}
	})
}

func TestPhonesOwnIntervalSetsHowLongSilenceIsBorne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{Poll: 20 * time.Second}, two...)
		defer b.watch()()
		time.Sleep(time.Second)
		b.Break(gatewaytest.Fault{Name: "no-pickup", Device: "10403"})
		began := time.Since(b.began)
		if err := b.deliver(5 * time.Minute); err != nil {
			t.Fatal(err)
		}
		if took := b.times[2] - began; b.seen[2].Device != 2 || took < 22*time.Second || took > 23*time.Second {
			t.Errorf("passed over after %s: %q", took, b.story())
		}
	})
}

func TestRestAfterSilenceEndsWhenThePhoneIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{})
		defer b.watch()()
		b.Break(gatewaytest.Fault{Name: "offline"})
		for b.fleet.Devices()[0].Rest < 4*time.Minute {
			_ = b.deliver(30 * time.Second)
			time.Sleep(10 * time.Second)
		}
		if b.fleet.Ready() == nil {
			t.Fatal("a phone that stays silent does not rest")
		}
		b.Mend(gatewaytest.Fault{})
		time.Sleep(31 * time.Second)
		if err := b.fleet.Ready(); err != nil {
			t.Errorf("back in contact it still rests: %v", err)
		}
	})
}

func TestMessagesWithoutAFollowerAreClosedWhenTheyAreSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{}, gatewayclient.DeviceConfig{ID: "10403", LimitN: 5, LimitPer: 10 * time.Minute})
		defer b.watch()()
		b.Break(gatewaytest.Fault{Name: "offline"})
		_ = b.deliver(time.Minute)
		time.Sleep(20 * time.Minute)
		if v := b.fleet.Devices()[0]; v.Remaining != 4 || v.Waiting != 1 {
			t.Errorf("what may still be sent is not counted: %+v", v)
		}
		b.Mend(gatewaytest.Fault{})
		time.Sleep(5 * time.Minute)
		if v := b.fleet.Devices()[0]; v.Remaining != 4 || v.Waiting != 0 {
			t.Errorf("what was sent late is not counted: %+v", v)
		}
		time.Sleep(6 * time.Minute)
		if v := b.fleet.Devices()[0]; v.Remaining != 5 {
			t.Errorf("what was sent long ago is still counted: %+v", v)
		}
	})
}

func TestWrongTokenIsFoundInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{})
		b.Break(gatewaytest.Fault{Name: "wrong-token"})
		defer b.watch()()
		time.Sleep(time.Second)
		if b.fleet.Ready() == nil {
			t.Error("a wrong token goes unnoticed")
		}
		b.Mend(gatewaytest.Fault{})
		time.Sleep(31 * time.Second)
		if err := b.fleet.Ready(); err != nil {
			t.Errorf("a token that is good again gives %v", err)
		}
	})
}

func TestAccountThatMayNotListItsDevicesCanSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{})
		b.Break(gatewaytest.Fault{Name: "wrong-token", Call: "getalldevices"})
		defer b.watch()()
		time.Sleep(time.Second)
		if err := b.fleet.Ready(); err != nil {
			t.Error(err)
		}
		if err := b.deliver(time.Minute); err != nil {
			t.Error(err)
		}
	})
}

func TestUnreachableGatewayChangesNothingThatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "getdata", gatewaytest.Options{})
		defer b.watch()()
		time.Sleep(time.Second)
		b.Break(gatewaytest.Fault{Name: "http-503"})
		time.Sleep(5 * time.Minute)
		if v := b.fleet.Devices()[0]; v.State != gatewayclient.DeviceUp || b.fleet.Ready() != nil {
			t.Errorf("while the gateway is away the phone is %+v", v)
		}
	})
}
