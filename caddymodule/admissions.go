package caddymodule

import (
	"hash/maphash"
	"strings"
	"sync"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

const (
	// admissionShards are enough that two cores seldom want one lock at the same time.
	admissionShards = 16
	// maxAdmissions is how many tokens are remembered in each shard and generation: 131,072 in all.
	maxAdmissions = 8192
	// admissionGeneration is how long a token is remembered that nobody shows any more, at least.
	admissionGeneration = 10 * time.Minute
)

// admissions is what a gate remembers of the tokens that it has read: what each says, so that a
// browser's is read once, and for how long it opens the gate, so that the rules are asked when their answer
// may have changed and not with every request. Only a token that was read gets in, so a flood of forged
// ones pushes nothing out. It is safe for concurrent use.
//
// It is not kept in ristretto, which panics when it is closed while somebody reads:
// the lock against that would be one that all cores share.
type admissions struct {
	seed   maphash.Seed
	shards [admissionShards]admissionShard
}

// admissionShard forgets what was not asked for during a whole generation: a browser
// that gets a new token never shows the one before again.
type admissionShard struct {
	mu         sync.RWMutex
	young, old admissionTable
	since      time.Time // when young began
}

// shown is all of a request that reading one of its tokens depends on.
type shown struct {
	token, host, user string
	tls               bool
}

// admissionKey stands for what was shown. Another token than the one that was read, or the same
// in another's name, has the same key with a chance of 1 in 2^64 for each try, and no way to tell how near it
// came: the seed of the hash is secret. Who has no such token would have to guess 94 bits of its signature too.
type admissionKey struct {
	hash      uint64
	signature [16]byte // the end of it, as it is written
}

// admission is what is known of a token. With its key it is as long as a line of the processor's cache.
type admission struct {
	held        *otpcore.Verification
	from, until int64 // Unix milliseconds, see otpcore.Verification.Window; 0 where it opened nothing
	version
}

// version tells apart all that the rules look at but the clock and what was shown.
type version struct {
	phonebook   *directory
	revocations uint64
}

func newAdmissions() *admissions { return &admissions{seed: maphash.MakeSeed()} }

// key returns what stands for s. Not ok is what cannot be a token.
func (a *admissions) key(s shown) (key admissionKey, ok bool) {
	end := len(s.token) - len(key.signature)
	if end < 0 {
		return key, false
	}
	copy(key.signature[:], s.token[end:])
	key.hash = maphash.Comparable(a.seed, s)
	return key, true
}

// find returns what is known, the zero value if nothing is. What is not young is forgotten unless it is kept again.
func (a *admissions) find(key admissionKey) (known admission, young bool) {
	s := &a.shards[key.hash%admissionShards]
	s.mu.RLock()
	defer s.mu.RUnlock()
	if known = s.young.find(key); known.held != nil {
		return known, true
	}
	return s.old.find(key), false
}

// keep remembers what is known of a token at now.
func (a *admissions) keep(key admissionKey, known admission, now time.Time) {
	s := &a.shards[key.hash%admissionShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.young.used >= maxAdmissions || now.Sub(s.since) > admissionGeneration {
		s.young, s.old, s.since = admissionTable{}, s.young, now
	}
	s.young.put(key, known)
}

// opens tells whether nothing has changed that could close the gate again.
func (a *admission) opens(now time.Time, at version) bool {
	ms := now.UnixMilli()
	return a.from <= ms && ms < a.until && a.version == at
}

// admissionTable is a hash table with linear probing, never more than half full. It takes the place of a
// map for one reason: where a hundred thousand browsers take turns, each waits for main memory once and not
// twice, which is a tenth of a request. The zero value is empty.
type admissionTable struct {
	slots []admissionSlot // a power of two of them; free where nothing is held
	used  int
}

type admissionSlot struct {
	key admissionKey
	admission
}

func (t *admissionTable) find(key admissionKey) admission {
	if t.used == 0 {
		return admission{}
	}
	return t.slot(key).admission
}

// slot returns the one that has the key, or else the free one where it belongs. The low bits of
// the hash chose the shard and are the same for all keys here.
func (t *admissionTable) slot(key admissionKey) *admissionSlot {
	mask := uint64(len(t.slots) - 1)
	for i := key.hash / admissionShards; ; i++ {
		if s := &t.slots[i&mask]; s.key == key || s.held == nil {
			return s
		}
	}
}

func (t *admissionTable) put(key admissionKey, known admission) {
	if 2*t.used >= len(t.slots) {
		t.grow()
	}
	s := t.slot(key)
	if s.held == nil {
		t.used++
	}
	*s = admissionSlot{key, known}
}

func (t *admissionTable) grow() {
	before := t.slots
	t.slots = make([]admissionSlot, max(8, 2*len(before)))
	for _, s := range before {
		if s.held != nil {
			*t.slot(s.key) = s
		}
	}
}

// detached is a verification that keeps nothing of the request in memory from which it was read.
func detached(read *otpcore.Verification) *otpcore.Verification {
	held := *read
	held.Site, held.User = strings.Clone(held.Site), strings.Clone(held.User)
	return &held
}
