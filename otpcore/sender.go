package otpcore

import (
	"context"
	"sync"
	"time"
)

// Message is one text to one number.
type Message struct {
	To      Number
	Text    string    // holds the code: never logged
	Expires time.Time // nothing is handed over after it
	Asked   bool      // the visitor typed the number: such messages get a share of each device only
}

// Report is how far a message has come.
type Report struct {
	Delivery Delivery
	Device   int   // 1-based position of the device in the configuration; 0: none yet
	Attempt  int   // 1 for the first hand-over, one more with each failover
	Err      error // why, where Delivery is Failed or Unknown; names no number, token or text
}

// Sender hands messages to phones.
type Sender interface {
	// Deliver returns when the message has come to its end or expired. When ctx ends
	// it finishes handing over, which takes seconds, and follows no longer.
	// It calls report for each change, in order and from one goroutine, and asks
	// again before it hands the same text over once more: an error from again ends the delivery.
	Deliver(ctx context.Context, m Message, again func() error, report func(Report)) error
	// Ready is nil unless it is known beforehand that no device can send.
	Ready() error
}

// Workers bound how many messages are on their way at a time. They belong to no
// configuration: a message goes on through a reload with the settings it began with.
// Safe for concurrent use.
type Workers struct {
	slots chan struct{}
	ctx   context.Context
	end   context.CancelFunc
	mu    sync.Mutex // orders Add and Wait
	wg    sync.WaitGroup
}

// NewWorkers allows limit messages on their way at once.
func NewWorkers(limit int) *Workers {
	ctx, end := context.WithCancel(context.Background())
	return &Workers{slots: make(chan struct{}, limit), ctx: ctx, end: end}
}

// reserve takes a place before anything is promised to anybody, or fails with
// [ErrBusy]. Exactly one of run and release must follow.
func (w *Workers) reserve() error {
	select {
	case w.slots <- struct{}{}:
		return nil
	default:
		return ErrBusy
	}
}

func (w *Workers) release() { <-w.slots }

func (w *Workers) run(f func(context.Context)) {
	w.mu.Lock()
	w.wg.Add(1)
	w.mu.Unlock()
	go func() {
		defer w.wg.Done()
		defer w.release()
		f(w.ctx)
	}()
}

// Pending is how many messages are on their way.
func (w *Workers) Pending() int { return len(w.slots) }

// Close lets what is being handed over be finished, follows nothing any longer, and
// returns when all is done or ctx ends.
func (w *Workers) Close(ctx context.Context) {
	w.end()
	done := make(chan struct{})
	go func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}
