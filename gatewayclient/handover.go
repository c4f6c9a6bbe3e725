package gatewayclient

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	// How long an unreachable gateway is tried before the next device is, or
	// before the delivery fails where there is no other.
	patience     = 4 * time.Second
	lastPatience = 30 * time.Second
)

// handOver gives the text to one device. It returns nil where the gateway has
// it, which is then the newest of d.alive; with `api v1` that was the last news.
func (d *delivery) handOver(ctx context.Context, dev device, mark int64) error {
	d.report(Progress{Attempt: d.last.Attempt + 1, Device: dev.place, State: Sending})
	receipt, err := d.insist(ctx, Message{
		To: d.t.To, Body: d.t.Body, Device: dev.ID, SIM: dev.SIM, CustomerID: mark, Urgent: true,
	})
	h := &handOver{device: dev, mark: mark, at: time.Now(), since: time.Now()}
	if err != nil {
		return d.refused(ctx, h, err)
	}
	d.f.noteToken(nil)
	if !d.f.client.Follows() {
		d.f.ledger.sent(dev.DeviceConfig, mark)
		d.f.ledger.recovered(dev.DeviceConfig)
		d.report(Progress{Attempt: d.last.Attempt, Device: dev.place, State: Queued, Final: true})
		return nil
	}
	h.id, h.state = receipt.ID, Queued
	d.f.ledger.accepted(dev.DeviceConfig, mark, receipt.ID)
	d.alive = append(d.alive, h)
	d.report(Progress{Attempt: d.last.Attempt, Device: dev.place, State: Queued})
	return nil
}

// insist repeats what certainly was not queued, and nothing else.
func (d *delivery) insist(ctx context.Context, m Message) (Receipt, error) {
	wait := patience
	if len(d.alive) == 0 && !d.f.another(d.t, d.segments, d.tried) {
		wait = lastPatience
	}
	steps := backoff.NewExponentialBackOff()
	steps.InitialInterval, steps.MaxInterval = 500*time.Millisecond, 4*time.Second
	var failed error
	receipt, _ := backoff.Retry(ctx, func() (r Receipt, err error) {
		// Who stops wants to follow no longer; a hand-over that has begun is finished, or
		// the message would be lost, or worse, nobody could tell whether it is.
		r, failed = d.send(context.WithoutCancel(ctx), m)
		return r, retryable(failed, wait)
	}, backoff.WithBackOff(steps), backoff.WithMaxElapsedTime(wait))
	return receipt, failed
}

// retryable wraps err as backoff wants it: to be repeated, after how long, or not at all.
func retryable(err error, patience time.Duration) error {
	e, ours := errors.AsType[*Error](err)
	switch {
	case err == nil:
		return nil
	case !ours:
	case e.Class == Unavailable, e.Class == RateLimited && e.RetryAfter == 0:
		return err
	case e.Class == RateLimited && e.RetryAfter < patience:
		return &backoff.RetryAfterError{Duration: e.RetryAfter}
	}
	return backoff.Permanent(err)
}

func (d *delivery) send(ctx context.Context, m Message) (Receipt, error) {
	if err := d.f.take(ctx); err != nil {
		return Receipt{}, err
	}
	defer d.f.give()
	if !time.Now().Before(d.t.Expires) {
		return Receipt{}, errTooLate()
	}
	return d.f.client.Send(ctx, m)
}

func errTooLate() *Error {
	return &Error{Class: Expired, detail: "the text expired before a device could be given it"}
}

// refused notes why a device did not get the text, and returns what is to be
// made of it: nil where it turns out that it did.
func (d *delivery) refused(ctx context.Context, h *handOver, err error) error {
	e, ours := errors.AsType[*Error](err)
	if ours && e.MayBeQueued() {
		return d.ambiguous(ctx, h, e)
	}
	d.f.ledger.refund(h.device.DeviceConfig, h.mark)
	if !ours || ctx.Err() != nil {
		return err
	}
	if e.Class == Refused {
		e = d.f.refusal(ctx, h.device, e)
	}
	if e.Class == Refused || e.Class == Quota {
		d.f.ledger.failed(h.device.DeviceConfig, e.Class)
	}
	d.f.noteToken(e)
	return e
}

// ambiguous looks up whether the gateway has a message whose answer was lost.
// That it is not there proves nothing, it may come in late: so it stays alive.
func (d *delivery) ambiguous(ctx context.Context, h *handOver, why *Error) error {
	if !d.f.client.Follows() {
		d.doubt = why
		d.f.ledger.sent(h.device.DeviceConfig, h.mark)
	} else {
		d.alive = append(d.alive, h)
		h.judged = true // the gateway is to blame, not the phone
		if code, err := d.f.find(ctx, h); err == nil {
			h.judged = false
			d.note(h, code)
			return nil
		}
	}
	d.report(Progress{Attempt: d.last.Attempt, Device: h.device.place, State: Unknown, Err: why})
	return why
}

// find looks for a message by the mark that it was sent with.
func (f *Fleet) find(ctx context.Context, h *handOver) (int, error) {
	found, err := f.client.Find(ctx, h.mark)
	if err != nil {
		return 0, err
	}
	for _, m := range slices.Backward(found) { // the newest first
		if m.Device == h.device.ID || m.Device == "" {
			h.id = m.ID
			f.ledger.accepted(h.device.DeviceConfig, h.mark, m.ID)
			return m.Code, nil
		}
	}
	return 0, &Error{Class: Unavailable, Call: "getallsms", detail: "the gateway does not list the message"}
}
