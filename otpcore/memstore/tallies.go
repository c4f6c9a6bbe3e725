package memstore

import (
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
	shards    [tallyShards]tallyShard
}

type tallyShard struct {
	mu      sync.Mutex
	entries map[otpcore.Pseudonym]*otpcore.Tally
	sweepAt int // number of entries at which idle ones are looked for next
}

const (
	tallyShards = 64
	minSweep    = 64
)

func (t *tallies) init() {
	for i := range t.shards {
		t.shards[i] = tallyShard{entries: make(map[otpcore.Pseudonym]*otpcore.Tally), sweepAt: minSweep}
	}
}

func (t *tallies) update(key otpcore.Pseudonym, f func(*otpcore.Tally) error) error {
	shard := &t.shards[key[0]%tallyShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	stored, known := shard.entries[key]
	var changed otpcore.Tally
	if known {
		changed = *stored
	}
	if err := f(&changed); err != nil {
		return err
	}
	switch now := time.Now(); {
	case known:
		*stored = changed
	case changed.Idle(now): // only looked at
	default:
		return t.addLocked(shard, key, changed, now)
	}
	return nil
}

func (t *tallies) addLocked(shard *tallyShard, key otpcore.Pseudonym, tally otpcore.Tally, now time.Time) error {
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
	shard.entries[key] = &tally
	return nil
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
	for key, tally := range shard.entries {
		if tally.Idle(now) {
			delete(shard.entries, key)
			t.live.Add(-1)
		}
	}
	shard.sweepAt = max(minSweep, 2*len(shard.entries))
}
