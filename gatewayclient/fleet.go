package gatewayclient

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultPoll     = 2 * time.Second
	defaultLimit    = 30
	defaultLimitPer = 30 * time.Minute
	shortestPoll    = 500 * time.Millisecond
	// A call in progress holds a place; following a message does not.
	handOversAtOnce = 8
	// How long a token that was refused is not tried again.
	tokenRest = time.Minute
)

// DeviceConfig is one phone of a fleet.
type DeviceConfig struct {
	ID       string
	SIM      int           // see [ParseSIM]. Default: 0
	LimitN   int           // segments it may send in LimitPer. Default: 30
	LimitPer time.Duration // Default: 30m
}

// FleetConfig is the phones in order of preference.
type FleetConfig struct {
	Client  *Client
	Devices []DeviceConfig
	Poll    time.Duration // how often a message is asked after while somebody waits. Default: 2s
	Ledger  *Ledger       // shared by all generations of a configuration; nil: one of its own
}

// Fleet hands texts to phones. Safe for concurrent use.
type Fleet struct {
	client  *Client
	devices []device
	poll    time.Duration
	ledger  *Ledger
	slots   chan struct{}
	looks   *looks

	mu         sync.Mutex
	tokenErr   *Error // the token was refused
	tokenUntil time.Time
}

// device is one phone and its place in the configuration, counted from 1.
type device struct {
	DeviceConfig
	place int
}

// NewFleet checks c. Its errors say what to write instead.
func NewFleet(c FleetConfig) (*Fleet, error) {
	if c.Client == nil {
		return nil, errors.New("a fleet needs a client")
	}
	if len(c.Devices) == 0 {
		return nil, errors.New("no device: write `device <id>` with the number the gateway's site shows for the phone")
	}
	if c.Poll == 0 {
		c.Poll = defaultPoll
	}
	if c.Poll < shortestPoll {
		return nil, fmt.Errorf("poll %s is too often: write 500ms or more", c.Poll)
	}
	f := &Fleet{client: c.Client, poll: c.Poll, ledger: c.Ledger, slots: make(chan struct{}, handOversAtOnce), looks: newLooks(c.Client)}
	if f.ledger == nil {
		f.ledger = NewLedger()
	}
	for i, d := range c.Devices {
		if err := d.complete(c.Client.Follows(), c.Devices[:i]); err != nil {
			return nil, err
		}
		f.devices = append(f.devices, device{d, i + 1})
	}
	return f, nil
}

func (d *DeviceConfig) complete(numeric bool, before []DeviceConfig) error {
	if d.ID == "" || len(d.ID) > 64 || strings.ContainsFunc(d.ID, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("device %q is not an id: write the number the gateway's site shows for the phone", d.ID)
	}
	if numeric && strings.Trim(d.ID, "0123456789") != "" {
		return fmt.Errorf("device %q is not a number: `api getdata` knows phones by number, such as 10403", d.ID)
	}
	if d.SIM < 0 || d.SIM >= len(simNames) {
		return fmt.Errorf("device %s: sim %d is not known: write 0, 1, whatsapp_business, whatsapp, rcs0 or rcs1", d.ID, d.SIM)
	}
	for _, o := range before {
		if o.ID == d.ID && o.SIM == d.SIM {
			return fmt.Errorf("device %s is there twice with the same sim: leave one out", d.ID)
		}
	}
	if d.LimitN == 0 && d.LimitPer == 0 {
		d.LimitN, d.LimitPer = defaultLimit, defaultLimitPer
	}
	if d.LimitN < 1 || d.LimitPer < time.Second {
		return fmt.Errorf("device %s: limit %d in %s allows nothing: write a number of messages and a time, such as `limit 30 30m`", d.ID, d.LimitN, d.LimitPer)
	}
	return nil
}

// Ready is nil unless it is known beforehand that no device can send: the token
// was refused, or every device rests or has used up its limit.
func (f *Fleet) Ready() error {
	now := time.Now()
	if err := f.tokenRefused(now); err != nil {
		return err
	}
	f.ledger.mu.Lock()
	defer f.ledger.mu.Unlock()
	var why *Error
	for _, d := range f.devices {
		err := f.ledger.usableLocked(d.DeviceConfig, 1, false, now)
		if err == nil {
			return nil
		}
		why = sooner(why, err)
	}
	return why
}

func sooner(a, b *Error) *Error {
	if a == nil || b.RetryAfter < a.RetryAfter {
		return b
	}
	return a
}

// choose picks a device for one message and takes its allowance; except are
// those that had their chance. The error says why there is none.
func (f *Fleet) choose(t Text, segments int, except map[int]bool) (device, int64, error) {
	now := time.Now()
	if err := f.tokenRefused(now); err != nil {
		return device{}, 0, err
	}
	f.ledger.mu.Lock()
	defer f.ledger.mu.Unlock()
	best, err := f.bestLocked(t, segments, except, now)
	if err != nil {
		return device{}, 0, err
	}
	mark := newMark()
	f.ledger.reserveLocked(best.DeviceConfig, mark, cost(best, segments), t.Asked, now)
	return best, mark, nil
}

// another tells whether choose would find a device.
func (f *Fleet) another(t Text, segments int, except map[int]bool) bool {
	f.ledger.mu.Lock()
	defer f.ledger.mu.Unlock()
	_, err := f.bestLocked(t, segments, except, time.Now())
	return err == nil
}

// bestLocked finds the device to use: of those that are well and not busy the
// first one with half of its limit left and, where there is none, the one that is left the most.
func (f *Fleet) bestLocked(t Text, segments int, except map[int]bool, now time.Time) (best device, _ error) {
	var bestRank rank
	var why *Error
	for _, d := range f.devices {
		if except[d.place] {
			continue
		}
		if err := f.ledger.usableLocked(d.DeviceConfig, cost(d, segments), t.Asked, now); err != nil {
			why = sooner(why, err)
			continue
		}
		if r := f.ledger.phones[d.ID].rank(d.DeviceConfig, now); best.place == 0 || r.before(bestRank) {
			best, bestRank = d, r
		}
	}
	switch {
	case best.place != 0:
		return best, nil
	case why == nil:
		return best, &Error{Class: Refused, detail: "no other device is left"}
	}
	return best, why
}

// cost is what a text takes of a device's limit: messengers know no segments.
func cost(d device, segments int) int {
	if isSMS(d.SIM) {
		return segments
	}
	return 1
}

// rank orders devices that can all be used.
type rank struct {
	offline bool
	waiting int  // messages beyond those that are soon sent
	roomy   bool // more than half of its limit is left
	left    int
}

const (
	// A phone sends one message a second, so a handful waiting is already felt.
	busy = 5
	// What has waited for longer than this does not keep a phone busy any more.
	busyFor = time.Minute
)

func (p *phone) rank(d DeviceConfig, now time.Time) rank {
	r := rank{offline: p.offline, left: p.left(d, now, false)}
	for _, c := range p.open {
		if now.Sub(c.At) < busyFor {
			r.waiting++
		}
	}
	r.waiting = max(r.waiting-busy+1, 0)
	r.roomy = 2*r.left > d.LimitN
	return r
}

// before is false for equals, so that the order of the configuration decides.
func (r rank) before(o rank) bool {
	if r.offline != o.offline {
		return o.offline
	}
	if r.waiting != o.waiting {
		return r.waiting < o.waiting
	}
	if r.roomy != o.roomy {
		return r.roomy
	}
	return !r.roomy && r.left > o.left
}

// Customer ids are counted from a random start: random ones would soon meet by
// chance, since their column may be a signed 32-bit number and no more bits are used.
const maxMark = 1<<31 - 1

var lastMark = func() *atomic.Int64 {
	var n atomic.Int64
	n.Store(rand.Int64N(maxMark))
	return &n
}()

func newMark() int64 { return lastMark.Add(1)%maxMark + 1 }

func (f *Fleet) tokenRefused(now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tokenErr != nil && now.Before(f.tokenUntil) {
		return f.tokenErr
	}
	return nil
}

// noteToken remembers what a call said of the token. Only this configuration's
// token is meant, so it is not part of the ledger.
func (f *Fleet) noteToken(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.tokenErr = nil
	} else if e, ours := errors.AsType[*Error](err); ours && e.Class == Auth {
		f.tokenErr, f.tokenUntil = e, time.Now().Add(tokenRest)
	}
}

// refusal tells a device that will not send from a token that is wrong, which
// the answer to addsms does not: the token is wrong where the device may not even be
// asked after, unless the account's list of devices can be had with it and lacks this one.
func (f *Fleet) refusal(ctx context.Context, d device, refused *Error) *Error {
	if !f.client.Follows() {
		return refused
	}
	if _, err := f.client.DeviceStatus(ctx, d.ID); !isRefusal(err) {
		return refused
	}
	if _, err := f.client.Devices(ctx); err == nil {
		return &Error{Class: Refused, Call: refused.Call, detail: fmt.Sprintf("the account has no device %s; look at `device`", d.ID)}
	}
	return errToken(refused.Call)
}

func errToken(call string) *Error {
	return &Error{Class: Auth, Call: call, detail: "the token was refused; copy it again from the account page"}
}

// take waits for a place to make a call in.
func (f *Fleet) take(ctx context.Context) error {
	select {
	case f.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *Fleet) give() { <-f.slots }
