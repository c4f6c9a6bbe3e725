package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

const trustCookie = "__Host-Http-sms-otp-device"

func trusting() harness.Options {
	return harness.Options{
		Global: "limits {\nresend_after 1s\n}",
		Before: "@always path /always\nsms_otp @always {\nidle 1s\n}\n@rest not path /always", Matcher: "@rest", Block: "trust_device 30d\nidle 1s\nmax_age 2s",
	}
}

func TestATrustedBrowserIsNotAskedAgainWhereThatIsAllowed(t *testing.T) {
	s := harness.Start(t, trusting())
	c := s.Client("alice")
	page := c.Open("/")
	if !strings.Contains(page.Body, `type="checkbox" id="trust"`) || strings.Contains(page.Body, " checked") {
		t.Errorf("no unticked box on the page")
	}
	code := s.Code(1)
	if text := s.Gateway.Messages()[0].Body; !strings.Contains(strings.ToLower(text), "new device") && !strings.Contains(strings.ToLower(text), "new browser") {
		t.Errorf("the message does not tell of a new device: %q", text)
	}
	a := c.Submit("/?sms_otp=verify", url.Values{"code": {code}, "trust": {"1"}})
	if a.Status != 303 {
		t.Fatalf("%d", a.Status)
	}
	found := false
	for _, line := range a.Header.Values("Set-Cookie") {
		if strings.HasPrefix(line, trustCookie+"=") {
			found = strings.Contains(line, "Max-Age=2592000") && strings.Contains(line, "HttpOnly") && strings.Contains(line, "Secure")
		}
	}
	if !found {
		t.Errorf("device cookie: %v", a.Header.Values("Set-Cookie"))
	}
	time.Sleep(2100 * time.Millisecond)
	if a := c.Open("/"); a.Status != http.StatusOK {
		t.Errorf("trusted, after idle and max_age: %d", a.Status)
	}
	if a := c.Do("GET", "/always", "", nil); a.Status != 403 {
		t.Errorf("a route without the option: %d", a.Status)
	}
	for _, hit := range s.Upstream.Hits() {
		if strings.Contains(hit.Cookie, "sms-otp") {
			t.Errorf("the upstream got %q", hit.Cookie)
		}
	}
	thief := s.Client("bob")
	thief.Cookies[trustCookie] = c.Cookies[trustCookie]
	want(t, thief.Do("GET", "/", "", nil), 403, "step-up-required")
	stolen := c.Cookies[trustCookie]
	c.Submit("/?sms_otp=logout", nil)
	if _, still := c.Cookies[trustCookie]; still {
		t.Error("the browser keeps the device cookie after logout")
	}
	c.Cookies[trustCookie] = stolen
	want(t, c.Do("GET", "/", "", nil), 403, "step-up-required")
}

func TestWithoutTheTickNoBrowserIsTrusted(t *testing.T) {
	s := harness.Start(t, trusting())
	c := s.Client("alice")
	c.Enter()
	if c.Cookies[trustCookie] != "" {
		t.Error("trusted unasked")
	}
	time.Sleep(1100 * time.Millisecond)
	want(t, c.Do("GET", "/", "", nil), 403, "step-up-required")
}

func TestAChangedNumberEndsTheTrust(t *testing.T) {
	s := harness.Start(t, trusting())
	c := s.Client("alice")
	c.Open("/")
	c.Submit("/?sms_otp=verify", url.Values{"code": {s.Code(1)}, "trust": {"1"}})
	time.Sleep(1100 * time.Millisecond)
	if a := c.Open("/"); a.Status != 200 {
		t.Fatalf("trusted: %d", a.Status)
	}
	s.WritePhones("user,phone\nalice,+44 7700 900999\n")
	deadline := time.Now().Add(15 * time.Second)
	for c.Do("GET", "/", "", nil).Status == 200 {
		if time.Now().After(deadline) {
			t.Fatal("the trust outlives the number")
		}
		time.Sleep(50 * time.Millisecond)
	}
}
