package gatewayclient

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// Looks that come within this time share their calls.
	gather = 20 * time.Millisecond
	// From this many on, listing the account's messages is cheaper than asking one by one.
	listFrom = 6
	// Only young messages are listed: the list must stay short.
	listAge = 2 * time.Minute
	// How long listing is left alone after it did not help.
	listRest        = 10 * time.Minute
	looksAtOnce     = 4
	slowDownAtLeast = 2 * time.Second
	clockDistance   = 30 * time.Second // that our clock and the gateway's may be apart
)

// looks gathers everybody's questions after messages and asks them together.
// It has no goroutine of its own while nobody asks.
type looks struct {
	client *Client

	mu       sync.Mutex
	waiting  []*look
	noListTo time.Time
	pauseTo  time.Time // too many calls were made
}

type look struct {
	id     string
	since  time.Time // when the message was handed over
	ctx    context.Context
	code   int
	err    error
	answer chan struct{}
}

func newLooks(c *Client) *looks { return &looks{client: c} }

// at asks for the state of one message, as a number of the wire.
func (l *looks) at(ctx context.Context, id string, since time.Time) (int, error) {
	q := &look{id: id, since: since, ctx: ctx, answer: make(chan struct{})}
	l.mu.Lock()
	if time.Now().Before(l.pauseTo) {
		l.mu.Unlock()
		return 0, &Error{Class: RateLimited, Call: "getsmsstatus", detail: "too many calls"}
	}
	l.waiting = append(l.waiting, q)
	if len(l.waiting) == 1 {
		time.AfterFunc(gather, l.serve)
	}
	l.mu.Unlock()
	select {
	case <-q.answer:
		return q.code, q.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (l *looks) serve() {
	l.mu.Lock()
	asked := l.waiting
	l.waiting = nil
	list := time.Now().After(l.noListTo)
	l.mu.Unlock()
	ctx, cancel := whileAsked(asked)
	defer cancel()
	if list && len(asked) >= listFrom {
		asked = l.list(ctx, asked)
	}
	l.each(ctx, asked)
}

// whileAsked ends when nobody waits for an answer any more.
func whileAsked(asked []*look) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	var left sync.WaitGroup
	left.Add(len(asked))
	stops := make([]func() bool, len(asked))
	for i, q := range asked {
		stops[i] = context.AfterFunc(q.ctx, left.Done)
	}
	go func() { left.Wait(); cancel() }()
	return ctx, func() {
		for _, stop := range stops {
			if stop() {
				left.Done()
			}
		}
	}
}

// list answers what one list of the account's messages holds, and returns the rest.
func (l *looks) list(ctx context.Context, asked []*look) (rest []*look) {
	now := time.Now()
	young := make(map[string][]*look, len(asked))
	oldest := now
	for _, q := range asked {
		if now.Sub(q.since) > listAge {
			rest = append(rest, q)
			continue
		}
		young[q.id] = append(young[q.id], q)
		if q.since.Before(oldest) {
			oldest = q.since
		}
	}
	if len(young) < listFrom {
		return asked
	}
	listed := len(young)
	found, err := l.client.since(ctx, oldest.Add(-clockDistance))
	l.slowDown(err)
	for _, m := range found {
		for _, q := range young[m.ID] {
			q.code = m.Code
			close(q.answer)
		}
		delete(young, m.ID)
	}
	// A list that fails or lacks most of what was asked for costs more than it saves.
	if err != nil || 2*len(young) > listed {
		l.mu.Lock()
		l.noListTo = now.Add(listRest)
		l.mu.Unlock()
	}
	for _, missing := range young {
		rest = append(rest, missing...)
	}
	return rest
}

// slowDown keeps to what the gateway said about too many calls.
func (l *looks) slowDown(err error) {
	e, ours := errors.AsType[*Error](err)
	if !ours || e.Class != RateLimited {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pauseTo = time.Now().Add(max(e.RetryAfter, slowDownAtLeast))
}

func (l *looks) each(ctx context.Context, asked []*look) {
	places := make(chan struct{}, looksAtOnce)
	var all sync.WaitGroup
	for _, q := range asked {
		places <- struct{}{}
		all.Go(func() {
			q.code, q.err = l.client.status(ctx, q.id)
			l.slowDown(q.err)
			close(q.answer)
			<-places
		})
	}
	all.Wait()
}
