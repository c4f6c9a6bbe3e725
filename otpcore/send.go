package otpcore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Send texts a code: the same one again while the browser's challenge has life
// left, otherwise that of a new challenge. The outcome is MessageSent, AlreadySent, SendLimited,
// AttemptsSpent, BudgetSpent or CannotSend; an error means that ours is the fault.
func (s *Service) Send(ctx context.Context, id ID, r Request) (Result, error) {
	c, err := s.own(ctx, id, &r)
	if err != nil {
		return Result{}, err
	}
	if err := s.recall(ctx, &r.Subject); err != nil {
		return Result{}, err
	}
	if r.Subject.Number == "" {
		return Result{Outcome: NumberMissing}, nil
	}
	now := s.now()
	if c == nil {
		return s.start(ctx, now, nil, r)
	}
	if r.Seen >= 0 && r.Seen != c.Sends {
		return s.result(now, AlreadySent, c, r), nil
	}
	if c.StateAt(now) == Pending && time.UnixMilli(c.Expires).Sub(now) >= renewBelow {
		return s.resend(ctx, now, c, r)
	}
	return s.start(ctx, now, c, r)
}

// resend sends the code of c once more.
func (s *Service) resend(ctx context.Context, now time.Time, c *Challenge, r Request) (Result, error) {
	if err := s.canSend(); err != nil {
		return s.result(now, CannotSend, c, r), nil
	}
	if now.UnixMilli() < c.ResendAt || c.SendsLeft <= 0 {
		return s.limited(ctx, now, c, r)
	}
	if err := s.Workers.reserve(); err != nil {
		return Result{}, err
	}
	undo, outcome, retryAt, err := s.spend(ctx, now, s.messageCharges(r.Subject, s.Limits.ResendAfter))
	if err != nil || outcome != MessageSent {
		s.Workers.release()
		return s.refusedSend(now, outcome, retryAt, c, r), err
	}
	err = s.Store.Update(ctx, c.ID, func(stored *Challenge) error {
		outcome = SendLimited
		if stored.StateAt(now) == Pending {
			outcome = stored.resend(now, s.Limits.ResendAfter)
		}
		*c = *stored
		return nil
	})
	if err != nil || outcome != MessageSent {
		undo()
		s.Workers.release()
		if err != nil {
			return Result{}, fmt.Errorf("resend code: %w", err)
		}
		return s.limited(ctx, now, c, r)
	}
	s.dispatch(*c, r)
	return s.result(now, MessageSent, c, r), nil
}

// limited is the answer to a resend that comes too soon or too often.
func (s *Service) limited(ctx context.Context, now time.Time, c *Challenge, r Request) (Result, error) {
	res := s.result(now, SendLimited, c, r)
	if c.SendsLeft <= 0 {
		// This code is not sent any more; another may be once it is over.
		at, err := s.nextChallenge(ctx, now, r)
		if err != nil {
			return Result{}, err
		}
		res.RetryAt = later(at, time.UnixMilli(c.Expires).Add(-renewBelow))
	}
	s.observe(Event{Kind: EventLimited, Subject: r.Subject})
	return res, nil
}

func (s *Service) refusedSend(now time.Time, o Outcome, retryAt time.Time, c *Challenge, r Request) Result {
	res := Result{Outcome: o}
	if c != nil {
		res = s.result(now, o, c, r)
	}
	res.RetryAt = retryAt
	switch o {
	case BudgetSpent:
		s.observe(Event{Kind: EventBudget, Subject: r.Subject})
	case SendLimited:
		s.observe(Event{Kind: EventLimited, Subject: r.Subject})
	}
	return res
}

// start makes a new challenge. Old, if there is one, is this browser's last: it
// is ended, and what was left of its attempts is all that the new one gets while it still had life.
func (s *Service) start(ctx context.Context, now time.Time, old *Challenge, r Request) (Result, error) {
	at, err := s.attemptsOf(r.Subject).free(ctx, now)
	if err != nil {
		return Result{}, err
	}
	if at.After(now) {
		return s.refusedSend(now, AttemptsSpent, at, old, r), nil
	}
	if err := s.canSend(); err != nil {
		return s.refusedSend(now, CannotSend, time.Time{}, old, r), nil
	}
	if err := s.Workers.reserve(); err != nil {
		return Result{}, err
	}
	undo, outcome, retryAt, err := s.spend(ctx, now, s.startCharges(r.Subject))
	if err != nil || outcome != MessageSent {
		s.Workers.release()
		return s.refusedSend(now, outcome, retryAt, old, r), err
	}
	c, err := s.create(ctx, now, old, r)
	if err != nil {
		undo()
		s.Workers.release()
		if errors.Is(err, ErrStoreFull) {
			s.observe(Event{Kind: EventStoreFull, Subject: r.Subject, Err: err})
		}
		return Result{}, err
	}
	s.observe(Event{Kind: EventChallenged, Subject: r.Subject})
	s.dispatch(*c, r)
	return s.result(now, MessageSent, c, r), nil
}

func (s *Service) canSend() error { return s.Sender.Ready() }

func (s *Service) create(ctx context.Context, now time.Time, old *Challenge, r Request) (*Challenge, error) {
	id := r.ID
	if id == (ID{}) {
		id = NewID()
	}
	c := &Challenge{
		ID: id, Subject: s.subject(r.Subject), Site: s.Keys.Pseudonym("site", r.Site),
		Number: s.Keys.Pseudonym("number", string(r.Subject.Number)), Source: r.Subject.Source,
		Length: uint8(r.Length), Alphabet: r.Alphabet,
		AttemptsLeft: s.Limits.Attempts, SendsLeft: s.Limits.Sends - 1,
		Binding: r.Binding, Blind: r.Blind,
		Created: now.UnixMilli(), Expires: now.Add(r.TTL).UnixMilli(),
	}
	undo := func() {}
	if old != nil {
		var err error
		if undo, err = s.retire(ctx, now, old, c); err != nil {
			return nil, err
		}
	}
	if r.Subject.Source == Asked {
		c.Typed = s.Keys.Seal([]byte(r.Subject.Number), c.ID[:])
	}
	s.sealCode(c, NewCode(r.Alphabet, r.Length))
	c.messageSent(now, s.Limits.ResendAfter)
	if err := s.Store.Create(ctx, c); err != nil {
		undo() // the old code is all that its visitor has
		return nil, fmt.Errorf("create challenge: %w", err)
	}
	return c, nil
}

// retire ends the challenge that c replaces. Attempts are handed on in the same
// step that ends the old ones, so that guessing at both at once wins nothing. Undo is for when c does not come to be.
func (s *Service) retire(ctx context.Context, now time.Time, old, c *Challenge) (undo func(), _ error) {
	fresh, ended := c.AttemptsLeft, false // a store may run the step again
	err := s.Store.Update(ctx, old.ID, func(o *Challenge) error {
		// Forms count messages on from challenge to challenge, or a reloaded form could match by chance.
		c.Generation, c.AttemptsLeft = o.Sends, fresh
		if ended = o.StateAt(now) == Pending; ended {
			c.AttemptsLeft = min(c.AttemptsLeft, o.AttemptsLeft)
			o.State = Locked
		}
		return nil
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("end old challenge: %w", err)
	}
	return func() {
		if ended {
			// If that fails, the visitor asks for a new code.
			_ = s.Store.Update(context.WithoutCancel(ctx), old.ID, func(o *Challenge) error { o.State = Pending; return nil })
		}
	}, nil
}

// dispatch sends the newest message of c from a worker, whose place is already reserved.
func (s *Service) dispatch(c Challenge, r Request) {
	d := &delivery{s: s, c: c, r: r, began: s.now()}
	s.Workers.run(d.run)
}

// delivery is one message on its way.
type delivery struct {
	s     *Service
	c     Challenge // as it was when the message was sent
	r     Request
	began time.Time
	taken time.Time // when the gateway took the newest hand-over
	last  Report
}

func (d *delivery) run(ctx context.Context) {
	code, err := d.s.openCode(&d.c)
	if err == nil {
		expires := time.UnixMilli(d.c.Expires)
		text := d.r.Compose(string(code), expires.Sub(d.began))
		if d.r.Blind {
			linger(ctx)
		}
		if !d.r.provable() {
			return
		}
		err = d.s.Sender.Deliver(ctx, Message{To: d.r.Subject.Number, Text: text, Expires: expires, Asked: d.r.Subject.Source == Asked},
			func() error { return d.again(ctx) }, func(rep Report) { d.report(ctx, rep) })
	}
	if err != nil && ctx.Err() == nil && d.last.Delivery != Failed && d.last.Delivery < Sent {
		d.report(ctx, Report{Delivery: Failed, Device: d.last.Device, Attempt: d.last.Attempt, Err: err})
	}
}

// linger waits for a random moment. The work of handing a message over slows down
// what the server does beside it, which is the answer to the very visitor who must
// not learn whether there is such work.
func linger(ctx context.Context) {
	t := time.NewTimer(rand.N(500 * time.Millisecond))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// again decides whether the same text may be handed to another device.
func (d *delivery) again(ctx context.Context) error {
	now := d.s.now()
	c, err := d.s.find(ctx, d.c.ID)
	if err != nil {
		return err
	}
	if c == nil || c.Sends != d.c.Sends || c.StateAt(now) != Pending {
		return ErrSuperseded
	}
	_, outcome, _, err := d.s.spend(ctx, now, d.s.messageCharges(d.r.Subject, 0))
	if err != nil {
		return err
	}
	if outcome != MessageSent {
		return ErrBudget
	}
	return nil
}

func (d *delivery) report(ctx context.Context, rep Report) {
	now := d.s.now()
	switch {
	case rep.Delivery == Sending:
		d.taken = time.Time{}
	case d.taken.IsZero() && rep.Delivery >= Queued && rep.Delivery <= Delivered:
		d.taken = now
	}
	before := d.last.Delivery
	d.last = rep
	// A challenge that is gone needs no report; anything else shows up with the visitor's next request.
	_ = d.s.Store.Update(context.WithoutCancel(ctx), d.c.ID, func(c *Challenge) error {
		c.report(d.c.Sends, rep)
		return nil
	})
	if rep.Delivery == Delivered && before < Sent {
		// A quick one may be seen only when it has arrived: it was sent all the same.
		sent := rep
		sent.Delivery = Sent
		d.tell(now, sent)
	}
	d.tell(now, rep)
}

func (d *delivery) tell(now time.Time, rep Report) {
	e := Event{Kind: EventMessage, Subject: d.r.Subject, Report: rep, Err: rep.Err, After: now.Sub(d.began)}
	if !d.taken.IsZero() {
		e.Waited = now.Sub(d.taken)
	}
	d.s.observe(e)
}
