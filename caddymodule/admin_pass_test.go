package caddymodule_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

func TestPassLetsInOnceWhenNothingCanBeSent(t *testing.T) {
	s := startWithAdmin(t, "total_sends 1 24h")
	s.Client("bob").Call("send", nil)
	c := s.Client("alice")
	page := c.Open("/")
	if page.Status != http.StatusServiceUnavailable || !strings.Contains(page.Body, `action="/?sms_otp=verify"`) {
		t.Fatalf("the page without messages: %d, with a field for the code: %t", page.Status, strings.Contains(page.Body, "sms_otp=verify"))
	}
	a := mustAdmin(t, s, "POST", "users/alice/pass")
	code := a.json(t)["code"].(string)
	if life := time.Until(time.Unix(int64(a.number(t, "expires_at")), 0)); life < 14*time.Minute || life > 15*time.Minute+time.Second {
		t.Errorf("good for %s, want 15 minutes", life)
	}
	if a := s.Client("bob").Verify(code); a.Status == http.StatusOK {
		t.Error("another user's pass let somebody in")
	}
	in := c.Submit("/?sms_otp=verify", url.Values{"code": {" " + code[:6] + " - " + code[6:]}})
	if in.Status != http.StatusSeeOther || in.Header.Get("Location") != "/" {
		t.Fatalf("the pass: %d %s", in.Status, in.Body)
	}
	if a := c.Open("/"); a.Status != http.StatusOK {
		t.Errorf("with the pass: %d", a.Status)
	}
	if a := s.Client("alice").Verify(code); a.Status != http.StatusForbidden || a.Problem() != "no-challenge" {
		t.Errorf("the pass a second time: %d %s", a.Status, a.Body)
	}
	if log := s.Log(); !strings.Contains(log, "issued a code of the help desk") || !strings.Contains(log, "verified with a code of the help desk") || strings.Contains(log, code) {
		t.Error("the log does not tell of the pass, or tells it")
	}
}

func TestGuessesAtAPassSpendTheUsersAttempts(t *testing.T) {
	s := startWithAdmin(t, "user_attempts 6 24h")
	code := mustAdmin(t, s, "POST", "users/alice/pass").json(t)["code"].(string)
	c := s.Client("alice")
	for range 4 {
		if a := c.Verify(harness.Wrong(code)); a.Status != http.StatusForbidden || a.Problem() != "code-wrong" {
			t.Fatalf("a wrong pass: %d %s", a.Status, a.Body)
		}
	}
	sent := guessWrong(t, s, c, 2)
	for _, right := range []string{code, sent} {
		if a := s.Client("alice").Verify(right); a.Status == http.StatusOK {
			t.Fatalf("more guesses than the limit: %s", a.Body)
		}
	}
	if a := c.Verify(code); a.Problem() != "locked" {
		t.Errorf("the right pass of a locked user: %d %s", a.Status, a.Body)
	}
	if mustAdmin(t, s, "POST", "users/alice/pass").json(t)["locked"] != true {
		t.Error("the help desk is not told that the user is locked")
	}
	mustAdmin(t, s, "POST", "users/alice/unlock")
	if a := c.Verify(code); a.Status == http.StatusOK {
		t.Error("a pass that was replaced let somebody in")
	}
}

func TestWrongPassWithoutAChallengeShowsThePageAgain(t *testing.T) {
	s := startWithAdmin(t, "")
	code := mustAdmin(t, s, "POST", "users/alice/pass").json(t)["code"].(string)
	c := s.Client("alice")
	a := c.Submit("/?sms_otp=verify", url.Values{"code": {harness.Wrong(code)}})
	if a.Status != http.StatusForbidden || !strings.Contains(a.Body, "sms_otp=send") || !strings.Contains(a.Body, `action="/?sms_otp=verify"`) {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if strings.Contains(a.Body, "data-resend") {
		t.Error("the page waits for a message that nobody sent")
	}
	if !strings.Contains(a.Body, "<details open>") || strings.Contains(a.Body, "last attempt") {
		t.Error("the field is folded away, or the page counts what is not counted")
	}
}
