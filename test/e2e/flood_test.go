package e2e

import (
	"fmt"
	"sync"
	"testing"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

// flood lets n people ask for a code, whom nobody has seen before.
func flood(t *testing.T, s *harness.Site, n int) *tally {
	t.Helper()
	var told tally
	var wg sync.WaitGroup
	first := s.Client("")
	for side := range 16 {
		wg.Go(func() {
			for i := side; i < n; i += 16 {
				c := first.Tab()
				c.Header.Set("X-User", fmt.Sprintf("user%d", i))
				c.Header.Set("X-Phone", fmt.Sprintf("+1%03d55501%02d", 201+i/100, i%100))
				c.Header.Set("X-Forwarded-For", fmt.Sprintf("198.51.%d.%d", i/256, i%256))
				a := told.add(c.Call("send", nil))
				if a.Status == 503 && a.Header.Get("Retry-After") == "" {
					t.Errorf("no Retry-After: %v", a.Header)
				}
			}
		})
	}
	wg.Wait()
	return &told
}

func TestFloodCostsWhatThereIsRoomForAndPushesNobodyOut(t *testing.T) {
	for name, test := range map[string]struct {
		global string
		want   int // messages
	}{
		"full store":   {"store memory {\ncapacity 300\n}\nlimits {\ntotal_sends 100000 24h\n}", 300},
		"spent budget": {"limits {\ntotal_sends 200 24h\n}", 200},
	} {
		t.Run(name, func(t *testing.T) {
			s := harness.Start(t, harness.Options{
				TLS: true, NoAuth: true, Global: "countries 44 1\n" + test.global,
				Servers: "servers {\ntrusted_proxies static private_ranges\n}",
				Block:   "user {http.request.header.X-User}\nphone {http.request.header.X-Phone}",
			})
			owner := behind(s, "alice")
			owner.Header.Set("X-Phone", harness.Numbers["alice"])
			want(t, owner.Call("send", nil), 202, "")
			code := s.Code(1)
			const people = 3000
			told := flood(t, s, people)
			if sent := told.counts["202 "]; sent != test.want-1 || told.counts["503 unavailable"] != people-sent {
				t.Errorf("answers %v, want %d sent and all others unavailable", told.counts, test.want-1)
			}
			s.Code(test.want)
			if n := s.Messages(); n != test.want {
				t.Errorf("%d messages, want %d", n, test.want)
			}
			want(t, owner.Verify(code), 200, "")
			if a := owner.Open("/"); a.Status != 200 {
				t.Errorf("who had a code before the flood: %d", a.Status)
			}
			if hits := s.Upstream.Hits(); len(hits) != 1 {
				t.Errorf("%d requests got through", len(hits))
			}
		})
	}
}
