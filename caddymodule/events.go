package caddymodule

import (
	"context"
	"fmt"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient"
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
)

// lookEvery is how often devices are compared with how they were.
const lookEvery = 2 * time.Second

// provisionReports prepares what tells operators how things stand.
func (app *App) provisionReports(ctx caddy.Context) error {
	if err := registerMetrics(ctx.GetMetricsRegistry()); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	events, err := ctx.App("events")
	if err != nil {
		return fmt.Errorf("getting the events app: %w", err)
	}
	app.events = events.(*caddyevents.App)
	return nil
}

// activeApp is the app of the configuration that is running, or nil.
func activeApp() *App {
	app, err := caddy.ActiveContext().AppIfConfigured("sms_otp")
	if err != nil {
		return nil
	}
	return app.(*App)
}

// emit tells whoever subscribed to an event. Data names nobody: masked numbers
// and pseudonyms only. A message may outlive the configuration that sent it; its news then
// goes to the one that is running.
func (app *App) emit(name string, data map[string]any) {
	if app.ctx.Err() != nil {
		if app = activeApp(); app == nil {
			return
		}
	}
	app.events.Emit(app.ctx, "sms_otp."+name, data)
}

// phones is what senders offer that know their devices.
type phones interface {
	Devices() []gatewayclient.DeviceView
	Run(ctx context.Context)
}

// Devices implements [phones].
func (s *fleetSender) Devices() []gatewayclient.DeviceView { return s.fleet.Devices() }

// Run implements [phones].
func (s *fleetSender) Run(ctx context.Context) { s.fleet.Run(ctx) }

// devices are those of this configuration, in its order.
func (app *App) devices() []gatewayclient.DeviceView {
	if p, ok := app.sender.(phones); ok {
		return p.Devices()
	}
	return nil
}

// isUp tells whether a device is well. One that has sent what it may is.
func isUp(d gatewayclient.DeviceView) bool {
	return d.State == gatewayclient.DeviceUp || d.State == gatewayclient.DeviceUsedUp
}

// watchDevices keeps an eye on the phones for as long as this configuration runs.
func (app *App) watchDevices() {
	p, ok := app.sender.(phones)
	if !ok {
		return
	}
	go p.Run(app.ctx)
	go func() {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		// What is down already was told by the configuration before this one.
		before := p.Devices()
		for {
			select {
			case <-app.ctx.Done():
				return
			case <-tick.C:
				now := p.Devices()
				app.tellChanges(before, now)
				before = now
			}
		}
	}()
}

func (app *App) tellChanges(before, now []gatewayclient.DeviceView) {
	for i, d := range now {
		was, is := isUp(before[i]), isUp(d)
		if was == is {
			continue
		}
		name := "device_up"
		if !is {
			name = "device_down"
		}
		app.emit(name, map[string]any{"gateway": app.gateway, "device": labelOf(d), "state": string(d.State)})
	}
}

var _ phones = (*fleetSender)(nil)
