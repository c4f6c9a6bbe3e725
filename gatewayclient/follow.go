package gatewayclient

import (
	"context"
	"time"
)

// follow looks after one message until it is final, failed, or silent while
// another device is free. It returns that device; none, where the delivery is
// over; or an error where this message failed.
func (d *delivery) follow(ctx context.Context, h *handOver) (device, int64, error) {
	for {
		if err := sleepUntil(ctx, d.nextLook(h)); err != nil {
			return device{}, 0, err
		}
		code, seen := d.look(ctx, h)
		if ctx.Err() != nil {
			return device{}, 0, ctx.Err()
		}
		if seen {
			d.note(h, code)
		}
		if h.state == Failed {
			d.forget(h)
			return device{}, 0, undelivered(h.code)
		}
		if d.over(h) {
			return device{}, 0, nil
		}
		if seen && d.silent(h) {
			if dev, mark, err := d.choose(); err == nil {
				return dev, mark, nil
			}
		}
	}
}

// nextLook is when there may be news: at the poll interval, which is the same
// for all messages so that they are asked for together, and when silence is to be judged.
func (d *delivery) nextLook(h *handOver) time.Time {
	now := time.Now()
	next := now.Truncate(d.f.poll).Add(d.f.poll)
	if due := d.silenceAt(h); !h.judged && due.After(now) && due.Before(next) {
		return due
	}
	return next
}

// look asks for the state of h, unless nobody waits and it is not yet time.
func (d *delivery) look(ctx context.Context, h *handOver) (code int, seen bool) {
	now := time.Now()
	if d.watched(h, now) {
		h.pace = 0
	} else if now.Before(h.next) {
		return 0, false
	}
	var err error
	if h.id == "" {
		code, err = d.f.find(ctx, h)
	} else {
		code, err = d.f.looks.at(ctx, h.id, h.at)
	}
	h.pace = min(max(2*h.pace, d.f.poll), slowest)
	h.next = time.Now().Add(h.pace)
	if err != nil {
		d.unseen(h, err)
		return 0, false
	}
	h.blind = 0
	return code, true
}

func (d *delivery) watched(h *handOver, now time.Time) bool {
	if d.t.Watched != nil {
		return d.t.Watched()
	}
	return now.Sub(h.since) < watchedFor
}

// unseen says that nothing is known any more once that has been so for a while.
// What was sent stays sent.
func (d *delivery) unseen(h *handOver, err error) {
	h.blind++
	if class, ours := ClassOf(err); ours && class == Auth {
		d.f.noteToken(err)
	}
	if h.blind >= blindAfter && h.state < Sent {
		d.report(Progress{Attempt: d.last.Attempt, Device: h.device.place, State: Unknown, Err: err})
	}
}

// note takes in a state of the wire. A message does not go back: answers may overtake each other.
func (d *delivery) note(h *handOver, code int) {
	state := stateOf(code)
	if state == Unknown || (state < h.state && h.state != Failed) {
		state = h.state
	}
	if state != h.state {
		h.state, h.code, h.since = state, code, time.Now()
		d.tell(h)
	}
	if state != Failed && state != Unknown {
		d.report(Progress{Attempt: d.last.Attempt, Device: h.device.place, State: state, Final: state == Delivered})
	}
}

// tell lets the ledger know.
func (d *delivery) tell(h *handOver) {
	l, dev := d.f.ledger, h.device.DeviceConfig
	switch h.state {
	case OnDevice:
		l.worked(dev, false)
	case Sent, Delivered:
		l.sent(dev, h.mark)
		l.worked(dev, true)
	case Failed:
		l.sent(dev, h.mark)
		l.failed(dev, Undelivered)
	}
}

// over ends the delivery of a message that is delivered, or that is of no more use.
func (d *delivery) over(h *handOver) bool {
	now := time.Now()
	switch {
	case h.state == Delivered:
		d.forget(h)
		return true
	case h.state == Sent && now.After(d.t.Expires.Add(reportWait)):
		d.forget(h)
		d.report(Progress{Attempt: d.last.Attempt, Device: h.device.place, State: Sent, Final: true})
		return true
	case h.state < Sent && now.After(d.t.Expires):
		d.report(Progress{
			Attempt: d.last.Attempt, Device: h.device.place, State: Unknown, Final: true,
			Err: &Error{Class: Expired, detail: "no device was seen to send it before it expired"},
		})
		return true
	}
	return false
}

// silent tells that the device had the time it needs and did nothing. That is
// counted against it once.
func (d *delivery) silent(h *handOver) bool {
	if h.state >= Sent || time.Now().Before(d.silenceAt(h)) {
		return false
	}
	if !h.judged {
		h.judged = true
		d.f.ledger.failed(h.device.DeviceConfig, Silent)
	}
	return true
}

func (d *delivery) silenceAt(h *handOver) time.Time {
	if h.state == OnDevice {
		return later(h.since, d.f.ledger.lastSent(h.device.ID)).Add(sendWithin)
	}
	return h.at.Add(d.f.ledger.pollOf(h.device.ID) + pickUpGrace)
}

// pollOf is how often a phone asks for messages.
func (l *Ledger) pollOf(id string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.phones[id]; p != nil {
		return p.interval()
	}
	return pickUpDefault
}

// lastSent is when a phone was last seen to send something: until it has had
// its turn, a message that waits behind others is not stuck.
func (l *Ledger) lastSent(id string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.phones[id]; p != nil {
		return p.lastSent
	}
	return time.Time{}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func sleepUntil(ctx context.Context, at time.Time) error {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
