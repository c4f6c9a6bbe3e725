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
// their own, all verified. The metrics are what a whole request and the gate in it cost more then, as ratios.
func BenchmarkLive(b *testing.B) {
	const users = 100_000
	s := start(b, users, routes.NoOp, routes.Gate)
	cookies := make([]string, users)
	for i := range cookies {
		cookies[i] = s.token(fmt.Sprint("u", i), routes.Number(i))
	}
	one, many, noOp := s.visit(routes.Gate, "u0", cookies[0]), s.visit(routes.Gate, "", "x"), s.visit(routes.NoOp, "", "x")
	next := 0
	turn := func(v *visit) float64 {
		const batch = 500
		var names, own [batch]string
		for i := range batch { // a request comes from the network, so it is in the processor's cache
			next = (next + 7919) % users
			names[i], own[i] = fmt.Sprint("u", next), strings.Clone(cookies[next])
		}
		began := cpuTime()
		for i := range batch {
			v.r.Header["X-User"][0], v.cookie[0] = names[i], own[i]
			if got := v.make(); got != 200 {
				b.Fatalf("status %d", got)
			}
		}
		return float64(cpuTime()-began) / batch
	}
	for range users / 500 * 2 {
		turn(many) // each is read once
	}
	var requests, gates []float64
	for b.Loop() {
		none, single, distinct := turn(noOp), nanoseconds(one), turn(many)
		requests = append(requests, distinct/single)
		gates = append(gates, distinct-none)
	}
	b.ReportMetric(median(requests), "request-ratio")
	b.ReportMetric(median(gates), "ns-over-no-op")
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
