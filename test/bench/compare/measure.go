package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddy-sms-otp/caddy-sms-otp/test/bench/routes"
)

// row is one kind of request to one route.
type row struct {
	name   string
	route  string
	cookie func(good string) string
	want   int
	path   string
	accept string
	users  int // who take turns; 0: alice alone
	dear   int // its slices have so many times fewer requests. Default: 1

	connections []requester
	cpu, took   []float64 // of each slice: for a request, in microseconds of CPU and of the clock
}

// The gate's rows.
const (
	verified = "sms_otp, verified"
	refused  = "sms_otp, no cookie"
	forged   = "sms_otp, forged cookie"
	asked    = "sms_otp, challenge page"
)

// targetRows are the first of rows, which the strictest targets speak of. All servers of a table have them, its first has the others too.
const targetRows = 6

// rows are what is compared. Whoever shows no cookie of ours shows another one of the
// same length, so that reading it costs all of them the same.
func rows(signed string) []*row {
	good := func(good string) string { return good }
	none := func(good string) string { return "other" + good[5:] }
	jwt := func(string) string { return routes.Cookie + "=" + signed }
	const program, person = "application/json", "text/html"
	return []*row{
		{name: routes.Bare, route: routes.Bare, cookie: none, want: 200, path: "/", accept: program},
		{name: routes.NoOp, route: routes.NoOp, cookie: none, want: 200, path: "/", accept: program},
		{name: verified, route: routes.Gate, cookie: good, want: 200, path: "/", accept: program},
		{name: refused, route: routes.Gate, cookie: none, want: 403, path: "/", accept: program},
		{name: forged, route: routes.Gate, cookie: routes.Forge, want: 403, path: "/", accept: program},
		{name: routes.BasicAuth, route: routes.BasicAuth, cookie: none, want: 200, path: "/", accept: program},
		{name: routes.BasicAuthGate, route: routes.BasicAuthGate, cookie: good, want: 200, path: "/", accept: program},
		{name: routes.JWT, route: routes.JWT, cookie: jwt, want: 200, path: "/", accept: program},
		{name: routes.ForwardAuth, route: routes.ForwardAuth, cookie: none, want: 200, path: "/", accept: program, dear: 8},
		{name: routes.Proxy, route: routes.Proxy, cookie: none, want: 200, path: "/", accept: program, dear: 4},
		{name: routes.ProxyGate, route: routes.ProxyGate, cookie: good, want: 200, path: "/", accept: program, dear: 4},
		{name: routes.File, route: routes.File, cookie: none, want: 200, path: "/page.html", accept: person, dear: 4},
		{name: asked, route: routes.Gate, cookie: none, want: 403, path: "/", accept: person, dear: 4},
	}
}

// crowdRows are held against each other where a hundred thousand browsers are in.
func crowdRows(users int) []*row {
	all := rows("")[:3]
	crowd := *all[2]
	crowd.name, crowd.users = fmt.Sprintf("%s, %d browsers", verified, users), users
	return append(all, &crowd)
}

// headers of the requests that the row makes, one after another.
func (r *row) headers(keys *otpcore.Keyring, port int) ([]http.Header, error) {
	all := make([]http.Header, max(1, r.users))
	for i := range all {
		user, number := "alice", routes.Alice
		if r.users > 0 {
			user, number = fmt.Sprint("u", i), routes.Number(i)
		}
		good, err := routes.Token(keys, fmt.Sprintf("localhost:%d", port), user, number)
		if err != nil {
			return nil, err
		}
		request := &http.Request{Header: http.Header{"X-User": {user}, "Accept": {r.accept}, "Cookie": {r.cookie(good)}}}
		request.SetBasicAuth("alice", routes.Password)
		all[i] = request.Header
	}
	return all, nil
}

// measure takes turns between rows on a server of their own.
func (p plan) measure(t transport, users int, all []*row) error {
	s, site, err := open(t, users)
	if err != nil {
		return err
	}
	defer s.stop()
	keys, err := routes.Keys()
	if err != nil {
		return err
	}
	for _, r := range all {
		port := site.Ports[r.route]
		headers, err := r.headers(keys, port)
		if err != nil {
			return err
		}
		if err := warm(t, port); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		if r.connections, err = dial(t, port, r.path, headers); err != nil {
			return err
		}
		// Twice, so that everything that is remembered of a browser is.
		if _, err := slice(r.connections, 2*max(r.users, 5*connections), r.want); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return turns(s, p.rounds, p.requests, all)
}

// turns gives each row a slice in every round, each time in another order.
func turns(s *server, rounds, requests int, all []*row) error {
	for range rounds {
		for _, i := range rand.Perm(len(all)) {
			r := all[i]
			n := requests / max(1, r.dear)
			before := s.cpu()
			took, err := slice(r.connections, n, r.want)
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			made := float64(n / connections * connections)
			r.cpu = append(r.cpu, (s.cpu()-before)/made)
			r.took = append(r.took, float64(took.Microseconds())/made)
		}
	}
	return nil
}

// open starts a server with all routes, and what stands behind them.
func open(t transport, users int) (s *server, site routes.Site, err error) {
	site = routes.Site{Ports: map[string]int{}, TLS: t != plainHTTP, Header: true}
	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, site, err
	}
	go http.Serve(upstream, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok")) })) //nolint:errcheck,gosec // ends with us
	site.Upstream = upstream.Addr().String()
	for _, r := range rows("") {
		if site.Ports[r.route] != 0 {
			continue
		}
		if site.Ports[r.route], err = freePort(); err != nil {
			return nil, site, err
		}
	}
	if site.Dir, err = os.MkdirTemp("", "compare"); err != nil {
		return nil, site, err
	}
	for name, content := range map[string]string{
		"phones.csv": routes.Phonebook(users), "page.html": strings.Repeat("a page as long as the challenge ", 512),
	} {
		if err := os.WriteFile(filepath.Join(site.Dir, name), []byte(content), 0o600); err != nil {
			return nil, site, err
		}
	}
	s, err = startServer(site)
	return s, site, err
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// block is how many rounds are compared as one: the server collects garbage during one slice in five,
// which costs as much as half of it.
const block = 20

// ratios compares what two rows took over each block of the rounds that both had, and sorts what comes out.
func ratios(of, to []float64) (all []float64) {
	rounds := min(len(of), len(to))
	for first := 0; first < rounds; first += block {
		last := min(first+block, rounds)
		all = append(all, sum(of[first:last])/sum(to[first:last]))
	}
	slices.Sort(all)
	return all
}

func sum(all []float64) (total float64) {
	for _, x := range all {
		total += x
	}
	return total
}

// quantile of what is sorted.
func quantile(sorted []float64, q float64) float64 {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
