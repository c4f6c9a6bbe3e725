package restart

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient/gatewaytest"
	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

// restart stops the server as a service manager does, and starts it again.
// In between it does to the files of the state what it is told.
func restart(t *testing.T, s *harness.Site, do ...func(files []string)) {
	t.Helper()
	restartWith(t, s, s.Caddyfile(), do...)
}

func restartWith(t *testing.T, s *harness.Site, caddyfile string, do ...func(files []string)) {
	t.Helper()
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, f := range do {
		f(stateFiles(t, s))
	}
	if err := s.Load(caddyfile); err != nil {
		t.Fatal(err)
	}
}

// browser is a new browser. It holds no connection open: one that a stop has
// ended may be tried once more, and a POST is not repeated by itself.
func browser(s *harness.Site, user string) *harness.Client {
	c := s.Client(user)
	c.Header.Set("Connection", "close")
	return c
}

func stateFiles(t *testing.T, s *harness.Site) (files []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(s.Dir, "storage", "sms_otp", "state"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("no state was written down (%v)", err)
	}
	return files
}

func want(t *testing.T, a harness.Answer, status int, problem string) harness.Answer {
	t.Helper()
	if a.Status != status || a.Problem() != problem {
		t.Fatalf("answer %d %q, want %d %q: %s", a.Status, a.Problem(), status, problem, a.Body)
	}
	return a
}

func number(t *testing.T, a harness.Answer, name string) int {
	t.Helper()
	n, ok := a.JSON()[name].(float64)
	if !ok {
		t.Fatalf("no number %q in %s", name, a.Body)
	}
	return int(n)
}

func TestRightCodeWorksAfterARestartAndWrongOnesStaySpent(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	c := browser(s, "alice")
	c.Open("/")
	code := s.Code(1)
	want(t, c.Verify(harness.Wrong(code)), 403, "code-wrong")
	want(t, c.Verify(harness.Wrong(code)), 403, "code-wrong")
	for range 3 {
		restart(t, s)
		if left := number(t, want(t, c.Status(), 200, ""), "attempts_left"); left != 3 {
			t.Fatalf("%d attempts left, want 3", left)
		}
	}
	want(t, c.Verify(code), 200, "")
	restart(t, s)
	if a := c.Open("/"); a.Status != 200 {
		t.Errorf("a verification did not survive: %d", a.Status)
	}
	want(t, c.Verify(code), 200, "") // a double click, also over a restart
	if n := s.Messages(); n != 1 {
		t.Errorf("%d messages were sent, want 1", n)
	}
}

func TestLockSurvivesARestart(t *testing.T) {
	s := harness.Start(t, harness.Options{Global: "limits {\nattempts 2\nuser_attempts 3 24h\nresend_after 1s\n}"})
	c := browser(s, "alice")
	c.Open("/")
	code := s.Code(1)
	want(t, c.Verify(harness.Wrong(code)), 403, "code-wrong")
	want(t, c.Verify(harness.Wrong(code)), 403, "code-wrong")
	restart(t, s)
	want(t, c.Verify(code), 429, "locked")
	time.Sleep(1100 * time.Millisecond) // resend_after
	other := browser(s, "alice")
	other.Open("/")
	code = s.Code(2)
	want(t, other.Verify(harness.Wrong(code)), 403, "code-wrong")
	restart(t, s)
	for _, browser := range []*harness.Client{c, other, browser(s, "alice")} {
		if a := browser.Verify(code); a.Status == 200 {
			t.Error("a locked user got in")
		}
	}
	want(t, browser(s, "alice").Call("send", nil), 429, "locked")
}

func TestBudgetsSurviveARestart(t *testing.T) {
	s := harness.Start(t, harness.Options{Global: "limits {\ntotal_sends 2 24h\nphone_sends 1 24h\n}"})
	want(t, browser(s, "alice").Call("send", nil), 202, "")
	restart(t, s)
	want(t, browser(s, "alice").Call("send", nil), 429, "send-limited")
	want(t, browser(s, "bob").Call("send", nil), 202, "")
	restart(t, s)
	want(t, browser(s, "carol").Call("send", nil), 503, "unavailable")
	if n := s.Messages(); n != 2 {
		t.Errorf("%d messages were sent, want 2", n)
	}
}

func TestLogoutSurvivesARestart(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	c, other := browser(s, "alice"), browser(s, "bob")
	c.Enter()
	other.Enter()
	stolen := browser(s, "alice")
	maps.Copy(stolen.Cookies, c.Cookies)
	c.Submit("/?sms_otp=logout", nil)
	restart(t, s)
	hits := len(s.Upstream.Hits())
	if a := stolen.Open("/"); a.Status != 403 || len(s.Upstream.Hits()) != hits {
		t.Errorf("a token that was logged out opens the route: %d", a.Status)
	}
	if a := other.Open("/"); a.Status != 200 {
		t.Errorf("somebody else was logged out: %d", a.Status)
	}
}

func TestAllowanceOfADeviceSurvivesARestart(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	limited := strings.Replace(s.Caddyfile(), "limit 10000 1h", "limit 2 24h", 1)
	restartWith(t, s, limited)
	want(t, browser(s, "alice").Call("send", nil), 202, "")
	want(t, browser(s, "bob").Call("send", nil), 202, "")
	s.Code(2)
	restartWith(t, s, limited)
	want(t, browser(s, "carol").Call("send", nil), 503, "delivery-failed")
	if n := s.Messages(); n != 2 {
		t.Errorf("a phone that may send 2 sent %d", n)
	}
}

func TestMessageInFlightIsNotSentTwiceAndTheVisitorIsTold(t *testing.T) {
	s := harness.Start(t, harness.Options{Global: "limits {\nresend_after 1s\n}"})
	s.Gateway.Break(gatewaytest.Fault{Name: "no-pickup"}) // it stays queued
	c := browser(s, "alice")
	c.Open("/")
	code := ""
	for code == "" {
		if r := s.Gateway.Messages(); len(r) > 0 {
			code = harness.CodeIn(r[0].Body)
		}
		time.Sleep(5 * time.Millisecond)
	}
	restart(t, s)
	status := want(t, c.Status(), 200, "").JSON()
	if status["delivery"] != "unknown" {
		t.Errorf("delivery is %v, want unknown", status["delivery"])
	}
	time.Sleep(1100 * time.Millisecond) // resend_after
	if n := s.Messages(); n != 1 {
		t.Fatalf("%d messages after a restart, want 1", n)
	}
	s.Gateway.Mend(gatewaytest.Fault{Name: "no-pickup"})
	want(t, c.Call("send", nil), 202, "")
	if again := s.Code(2); again != code {
		t.Error("the visitor who asked again got another code")
	}
	want(t, c.Verify(code), 200, "")
}

func TestReloadWritesNothingTwiceAndLosesNothing(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	c := browser(s, "alice")
	c.Open("/")
	code := s.Code(1)
	want(t, c.Verify(harness.Wrong(code)), 403, "code-wrong")
	for i := range 5 {
		comment := strings.Repeat(" ", i+1)
		if err := s.Load(strings.Replace(s.Caddyfile(), "encode", "encode\nheader X-Generation"+comment+strings.Repeat("i", i+1), 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Load("{\nsms_otp {\n}\n}\n"); err == nil {
		t.Fatal("a broken configuration was loaded")
	}
	want(t, c.Verify(harness.Wrong(code)), 403, "code-wrong")
	restart(t, s)
	if left := number(t, want(t, c.Status(), 200, ""), "attempts_left"); left != 3 {
		t.Errorf("%d attempts left, want 3", left)
	}
	want(t, c.Verify(code), 200, "")
}

func TestNoStateIsInClear(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	c := browser(s, "alice")
	c.Open("/")
	code := s.Code(1)
	c.Verify(harness.Wrong(code))
	c.Verify(code)
	c.Submit("/?sms_otp=logout", nil)
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, file := range stateFiles(t, s) {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{code, "alice", harness.Numbers["alice"][1:]} {
			if strings.Contains(string(content), secret) {
				t.Errorf("%s holds %q", file, secret)
			}
		}
	}
}
