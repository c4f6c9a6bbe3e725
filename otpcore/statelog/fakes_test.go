package statelog

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"maps"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

// shelf is a place in memory.
type shelf struct {
	mu      sync.Mutex
	values  map[string][]byte
	stores  int
	refuse  error // of Store
	broken  error // of Load
	crashed bool  // nothing is stored any more
	tear    bool  // the next value is cut off, and then it crashes
}

func newShelf() *shelf { return &shelf{values: map[string][]byte{}} }

func (s *shelf) Store(_ context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.refuse != nil:
		return s.refuse
	case s.crashed:
		return errors.New("crashed")
	case s.tear:
		s.crashed = true
		value = value[:len(value)/2]
	}
	s.stores++
	s.values[key] = append([]byte(nil), value...)
	return nil
}

func (s *shelf) Load(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return nil, s.broken
	}
	v, ok := s.values[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return v, nil
}

func (s *shelf) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.values, key)
	return nil
}

func (s *shelf) List(_ context.Context, prefix string, _ bool) (keys []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.values {
		if path.Dir(key) == prefix {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, fs.ErrNotExist // as a directory that is not there
	}
	return keys, nil
}

func (s *shelf) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stores
}

func (s *shelf) copy() *shelf {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &shelf{values: maps.Clone(s.values)}
}

func (s *shelf) damage(t testing.TB, suffix string) {
	t.Helper()
	for key, value := range s.values {
		if strings.HasSuffix(key, suffix) {
			s.values[key] = append([]byte{value[0] ^ 1}, value[1:]...)
			return
		}
	}
	t.Fatalf("no key ends in %q", suffix)
}

// counters is state: a number for each of some keys.
type counters struct {
	mu      sync.Mutex
	n       map[uint32]uint32
	changed map[uint32]bool
	padding int // bytes by which each record is longer than it need be
}

func newCounters() *counters {
	return &counters{n: map[uint32]uint32{}, changed: map[uint32]bool{}}
}

func (c *counters) set(key, n uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[key], c.changed[key] = n, true
}

func (c *counters) get(key uint32) uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[key]
}

func (c *counters) appendLocked(b []byte, key uint32) []byte {
	b = binary.LittleEndian.AppendUint32(b, key)
	b = binary.LittleEndian.AppendUint32(b, c.n[key])
	b = binary.LittleEndian.AppendUint32(b, uint32(c.padding))
	return append(b, make([]byte, c.padding)...)
}

func (c *counters) AppendChanges(b []byte, limit int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.changed {
		if len(b) >= limit {
			break
		}
		b = c.appendLocked(b, key)
		delete(c.changed, key)
	}
	return b
}

func (c *counters) AppendSlice(b []byte, slice int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.n {
		if key%Slices == uint32(slice) {
			b = c.appendLocked(b, key)
		}
	}
	return b
}

func (c *counters) Restore(b []byte) error {
	for len(b) > 0 {
		if len(b) < 12 {
			return errors.New("record is cut off")
		}
		key, n, padding := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[8:])
		if uint64(padding) > uint64(len(b)-12) {
			return errors.New("record is cut off")
		}
		c.n[key] = n
		b = b[12+padding:]
	}
	return nil
}

// note is something small.
type note struct {
	mu      sync.Mutex
	text    string
	changes uint64
}

func (n *note) write(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.text, n.changes = text, n.changes+1
}

func (n *note) Changes() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.changes
}

func (n *note) MarshalBinary() ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return []byte("note " + n.text), nil
}

func (n *note) UnmarshalBinary(b []byte) error {
	text, ok := strings.CutPrefix(string(b), "note ")
	if !ok {
		return errors.New("not a note")
	}
	n.write(text)
	return nil
}

func keyring(t testing.TB, keys ...string) *otpcore.Keyring {
	t.Helper()
	var secrets [][]byte
	for _, key := range keys {
		secrets = append(secrets, []byte(strings.Repeat(key, 32)))
	}
	ring, err := otpcore.NewKeyring(secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func target(t testing.TB, s Place, keys ...string) Target {
	t.Helper()
	ring := keyring(t, keys...)
	return Target{Place: s, Prefix: "state/server", Seal: ring.State(), KeyID: ring.Pseudonym("test", "").String()}
}

// server is state with a log, as one run of a program has it.
type server struct {
	*counters
	*note
	log    *Log
	report Report
}

const horizon = 24 * time.Hour

// start runs a server on a shelf, until its log is closed.
func start(t testing.TB, s Place, keys ...string) *server {
	t.Helper()
	return startPadded(t, s, 0, keys...)
}

// startPadded is start with records that are longer than they need be.
func startPadded(t testing.TB, s Place, padding int, keys ...string) *server {
	t.Helper()
	srv := &server{counters: newCounters(), note: new(note)}
	srv.padding = padding
	srv.log = New(srv.counters, srv.note)
	to := target(t, s, keys...)
	var err error
	if srv.report, err = srv.log.Restore(context.Background(), to, horizon); err != nil {
		t.Fatal(err)
	}
	srv.log.Use(to)
	return srv
}

func (s *server) stop(t testing.TB) {
	t.Helper()
	if err := s.log.Close(context.Background()); err != nil {
		t.Errorf("close: %v", err)
	}
}

// kill ends the log without another write.
func (s *server) kill() { s.log.end(); <-s.log.ended }
