package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddyserver/caddy/v2"
)

func init() { caddy.RegisterModule(new(SmsGateWay24)) }

// Gateway is what the modules in sms_otp.gateways are.
type Gateway interface {
	// Sender returns what sends. The ledger holds what is known of the devices and outlives a configuration.
	Sender(ledger *gatewayclient.Ledger) (otpcore.Sender, error)
}

// SmsGateWay24 sends through Android phones that are connected to SmsGateWay24.
type SmsGateWay24 struct {
	// Default: https://smsgateway24.com
	URL string `json:"url,omitempty"`
	// getdata or v1. Default: getdata
	API string `json:"api,omitempty"`
	// The account's token; may be a placeholder. Required.
	Token string `json:"token,omitempty"`
	// How the token travels with v1: bearer or body. Default: bearer
	Auth string `json:"auth,omitempty"`
	// How long one call may take. Default: 10s
	Timeout caddy.Duration `json:"timeout,omitempty"`
	// The phones; the first healthy one is used. Required.
	Devices []Device `json:"devices,omitempty"`
	// How often delivery is asked for while somebody waits, at least 500ms. Default: 2s
	Poll caddy.Duration `json:"poll,omitempty"`

	client *gatewayclient.Client
}

// Device is one phone.
type Device struct {
	// The device's id with the gateway.
	ID string `json:"id"`
	// 0, 1, whatsapp_business, whatsapp, rcs0 or rcs1. Default: 0
	SIM string `json:"sim,omitempty"`
	// What this phone may send in that time. Default: 30 in 30m
	Limit *Rate `json:"limit,omitempty"`
}

const minPoll = 500 * time.Millisecond

// CaddyModule returns the Caddy module information.
func (*SmsGateWay24) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sms_otp.gateways.smsgateway24", New: func() caddy.Module { return new(SmsGateWay24) }}
}

// Provision resolves the token and checks the settings. The resolved token stays in the client alone.
func (g *SmsGateWay24) Provision(caddy.Context) error {
	if err := g.checkRequired(); err != nil {
		return err
	}
	if err := g.checkPoll(); err != nil {
		return err
	}
	token, err := resolve("token", g.Token)
	if err != nil {
		return err
	}
	address := g.URL
	if address != "" {
		if address, err = resolve("url", address); err != nil {
			return err
		}
	}
	g.client, err = gatewayclient.New(gatewayclient.Config{
		URL: address, API: g.API, Token: token, Auth: g.Auth, Timeout: time.Duration(g.Timeout),
	})
	return err
}

func (g *SmsGateWay24) checkRequired() error {
	if g.Token == "" {
		return errors.New("gateway smsgateway24 has no token; add: token {env.SMSGATEWAY24_TOKEN}")
	}
	if len(g.Devices) == 0 {
		return errors.New("gateway smsgateway24 has no device; add the number that the gateway shows for the phone, such as: device 10403")
	}
	return nil
}

func (g *SmsGateWay24) checkPoll() error {
	if poll := time.Duration(g.Poll); poll != 0 && poll < minPoll {
		return fmt.Errorf("poll is %s, must be at least %s", poll, minPoll)
	}
	return nil
}

// checkWire lets the client judge what can be judged before placeholders are resolved.
func (g *SmsGateWay24) checkWire() error {
	address := g.URL
	if strings.Contains(address, "{") {
		address = ""
	}
	_, err := gatewayclient.New(gatewayclient.Config{URL: address, API: g.API, Token: "later", Auth: g.Auth})
	return err
}

// Sender implements [Gateway].
func (g *SmsGateWay24) Sender(ledger *gatewayclient.Ledger) (otpcore.Sender, error) {
	devices := make([]gatewayclient.DeviceConfig, 0, len(g.Devices))
	for _, d := range g.Devices {
		device, err := d.config()
		if err != nil {
			return nil, err
		}
		devices = append(devices, device)
	}
	fleet, err := gatewayclient.NewFleet(gatewayclient.FleetConfig{
		Client: g.client, Devices: devices, Poll: time.Duration(g.Poll), Ledger: ledger,
	})
	if err != nil {
		return nil, err
	}
	return &fleetSender{fleet}, nil
}

func (d Device) config() (c gatewayclient.DeviceConfig, err error) {
	if c.ID, err = resolve("device", d.ID); err != nil {
		return c, err
	}
	if d.SIM != "" {
		if c.SIM, err = gatewayclient.ParseSIM(d.SIM); err != nil {
			return c, fmt.Errorf("device %s: %w", c.ID, err)
		}
	}
	if d.Limit != nil {
		if d.Limit.N < 1 || d.Limit.Per <= 0 {
			return c, fmt.Errorf("device %s: limit needs a number of at least 1 and a time, such as: limit 30 30m", c.ID)
		}
		c.LimitN, c.LimitPer = d.Limit.N, time.Duration(d.Limit.Per)
	}
	return c, nil
}

// fleetSender is where the rules and the phones meet: neither knows the other.
type fleetSender struct{ fleet *gatewayclient.Fleet }

// deliveries translates the phones' states into what visitors are told.
var deliveries = map[gatewayclient.State]otpcore.Delivery{
	gatewayclient.Unknown: otpcore.Unknown, gatewayclient.Sending: otpcore.Sending,
	gatewayclient.Queued: otpcore.Queued, gatewayclient.OnDevice: otpcore.OnDevice,
	gatewayclient.Sent: otpcore.Sent, gatewayclient.Delivered: otpcore.Delivered, gatewayclient.Failed: otpcore.Failed,
}

// Deliver implements [otpcore.Sender].
func (s *fleetSender) Deliver(ctx context.Context, m otpcore.Message, again func() error, report func(otpcore.Report)) error {
	return s.fleet.Deliver(ctx, gatewayclient.Text{To: string(m.To), Body: m.Text, Expires: m.Expires, Asked: m.Asked}, again,
		func(p gatewayclient.Progress) {
			report(otpcore.Report{Delivery: deliveries[p.State], Device: p.Device, Attempt: p.Attempt, Err: p.Err})
		})
}

// Ready implements [otpcore.Sender].
func (s *fleetSender) Ready() error {
	if err := s.fleet.Ready(); err != nil {
		return fmt.Errorf("%w: %w", otpcore.ErrNoDevice, err)
	}
	return nil
}

var (
	_ caddy.Provisioner = (*SmsGateWay24)(nil)
	_ Gateway           = (*SmsGateWay24)(nil)
	_ otpcore.Sender    = (*fleetSender)(nil)
)
