// Package statelog keeps state that lives in memory from being lost: it writes
// behind, within a second, to a place that stores values by key.
//
//	state ──changes──► segment 41, 42, 43 …  each half second in which something changed
//	      ──a slice──►                       each with 1/128 of everything, or more of what is small
//
// The log is a row of segments. Each holds what changed, and the next slice of
// everything, so that 128 segments in a row are the whole state, whatever came before
// them: older ones are deleted, and there is no moment at which everything has
// to be written at once. A quiet server writes nothing.
//
// Segments are sealed under their own name with the server's key: one that is
// damaged, renamed or another server's does not open. Each is stored twice, so
// that one damaged file loses nothing. Where both copies of one are gone, a
// counter may have been lost with them, and nobody can tell whose: then the state is in
// doubt for as long as the lost counters could have counted, and its owner
// must not hand out anything, see [Report]. To give that up is a decision for people:
// without any segment the log begins anew, without doubt.
//
// A newest segment of which only the first copy was begun is what a crash
// leaves. It loses what a crash may lose: the last second.
package statelog

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// Slices is how many slices the state has, and about how many segments the log at most.
	Slices = 128
	// every is how often changes are collected: half of the second within which
	// they shall be stored; the other half is for storing them.
	every = time.Second / 2
	// segmentSize is the size, in bytes, at which a segment takes no more
	// changes; its slice comes on top. Storages that are databases often take no
	// values over some 400 KB.
	segmentSize = 256 << 10
	// patience is how long one round of writing may take.
	patience = 10 * time.Second
)

// Place stores values by key; every certmagic.Storage is one. Load answers
// fs.ErrNotExist for what is not there, and a Store that fails or is cut off
// leaves the old value, the new one, or garbage.
type Place interface {
	Store(ctx context.Context, key string, value []byte) error
	Load(ctx context.Context, key string) ([]byte, error)
	Delete(ctx context.Context, key string) error
	List(ctx context.Context, prefix string, recursive bool) ([]string, error)
}

// Seal encrypts and authenticates, bound to a context.
type Seal interface {
	Seal(plain, context []byte) []byte
	Open(sealed, context []byte) ([]byte, error)
}

// State is what is kept, in [Slices] slices. AppendChanges appends to b what changed since its
// last call, until b is limit bytes long; AppendSlice everything in one slice. Restore takes back what they
// appended, in order: later records replace earlier ones.
type State interface {
	AppendChanges(b []byte, limit int) []byte
	AppendSlice(b []byte, slice int) []byte
	Restore(b []byte) error
}

// Small is state that is written as a whole whenever its count of changes has grown.
type Small interface {
	Changes() uint64
	MarshalBinary() ([]byte, error)
	UnmarshalBinary(b []byte) error
}

// Target is where the log is written, and with what.
type Target struct {
	Place  Place
	Prefix string // of all keys; nothing else may lie there
	Seal   Seal
	// KeyID tells the keys that Seal seals with apart: under a new one everything is written anew.
	KeyID string
	// Complain is told why something could not be written. It is tried again.
	Complain func(error)
}

// Log writes state behind. Restore, if at all, comes first; then Use says
// where to write. Safe for concurrent use, except that Restore comes before everything else.
type Log struct {
	state State
	small []Small

	mu   sync.Mutex
	next *Target // what Use said last
	done bool

	flush chan chan error
	end   context.CancelFunc
	ended chan struct{}

	writer
}

// New returns a log of state and of everything small. Their order is part of what is written.
func New(state State, small ...Small) *Log {
	return &Log{state: state, small: small, writer: newWriter(len(small)), flush: make(chan chan error)}
}

// Use makes t the place to write to from now on. If it does not hold what was
// written so far, everything is written there.
func (l *Log) Use(t Target) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = &t
	if l.end == nil && !l.done {
		ctx, end := context.WithCancel(context.Background())
		l.end, l.ended = end, make(chan struct{})
		go l.run(ctx)
	}
}

// run is the only one that writes.
func (l *Log) run(ctx context.Context) {
	defer close(l.ended)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			l.round(ctx)
		case reply := <-l.flush:
			reply <- l.round(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (l *Log) round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l.mu.Lock()
	target := l.next
	l.mu.Unlock()
	err := l.write(ctx, target)
	if err != nil && target.Complain != nil {
		target.Complain(err)
	}
	return err
}

var errEnded = errors.New("nothing is written any more")

// Flush writes what has changed by now. It gives up waiting, not writing, when ctx ends.
// Without a place to write to it does nothing.
func (l *Log) Flush(ctx context.Context) error {
	l.mu.Lock()
	ended := l.ended
	l.mu.Unlock()
	if ended == nil {
		return nil
	}
	reply := make(chan error, 1)
	select {
	case l.flush <- reply:
	case <-ended:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-reply:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close flushes and ends the log. It waits until ctx ends at most.
func (l *Log) Close(ctx context.Context) error {
	err := l.Flush(ctx)
	l.mu.Lock()
	end, ended := l.end, l.ended
	l.done = true
	l.mu.Unlock()
	if end == nil {
		return err
	}
	end()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	return err
}
