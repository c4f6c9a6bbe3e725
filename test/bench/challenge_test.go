package bench

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/dgraph-io/ristretto/v2"
	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore/memstore"
)

// rules are otpcore over memstore, with a gateway that takes messages at once.
type rules struct {
	svc   *otpcore.Service
	next  int // user
	codes chan string
}

type taken struct{}

func (taken) Ready() error { return nil }

func (taken) Deliver(context.Context, otpcore.Message, func() error, func(otpcore.Report)) error {
	return nil
}

func newRules(tb testing.TB) *rules {
	tb.Helper()
	store, err := memstore.New(1_000_000)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(store.Close)
	keys, err := otpcore.NewKeyring(bytes.Repeat([]byte{7}, otpcore.MinKeyLength))
	if err != nil {
		tb.Fatal(err)
	}
	limits := otpcore.DefaultLimits()
	limits.TotalSends.N = 10_000_000
	return &rules{codes: make(chan string, 1), svc: &otpcore.Service{
		Store: store, Keys: keys, Workers: otpcore.NewWorkers(4096), Revocations: new(otpcore.Revocations),
		Sender: taken{}, Limits: limits,
	}}
}

// begun is a challenge that waits for its code.
type begun struct {
	id   otpcore.ID
	r    otpcore.Request
	code string
}

// begin starts a challenge for a user who was not there before.
func (s *rules) begin(tb testing.TB) begun {
	s.next++
	r := otpcore.Request{
		Subject: otpcore.Subject{User: fmt.Sprint("u", s.next), Number: otpcore.Number(fmt.Sprintf("+4477009%06d", s.next)), FirstFactor: true},
		Site:    "site.example.com", Seen: -1, Length: 6, TTL: 5 * time.Minute,
		Compose: func(code string, _ time.Duration) string { s.codes <- code; return code },
	}
	res, err := s.svc.Send(tb.Context(), otpcore.ID{}, r)
	if err != nil || res.Outcome != otpcore.MessageSent {
		tb.Fatalf("send: %v, %v", res.Outcome, err)
	}
	return begun{res.ID, r, <-s.codes}
}

// verify answers with the right code and signs the token.
func (s *rules) verify(tb testing.TB, c begun) {
	res, err := s.svc.Submit(tb.Context(), c.id, c.r, c.code)
	if err != nil || res.Outcome != otpcore.Accepted {
		tb.Fatalf("submit: %v, %v", res.Outcome, err)
	}
	res.Verification.ExpiresAt = res.Verification.VerifiedAt.Add(time.Hour)
	if _, err := s.svc.Keys.Issue(res.Verification); err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkChallenge is a whole one, from the start to the signed token, with its
// message on the way through a worker. Ask for it with -cpu 1.
func BenchmarkChallenge(b *testing.B) {
	s := newRules(b)
	b.ReportAllocs()
	began := cpuTime()
	for b.Loop() {
		s.verify(b, s.begin(b))
	}
	reportCPU(b, began)
}

// BenchmarkPrimitives is what no challenge can do without, and nothing else: an id, a code and its MAC,
// one entry of the cache that comes and goes, a signature. [BenchmarkChallenge] beside it tells what the rules add,
// on whatever machine both run.
func BenchmarkPrimitives(b *testing.B) {
	cache, err := ristretto.NewCache(&ristretto.Config[string, string]{NumCounters: 1_000_000, MaxCost: 100_000, BufferItems: 64})
	if err != nil {
		b.Fatal(err)
	}
	defer cache.Close()
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": "bench", "sub": "alice", "aud": "localhost", "jti": "c2l4dGVlbiBieXRlcyE", "amr": []string{"sms", "mfa"},
		"iat": now.Unix(), "auth_time": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	key := make([]byte, 32)
	b.ReportAllocs()
	began := cpuTime()
	for b.Loop() {
		id := otpcore.NewID().String()
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(otpcore.NewCode(otpcore.Digits, 6)))
		cache.SetWithTTL(id, string(mac.Sum(nil)), 1, time.Minute)
		cache.Wait()
		if _, found := cache.Get(id); !found {
			b.Fatal("the entry was not kept")
		}
		cache.Del(id)
		if _, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(key); err != nil {
			b.Fatal(err)
		}
	}
	reportCPU(b, began)
}

// BenchmarkPending takes turns between a store with a thousand pending challenges
// and one with a hundred thousand. Its metrics are what start and verify take longer there, as ratios.
func BenchmarkPending(b *testing.B) {
	few, many := newRules(b), newRules(b)
	for range 1000 {
		few.begin(b)
	}
	for range 100_000 {
		many.begin(b)
	}
	var starts, verifies []float64
	for b.Loop() {
		start, verify := few.batch(b)
		startMany, verifyMany := many.batch(b)
		starts, verifies = append(starts, startMany/start), append(verifies, verifyMany/verify)
	}
	b.ReportMetric(median(starts), "start-ratio")
	b.ReportMetric(median(verifies), "verify-ratio")
}

// batch is what some starts and as many verifications take, in nanoseconds.
func (s *rules) batch(tb testing.TB) (start, verify float64) {
	const batch = 20
	var all [batch]begun
	began := time.Now()
	for i := range all {
		all[i] = s.begin(tb)
	}
	started := time.Now()
	for i := range all {
		s.verify(tb, all[i])
	}
	return float64(started.Sub(began)), float64(time.Since(started))
}

// BenchmarkHeap reports the live heap that one of a hundred thousand pending challenges takes, with
// what is counted for its user and number. Its ns/op means nothing.
func BenchmarkHeap(b *testing.B) {
	const n = 100_000
	s := newRules(b)
	before := liveHeap()
	for range n {
		s.begin(b)
	}
	for s.svc.Workers.Pending() > 0 {
		runtime.Gosched()
	}
	each := float64(liveHeap()-before) / n
	for b.Loop() {
	}
	b.ReportMetric(each, "B/challenge")
	runtime.KeepAlive(s)
}

func liveHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
