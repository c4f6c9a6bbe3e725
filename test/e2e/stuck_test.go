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

const sendButton = "sms_otp=send"

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
