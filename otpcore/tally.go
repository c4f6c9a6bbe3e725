package otpcore

import (
	"slices"
	"time"
)

// Limit is how often something may happen within a time.
type Limit struct {
	N   int
	Per time.Duration
}

// Tally counts what one user, number, address or the whole server has used up.
// The zero value has used up nothing. It holds the very times of what was
// charged, so that a window slides exactly: n in any span of the limit's length,
// not n at the end of one window and n more at the start of the next.
//
// No method writes into Times in place, so that a store may hand out a shallow
// copy and drop it again.
type Tally struct {
	Times  []int64 // Unix milliseconds, oldest first
	Window int64   // milliseconds that Times count for, as last used
	Until  int64   // Unix milliseconds; paused before then, see TakeApart
	Streak int     // wrong codes since the last right one
}

// Free tells when one more is allowed by l: now, or a later time.
func (t *Tally) Free(now time.Time, l Limit) time.Time {
	t.trim(now, l)
	over := len(t.Times) - l.N
	if over < 0 {
		return now
	}
	if over >= len(t.Times) {
		return now.Add(l.Per)
	}
	return time.UnixMilli(t.Times[over]).Add(l.Per)
}

// Take charges one at now if l allows it, and otherwise tells when it will.
func (t *Tally) Take(now time.Time, l Limit) (at time.Time, ok bool) {
	if at = t.Free(now, l); at.After(now) {
		return at, false
	}
	t.Times = append(t.Times, now.UnixMilli())
	return now, true
}

// FreeApart is Free that also waits for the pause which TakeApart began.
func (t *Tally) FreeApart(now time.Time, l Limit) time.Time {
	at := t.Free(now, l)
	if until := time.UnixMilli(t.Until); until.After(at) && !t.fromTheFuture(now) {
		return until
	}
	return at
}

// fromTheFuture tells that the clock was set back since the last charge, which must not make a pause last.
func (t *Tally) fromTheFuture(now time.Time) bool {
	return len(t.Times) > 0 && now.Add(clockSkew).UnixMilli() < t.Times[len(t.Times)-1]
}

// TakeApart is Take that also keeps the given time between two charges.
func (t *Tally) TakeApart(now time.Time, l Limit, apart time.Duration) (at time.Time, ok bool) {
	if at = t.FreeApart(now, l); at.After(now) {
		return at, false
	}
	t.Until = now.Add(apart).UnixMilli()
	return t.Take(now, l)
}

// Refund takes back one charge that was made at the time at, with the pause it began.
func (t *Tally) Refund(at time.Time) {
	if i := slices.Index(t.Times, at.UnixMilli()); i >= 0 {
		t.Times = slices.Concat(t.Times[:i], t.Times[i+1:])
		t.Until = 0
	}
}

// Left is how many more l allows at now.
func (t *Tally) Left(now time.Time, l Limit) int {
	t.trim(now, l)
	return max(0, l.N-len(t.Times))
}

// Idle tells whether the tally says no more than a new one would, so that a
// store may forget it.
func (t *Tally) Idle(now time.Time) bool {
	if t.Streak > 0 || t.Until > now.UnixMilli() {
		return false
	}
	return len(t.Times) == 0 || t.Times[len(t.Times)-1]+t.Window <= now.UnixMilli()
}

func (t *Tally) trim(now time.Time, l Limit) {
	t.Window = l.Per.Milliseconds()
	since := now.Add(-l.Per).UnixMilli()
	for len(t.Times) > 0 && t.Times[0] <= since {
		t.Times = t.Times[1:]
	}
}
