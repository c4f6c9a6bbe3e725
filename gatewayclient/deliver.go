package gatewayclient

import (
	"context"
	"slices"
	"time"
)

const (
	pickUpDefault = 10 * time.Second // how often a phone asks for messages, where it does not say
	pickUpGrace   = 2 * time.Second
	// A phone takes up to 15 messages at a visit and sends one a second.
	sendWithin = 30 * time.Second
	// How long a carrier's report is waited for after the text has expired.
	reportWait = time.Minute
	// How long somebody is taken to wait where [Text.Watched] does not say.
	watchedFor = time.Minute
	slowest    = 30 * time.Second
	// States that cannot be had this many times in a row are called unknown.
	blindAfter = 3
)

// Text is one text for one number.
type Text struct {
	To, Body string
	Expires  time.Time // it is never handed over later
	Asked    bool      // a visitor typed the number: it gets at most a quarter of each device's limit
	// Watched reports whether somebody waits for news now, which is then asked for
	// at every poll interval. Default: somebody does for a minute after each change.
	Watched func() bool
}

// Progress is one change in the delivery of a text.
type Progress struct {
	Attempt int // 1 for the first hand-over, one more with each failover
	Device  int // 1-based position in the configuration; 0: none
	State   State
	Final   bool
	Err     error // why, where State is Failed or Unknown
}

// Deliver hands t to a phone and follows it to its end, going on to other phones
// with the same text where one fails. It blocks until a final state, until t has
// expired, or until ctx ends. progress is called for every change, in order,
// from the calling goroutine. mayFailover is asked before each hand-over after
// the first; an error from it ends the delivery as Failed.
//
// The error is nil where the text was sent, may have been sent (Unknown) or,
// with `api v1`, was accepted; why it Failed; or that of ctx, and then no
// progress was final.
func (f *Fleet) Deliver(ctx context.Context, t Text, mayFailover func() error, progress func(Progress)) error {
	if mayFailover == nil {
		mayFailover = func() error { return nil }
	}
	segments, _ := Segments(t.Body)
	d := &delivery{
		f: f, t: t, segments: segments, tried: map[int]bool{},
		mayFailover: mayFailover, progress: progress,
	}
	defer d.unfollow()
	return d.run(ctx)
}

// delivery is one text on its way. It belongs to one goroutine.
type delivery struct {
	f           *Fleet
	t           Text
	segments    int
	mayFailover func() error
	progress    func(Progress)

	last  Progress
	tried map[int]bool // by place
	alive []*handOver  // those that may still be sent, newest last
	doubt error        // an answer was lost that cannot be looked up
}

// handOver is one message that a phone was given, or may have been.
type handOver struct {
	device device
	mark   int64
	id     string // the gateway's; empty while it is not known whether the gateway has it
	at     time.Time
	state  State
	code   int       // state, as a number of the wire
	since  time.Time // of state
	judged bool      // its silence was already counted
	blind  int       // looks in a row that brought nothing
	next   time.Time // when to look again
	pace   time.Duration
}

func (d *delivery) run(ctx context.Context) error {
	if !time.Now().Before(d.t.Expires) {
		return d.fail(errTooLate())
	}
	dev, mark, err := d.choose()
	if err != nil {
		return d.fail(err)
	}
	for {
		err := d.handOver(ctx, dev, mark)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && !goesOn(err) {
			return d.fail(err)
		}
		if d.last.Final {
			return nil
		}
		dev, mark, err = d.settle(ctx, err)
		if dev.place == 0 {
			return err
		}
		if err := d.mayFailover(); err != nil {
			d.f.ledger.refund(dev.DeviceConfig, mark)
			return d.end(Failed, err)
		}
	}
}

func (d *delivery) choose() (device, int64, error) {
	dev, mark, err := d.f.choose(d.t, d.segments, d.tried)
	if err == nil {
		d.tried[dev.place] = true
	}
	return dev, mark, err
}

// goesOn tells whether another device may do better.
func goesOn(err error) bool {
	class, ours := ClassOf(err)
	return ours && class != Auth && class != Invalid && class != Expired
}

// settle follows what is alive until that is final or another device is to be
// tried, which it returns; a device without a place means that the delivery is over.
func (d *delivery) settle(ctx context.Context, err error) (dev device, mark int64, _ error) {
	for {
		// After a failure, and after an answer that was lost, the next device is asked at once.
		if err != nil {
			dev, mark, none := d.choose()
			if none == nil {
				return dev, mark, nil
			}
			if len(d.alive) == 0 {
				return device{}, 0, d.fail(err)
			}
		}
		h := d.alive[len(d.alive)-1]
		d.resume(h, err)
		dev, mark, err = d.follow(ctx, h)
		if dev.place != 0 || d.last.Final || ctx.Err() != nil {
			return dev, mark, err
		}
	}
}

// resume turns back to a message that other devices were asked to replace.
func (d *delivery) resume(h *handOver, err error) {
	if h.id == "" {
		d.report(Progress{Attempt: d.last.Attempt, Device: h.device.place, State: Unknown, Err: err})
	} else {
		d.report(Progress{Attempt: d.last.Attempt, Device: h.device.place, State: h.state})
	}
}

// fail ends the delivery. What may still be sent is not called failed.
func (d *delivery) fail(err error) error {
	if d.doubt != nil || len(d.alive) > 0 {
		return d.end(Unknown, err)
	}
	return d.end(Failed, err)
}

func (d *delivery) end(s State, err error) error {
	d.report(Progress{Attempt: d.last.Attempt, Device: d.last.Device, State: s, Final: true, Err: err})
	if s == Unknown {
		return nil
	}
	return err
}

// report passes on what is news.
func (d *delivery) report(p Progress) {
	if p.Attempt == d.last.Attempt && p.Device == d.last.Device && p.State == d.last.State && p.Final == d.last.Final {
		return
	}
	d.last = p
	d.progress(p)
}

func (d *delivery) forget(h *handOver) {
	d.alive = slices.DeleteFunc(d.alive, func(o *handOver) bool { return o == h })
}

// unfollow hands what is still open over to [Fleet.Run].
func (d *delivery) unfollow() {
	for _, h := range d.alive {
		d.f.ledger.unfollow(h.device.DeviceConfig, h.mark)
	}
}
