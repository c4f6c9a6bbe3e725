package bench

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // the Caddyfile adapter and the peers

	_ "github.com/caddy-sms-otp/caddy-sms-otp/caddymodule"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddy-sms-otp/caddy-sms-otp/test/bench/routes"
	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

// site is Caddy with routes, asked without a network: what is left is what its handlers cost.
type site struct {
	tb      testing.TB
	servers map[string]*caddyhttp.Server
	codes   sync.Map // number -> code
}

// start runs the routes, for the users u0 to u(n-1) beside alice, until the test ends.
func start(tb testing.TB, users int, names ...string) *site {
	tb.Helper()
	s := &site{tb: tb, servers: map[string]*caddyhttp.Server{}}
	routes.Texts = func(m otpcore.Message) { s.codes.Store(string(m.To), harness.CodeIn(m.Text)) }
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

// do asks a route as a program does, and wants the given status.
func (s *site) do(route string, r *http.Request, status int) *httptest.ResponseRecorder {
	s.tb.Helper()
	w := httptest.NewRecorder()
	s.servers[route].ServeHTTP(w, r)
	if w.Code != status {
		s.tb.Fatalf("%s %s: %d %s, want %d", r.Method, r.URL, w.Code, w.Body, status)
	}
	return w
}

func request(method, target, user, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "localhost"
	r.Header.Set("X-User", user)
	r.Header.Set("Accept", "application/json")
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

// token takes a user all the way in and returns his cookie's value.
func (s *site) token(user, number string) string {
	s.tb.Helper()
	w := s.do(routes.Gate, request("POST", "/?sms_otp=send", user, ""), http.StatusAccepted)
	verify := request("POST", "/?sms_otp=verify", user, url.Values{"code": {s.code(number)}}.Encode())
	for _, c := range w.Result().Cookies() {
		verify.AddCookie(c)
	}
	for _, c := range s.do(routes.Gate, verify, http.StatusOK).Result().Cookies() {
		if c.Name == routes.Cookie {
			return c.Value
		}
	}
	s.tb.Fatal("no cookie came with the verification")
	return ""
}

func (s *site) code(number string) string {
	for {
		if code, ok := s.codes.Load(number); ok {
			return code.(string)
		}
	}
}

// A visit is one request that can be made over and over: a gate takes its cookie out each time.
type visit struct {
	server *caddyhttp.Server
	r      *http.Request
	cookie []string
	w      discard
}

func (s *site) visit(route, user string, cookies ...string) *visit {
	v := &visit{server: s.servers[route], r: request("GET", "/", user, ""), w: discard{header: http.Header{}}}
	v.r.Body = http.NoBody
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
