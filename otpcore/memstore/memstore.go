// Package memstore keeps challenges in a ristretto cache and tallies in a
// bounded table, both in memory.
//
// Ristretto is a cache and loses writes on purpose; a store must not. What turns
// the one into the other:
//
//   - An entry is a pointer, set once under a key that is never used again, and
//     changed in place under its own mutex. A second Set may be dropped after it said true.
//   - Our own exact count admits newcomers, below a cost that the cache could hold
//     twice. So the cache never has to choose a victim: a live challenge is never pushed out.
//   - Create waits for the write, reads it back and compares the pointer. Anything
//     else than that very pointer is a refusal, and no message is sent.
//   - Counters are not kept in it at all: a lost counter hands out guesses.
package memstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/dgraph-io/ristretto/v2"
)

// perShard is the most that one cache holds. Ristretto frees what expired in
// buckets of five seconds while it answers nobody: 100,000 in one bucket took 0.1 s, a million 4 s.
const perShard = 100_000

// numCounters is for counting how often an entry is asked for, so that a cache can choose what to
// push out. This one never has to choose; ten for each entry, as a cache would have, took a fifth of a challenge's time.
const numCounters = 1024

// ErrClosed is returned by every method after Close.
var ErrClosed = errors.New("store closed")

// Store is an [otpcore.Store] in memory. Safe for concurrent use.
type Store struct {
	mu       sync.RWMutex // held for reading in every call, so that Close never meets one
	closed   bool
	shards   []*ristretto.Cache[uint64, *entry]
	live     atomic.Int64
	capacity atomic.Int64
	tallies  tallies
	slices   [Slices]slice
}

type entry struct {
	id   [2]uint64
	mu   sync.Mutex
	gone atomic.Bool // counted out; ristretto may tell of one entry twice
	c    otpcore.Challenge

	changed bool // since it was collected; guarded by mu
	listed  bool // guarded by its slice, as is at
	at      int
}

// New returns a store for capacity challenges, and four times as many tallies.
func New(capacity int) (*Store, error) {
	if capacity < 1 {
		return nil, fmt.Errorf("capacity is %d, must be at least 1", capacity)
	}
	s := new(Store)
	s.tallies.init()
	n := (capacity + perShard - 1) / perShard
	for range n {
		cache, err := s.newShard(int64(capacity/n + 1))
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("make cache: %w", err)
		}
		s.shards = append(s.shards, cache)
	}
	s.SetCapacity(capacity)
	return s, nil
}

func (s *Store) newShard(capacity int64) (*ristretto.Cache[uint64, *entry], error) {
	return ristretto.NewCache(&ristretto.Config[uint64, *entry]{
		NumCounters: numCounters,
		// Random ids fill the shards unevenly, and what expired is freed seconds later: room for both.
		MaxCost:            2*capacity + 1024,
		BufferItems:        64,
		IgnoreInternalCost: true,
		OnExit:             s.forget,
	})
}

// SetCapacity changes how many challenges are admitted; what is there stays.
func (s *Store) SetCapacity(capacity int) {
	for _, shard := range s.shards {
		if need := int64(2*capacity/len(s.shards) + 1024); need > shard.MaxCost() {
			shard.UpdateMaxCost(need)
		}
	}
	s.capacity.Store(int64(capacity))
	s.tallies.capacity.Store(int64(4*capacity + 1024))
}

// Len is how many challenges are held, live or not yet freed.
func (s *Store) Len() int { return int(s.live.Load()) }

// Capacity is how many challenges are admitted.
func (s *Store) Capacity() int { return int(s.capacity.Load()) }

// Close frees the store. Calls that are under way end first.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	for _, shard := range s.shards {
		shard.Close()
	}
}

func (s *Store) forget(e *entry) {
	if e != nil && e.gone.CompareAndSwap(false, true) {
		s.live.Add(-1)
		s.slice(e).remove(e)
	}
}

func halves(id otpcore.ID) [2]uint64 {
	return [2]uint64{binary.LittleEndian.Uint64(id[:8]), binary.LittleEndian.Uint64(id[8:])}
}

// shard is chosen by the half of the id that is not the cache's key.
func (s *Store) shard(id [2]uint64) *ristretto.Cache[uint64, *entry] {
	return s.shards[id[1]%uint64(len(s.shards))]
}

// Create implements [otpcore.Store].
func (s *Store) Create(_ context.Context, c *otpcore.Challenge) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return ErrClosed
	}
	ttl := time.Until(c.Keep())
	if ttl <= 0 {
		return fmt.Errorf("challenge is over before it begins: %w", otpcore.ErrNotFound)
	}
	e := &entry{id: halves(c.ID), c: *c, changed: true}
	if err := s.admit(e, ttl); err != nil {
		return err
	}
	s.slice(e).add(e)
	return nil
}

// admit puts a new entry where every later call finds it, or refuses it.
func (s *Store) admit(e *entry, ttl time.Duration) error {
	if s.live.Add(1) > s.capacity.Load() {
		s.live.Add(-1)
		return otpcore.ErrStoreFull
	}
	shard := s.shard(e.id)
	// A key that is taken would be overwritten, or not: two ids in 2^64 that share
	// their first half are refused, as a full store is.
	if _, taken := shard.Get(e.id[0]); taken || !shard.SetWithTTL(e.id[0], e, 1, ttl) {
		s.forget(e)
		return otpcore.ErrStoreFull
	}
	shard.Wait()
	if kept, ok := shard.Get(e.id[0]); !ok || kept != e {
		s.forget(e)
		return otpcore.ErrStoreFull
	}
	return nil
}

func (s *Store) find(id otpcore.ID) (*entry, error) {
	if s.closed {
		return nil, ErrClosed
	}
	key := halves(id)
	e, ok := s.shard(key).Get(key[0])
	if !ok || e.id != key {
		return nil, otpcore.ErrNotFound
	}
	return e, nil
}

// Get implements [otpcore.Store].
func (s *Store) Get(_ context.Context, id otpcore.ID) (otpcore.Challenge, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, err := s.find(id)
	if err != nil {
		return otpcore.Challenge{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.c, nil
}

// Update implements [otpcore.Store].
func (s *Store) Update(_ context.Context, id otpcore.ID, f func(*otpcore.Challenge) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, err := s.find(id)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	changed := e.c
	if err := f(&changed); err != nil {
		return err
	}
	e.c = changed
	if !e.changed {
		e.changed = true
		s.slice(e).note(e)
	}
	return nil
}

// Tally implements [otpcore.Store].
func (s *Store) Tally(_ context.Context, key otpcore.Pseudonym, f func(*otpcore.Tally) error) error {
	return s.tallies.update(key, f)
}
