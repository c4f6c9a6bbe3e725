package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/bench/routes"
	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

// whole is what a user costs who comes in, beside what he is held against.
type whole struct {
	user float64 // microseconds of CPU: the page, the code, the first request
	bare float64 // of three bare requests
	sign float64 // of one token's signature
}

// wholeUsers takes turns between some users who come in and as many bare requests
// as they make. The gateway takes messages at once: what a message costs is told by the gateway's own benchmarks.
func (p plan) wholeUsers() (whole, error) {
	s, site, err := open(plainHTTP, p.users)
	if err != nil {
		return whole{}, err
	}
	defer s.stop()
	bare, err := connect(plainHTTP, site.Ports[routes.Bare])
	if err != nil {
		return whole{}, err
	}
	bare.prepare(http.MethodGet, "/", http.Header{"X-User": {"alice"}}, "")
	gate, err := connect(plainHTTP, site.Ports[routes.Gate])
	if err != nil {
		return whole{}, err
	}
	const batch = 10
	var users, bares []float64
	for first := 0; first+batch <= p.users; first += batch {
		start := s.cpu()
		for i := range batch {
			if err := comeIn(s, gate, fmt.Sprint("u", first+i)); err != nil {
				return whole{}, err
			}
		}
		between := s.cpu()
		if _, err := slice([]requester{bare}, 3*batch, http.StatusOK); err != nil {
			return whole{}, err
		}
		users = append(users, (between-start)/batch)
		bares = append(bares, (s.cpu()-between)/batch)
	}
	sign, err := signature()
	return whole{median(users), median(bares), sign}, err
}

// comeIn is a user with a browser: the page, which sends the code, the code, and the page behind.
func comeIn(s *server, c *conn, user string) error {
	person := http.Header{
		"X-User": {user}, "Accept": {"text/html"},
		"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Site": {"same-origin"},
	}
	step := func(method, path, body string, want int) error {
		c.turn = nil
		c.prepare(method, path, person, body)
		status, err := c.request()
		if err == nil && status != want {
			err = fmt.Errorf("%s %s: status %d, want %d", method, path, status, want)
		}
		return err
	}
	if err := step(http.MethodGet, "/", "", http.StatusForbidden); err != nil {
		return err
	}
	code := harness.CodeIn(<-s.texts)
	person.Set("Cookie", routes.Cookie+"-challenge="+c.cookie[routes.Cookie+"-challenge"])
	person.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := step(http.MethodPost, "/?sms_otp=verify", url.Values{"code": {code}}.Encode(), http.StatusSeeOther); err != nil {
		return err
	}
	person.Add("Cookie", routes.Cookie+"="+c.cookie[routes.Cookie])
	return step(http.MethodGet, "/", "", http.StatusOK)
}

// signature is what signing one token takes, in microseconds.
func signature() (float64, error) {
	keys, err := routes.Keys()
	if err != nil {
		return 0, err
	}
	const n = 200
	var took []float64
	for range 50 {
		began := time.Now()
		for range n {
			if _, err := routes.Token(keys, "localhost", "alice", routes.Alice); err != nil {
				return 0, err
			}
		}
		took = append(took, float64(time.Since(began).Nanoseconds())/1000/n)
	}
	return median(took), nil
}

func median(of []float64) float64 {
	slices.Sort(of)
	return quantile(of, 0.5)
}
