package gatewayclient

import (
	"fmt"
	"sync"
	"time"
)

const (
	maxPhones = 256
	// A message that nobody follows any more may still be sent when its phone
	// wakes up; after this long it is taken to be gone.
	orphanLife = 24 * time.Hour
)

// Ledger is what is known of each phone: what it was given to send, how it
// failed, when it was heard of. It belongs to no configuration, so that a
// reload changes nothing. Safe for concurrent use.
type Ledger struct {
	mu      sync.Mutex
	phones  map[string]*phone
	changes uint64
}

// NewLedger knows nothing yet.
func NewLedger() *Ledger { return &Ledger{phones: map[string]*phone{}} }

// phone is one device, whatever slots of it are used: Android limits the app, not the SIM.
type phone struct {
	spent    []charge         // sent, oldest first
	open     map[int64]*claim // handed over and not yet known to be sent, by customer id
	breakers [len(simNames)]breaker
	contact  time.Time // last heard of; zero: never
	offline  bool      // the gateway says so
	poll     time.Duration
	lastSent time.Time
	touched  time.Time
}

// charge is what a phone sent around one moment.
type charge struct {
	From, At time.Time // the first and the last of them
	Segments int
	Asked    int // of these, for numbers that visitors typed
}

// claim is one message that a phone may still send.
type claim struct {
	At       time.Time
	Segments int
	Asked    bool
	ID       string // the gateway's; empty where its answer was lost
	followed bool
}

func (l *Ledger) phoneLocked(id string, now time.Time) *phone {
	p := l.phones[id]
	if p == nil {
		if len(l.phones) >= maxPhones {
			l.forgetOneLocked()
		}
		p = &phone{open: map[int64]*claim{}}
		l.phones[id] = p
	}
	p.touched = now
	return p
}

func (l *Ledger) forgetOneLocked() {
	oldest := ""
	for id, p := range l.phones {
		if oldest == "" || p.touched.Before(l.phones[oldest].touched) {
			oldest = id
		}
	}
	delete(l.phones, oldest)
}

// used counts what falls into the window that ends now. What is still open
// counts however old it is: it would be sent in the window to come.
func (p *phone) used(now time.Time, per time.Duration) (all, asked int) {
	for i := range p.spent {
		if c := &p.spent[i]; now.Sub(c.At) < per {
			all += c.Segments
			asked += c.Asked
		}
	}
	for mark, c := range p.open {
		if !c.followed && now.Sub(c.At) > orphanLife {
			delete(p.open, mark)
			continue
		}
		all += c.Segments
		if c.Asked {
			asked += c.Segments
		}
	}
	return all, asked
}

// left is what d may still be given, in segments. Numbers that visitors typed
// get at most a quarter, so that they cannot use up what the operator's own users need.
func (p *phone) left(d DeviceConfig, now time.Time, asked bool) int {
	all, byAsking := p.used(now, d.LimitPer)
	left := d.LimitN - all
	if asked {
		left = min(left, max(d.LimitN/4, 1)-byAsking)
	}
	return max(left, 0)
}

// close moves what was open to what was sent, at the moment when that was seen.
// That is later than it happened, so the window is never too short.
func (p *phone) close(mark int64, now time.Time, per time.Duration) {
	c := p.open[mark]
	if c == nil {
		return
	}
	delete(p.open, mark)
	p.prune(now, per)
	asked := 0
	if c.Asked {
		asked = c.Segments
	}
	// Few entries stand for many messages: those close together expire together, with the last of them.
	if last := len(p.spent) - 1; last >= 0 && now.Sub(p.spent[last].From) < per/64 {
		e := &p.spent[last]
		e.At, e.Segments, e.Asked = now, e.Segments+c.Segments, e.Asked+asked
		return
	}
	p.spent = append(p.spent, charge{From: now, At: now, Segments: c.Segments, Asked: asked})
}

func (p *phone) prune(now time.Time, per time.Duration) {
	keep := 0
	for keep < len(p.spent) && now.Sub(p.spent[keep].At) >= per {
		keep++
	}
	p.spent = p.spent[keep:]
}

// reserveLocked takes the allowance of one message before it is handed over.
func (l *Ledger) reserveLocked(d DeviceConfig, mark int64, segments int, asked bool, now time.Time) {
	l.changes++
	p := l.phoneLocked(d.ID, now)
	p.open[mark] = &claim{At: now, Segments: segments, Asked: asked, followed: true}
	p.breakers[d.SIM].claim(now)
}

// refund gives back what was certainly not sent.
func (l *Ledger) refund(d DeviceConfig, mark int64) {
	l.change(d, func(p *phone, _ time.Time) { delete(p.open, mark) })
}

func (l *Ledger) accepted(d DeviceConfig, mark int64, id string) {
	l.change(d, func(p *phone, _ time.Time) {
		if c := p.open[mark]; c != nil {
			c.ID = id
		}
	})
}

// sent notes that a phone sent a message, or tried and gave up: both count.
func (l *Ledger) sent(d DeviceConfig, mark int64) {
	l.change(d, func(p *phone, now time.Time) { p.close(mark, now, d.LimitPer) })
}

// unfollow leaves an open message to [Fleet.Run].
func (l *Ledger) unfollow(d DeviceConfig, mark int64) {
	l.change(d, func(p *phone, _ time.Time) {
		if c := p.open[mark]; c != nil {
			c.followed = false
		}
	})
}

// worked notes a sign of life from a slot: a message picked up or sent.
func (l *Ledger) worked(d DeviceConfig, sent bool) {
	l.change(d, func(p *phone, now time.Time) {
		p.contact, p.offline = now, false
		if sent {
			p.lastSent = now
		}
		if b := &p.breakers[d.SIM]; sent || b.silent {
			*b = breaker{}
		}
	})
}

// recovered ends a slot's run of failures.
func (l *Ledger) recovered(d DeviceConfig) {
	l.change(d, func(p *phone, _ time.Time) { p.breakers[d.SIM] = breaker{} })
}

func (l *Ledger) failed(d DeviceConfig, class Class) {
	l.change(d, func(p *phone, now time.Time) { p.breakers[d.SIM].fail(now, class == Silent) })
}

func (l *Ledger) change(d DeviceConfig, f func(*phone, time.Time)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.changes++
	f(l.phoneLocked(d.ID, now), now)
}

// usable is why d can be given nothing now; nil where it can.
func (l *Ledger) usableLocked(d DeviceConfig, segments int, asked bool, now time.Time) *Error {
	p := l.phoneLocked(d.ID, now)
	if b := p.breakers[d.SIM]; !b.ready(now) {
		return &Error{Class: Refused, RetryAfter: b.until.Sub(now), detail: fmt.Sprintf(
			"device %s failed %d times in a row and rests for %s; look at the phone", d.ID, b.failures, b.until.Sub(now).Round(time.Second))}
	}
	if p.left(d, now, asked) < segments {
		return &Error{Class: Quota, RetryAfter: p.frees(now, d.LimitPer), detail: fmt.Sprintf(
			"device %s has sent what its limit of %d in %s allows; add a device, or raise `limit` if the phone allows more", d.ID, d.LimitN, d.LimitPer)}
	}
	return nil
}

func (p *phone) frees(now time.Time, per time.Duration) time.Duration {
	for _, c := range p.spent {
		if wait := per - now.Sub(c.At); wait > 0 {
			return wait
		}
	}
	return per
}
