package memstore

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

// tallies is a bounded table that refuses newcomers when it is full. It never
// drops what still counts.
type tallies struct {
	capacity  atomic.Int64
	live      atomic.Int64
	lastSweep atomic.Int64 // of the whole table, Unix seconds
	shards    [Slices]tallyShard
	// Until then (Unix milliseconds) nothing is answered, see [Store.Distrust].
	distrusted atomic.Int64
}

type tallyShard struct {
	mu      sync.Mutex
	entries map[otpcore.Pseudonym]*tally
	sweepAt int // number of entries at which idle ones are looked for next
	changed []*tally
	scratch otpcore.Tally // what an update works on
}

type tally struct {
	otpcore.Tally
	key     otpcore.Pseudonym
	changed bool // since it was collected
	dropped bool // no longer in the table
}

const minSweep = 64

func (t *tallies) init() {
	for i := range t.shards {
		t.shards[i] = tallyShard{entries: make(map[otpcore.Pseudonym]*tally), sweepAt: minSweep}
	}
}

func (t *tallies) shard(key otpcore.Pseudonym) *tallyShard { return &t.shards[key[0]%Slices] }

func (t *tallies) update(key otpcore.Pseudonym, f func(*otpcore.Tally) error) error {
	now := time.Now()
	if now.UnixMilli() < t.distrusted.Load() {
		return otpcore.ErrTalliesLost
	}
	shard := t.shard(key)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	stored, known := shard.entries[key]
	changed := &shard.scratch
	if *changed = (otpcore.Tally{}); known {
		*changed = stored.Tally
	}
	if err := f(changed); err != nil {
		return err
	}
	switch {
	case known && same(&stored.Tally, changed): // only looked at
		return nil
	case known:
		stored.Tally = *changed
	case changed.Idle(now):
		return nil
	default:
		stored = &tally{Tally: *changed, key: key}
		if err := t.addLocked(shard, stored, now); err != nil {
			return err
		}
	}
	shard.noteLocked(stored)
	return nil
}

func same(a, b *otpcore.Tally) bool {
	return a.Until == b.Until && a.Window == b.Window && a.Streak == b.Streak && slices.Equal(a.Times, b.Times)
}

func (t *tallies) addLocked(shard *tallyShard, e *tally, now time.Time) error {
	// Sweeping when a shard has doubled costs each entry a constant share.
	if len(shard.entries) >= shard.sweepAt {
		t.sweepLocked(shard, now)
	}
	if t.live.Load() >= t.capacity.Load() {
		t.sweepAllLocked(shard, now)
	}
	if t.live.Add(1) > t.capacity.Load() {
		t.live.Add(-1)
		return otpcore.ErrStoreFull
	}
	shard.entries[e.key] = e
	return nil
}

// restore puts a tally where it was, also where the table is full by now: what counts is not dropped.
func (t *tallies) restore(key otpcore.Pseudonym, restored otpcore.Tally, now time.Time) {
	shard := t.shard(key)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	stored, known := shard.entries[key]
	switch idle := restored.Idle(now); {
	case known && idle:
		t.dropLocked(shard, stored)
	case known:
		stored.Tally = restored
	case !idle:
		shard.entries[key] = &tally{Tally: restored, key: key}
		t.live.Add(1)
	}
}

func (t *tallies) dropLocked(shard *tallyShard, e *tally) {
	delete(shard.entries, e.key)
	e.dropped = true
	t.live.Add(-1)
}

// noteLocked remembers that e is to be collected. A tally that is dropped before
// that is collected all the same: what was written of it before still counts.
func (s *tallyShard) noteLocked(e *tally) {
	if e.changed {
		return
	}
	// Where nobody collects, what was dropped would pile up.
	if len(s.changed) > 2*len(s.entries)+spareChanges {
		s.changed = slices.DeleteFunc(s.changed, func(c *tally) bool { return c.dropped })
	}
	e.changed = true
	s.changed = append(s.changed, e)
}

func (s *tallyShard) collect(b []byte, limit int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for ; n < len(s.changed) && len(b) < limit; n++ {
		e := s.changed[n]
		e.changed = false
		b = appendTally(b, e.key, &e.Tally)
	}
	if s.changed = s.changed[n:]; len(s.changed) == 0 {
		s.changed = nil
	}
	return b
}

func (s *tallyShard) appendAll(b []byte, now time.Time) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, e := range s.entries {
		if !e.Idle(now) {
			b = appendTally(b, key, &e.Tally)
		}
	}
	return b
}

// sweepAllLocked looks for idle entries in every shard, own being the one whose lock
// is held. At most once a second, or a flood of newcomers would pay for each refusal with the whole table.
func (t *tallies) sweepAllLocked(own *tallyShard, now time.Time) {
	if last := t.lastSweep.Load(); last == now.Unix() || !t.lastSweep.CompareAndSwap(last, now.Unix()) {
		return
	}
	for i := range t.shards {
		shard := &t.shards[i]
		if shard == own {
			t.sweepLocked(shard, now)
		} else if shard.mu.TryLock() { // never wait with a lock held: another sweep may want ours
			t.sweepLocked(shard, now)
			shard.mu.Unlock()
		}
	}
}

func (t *tallies) sweepLocked(shard *tallyShard, now time.Time) {
	for _, e := range shard.entries {
		if e.Idle(now) {
			t.dropLocked(shard, e)
		}
	}
	shard.sweepAt = max(minSweep, 2*len(shard.entries))
}
