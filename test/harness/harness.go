// Package harness runs Caddy with the module in process, in front of a real
// upstream and behind a real gateway, for end-to-end tests and benchmarks.
//
// Caddy is one per process, so tests that use it run one after another.
package harness

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // the Caddyfile adapter and all that a site uses

	_ "github.com/caddy-sms-otp/caddy-sms-otp/caddymodule" // what is tested
	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient/gatewaytest"
)

// Password is that of every user, and Token the gateway's: canaries that must show nowhere.
const (
	Password = "canary-password-71e0"
	Token    = "canary-token-4f1c8a"
)

// passwordHash is bcrypt of Password, at the lowest cost.
const passwordHash = "$2a$04$O6.xsGim/5MVFRqJYLCkhOidUHgic2ymNDi3TycmL/P8BQBis0Cxe"

// Numbers of the phonebook.
var Numbers = map[string]string{
	"alice": "+447700900123", "bob": "+447700900456", "carol": "+447700900789",
}

// Options of Start. The zero value is a whole site behind basic_auth and sms_otp.
type Options struct {
	Global   string // further lines of the global option sms_otp
	Servers  string // further global options of Caddy
	Before   string // lines of the site before the gate, such as matchers
	Matcher  string // the gate's matcher, such as @inside
	Block    string // lines of the gate's block
	Proxy    string // lines of the block of reverse_proxy, which stands behind the gate
	Device   string // further lines of the gateway's block
	Phones   string // lines of the phonebook. Default: Numbers
	NoAuth   bool   // leave basic_auth out
	Admin    bool   // with an admin endpoint, see Site.Admin
	TLS      bool   // clients then speak HTTP/2
	Upstream http.Handler
	Gateway  gatewaytest.Options
}

// Site is a running site.
type Site struct {
	URL      string
	Gateway  *gatewaytest.Server
	Upstream *Upstream // nil in a site of StartCaddyfile
	Admin    string    // address of the admin endpoint, if there is one
	Dir      string    // holds phones.csv, Caddy's storage and its log

	t       testing.TB
	port    int
	roots   *x509.CertPool // nil without TLS
	gateway string
	options Options
	mu      sync.Mutex
	idle    []func() // end the clients' connections that nothing is sent over
}

// Start runs a site until the test ends.
func Start(t testing.TB, o Options) *Site {
	t.Helper()
	s := newSite(t, o.Gateway)
	s.options = o
	s.Upstream = newUpstream(t, o.Upstream)
	if o.TLS {
		s.URL = fmt.Sprintf("https://localhost:%d", s.port)
		s.roots = s.certify()
	}
	if o.Admin {
		s.Admin = fmt.Sprintf("localhost:%d", freePort(t))
	}
	t.Setenv("HARNESS_GATEWAY_TOKEN", Token)
	phones := o.Phones
	if phones == "" {
		for user, number := range Numbers {
			phones += user + "," + number + "\n"
		}
	}
	s.WritePhones("user,phone\n" + phones)
	s.run(s.Caddyfile())
	return s
}

// newSite is a site that does not run yet, with a gateway that does.
func newSite(t testing.TB, o gatewaytest.Options) *Site {
	if len(o.Devices) == 0 {
		o = gatewaytest.Options{
			Devices: []string{"10403"}, Poll: 10 * time.Millisecond, Pace: time.Millisecond, Report: 10 * time.Millisecond,
		}
	}
	s := &Site{t: t, Dir: t.TempDir(), port: freePort(t), Gateway: gatewaytest.New(o)}
	s.URL = fmt.Sprintf("http://localhost:%d", s.port)
	s.gateway = s.Gateway.Start()
	t.Cleanup(s.Gateway.Close)
	return s
}

func (s *Site) run(caddyfile string) {
	s.t.Helper()
	if err := s.Load(caddyfile); err != nil {
		s.t.Fatalf("loading the site: %v", err)
	}
	s.t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			s.t.Errorf("stopping Caddy: %v", err)
		}
	})
}

func freePort(t testing.TB) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// WritePhones replaces the phonebook file.
func (s *Site) WritePhones(content string) { s.write("phones.csv", []byte(content)) }

func (s *Site) write(name string, content []byte) {
	if err := os.WriteFile(filepath.Join(s.Dir, name), content, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// Caddyfile is the configuration that the site runs.
func (s *Site) Caddyfile() string {
	o := s.options
	auth := ""
	if !o.NoAuth {
		auth = "basic_auth {\n"
		for user := range Numbers {
			auth += user + " " + passwordHash + "\n"
		}
		auth += "nobody " + passwordHash + "\n}\n"
	}
	if o.TLS {
		auth = fmt.Sprintf("tls %[1]s/cert.pem %[1]s/key.pem\n", s.Dir) + auth
	}
	admin := "off"
	if s.Admin != "" {
		admin = s.Admin
	}
	return fmt.Sprintf(`{
	admin %[12]s
	auto_https off
	persist_config off
	default_bind 127.0.0.1
	storage file_system %[1]s/storage
	log {
		output file %[1]s/log.json
		level DEBUG
	}
	%[2]s
	sms_otp {
		gateway smsgateway24 {
			url %[3]s
			token {env.HARNESS_GATEWAY_TOKEN}
			poll 500ms
			device 10403 {
				limit 10000 1h
			}
			%[4]s
		}
		phonebook file %[1]s/phones.csv
		%[5]s
	}
}
%[6]s {
	encode
	%[7]s
	%[8]s
	sms_otp %[9]s {
		%[10]s
	}
	reverse_proxy %[11]s {
		%[13]s
	}
}
`, s.Dir, o.Servers, s.gateway, o.Device, o.Global, s.URL, auth, o.Before, o.Matcher, o.Block, strings.TrimPrefix(s.Upstream.URL, "http://"), admin, o.Proxy)
}

// closing is how long the server before, or one that was refused, may keep its socket: whoever
// waits there when it closes has to come again.
const closing = 50 * time.Millisecond

// Load puts a configuration in force, as caddy reload does.
func (s *Site) Load(caddyfile string) error {
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err
	}
	err = caddy.Load(config, true)
	time.Sleep(closing)
	if err != nil {
		return err
	}
	// The server before ends them just now; a request sent over one could be lost.
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, end := range s.idle {
		end()
	}
	return nil
}

// Log is everything that Caddy has logged, at DEBUG.
func (s *Site) Log() string {
	content, err := os.ReadFile(filepath.Join(s.Dir, "log.json"))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(content)
}

// Code waits for the message number n (the first is 1) and returns its code.
func (s *Site) Code(n int) string {
	s.t.Helper()
	for range 1000 {
		if m := s.Gateway.Messages(); len(m) >= n {
			return CodeIn(m[n-1].Body)
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.t.Fatalf("%d messages came, waited for %d", len(s.Gateway.Messages()), n)
	return ""
}

// Messages is how many messages have come once those on their way have settled.
func (s *Site) Messages() int {
	time.Sleep(100 * time.Millisecond) // nothing may come; there is nothing to wait for
	return len(s.Gateway.Messages())
}

// CodeIn finds the code in a message: the first run of four or more digits or capitals with a digit.
func CodeIn(body string) string {
	for word := range strings.FieldsSeq(body) {
		word = strings.Trim(word, ".,:#")
		if len(word) >= 4 && strings.Trim(word, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == "" && strings.ContainsAny(word, "0123456789") {
			return word
		}
	}
	return ""
}

// Upstream is what the gate protects. It counts what reaches it.
type Upstream struct {
	URL string

	mu       sync.Mutex
	requests []Hit
}

// Hit is a request that got through.
type Hit struct {
	Method, URI, Cookie string
	Header              http.Header
	Body                string
}

func newUpstream(t testing.TB, h http.Handler) *Upstream {
	u := new(Upstream)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		body.ReadFrom(r.Body) //nolint:errcheck // an empty body will show
		u.mu.Lock()
		u.requests = append(u.requests, Hit{r.Method, r.RequestURI, r.Header.Get("Cookie"), r.Header.Clone(), body.String()})
		u.mu.Unlock()
		if h != nil {
			h.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<!doctype html><title>Inside</title><h1>inside</h1>")
	})}
	go server.Serve(l) //nolint:errcheck // ends with the test
	t.Cleanup(func() { server.Close() })
	u.URL = "http://" + l.Addr().String()
	return u
}

// Hits are the requests that got through so far.
func (u *Upstream) Hits() []Hit {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]Hit(nil), u.requests...)
}
