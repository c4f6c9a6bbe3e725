package restart

import (
	"fmt"
	"maps"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

// siege is somebody who knows a password and guesses, whatever happens to the server meanwhile.
type siege struct {
	t        *testing.T
	s        *harness.Site
	p        *process
	compared int // codes that were looked at
	messages int
}

// again is the same browser with a connection of its own: a stop has ended the one before.
func (g *siege) again(c *harness.Client) *harness.Client {
	same := g.s.Client(c.User)
	maps.Copy(same.Cookies, c.Cookies)
	return same
}

// ask asks for a code once the time between two messages is over.
func (g *siege) ask(c *harness.Client) {
	g.t.Helper()
	time.Sleep(1100 * time.Millisecond)
	tab := g.again(c)
	want(g.t, tab.Call("send", nil), 202, "")
	maps.Copy(c.Cookies, tab.Cookies)
	g.messages++
	g.s.Code(g.messages)
}

// guess gives four wrong codes at once, and demands how many were compared in all by then.
func (g *siege) guess(c *harness.Client, want int) {
	g.t.Helper()
	tab := g.again(c)
	if a := tab.Status(); a.Proto != "HTTP/2.0" {
		g.t.Fatalf("the site speaks %s", a.Proto)
	}
	told := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		one := tab.Tab()
		wg.Go(func() {
			a := one.Verify("000001")
			mu.Lock()
			defer mu.Unlock()
			told[fmt.Sprint(a.Status, " ", a.Problem())]++
		})
	}
	wg.Wait()
	if g.compared += told["403 code-wrong"] + told["200 "]; g.compared != want || told["403 code-wrong"]+told["429 locked"] != 4 {
		g.t.Fatalf("%d codes were compared so far, want %d: %v", g.compared, want, told)
	}
}

func (g *siege) restart(signal os.Signal) {
	g.t.Helper()
	if signal == os.Kill {
		time.Sleep(2 * time.Second) // or else the last second may be lost, see TestKillSetsBackByASecondAtMost
	}
	g.p.end(signal)
	g.p.start()
}

// A user has 15 guesses and a challenge has 5. Nothing that a visitor or an
// administrator does gives one of them back, and none is lost.
func TestNothingGivesGuessesBackOverReloadsRestartsAndKills(t *testing.T) {
	s := harness.Start(t, harness.Options{
		TLS: true, Global: "limits {\nresend_after 1s\n}",
		Servers: "grace_period 1s", // or else a stop may wait for connections over which nothing more comes
	})
	g := &siege{t: t, s: s, p: outside(t, s)}
	first, second, third := s.Client("alice"), s.Client("alice"), s.Client("alice")
	g.ask(first)
	g.guess(first, 4)
	g.ask(first) // the same code once more
	g.guess(first, 5)
	g.ask(second) // a new jar
	g.guess(second, 9)
	g.p.reload()
	g.guess(second, 10)
	g.restart(syscall.SIGTERM)
	g.guess(second, 10)
	g.ask(second) // a new challenge after the lock
	g.guess(second, 14)
	g.restart(os.Kill)
	g.guess(first, 14)
	g.ask(third)
	g.guess(third, 15)
	for _, again := range []func(){g.p.reload, func() { g.restart(syscall.SIGTERM) }, func() { g.restart(os.Kill) }} {
		again()
		for _, jar := range []*harness.Client{first, second, third} {
			g.guess(jar, 15)
		}
		want(t, g.again(third).Verify(s.Code(g.messages)), 429, "locked")
		want(t, s.Client("alice").Call("send", nil), 429, "locked")
	}
	if n := s.Messages(); n != g.messages {
		t.Errorf("%d messages, want %d", n, g.messages)
	}
	if n := len(s.Upstream.Hits()); n != 0 {
		t.Errorf("%d requests got through", n)
	}
}
