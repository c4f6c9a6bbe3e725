package memstore

import (
	"sync"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

// Slices is how many parts [Store.AppendSlice] divides the store into.
const Slices = 128

// spareChanges is how many more changes than entries are remembered where nobody collects them.
const spareChanges = 64

// slice is a part of the challenges, by id. Ristretto cannot be walked through,
// so what it holds is listed here as well.
type slice struct {
	mu      sync.Mutex
	entries []*entry
	changed []*entry // each at most once, see entry.changed
}

func (s *Store) slice(e *entry) *slice { return &s.slices[e.id[0]%Slices] }

// add lists an entry that was admitted, unless it is gone already.
func (l *slice) add(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.gone.Load() {
		return
	}
	e.at, e.listed = len(l.entries), true
	l.entries = append(l.entries, e)
	if e.changed {
		l.noteLocked(e)
	}
}

func (l *slice) remove(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !e.listed {
		return
	}
	e.listed = false
	last := len(l.entries) - 1
	moved := l.entries[last]
	l.entries[e.at], moved.at = moved, e.at
	l.entries[last] = nil
	l.entries = l.entries[:last]
}

// note is called with the entry's lock held, when it has changed for the first time since it was collected.
func (l *slice) note(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noteLocked(e)
}

func (l *slice) noteLocked(e *entry) {
	// Where nobody collects, what is gone would pile up.
	if len(l.changed) > 2*len(l.entries)+spareChanges {
		kept := l.changed[:0]
		for _, c := range l.changed {
			if c.listed {
				kept = append(kept, c)
			}
		}
		clear(l.changed[len(kept):])
		l.changed = kept
	}
	l.changed = append(l.changed, e)
}

// collect appends what has changed, until b is limit bytes long.
func (l *slice) collect(b []byte, limit int) []byte {
	l.mu.Lock()
	changed := l.changed
	l.changed = nil
	l.mu.Unlock()
	for i, e := range changed {
		if len(b) >= limit {
			l.mu.Lock()
			l.changed = append(l.changed, changed[i:]...)
			l.mu.Unlock()
			break
		}
		e.mu.Lock()
		e.changed = false
		c := e.c
		e.mu.Unlock()
		if !e.gone.Load() {
			b = appendChallenge(b, &c)
		}
	}
	return b
}

func (l *slice) appendAll(b []byte, now time.Time) []byte {
	l.mu.Lock()
	entries := append([]*entry(nil), l.entries...)
	l.mu.Unlock()
	for _, e := range entries {
		e.mu.Lock()
		c := e.c
		e.mu.Unlock()
		if !over(&c, now) {
			b = appendChallenge(b, &c)
		}
	}
	return b
}

// AppendChanges appends records of what has changed since they were collected
// last, and stops when b is limit bytes long: the rest comes with the next call.
// Calls must not overlap.
func (s *Store) AppendChanges(b []byte, limit int) []byte {
	for i := range s.slices {
		b = s.slices[i].collect(b, limit)
	}
	for i := range s.tallies.shards {
		b = s.tallies.shards[i].collect(b, limit)
	}
	return b
}

// AppendSlice appends records of everything in the part i of [Slices].
func (s *Store) AppendSlice(b []byte, i int) []byte {
	now := time.Now()
	return s.tallies.shards[i].appendAll(s.slices[i].appendAll(b, now), now)
}

// Restore takes back records, in the order in which they were written: later
// ones replace earlier ones. What is over by now is left out. It comes before
// the first call that reads or changes anything.
func (s *Store) Restore(b []byte) error {
	now := time.Now()
	for len(b) > 0 {
		kind, fields, rest, err := nextRecord(b)
		if err != nil {
			return err
		}
		if b = rest; kind == challengeRecord {
			err = s.restoreChallenge(fields, now)
		} else if kind == tallyRecord {
			err = s.restoreTally(fields, now)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// restoreChallenge leaves out a challenge for which there is no room: its
// visitor asks for a new code, and the counters know what he has used up.
func (s *Store) restoreChallenge(fields []byte, now time.Time) error {
	c, err := readChallenge(fields)
	if err != nil || over(&c, now) {
		return err
	}
	c.Interrupted()
	s.mu.RLock()
	defer s.mu.RUnlock()
	if e, err := s.find(c.ID); err == nil {
		e.mu.Lock()
		e.c = c
		e.mu.Unlock()
		return nil
	}
	e := &entry{id: halves(c.ID), c: c}
	if s.admit(e, c.Keep().Sub(now)) == nil {
		s.slice(e).add(e)
	}
	return nil
}

func (s *Store) restoreTally(fields []byte, now time.Time) error {
	key, t, err := readTally(fields)
	if err == nil {
		s.tallies.restore(key, t, now)
	}
	return err
}

// Distrust refuses every tally until then: what was used up before is not known.
// Looking at one is refused too, since what it shows would be wrong.
func (s *Store) Distrust(until time.Time) { s.tallies.distrusted.Store(until.UnixMilli()) }

var _ otpcore.Store = (*Store)(nil)
