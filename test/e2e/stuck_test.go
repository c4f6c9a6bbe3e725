package e2e

import (
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

// says fails the test unless the page has the one text and lacks the other.
func says(t *testing.T, a harness.Answer, has, lacks string) {
	t.Helper()
	if a.Status/100 != 4 || !strings.Contains(a.Body, has) || strings.Contains(a.Body, lacks) {
		t.Errorf("%d, says %q: %t, says %q: %t", a.Status, has, strings.Contains(a.Body, has), lacks, strings.Contains(a.Body, lacks))
	}
}

const (
	noCookies    = "<h1>Your browser is blocking cookies"
	noChallenge  = "There is no code for this browser any more."
	notSubmitted = "<h1>Your form was not submitted"
	sendButton   = "sms_otp=send"
)

func TestBlockedCookiesAreCalledByTheirName(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	c := s.Client("alice")
	c.Open("/")
	form := url.Values{"code": {s.Code(1)}, "sent": {"1"}}
	clear(c.Cookies)
	says(t, c.Submit("/?sms_otp=verify", form), noCookies, noChallenge)
	// A browser that keeps the site's own has only lost ours.
	c.Cookies["theme"] = "dark"
	says(t, c.Submit("/?sms_otp=verify", form), noChallenge, noCookies)
	// The help desk's field is there before any cookie is.
	clear(c.Cookies)
	form.Del("sent")
	says(t, c.Submit("/?sms_otp=verify", form), noChallenge, noCookies)
}

func TestWaitingIsNotAdvisedWhereOnlyAnAdministratorHelps(t *testing.T) {
	s := harness.Start(t, harness.Options{Global: "limits {\nlock_after 2\n}"})
	c := s.Client("alice")
	c.Open("/")
	wrong := url.Values{"code": {harness.Wrong(s.Code(1))}}
	for range 2 {
		c.Submit("/?sms_otp=verify", wrong)
	}
	const untilUnlocked = "until the people who run"
	locked := c.Submit("/?sms_otp=verify", wrong)
	says(t, locked, untilUnlocked, sendButton)
	says(t, locked, untilUnlocked, "You can try again in")
	says(t, s.Client("alice").Open("/"), untilUnlocked, sendButton)
}

func TestFormThatWasKeptForTooLongIsSaidToBeLost(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	c := s.Client("alice")
	for _, action := range []string{"send", "verify"} {
		says(t, c.Submit("/save?sms_otp="+action, url.Values{"code": {"123456"}, "kept": {"b3V0ZGF0ZWQ"}}), notSubmitted, sendButton)
	}
	if n := s.Messages(); n != 0 {
		t.Errorf("%d messages for a form that is gone", n)
	}
}

func TestLostChallengeOfATransactionIsNotCalledDone(t *testing.T) {
	s := harness.Start(t, pay())
	c := s.Client("alice")
	page := c.Submit("/pay", transfer("5", "shop"))
	c.Cookies[challengeCookie] = "ABAAAAAAAAAAAAAAAAAAAA"
	a := c.Submit("/pay?sms_otp=verify", url.Values{"code": {s.Code(1)}, "kept": {keptIn(t, page)}})
	says(t, a, noChallenge, "already confirmed")
	keptIn(t, a) // and can still be confirmed
	says(t, c.Submit("/pay?sms_otp=send", nil), notSubmitted, sendButton)
}
