package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

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

// inProcess asks the running server without a network in between: a flood is then what it costs the server.
func inProcess(t *testing.T) func(r *http.Request) *http.Response {
	t.Helper()
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		t.Fatal(err)
	}
	server := app.(*caddyhttp.App).Servers["srv0"]
	return func(r *http.Request) *http.Response {
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		return w.Result()
	}
}

// stranger is one of very many who ask for a code: every other one is a user of his own,
// the others type a number, each at an address that nobody else has.
func stranger(s *harness.Site, i int) *http.Request {
	path, form := "/", ""
	if i%2 == 1 {
		path, form = "/recover", ask(fmt.Sprintf("+4917139200%02d", i/2%100)).Encode()
	}
	r := httptest.NewRequest("POST", s.URL+path+"?sms_otp=send", strings.NewReader(form))
	r.RemoteAddr = "127.0.0.1:1"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Forwarded-For", fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff))
	if i%2 == 0 {
		r.Header.Set("X-User", fmt.Sprint("user", i))
		r.Header.Set("X-Phone", fmt.Sprintf("+1%03d555%04d", 201+i/20_000, i/2%10_000))
	}
	return r
}

// refusal is whether an answer refuses as it must: for now, and says for how long.
func refusal(a *http.Response) bool {
	return (a.StatusCode == 503 || a.StatusCode == 429) && a.Header.Get("Retry-After") != ""
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// 200,000 strangers cost the budget of messages and no more, push nobody out, and
// leave nothing behind: whatever there is for those who were answered counts too.
func TestTwoHundredThousandStrangersCostTheBudgetAndNoMemory(t *testing.T) {
	const people, budget, owners, bound = 200_000, 400, 40, 8 << 20
	s := harness.Start(t, harness.Options{
		TLS: true, NoAuth: true, Global: fmt.Sprintf("countries 49 1\nlimits {\ntotal_sends %d 24h\n}", budget),
		Servers: "servers {\ntrusted_proxies static private_ranges\n}",
		Before:  "@recover path /recover\nsms_otp @recover {\nask_phone any\n}\n@rest not path /recover", Matcher: "@rest",
		Block: "user {http.request.header.X-User}\nphone {http.request.header.X-Phone}",
	})
	waiting := make([]*harness.Client, owners)
	codes := make([]string, owners)
	for i := range waiting {
		waiting[i] = behind(s, fmt.Sprint("owner", i))
		waiting[i].Header.Set("X-Phone", fmt.Sprintf("+120255501%02d", i))
		want(t, waiting[i].Call("send", nil), 202, "")
		codes[i] = s.Code(i + 1)
	}
	visit := inProcess(t)
	before := heap()
	var sent, wrong atomic.Int64
	var wg sync.WaitGroup
	for side := range 4 {
		wg.Go(func() {
			for i := side; i < people; i += 4 {
				switch a := visit(stranger(s, i)); {
				case a.StatusCode == 202:
					sent.Add(1)
				case !refusal(a):
					wrong.Add(1)
					t.Errorf("%d, Retry-After %q", a.StatusCode, a.Header.Get("Retry-After"))
				}
				if wrong.Load() > 10 {
					return
				}
			}
		})
	}
	wg.Wait()
	if grown := heap() - before; grown > bound {
		t.Errorf("the heap has grown by %d MiB, want at most %d", grown>>20, bound>>20)
	} else {
		t.Logf("the heap has grown by %d KiB", grown>>10)
	}
	s.Code(budget)
	if n := s.Messages(); n != budget || sent.Load() != budget-owners {
		t.Errorf("%d messages and %d were told of one, want the budget of %d, of which %d had theirs before", n, sent.Load(), budget, owners)
	}
	for i, c := range waiting {
		want(t, c.Verify(codes[i]), 200, "")
	}
	if n := len(s.Upstream.Hits()); n != 0 {
		t.Errorf("%d requests got through", n)
	}
}
