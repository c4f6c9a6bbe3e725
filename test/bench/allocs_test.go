package bench

import (
	"testing"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/bench/routes"
)

// TestGateAllocates holds exactly what a request allocates more than behind a
// handler that does nothing: time cannot be tested, and this is what it is made of. A smaller
// number is welcome and belongs into the table.
func TestGateAllocates(t *testing.T) {
	s := start(t, 1, routes.NoOp, routes.Gate)
	good := s.token("alice", routes.Alice)
	noOp := least(s.visit(routes.NoOp, "alice", good), t, 200)
	for _, test := range []struct {
		name    string
		cookies []string
		status  int
		want    float64
	}{
		{"verified", []string{good}, 200, 2},
		{"verified, other cookies before", []string{"theme=dark", "session=1", good}, 200, 2},
		{"verified, other cookies after", []string{good, "theme=dark"}, 200, 2},
		{"verified, other cookies around", []string{"theme=dark", good, "session=1"}, 200, 3},
		{"refused", nil, 403, 7},
		{"forged", []string{routes.Forge(good)}, 403, 7},
	} {
		if got := least(s.visit(routes.Gate, "alice", test.cookies...), t, test.status) - noOp; got != test.want {
			t.Errorf("%s: %v allocations over a handler that does nothing, want %v", test.name, got, test.want)
		}
	}
}

// least is what a request allocates when nothing else does: others run at the
// same time, and the race detector makes pools forget at random.
func least(v *visit, t *testing.T, status int) float64 {
	t.Helper()
	fewest := 1e9
	for range 200 {
		fewest = min(fewest, testing.AllocsPerRun(1, func() {
			if got := v.make(); got != status {
				t.Fatalf("status %d, want %d", got, status)
			}
		}))
	}
	return fewest
}
