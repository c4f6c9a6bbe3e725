package examples

import (
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

const (
	sessionCookie = "__Host-Http-sms-otp"
	deviceCookie  = "__Host-Http-sms-otp-device"
)

// browser is a new one, of somebody who knows alice's password.
func browser(s *harness.Site) *harness.Client {
	c := s.Client("alice")
	c.Password = "demo"
	return c
}

// unreadable is what of a page would bury the rest in a test's report.
var unreadable = regexp.MustCompile(`(?s)<(style|script)>.*?</(style|script)>`)

// shows checks that the page came and what it says.
func shows(t *testing.T, a harness.Answer, status int, text string) {
	t.Helper()
	if a.Status != status || !strings.Contains(a.Body, text) {
		t.Fatalf("answer %d, want %d with %q: %s", a.Status, status, text, unreadable.ReplaceAllString(a.Body, ""))
	}
}

// texted waits for the message number n and checks whom it went to and what it says.
func texted(t *testing.T, s *harness.Site, n int, to, text string) (code string) {
	t.Helper()
	code = s.Code(n)
	if m := s.Gateway.Messages()[n-1]; m.To != to || !strings.Contains(m.Body, text) {
		t.Errorf("message %d to %s: %q, want it to %s with %q", n, m.To, m.Body, to, text)
	}
	return code
}

// answer types a wrong code, which must not open the page, and then the right one, which must.
func answer(t *testing.T, c *harness.Client, path, code string, more url.Values) {
	t.Helper()
	form := func(code string) url.Values {
		f := url.Values{"code": {code}}
		for name, values := range more {
			f[name] = values
		}
		return f
	}
	shows(t, c.Submit(path+"?sms_otp=verify", form(harness.Wrong(code))), http.StatusForbidden, "That code is not right.")
	if a := c.Open(path); a.Status != http.StatusForbidden {
		t.Fatalf("after a wrong code: %d %s", a.Status, a.Body)
	}
	a := c.Submit(path+"?sms_otp=verify", form(code))
	if a.Status != http.StatusSeeOther || a.Header.Get("Location") != path {
		t.Fatalf("the right code: %d to %q, %s", a.Status, a.Header.Get("Location"), a.Body)
	}
}

// leave presses the page's own button.
func leave(t *testing.T, c *harness.Client, page harness.Answer) {
	t.Helper()
	form := regexp.MustCompile(`<form method="post" action="([^"]+)"><button>Log out`).FindStringSubmatch(page.Body)
	if form == nil {
		t.Fatalf("no form to log out with: %s", page.Body)
	}
	a := c.Submit(form[1], nil)
	if a.Status != http.StatusSeeOther {
		t.Fatalf("logout: %d %s", a.Status, a.Body)
	}
	shows(t, c.Open(a.Header.Get("Location")), http.StatusForbidden, "Send the code")
}

// messages checks how many have come in all.
func messages(t *testing.T, s *harness.Site, want int) {
	t.Helper()
	if n := s.Messages(); n != want {
		t.Errorf("%d messages, want %d", n, want)
	}
}

// administer does what caddy sms-otp does.
func administer(t *testing.T, s *harness.Site, action string) (answer map[string]any) {
	t.Helper()
	r, err := http.Post("http://"+s.Admin+"/sms_otp/users/alice/"+action, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK || json.Unmarshal(body, &answer) != nil {
		t.Fatalf("%s: %d %s %v", action, r.StatusCode, body, err)
	}
	return answer
}

// wait lets time pass for the browser: its verification grows older, by the key in
// Caddy's storage, and the next message may be sent. Nobody waits five minutes for a test.
func wait(t *testing.T, s *harness.Site, c *harness.Client, d time.Duration) {
	t.Helper()
	secret, err := base64.StdEncoding.DecodeString(read(t, filepath.Join(s.Dir, "storage", "sms_otp", "key")))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := otpcore.NewKeyring(secret)
	if err != nil {
		t.Fatal(err)
	}
	held, err := keys.Read(c.Cookies[sessionCookie], strings.TrimPrefix(s.URL, "http://"), "alice")
	if err != nil {
		t.Fatalf("the browser's verification: %v", err)
	}
	held.VerifiedAt = held.VerifiedAt.Add(-d)
	if c.Cookies[sessionCookie], err = keys.Issue(held); err != nil {
		t.Fatal(err)
	}
	administer(t, s, "unlock")
}

func secondFactor(t *testing.T, s *harness.Site) {
	stranger := s.Client("")
	if a := stranger.Open("/"); a.Status != http.StatusUnauthorized {
		t.Errorf("without the password: %d", a.Status)
	}
	c := browser(s)
	shows(t, c.Open("/"), http.StatusForbidden, "the IT desk, extension 123")
	answer(t, c, "/", texted(t, s, 1, "+447700900123", "Example Co"), nil)
	inside := c.Open("/")
	shows(t, inside, http.StatusOK, "You are in, alice.")
	leave(t, c, inside)
	messages(t, s, 1)
}

func forwardAuth(t *testing.T, s *harness.Site) {
	stranger := s.Client("")
	stranger.Header.Set("Remote-User", "alice")
	if a := stranger.Open("/"); a.Status != http.StatusUnauthorized || a.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("whom the sign-on service does not know: %d %s", a.Status, a.Body)
	}
	c := browser(s)
	shows(t, c.Open("/"), http.StatusForbidden, "the IT desk, extension 123")
	answer(t, c, "/", texted(t, s, 1, "+447700900124", "Example Co"), nil)
	shows(t, c.Open("/", "Remote-User", "bob"), http.StatusOK, "You are in, alice.")
	messages(t, s, 1)
}

func transactionConfirmation(t *testing.T, s *harness.Site) {
	c := browser(s)
	shows(t, c.Open("/"), http.StatusOK, `<form method="post" action="/pay">`)
	payment := url.Values{"amount": {"12.50"}, "to": {"Corner Shop"}}
	page := c.Submit("/pay", payment)
	shows(t, page, http.StatusForbidden, "POST /pay")
	code := texted(t, s, 1, "+447700900125", "EUR 12.50 to Corner Shop at Example Bank.")
	kept := regexp.MustCompile(`name="kept" value="([^"]+)"`).FindStringSubmatch(page.Body)
	if kept == nil {
		t.Fatalf("the page does not keep the payment: %s", page.Body)
	}
	form := func(code string) url.Values {
		return url.Values{"code": {code}, "kept": {html.UnescapeString(kept[1])}}
	}
	shows(t, c.Submit("/pay?sms_otp=verify", form(harness.Wrong(code))), http.StatusForbidden, "That code is not right.")

	const paid = "Paid: amount=12.50&to=Corner+Shop"
	bodies := make(chan string, 20)
	var wg sync.WaitGroup
	for range cap(bodies) {
		tab := c.Tab()
		wg.Go(func() { bodies <- tab.Submit("/pay?sms_otp=verify", form(code)).Body })
	}
	wg.Wait()
	close(bodies)
	times := 0
	for body := range bodies {
		if body == paid {
			times++
		} else if strings.Contains(body, "Paid") {
			t.Errorf("something else was paid: %s", body)
		}
	}
	if times != 1 {
		t.Errorf("paid %d times", times)
	}
	shows(t, c.Submit("/pay?sms_otp=verify", form(code)), http.StatusForbidden, "This is already confirmed")
	if c.Cookies[sessionCookie] != "" {
		t.Error("a confirmation left a session behind")
	}
	messages(t, s, 1)
	administer(t, s, "unlock")
	shows(t, c.Submit("/pay", payment), http.StatusForbidden, "POST /pay")
	texted(t, s, 2, "+447700900125", "EUR 12.50 to Corner Shop at Example Bank.")
}

func accountRecovery(t *testing.T, s *harness.Site) {
	c := s.Client("")
	// Said on every page, and believed on none.
	c.Header.Set("X-Verified-Phone", "+12025550100")
	shows(t, c.Open("/"), http.StatusOK, `<a href="/recover">Forgot your password?</a>`)
	shows(t, c.Open("/recover"), http.StatusForbidden, `name="phone"`)
	shows(t, c.Submit("/recover?sms_otp=send", url.Values{"phone": {"+44 7700 900123"}}), http.StatusUnprocessableEntity, "cannot be sent to this number")
	messages(t, s, 0)
	if a := c.Submit("/recover?sms_otp=send", url.Values{"phone": {"+1 202 555 0123"}}); a.Status != http.StatusAccepted {
		t.Fatalf("send: %d %s", a.Status, a.Body)
	}
	answer(t, c, "/recover", texted(t, s, 1, "+12025550123", "Example Shop"), nil)
	const verified = "Choose a new password for the account of +12025550123."
	shows(t, c.Open("/recover"), http.StatusOK, verified)
	shows(t, c.Submit("/recover/password", url.Values{"password": {"new"}}), http.StatusOK, verified)
	shows(t, c.Open("/"), http.StatusOK, "Forgot your password?")
	messages(t, s, 1)
}

func newDevice(t *testing.T, s *harness.Site) {
	const to, announced = "+447700900126", "New device at Example Co"
	c := browser(s)
	shows(t, c.Open("/"), http.StatusForbidden, "Trust this browser for 30")
	answer(t, c, "/", texted(t, s, 1, to, announced), url.Values{"trust": {"1"}})
	if !strings.Contains(s.Log(), "browser trusted") {
		t.Error("the log does not tell of the trust")
	}
	reopen(c)
	inside := c.Open("/")
	shows(t, inside, http.StatusOK, "You are in, alice.")
	messages(t, s, 1)

	administer(t, s, "unlock")
	other := browser(s)
	shows(t, other.Open("/"), http.StatusForbidden, "Trust this browser for 30")
	answer(t, other, "/", texted(t, s, 2, to, announced), nil)
	shows(t, other.Open("/"), http.StatusOK, "You are in, alice.")
	reopen(other)
	if a := other.Open("/"); a.Status != http.StatusForbidden {
		t.Errorf("a browser that nobody trusted, opened again: %d", a.Status)
	}

	kept := c.Cookies[deviceCookie]
	leave(t, c, inside)
	c.Cookies[deviceCookie] = kept
	if a := c.Open("/"); a.Status != http.StatusForbidden {
		t.Errorf("trusted before it logged out: %d", a.Status)
	}
}

// reopen closes the browser, which forgets its session with that, and opens it again.
func reopen(c *harness.Client) { delete(c.Cookies, sessionCookie) }

func freshness(t *testing.T, s *harness.Site) {
	const to = "+447700900127"
	c := browser(s)
	c.Open("/")
	answer(t, c, "/", texted(t, s, 1, to, "Example Co"), nil)
	shows(t, c.Open("/"), http.StatusOK, "You are in, alice.")
	shows(t, c.Open("/billing/"), http.StatusOK, "Your invoices, alice.")
	wait(t, s, c, 4*time.Minute)
	shows(t, c.Open("/billing/"), http.StatusOK, "Your invoices, alice.")
	wait(t, s, c, time.Minute)
	const why = "asks again because this part needs a recent check."
	for n, path := range []string{"/billing", "/billing/", "/billing/2026"} {
		shows(t, c.Open(path), http.StatusForbidden, why)
		shows(t, c.Open("/"), http.StatusOK, "You are in, alice.")
		if n == 0 {
			texted(t, s, 2, to, "Example Co")
		}
	}
	answer(t, c, "/billing/", s.Code(2), nil)
	shows(t, c.Open("/billing/"), http.StatusOK, "Your invoices, alice. Your code is 0 seconds old.")
	shows(t, c.Open("/"), http.StatusOK, "Your code is 0 seconds old.")
	messages(t, s, 2)
}
