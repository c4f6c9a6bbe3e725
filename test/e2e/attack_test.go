package e2e

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

// tally counts what attackers are told, by status and problem.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *tally) add(a harness.Answer) harness.Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[fmt.Sprint(a.Status, " ", a.Problem())]++
	return a
}

// compared is how many codes were looked at: whatever is not refused unseen.
func (c *tally) compared() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts["403 code-wrong"] + c.counts["200 "]
}

// guess gives n wrong codes at once.
func (c *tally) guess(browser *harness.Client, n int, code string) {
	var wg sync.WaitGroup
	for range n {
		tab := browser.Tab()
		wg.Go(func() { c.add(tab.Verify(code)) })
	}
	wg.Wait()
}

func TestBurstOfGuessesIsComparedAsOftenAsTheLimitAllows(t *testing.T) {
	s := harness.Start(t, harness.Options{TLS: true})
	c := s.Client("alice")
	if page := c.Open("/"); page.Proto != "HTTP/2.0" {
		t.Fatalf("the site speaks %s", page.Proto)
	}
	code := s.Code(1)
	var told tally
	var ready, wg sync.WaitGroup
	start := make(chan struct{})
	for i := range 500 {
		guess, tab := harness.Wrong(code), c.Tab()
		if i == 499 {
			guess = code
		}
		ready.Add(1)
		wg.Go(func() {
			ready.Done()
			<-start
			told.add(tab.Verify(guess))
		})
	}
	ready.Wait()
	close(start)
	wg.Wait()
	wrong, right := told.counts["403 code-wrong"], told.counts["200 "]
	if right > 1 || wrong > 5 || right == 0 && wrong != 5 || right == 1 && wrong > 4 {
		t.Errorf("500 guesses at once: %v; want 5 compared, the right one among them or none", told.counts)
	}
	if n := len(s.Upstream.Hits()); n != 0 {
		t.Errorf("%d requests got through", n)
	}
}

// A user's allowance is the user's: neither jars nor addresses multiply it.
func TestFiftyJarsAtFiftyAddressesShareOneLimit(t *testing.T) {
	for name, servers := range map[string]string{
		"addresses that Caddy is told to trust": "servers {\ntrusted_proxies static private_ranges\n}",
		"addresses that are spoofed":            "",
	} {
		t.Run(name, func(t *testing.T) {
			s := harness.Start(t, harness.Options{TLS: true, Block: longCodes, Servers: servers, Global: "limits {\nresend_after 1s\n}"})
			first := s.Client("alice")
			jars := make([]*harness.Client, 50)
			for i := range jars {
				jars[i] = at(first, i)
			}
			var told tally
			for range 3 {
				attackWithAll(jars, &told, 7)
				time.Sleep(1100 * time.Millisecond)
			}
			attackWithAll(jars, &told, 50)
			if n := told.compared(); n != 15 {
				t.Errorf("%d codes were compared, want the user's limit of 15: %v", n, told.counts)
			}
			newest := s.Code(len(s.Gateway.Messages()))
			for _, jar := range jars {
				if a := jar.Verify(newest); a.Status == 200 {
					t.Error("the right code still works after the lock")
				}
			}
			want(t, first.Call("send", nil), 429, "locked")
			if n := len(s.Upstream.Hits()); n != 0 {
				t.Errorf("%d requests got through", n)
			}
		})
	}
}

// at is the same browser at one of many addresses.
func at(c *harness.Client, i int) *harness.Client {
	there := c.Tab()
	there.Header.Set("X-Forwarded-For", "198.51.100."+strconv.Itoa(i%50+1))
	return there
}

// Of codes with six digits a fixed guess is right once in a million, and these tests make many codes.
const (
	longCodes  = "code 10 digits"
	neverRight = "0000000001"
)

// attackWithAll asks for a code in each jar, and guesses in each from so many addresses.
func attackWithAll(jars []*harness.Client, told *tally, addresses int) {
	var wg sync.WaitGroup
	for i, jar := range jars {
		wg.Go(func() {
			jar.Call("send", nil)
			for n := range addresses {
				told.add(at(jar, i+n).Verify(neverRight))
			}
		})
	}
	wg.Wait()
}

func TestNothingGivesGuessesBack(t *testing.T) {
	s := harness.Start(t, harness.Options{TLS: true, Block: longCodes, Global: "limits {\nresend_after 1s\n}"})
	var told tally
	reload := func() {
		if err := s.Load(s.Caddyfile() + "# " + strconv.Itoa(told.compared()) + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	pause := func() { time.Sleep(1100 * time.Millisecond) }
	guess := func(c *harness.Client, want int) {
		t.Helper()
		told.guess(c, 4, neverRight)
		if n := told.compared(); n != want {
			t.Fatalf("%d codes were compared so far, want %d: %v", n, want, told.counts)
		}
	}
	first := s.Client("alice")
	want(t, first.Call("send", nil), 202, "")
	guess(first, 4)
	pause()
	want(t, first.Call("send", nil), 202, "") // the same code once more
	guess(first, 5)
	second := s.Client("alice") // a new jar
	pause()
	want(t, second.Call("send", nil), 202, "")
	guess(second, 9)
	reload()
	guess(second, 10)
	pause()
	want(t, second.Call("send", nil), 202, "") // a new challenge after the lock
	guess(second, 14)
	reload()
	third := s.Client("alice")
	pause()
	want(t, third.Call("send", nil), 202, "")
	guess(third, 15)
	reload()
	guess(third, 15)
	newest := s.Code(len(s.Gateway.Messages()))
	locked := want(t, third.Verify(newest), 429, "locked")
	if seconds, err := strconv.Atoi(locked.Header.Get("Retry-After")); err != nil || seconds < 23*3600 {
		t.Errorf("Retry-After %q, want when the first of the failures is a day old", locked.Header.Get("Retry-After"))
	}
	want(t, s.Client("alice").Call("send", nil), 429, "locked")
	if n := len(s.Upstream.Hits()); n != 0 {
		t.Errorf("%d requests got through", n)
	}
}

// Without a first factor the address counts, as Caddy knows it.
func TestStartsAreCountedByAddress(t *testing.T) {
	proxies := "servers {\ntrusted_proxies static private_ranges\n}"
	for name, test := range map[string]struct {
		servers string
		address func(i int) string
		want    int
	}{
		"spoofed addresses":   {"", func(i int) string { return "198.51.100." + strconv.Itoa(i) }, 3},
		"a proxy's addresses": {proxies, func(i int) string { return "198.51.100." + strconv.Itoa(i) }, 20},
		"one IPv6 customer":   {proxies, func(i int) string { return "2001:db8:0:1::" + strconv.Itoa(i) }, 3},
		"IPv6 customers":      {proxies, func(i int) string { return "2001:db8:0:" + strconv.Itoa(i) + "::1" }, 20},
		"IPv4 as IPv6":        {proxies, func(int) string { return "::ffff:198.51.100.7" }, 3},
	} {
		t.Run(name, func(t *testing.T) {
			o := anyNumber()
			o.Servers, o.TLS = test.servers, true
			o.Global += "\nlimits {\nip_starts 3 1h\n}"
			s := harness.Start(t, o)
			first := s.Client("")
			started := 0
			for i := range 20 {
				c := first.Tab()
				c.Header.Set("X-Forwarded-For", test.address(i+1))
				switch a := c.Call("send", ask("+4917139200"+fmt.Sprintf("%02d", i))); {
				case a.Status == 202:
					started++
				case a.Status != 429 || a.Header.Get("Retry-After") == "":
					t.Fatalf("%d %s", a.Status, a.Body)
				}
			}
			if n := s.Messages(); started != test.want || n != test.want {
				t.Errorf("%d challenges and %d messages, want %d", started, n, test.want)
			}
		})
	}
}
