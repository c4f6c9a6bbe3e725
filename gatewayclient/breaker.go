package gatewayclient

import "time"

const (
	breakAfter = 3 // failures in a row
	firstRest  = 30 * time.Second
	longRest   = 10 * time.Minute
)

// breaker rests a device that keeps failing. The zero value is closed. After
// each rest one message may try it; every further failure doubles the rest.
//
// It is not taken from a library because it must survive a restart inside the
// [Ledger]'s snapshot, be looked at without being changed, and be closed by news
// from elsewhere, such as a phone that was heard of again.
type breaker struct {
	failures int
	until    time.Time
	silent   bool // the last failure was silence, which a sign of life ends
}

func (b breaker) ready(now time.Time) bool {
	return b.failures < breakAfter || !now.Before(b.until)
}

// claim lets nobody else try while one message does.
func (b *breaker) claim(now time.Time) {
	if b.failures >= breakAfter {
		b.until = now.Add(firstRest)
	}
}

func (b *breaker) fail(now time.Time, silent bool) {
	b.failures++
	b.silent = silent
	if b.failures >= breakAfter {
		b.until = now.Add(min(firstRest<<min(b.failures-breakAfter, 10), longRest))
	}
}
