package bench

import (
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/bench/routes"
)

// BenchmarkLive takes turns between one browser and a hundred thousand with tokens of
// their own, all verified. The metrics are what a whole request costs more then, and, behind a handler that does
// nothing, what it costs more to find the cookie in a plain map, as ratios: what no memory of tokens can do without.
func BenchmarkLive(b *testing.B) {
	const users = 100_000
	s := start(b, users, routes.NoOp, routes.Gate)
	cookies := make([]string, users)
	for i := range cookies {
		cookies[i] = s.token(fmt.Sprint("u", i), routes.Number(i))
	}
	gate, noOp := s.visit(routes.Gate, "", "x"), s.visit(routes.NoOp, "", "x")
	known := make(map[string]*int, users)
	for i, cookie := range cookies {
		known[strings.Clone(cookie)] = &i
	}
	next := 0
	turn := func(v *visit, step int) float64 {
		const batch = 500
		var names, own [batch]string
		for i := range batch { // a request comes from the network, so it is in the processor's cache
			next = (next + step) % users
			names[i], own[i] = fmt.Sprint("u", next), strings.Clone(cookies[next])
		}
		began := cpuTime()
		for i := range batch {
			v.r.Header["X-User"][0], v.cookie[0] = names[i], own[i]
			if v == noOp && *known[own[i]] < 0 {
				b.Fatal("the map does not know the cookie")
			}
			if got := v.make(); got != 200 {
				b.Fatalf("status %d", got)
			}
		}
		return float64(cpuTime()-began) / batch
	}
	const one, many = 0, 7919
	for range users / 500 * 2 {
		turn(gate, many) // each is read once
	}
	var requests, maps []float64
	for b.Loop() {
		requests = append(requests, turn(gate, many)/turn(gate, one))
		maps = append(maps, turn(noOp, many)/turn(noOp, one))
	}
	b.ReportMetric(median(requests), "request-ratio")
	b.ReportMetric(median(maps), "map-ratio")
}

// BenchmarkScaling takes turns between one goroutine and two. The metric is how much more two get
// done. Bare tells what Caddy has to give, arithmetic, which shares nothing, what the machine has. Garbage is
// collected seldom: the collector uses the core that one goroutine leaves idle.
func BenchmarkScaling(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(1000))
	s := start(b, 1, routes.Bare, routes.Gate)
	good := s.token("alice", routes.Alice)
	requests := func(route string) func() {
		v := s.visit(route, "alice", good)
		return func() {
			for range 1000 {
				v.make()
			}
		}
	}
	for _, test := range []struct {
		name          string
		first, second func()
	}{
		{routes.Bare, requests(routes.Bare), requests(routes.Bare)},
		{routes.Gate, requests(routes.Gate), requests(routes.Gate)},
		{"arithmetic", arithmetic, arithmetic},
	} {
		b.Run(test.name, func(b *testing.B) {
			var scaling []float64
			for b.Loop() {
				scaling = append(scaling, 2*float64(elapsed(test.first))/float64(elapsed(test.first, test.second)))
			}
			b.ReportMetric(median(scaling), "scaling")
		})
	}
}

// arithmetic takes about as long as a thousand requests.
func arithmetic() {
	x := uint64(1)
	for range 4_000_000 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	if x == 0 { // never, and nobody knows but us
		panic("xorshift came to 0")
	}
}

// elapsed is how long it takes until all are done, side by side.
func elapsed(all ...func()) time.Duration {
	began := time.Now()
	var wg sync.WaitGroup
	for _, work := range all {
		wg.Go(work)
	}
	wg.Wait()
	return time.Since(began)
}
