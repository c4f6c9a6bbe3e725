package caddymodule

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

// shelf is phones whose states a test decides.
type shelf struct {
	otpcore.Sender
	mu     sync.Mutex
	states []gatewayclient.DeviceState
}

func (s *shelf) set(first gatewayclient.DeviceState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.states[0] = first
}

func (s *shelf) Devices() (all []gatewayclient.DeviceView) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, state := range s.states {
		all = append(all, gatewayclient.DeviceView{ID: string(rune('1' + i)), SIM: "0", State: state})
	}
	return all
}

func (s *shelf) Run(ctx context.Context) { <-ctx.Done() }

type listener func(caddy.Event)

func (l listener) Handle(_ context.Context, e caddy.Event) error { l(e); return nil }

func TestDevicesAreToldOnceWhenTheyFailAndWhenTheyComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := caddy.NewContext(caddy.Context{Context: t.Context()})
		defer end()
		var said []string
		events := new(caddyevents.App)
		if err := events.Provision(ctx); err != nil {
			t.Fatal(err)
		}
		err := events.On("", listener(func(e caddy.Event) {
			said = append(said, e.Name()+" "+e.Data["device"].(string)+" "+e.Data["state"].(string))
		}))
		if err != nil {
			t.Fatal(err)
		}
		phones := &shelf{states: []gatewayclient.DeviceState{gatewayclient.DeviceUp, gatewayclient.DeviceOffline}}
		app := &App{ctx: ctx, events: events, sender: phones, gateway: "smsgateway24"}
		app.watchDevices()
		for _, state := range []gatewayclient.DeviceState{
			gatewayclient.DeviceUsedUp, gatewayclient.DeviceResting, gatewayclient.DeviceOffline, gatewayclient.DeviceRefused, gatewayclient.DeviceUp,
		} {
			phones.set(state)
			time.Sleep(2 * lookEvery)
			synctest.Wait()
		}
		want := []string{"sms_otp.device_down 1 resting", "sms_otp.device_up 1 up"}
		if !slices.Equal(said, want) {
			t.Errorf("told %q\nwant %q", said, want)
		}
		end()
		synctest.Wait()
	})
}
