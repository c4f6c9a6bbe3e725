package bench

import (
	"fmt"
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

// BenchmarkScaling takes turns between one goroutine and two. The metric is how
// many more requests two get done; bare tells what the machine has to give.
func BenchmarkScaling(b *testing.B) {
	s := start(b, 1, routes.Bare, routes.Gate)
	good := s.token("alice", routes.Alice)
	for _, route := range []string{routes.Bare, routes.Gate} {
		b.Run(route, func(b *testing.B) {
			first, second := s.visit(route, "alice", good), s.visit(route, "alice", good)
			var scaling []float64
			for b.Loop() {
				scaling = append(scaling, 2*float64(elapsed(first))/float64(elapsed(first, second)))
			}
			b.ReportMetric(median(scaling), "scaling")
		})
	}
}

// elapsed is how long it takes until all have made a thousand requests side by side.
func elapsed(visits ...*visit) time.Duration {
	began := time.Now()
	var wg sync.WaitGroup
	for _, v := range visits {
		wg.Go(func() {
			for range 1000 {
				v.make()
			}
		})
	}
	wg.Wait()
	return time.Since(began)
}
