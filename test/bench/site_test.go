package bench

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // the Caddyfile adapter and the peers

	_ "github.com/caddy-sms-otp/caddy-sms-otp/caddymodule"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddy-sms-otp/caddy-sms-otp/test/bench/routes"
)

// site is Caddy with routes, asked without a network: what is left is what its handlers cost.
type site struct {
	tb      testing.TB
	servers map[string]*caddyhttp.Server
	keys    *otpcore.Keyring
}

// start runs the routes, for the users u0 to u(n-1) beside alice, until the test ends.
func start(tb testing.TB, users int, names ...string) *site {
	tb.Helper()
	keys, err := routes.Keys()
	if err != nil {
		tb.Fatal(err)
	}
	s := &site{tb: tb, servers: map[string]*caddyhttp.Server{}, keys: keys}
	config := routes.Site{Dir: tb.TempDir(), Upstream: "127.0.0.1:9", Ports: map[string]int{}}
	for _, name := range names {
		config.Ports[name] = freePort(tb)
	}
	if err := os.WriteFile(filepath.Join(config.Dir, "phones.csv"), []byte(routes.Phonebook(users)), 0o600); err != nil {
		tb.Fatal(err)
	}
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(config.Caddyfile()), nil)
	if err == nil {
		err = caddy.Load(adapted, true)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			tb.Error(err)
		}
	})
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		tb.Fatal(err)
	}
	for _, server := range app.(*caddyhttp.App).Servers {
		for name, port := range config.Ports {
			if strings.HasSuffix(server.Listen[0], ":"+strconv.Itoa(port)) {
				s.servers[name] = server
			}
		}
	}
	return s
}

func freePort(tb testing.TB) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// token is the cookie of a user who is in.
func (s *site) token(user string, number otpcore.Number) string {
	s.tb.Helper()
	cookie, err := routes.Token(s.keys, "localhost", user, number)
	if err != nil {
		s.tb.Fatal(err)
	}
	return cookie
}

// A visit is one request that can be made over and over: a gate takes its cookie out each time.
type visit struct {
	server *caddyhttp.Server
	r      *http.Request
	cookie []string
	w      discard
}

func (s *site) visit(route, user string, cookies ...string) *visit {
	v := &visit{server: s.servers[route], r: httptest.NewRequest("GET", "/", http.NoBody), w: discard{header: http.Header{}}}
	v.r.Host = "localhost"
	v.r.Header.Set("X-User", user)
	v.r.Header.Set("Accept", "application/json")
	if route == routes.BasicAuth || route == routes.BasicAuthGate {
		v.r.SetBasicAuth("alice", routes.Password)
	}
	if len(cookies) > 0 {
		v.cookie = []string{strings.Join(cookies, "; ")}
	}
	return v
}

func (v *visit) make() int {
	if v.cookie != nil {
		v.r.Header["Cookie"] = v.cookie[:1:1]
	}
	clear(v.w.header)
	v.w.status = 0
	v.server.ServeHTTP(&v.w, v.r)
	return v.w.status
}

// discard keeps nothing of an answer but its status.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
