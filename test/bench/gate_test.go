package bench

import (
	"slices"
	"testing"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/bench/routes"
)

// BenchmarkRequest is a whole request through Caddy, without the network.
func BenchmarkRequest(b *testing.B) {
	s := start(b, 1, routes.Bare, routes.NoOp, routes.Gate, routes.BasicAuth, routes.BasicAuthGate, routes.JWT)
	good := s.token("alice", routes.Alice)
	signed, err := routes.SignJWT()
	if err != nil {
		b.Fatal(err)
	}
	page := s.visit(routes.Gate, "alice")
	page.r.Header.Set("Accept", "text/html")
	for _, test := range []struct {
		name  string
		visit *visit
		want  int
	}{
		{"bare", s.visit(routes.Bare, "alice", good), 200},
		{"no-op", s.visit(routes.NoOp, "alice", good), 200},
		{"verified", s.visit(routes.Gate, "alice", good), 200},
		{"verified-of-several", s.visit(routes.Gate, "alice", "theme=dark", good, "session=0123456789"), 200},
		{"refused", s.visit(routes.Gate, "alice"), 403},
		{"forged", s.visit(routes.Gate, "alice", routes.Forge(good)), 403},
		{"another-users", s.visit(routes.Gate, "u0", good), 403},
		{"page", page, 403},
		{"basic_auth", s.visit(routes.BasicAuth, "", good), 200},
		{"basic_auth-verified", s.visit(routes.BasicAuthGate, "", good), 200},
		{"golang-jwt", s.visit(routes.JWT, "alice", routes.Cookie+"="+signed), 200},
	} {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			began := cpuTime()
			for b.Loop() {
				if got := test.visit.make(); got != test.want {
					b.Fatalf("status %d, want %d", got, test.want)
				}
			}
			reportCPU(b, began)
		})
	}
}

// BenchmarkOverNoOp takes turns between a gate and a handler that does nothing,
// so that a machine which is busy in between slows both. Its ns/op means nothing; the metric is
// the median of what a request costs more.
func BenchmarkOverNoOp(b *testing.B) {
	s := start(b, 1, routes.NoOp, routes.Gate)
	good := s.token("alice", routes.Alice)
	noOp := s.visit(routes.NoOp, "alice", good)
	for _, test := range []struct {
		name  string
		visit *visit
	}{
		{"verified", s.visit(routes.Gate, "alice", good)},
		{"refused", s.visit(routes.Gate, "alice")},
		{"forged", s.visit(routes.Gate, "alice", routes.Forge(good))},
		{"another-users", s.visit(routes.Gate, "u0", good)},
	} {
		b.Run(test.name, func(b *testing.B) {
			var over []float64
			for b.Loop() {
				over = append(over, nanoseconds(test.visit)-nanoseconds(noOp))
			}
			b.ReportMetric(median(over), "ns-over-no-op")
		})
	}
}

// nanoseconds is the CPU time that one of a batch of requests takes.
func nanoseconds(v *visit) float64 {
	const batch = 500
	began := cpuTime()
	for range batch {
		v.make()
	}
	return float64(cpuTime()-began) / batch
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}
