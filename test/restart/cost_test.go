package restart

import (
	"context"
	"encoding/binary"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore/memstore"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore/statelog"
)

const pending = 100_000

// meter is a file storage that counts what is written.
type meter struct {
	certmagic.FileStorage
	bytes, values atomic.Int64
}

func (m *meter) Store(ctx context.Context, key string, value []byte) error {
	m.bytes.Add(int64(len(value)))
	m.values.Add(1)
	return m.FileStorage.Store(ctx, key, value)
}

// crowd fills a store as 100,000 visitors in the middle of their login do, with
// three counters each.
func crowd(b *testing.B, s *memstore.Store) (ids []otpcore.ID) {
	b.Helper()
	now := time.Now()
	limit := otpcore.Limit{N: 15, Per: 24 * time.Hour}
	for i := range pending {
		c := &otpcore.Challenge{
			ID: otpcore.NewID(), Subject: otpcore.Pseudonym(otpcore.NewID()), Number: otpcore.Pseudonym(otpcore.NewID()),
			Code: make([]byte, 34), Length: 6, AttemptsLeft: 5, SendsLeft: 2, Sends: 1, Delivery: otpcore.Sent,
			Created: now.UnixMilli(), Expires: now.Add(time.Hour).UnixMilli(), ResendAt: now.UnixMilli(),
		}
		if err := s.Create(context.Background(), c); err != nil {
			b.Fatalf("after %d: %v", i, err)
		}
		for kind := range 3 {
			count(b, s, c.ID, kind, limit)
		}
		ids = append(ids, c.ID)
	}
	return ids
}

func count(b *testing.B, s *memstore.Store, id otpcore.ID, kind int, l otpcore.Limit) {
	key := otpcore.Pseudonym(id)
	key[15] += byte(kind)
	if err := s.Tally(context.Background(), key, func(t *otpcore.Tally) error { t.Take(time.Now(), l); return nil }); err != nil {
		b.Fatal(err)
	}
}

func statelogTo(b *testing.B, m *meter, s *memstore.Store) (*statelog.Log, statelog.Target) {
	b.Helper()
	keys, err := otpcore.NewKeyring([]byte(strings.Repeat("k", 32)))
	if err != nil {
		b.Fatal(err)
	}
	t := statelog.Target{Place: m, Prefix: "state", Seal: keys.State(), KeyID: "k", Complain: func(err error) { b.Error(err) }}
	return statelog.New(s, new(otpcore.Revocations)), t
}

// BenchmarkWriteBehind is one round, as it comes twice a second, among 100,000
// pending challenges: 150 of them were begun, answered or reported on, which is
// what 100 logins a second amount to.
func BenchmarkWriteBehind(b *testing.B) {
	s, err := memstore.New(2 * pending)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	ids := crowd(b, s)
	m := &meter{FileStorage: certmagic.FileStorage{Path: b.TempDir()}}
	log, target := statelogTo(b, m, s)
	log.Use(target)
	began := time.Now()
	if err := log.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Logf("everything at once: %d MB in %d values, %s", m.bytes.Load()>>20, m.values.Load(), time.Since(began).Round(time.Millisecond))
	limit := otpcore.Limit{N: 15, Per: 24 * time.Hour}
	written, values := m.bytes.Load(), m.values.Load()
	next := 0
	for b.Loop() {
		for range 150 {
			id := ids[next%len(ids)]
			next += 7
			if err := s.Update(b.Context(), id, func(c *otpcore.Challenge) error { c.Delivery ^= 1; return nil }); err != nil {
				b.Fatal(err)
			}
			count(b, s, id, next%3, limit)
		}
		if err := log.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(m.bytes.Load()-written)/float64(b.N)/1024, "KB/op")
	b.ReportMetric(float64(m.values.Load()-values)/float64(b.N), "values/op")
	if err := log.Close(b.Context()); err != nil {
		b.Error(err)
	}
}

// BenchmarkRestore takes 100,000 challenges and 300,000 counters back.
func BenchmarkRestore(b *testing.B) {
	s, err := memstore.New(2 * pending)
	if err != nil {
		b.Fatal(err)
	}
	m := &meter{FileStorage: certmagic.FileStorage{Path: b.TempDir()}}
	log, target := statelogTo(b, m, s)
	log.Use(target)
	crowd(b, s)
	if err := log.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	s.Close()
	for b.Loop() {
		again, err := memstore.New(2 * pending)
		if err != nil {
			b.Fatal(err)
		}
		log, target := statelogTo(b, m, again)
		if _, err := log.Restore(b.Context(), target, time.Hour); err != nil {
			b.Fatal(err)
		}
		if again.Len() != pending {
			b.Fatalf("%d challenges came back", again.Len())
		}
		again.Close()
	}
}

// BenchmarkHeap tells the memory of a pending challenge, its place in the log included.
func BenchmarkHeap(b *testing.B) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		s, err := memstore.New(2 * pending)
		if err != nil {
			b.Fatal(err)
		}
		before := heap()
		for range pending {
			c := &otpcore.Challenge{ID: otpcore.NewID(), Code: make([]byte, 34), Expires: time.Now().Add(time.Hour).UnixMilli()}
			binary.LittleEndian.PutUint64(c.Subject[:], 1)
			if err := s.Create(b.Context(), c); err != nil {
				b.Fatal(err)
			}
		}
		s.AppendChanges(nil, 1<<40)
		b.ReportMetric(float64(heap()-before)/pending, "B/challenge")
		s.Close()
	}
}
