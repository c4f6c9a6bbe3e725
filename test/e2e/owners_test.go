package e2e

import (
	"testing"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

func TestRightCodeAsAnotherUserIsRefusedAndCharged(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	alice, bob := s.Client("alice"), s.Client("bob")
	alice.Open("/")
	code := s.Code(1)
	bob.Cookies[challengeCookie] = alice.Cookies[challengeCookie]
	want(t, bob.Verify(code), 403, "code-wrong")
	if left := number(t, alice.Status().JSON(), "attempts_left"); left != 4 {
		t.Errorf("%d attempts left, want 4", left)
	}
	if _, got := bob.Cookies[tokenCookie]; got {
		t.Error("another user's code gave a token")
	}
	want(t, alice.Verify(code), 200, "")
}
