package e2e

import (
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

func init() {
	caddy.RegisterModule(faulty{})
	httpcaddyfile.RegisterHandlerDirective("faulty", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		return faulty{}, nil
	})
	httpcaddyfile.RegisterDirectiveOrder("faulty", httpcaddyfile.Before, "reverse_proxy")
}

// faulty is a handler of somebody else's that panics when it is told to.
type faulty struct{}

func (faulty) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.faulty", New: func() caddy.Module { return new(faulty) }}
}

func (faulty) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if r.Header.Get("X-Panic") != "" {
		panic("as it was told to")
	}
	return next.ServeHTTP(w, r)
}

func TestAHandlerThatPanicsOpensNothing(t *testing.T) {
	s := harness.Start(t, harness.Options{Before: "faulty", Global: "limits {\nresend_after 1s\n}"})
	fault := http.Header{"X-Panic": {"1"}}
	stranger, c := s.Client("bob"), s.Client("alice")
	c.Open("/")
	code := s.Code(1)
	for range 3 {
		want(t, stranger.Do("GET", "/", "", fault), 403, "step-up-required") // it is behind the gate
		want(t, c.Verify(harness.Wrong(code)), 403, "code-wrong")
	}
	want(t, c.Verify(code), 200, "")
	for range 3 {
		if a, err := c.Try("GET", "/", "", fault); err == nil {
			t.Fatalf("no panic: %d", a.Status)
		}
	}
	if a := c.Open("/"); a.Status != 200 {
		t.Errorf("who is in, after the panic: %d", a.Status)
	}
	want(t, stranger.Do("GET", "/", "", nil), 403, "step-up-required")
	if n := len(s.Upstream.Hits()); n != 1 {
		t.Errorf("%d requests got through, want the one", n)
	}
}
