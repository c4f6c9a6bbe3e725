package gatewayclient

import (
	"context"
	"time"
)

const (
	checkEvery = 30 * time.Second
	// A phone that missed this many visits, and some time more, is offline.
	missedVisits = 3
	missedTime   = 30 * time.Second
	// How many messages without a follower are asked after at a check.
	orphansAtOnce = 64
	// When a message whose answer was lost is no longer expected to turn up.
	lostFor = 10 * time.Minute
)

// Run keeps an eye on the phones until ctx ends: when they were last heard of,
// how often they ask for messages, and what became of messages that nobody
// follows any more. Deliveries work without it, but learn of a sleeping phone
// only by waiting for it. With `api v1` nothing can be asked, and it only waits.
func (f *Fleet) Run(ctx context.Context) {
	if !f.client.Follows() {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		f.check(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// check asks once after everything.
func (f *Fleet) check(ctx context.Context) {
	all, err := f.client.Devices(ctx)
	listed := err == nil
	polls := map[string]time.Duration{}
	for _, d := range all {
		polls[d.ID] = d.Poll
	}
	known, refused := listed, isRefusal(err)
	for _, d := range f.devices {
		status, err := f.client.DeviceStatus(ctx, d.ID)
		switch {
		case err == nil:
			known = true
			f.ledger.heard(d.ID, status, polls[d.ID])
		case !isRefusal(err):
			refused = false // nothing is known
		case listed:
			f.ledger.heard(d.ID, DeviceStatus{Since: -1}, 0)
		}
	}
	switch {
	case known:
		f.noteToken(nil)
	case refused:
		f.noteToken(errToken("getalldevices"))
		return
	}
	f.checkOrphans(ctx)
}

// isRefusal tells whether the gateway has answered with a no, which may be meant for the token.
func isRefusal(err error) bool {
	class, failed := ClassOf(err)
	return failed && (class == Refused || class == Auth)
}

// heard takes in what the gateway knows of a phone.
func (l *Ledger) heard(id string, s DeviceStatus, poll time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	p := l.phoneLocked(id, now)
	if poll > 0 {
		p.poll = poll
	}
	away := !s.Online
	if s.Since >= 0 {
		if contact := now.Add(-s.Since); contact.After(p.contact) {
			p.contact = contact
		}
		away = s.Since > missedVisits*p.interval()+missedTime
	}
	if p.offline && !away {
		// A phone that was silent because it slept needs no further rest. One that
		// was in contact and silent all the same does.
		for i := range p.breakers {
			if p.breakers[i].silent {
				p.breakers[i] = breaker{}
			}
		}
	}
	p.offline = away
}

func (p *phone) interval() time.Duration {
	if p.poll > 0 {
		return p.poll
	}
	return pickUpDefault
}

// orphan is a message that may still be sent, and that nobody follows.
type orphan struct {
	device device
	mark   int64
	claim
}

func (f *Fleet) orphans() (all []orphan) {
	l := f.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := map[string]bool{}
	for _, d := range f.devices {
		p := l.phones[d.ID]
		if p == nil || seen[d.ID] {
			continue
		}
		seen[d.ID] = true
		for mark, c := range p.open {
			if !c.followed && len(all) < orphansAtOnce {
				all = append(all, orphan{d, mark, *c})
			}
		}
	}
	return all
}

// checkOrphans closes what was sent after all, so that a phone's limit counts
// it at the time it was sent.
func (f *Fleet) checkOrphans(ctx context.Context) {
	for _, o := range f.orphans() {
		if ctx.Err() != nil {
			return
		}
		code, err := f.orphanState(ctx, o)
		class, failed := ClassOf(err)
		switch {
		case failed && class == Refused, o.ID == "" && failed && time.Since(o.At) > lostFor:
			f.ledger.sent(o.device.DeviceConfig, o.mark) // the gateway knows nothing of it: count it once more, then no longer
		case !failed && stateOf(code) >= Sent:
			f.ledger.sent(o.device.DeviceConfig, o.mark)
		}
	}
}

func (f *Fleet) orphanState(ctx context.Context, o orphan) (int, error) {
	if o.ID != "" {
		return f.client.status(ctx, o.ID)
	}
	h := &handOver{device: o.device, mark: o.mark}
	return f.find(ctx, h)
}

// DeviceState says in a word what can be expected of a device.
type DeviceState string

// The states of devices.
const (
	DeviceUp      DeviceState = "up"
	DeviceOffline DeviceState = "offline" // not heard of for a while; used where no other is left
	DeviceResting DeviceState = "resting" // failed several times in a row
	DeviceUsedUp  DeviceState = "used_up" // has sent what its limit allows
	DeviceRefused DeviceState = "refused" // the token was refused, so no device can be used
)

// DeviceView is a device as an operator sees it.
type DeviceView struct {
	ID          string
	SIM         string
	State       DeviceState
	LastContact time.Time // zero where unknown
	Limit       int       // segments in LimitPer
	LimitPer    time.Duration
	Remaining   int           // segments it may still be given now
	Waiting     int           // messages it has and was not seen to send
	Failures    int           // in a row
	Rest        time.Duration // until it is tried again; 0 where it need not rest
}

// Devices are the fleet's devices in the order of the configuration.
func (f *Fleet) Devices() []DeviceView {
	now := time.Now()
	refused := f.tokenRefused(now) != nil
	f.ledger.mu.Lock()
	defer f.ledger.mu.Unlock()
	all := make([]DeviceView, len(f.devices))
	for i, d := range f.devices {
		all[i] = f.ledger.phoneLocked(d.ID, now).view(d.DeviceConfig, now)
		if refused {
			all[i].State = DeviceRefused
		}
	}
	return all
}

func (p *phone) view(d DeviceConfig, now time.Time) DeviceView {
	b := p.breakers[d.SIM]
	v := DeviceView{
		ID: d.ID, SIM: simNames[d.SIM], State: DeviceUp, LastContact: p.contact,
		Limit: d.LimitN, LimitPer: d.LimitPer, Remaining: p.left(d, now, false),
		Waiting: len(p.open), Failures: b.failures,
	}
	switch {
	case !b.ready(now):
		v.State, v.Rest = DeviceResting, b.until.Sub(now)
	case v.Remaining == 0:
		v.State = DeviceUsedUp
	case p.offline:
		v.State = DeviceOffline
	}
	return v
}
