package e2e

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

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

// few are limits that an attacker has soon spent.
const few = "limits {\nresend_after 1s\nuser_attempts 5 24h\nphone_sends 3 24h\n}"

// exhaust spends all messages and guesses that somebody with the user's password has.
func exhaust(t *testing.T, s *harness.Site, user string) *harness.Client {
	t.Helper()
	attacker := s.Client(user)
	want(t, attacker.Call("send", nil), 202, "")
	code := s.Code(len(s.Gateway.Messages()))
	for answer := (harness.Answer{Status: 202}); answer.Status == 202; answer = attacker.Call("send", nil) {
		time.Sleep(1100 * time.Millisecond)
	}
	for range 5 {
		want(t, attacker.Verify(harness.Wrong(code)), 403, "code-wrong")
	}
	want(t, attacker.Verify(code), 429, "locked")
	want(t, s.Client(user).Call("send", nil), 429, "locked")
	return attacker
}

func TestOwnerGetsInWhereSomebodyKnowsThePassword(t *testing.T) {
	s := harness.Start(t, harness.Options{TLS: true, Global: few, Block: "max_age 1s"})
	owner := s.Client("alice")
	owner.Enter()
	time.Sleep(1100 * time.Millisecond) // what the owner's browser holds is over
	attacker := exhaust(t, s, "alice")
	before := len(s.Gateway.Messages())
	want(t, owner.Call("send", nil), 202, "")
	code := s.Code(before + 1)
	want(t, attacker.Verify(code), 429, "locked")
	want(t, owner.Verify(harness.Wrong(code)), 403, "code-wrong")
	want(t, owner.Verify(code), 200, "")
	if a := owner.Open("/"); a.Status != 200 {
		t.Errorf("the owner: %d", a.Status)
	}
	want(t, s.Client("alice").Call("send", nil), 429, "locked") // the owner's success frees nobody else
	if n := len(s.Upstream.Hits()); n != 1 {
		t.Errorf("%d requests got through, want the owner's", n)
	}
}

func TestUserWhoIsLockedIsToldSoEverywhere(t *testing.T) {
	s := harness.Start(t, harness.Options{Global: "limits {\nuser_attempts 3 1h\nresend_after 1s\n}"})
	c := s.Client("alice")
	c.Open("/")
	code := s.Code(1)
	for left := 2; left >= 0; left-- {
		a := want(t, c.Verify(harness.Wrong(code)), 403, "code-wrong")
		if got := number(t, a.JSON(), "attempts_left"); got != left {
			t.Errorf("%d attempts left, want %d: the user has no more, whatever the challenge has", got, left)
		}
	}
	locked := want(t, c.Verify(code), 429, "locked")
	if after, err := strconv.Atoi(locked.Header.Get("Retry-After")); err != nil || after > 3600 || after < 3590 {
		t.Errorf("Retry-After %q, want what is left of the hour", locked.Header.Get("Retry-After"))
	}
	if status := c.Status().JSON(); status["state"] != "locked" || number(t, status, "attempts_left") != 0 {
		t.Errorf("status: %v", status)
	}
	if page := c.Open("/"); page.Status != 403 || !strings.Contains(page.Body, "Too many wrong codes") {
		t.Errorf("the page: %d %s", page.Status, page.Body)
	}
}

func TestRetryAfterIsNothingWhereNothingIsToBeWaitedFor(t *testing.T) {
	s := harness.Start(t, harness.Options{Global: "limits {\nresend_after 1s\n}"})
	c := s.Client("alice")
	c.Open("/")
	wrong := harness.Wrong(s.Code(1))
	for range 5 {
		want(t, c.Verify(wrong), 403, "code-wrong")
	}
	time.Sleep(1100 * time.Millisecond) // resend_after
	if a := want(t, c.Verify(wrong), 429, "locked"); a.Header.Get("Retry-After") != "0" {
		t.Errorf("Retry-After %q, want 0", a.Header.Get("Retry-After"))
	}
	want(t, c.Call("send", nil), 202, "")
}

func TestLocksEndNoLiveVerification(t *testing.T) {
	s := harness.Start(t, harness.Options{TLS: true, Global: few})
	owner := s.Client("alice")
	owner.Enter()
	time.Sleep(1100 * time.Millisecond) // between two messages to one number
	exhaust(t, s, "alice")
	if a := owner.Open("/"); a.Status != 200 {
		t.Errorf("the owner is out: %d %s", a.Status, a.Body)
	}
}

// twoRoutes is a site with a route for people who prove a number, open to all,
// and one for users, whom another server names.
func twoRoutes(limits string) harness.Options {
	return harness.Options{
		TLS: true, NoAuth: true, Global: "countries 49 44\nlimits {\nresend_after 1s\n" + limits + "\n}",
		Before: "@recover path /recover\nsms_otp @recover {\nask_phone any\n}\n@rest not path /recover", Matcher: "@rest",
		Block: "user {http.request.header.X-User}", Phones: "alice," + mobile + "\n",
	}
}

func behind(s *harness.Site, user string) *harness.Client {
	c := s.Client("")
	c.Header.Set("X-User", user)
	return c
}

func recoverBy(c *harness.Client, action string, form url.Values) harness.Answer {
	return c.Do("POST", "/recover?sms_otp="+action, form.Encode(), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
}

func TestWhoKnowsOnlyTheNumberSpendsNothingOfItsOwner(t *testing.T) {
	s := harness.Start(t, twoRoutes("user_attempts 5 24h\nphone_sends 2 24h"))
	attacker := s.Client("")
	want(t, recoverBy(attacker, "send", ask(mobile)), 202, "")
	code := s.Code(1)
	time.Sleep(1100 * time.Millisecond)
	want(t, recoverBy(attacker, "send", nil), 202, "")
	for range 5 {
		want(t, recoverBy(attacker, "verify", url.Values{"code": {harness.Wrong(code)}}), 403, "code-wrong")
	}
	want(t, recoverBy(attacker, "verify", url.Values{"code": {code}}), 429, "locked")
	want(t, recoverBy(s.Client(""), "send", ask(mobile)), 429, "locked")
	owner := behind(s, "alice")
	owner.Enter()
	if a := owner.Open("/"); a.Status != 200 {
		t.Errorf("the owner: %d", a.Status)
	}
	if n := len(s.Upstream.Hits()); n != 1 {
		t.Errorf("%d requests got through, want the owner's", n)
	}
}

// An account of one's own is no key to the messages of somebody else.
func TestWhoTypesTheNumberOfAnotherSpendsNothingOfItsOwner(t *testing.T) {
	s := harness.Start(t, harness.Options{
		TLS: true, Global: "countries 49 44\nlimits {\nresend_after 1s\nphone_sends 2 24h\n}", Phones: "alice," + mobile + "\n",
		Before: "@recover path /recover\nsms_otp @recover {\nask_phone any\n}\n@rest not path /recover", Matcher: "@rest",
	})
	insider := s.Client("bob")
	want(t, recoverBy(insider, "send", ask(mobile)), 202, "")
	time.Sleep(1100 * time.Millisecond)
	want(t, recoverBy(insider, "send", nil), 202, "")
	want(t, recoverBy(s.Client("bob"), "send", ask(mobile)), 429, "send-limited")
	s.Code(2)
	owner := s.Client("alice")
	owner.Enter()
	if a := owner.Open("/"); a.Status != 200 {
		t.Errorf("the owner: %d", a.Status)
	}
}

func TestTypedNumbersUseAQuarterOfTheBudget(t *testing.T) {
	s := harness.Start(t, twoRoutes("total_sends 8 24h\nip_starts 1000 1h"))
	for i := range 10 {
		a := recoverBy(s.Client(""), "send", ask("+4917139200"+strconv.Itoa(10+i)))
		if i < 2 {
			want(t, a, 202, "")
			continue
		}
		if want(t, a, 503, "unavailable"); a.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	if n := s.Messages(); n != 2 {
		t.Errorf("%d messages to typed numbers, want a quarter of 8", n)
	}
	owner := behind(s, "alice")
	owner.Enter()
	if a := owner.Open("/"); a.Status != 200 {
		t.Errorf("the owner: %d", a.Status)
	}
}

func TestOfficeBehindOneAddressIsNotLimitedByIt(t *testing.T) {
	s := harness.Start(t, harness.Options{TLS: true, Global: "limits {\nip_starts 1 1h\n}"})
	for user := range harness.Numbers {
		c := s.Client(user)
		c.Enter()
		if a := c.Open("/"); a.Status != 200 {
			t.Errorf("%s: %d", user, a.Status)
		}
	}
}

func TestWithTheBudgetSpentTheLiveFinish(t *testing.T) {
	s := harness.Start(t, harness.Options{
		TLS: true, Global: "limits {\ntotal_sends 2 24h\nresend_after 1s\n}", Block: `help "IT desk, extension 123"`,
	})
	in, waiting, late := s.Client("alice"), s.Client("bob"), s.Client("carol")
	in.Enter()
	want(t, waiting.Call("send", nil), 202, "")
	code := s.Code(2)
	refused := want(t, late.Call("send", nil), 503, "unavailable")
	if refused.Header.Get("Retry-After") == "" || !strings.Contains(refused.Body, "extension 123") {
		t.Errorf("Retry-After %q, %s", refused.Header.Get("Retry-After"), refused.Body)
	}
	want(t, waiting.Verify(code), 200, "")
	for name, c := range map[string]*harness.Client{"who was in": in, "who had a code": waiting} {
		if a := c.Open("/"); a.Status != 200 {
			t.Errorf("%s: %d", name, a.Status)
		}
	}
	if n := s.Messages(); n != 2 {
		t.Errorf("%d messages with a budget of 2", n)
	}
}

func TestWhoSharesANumberSharesItsLimitAndLocksNobodyOut(t *testing.T) {
	s := harness.Start(t, harness.Options{
		TLS: true, Phones: "alice,+44 7700 900123\nbob,+447700900123\n", Block: "max_age 1s",
		Global: "limits {\nresend_after 1s\nphone_sends 3 24h\n}",
	})
	owner, insider := s.Client("alice"), s.Client("bob")
	owner.Enter()
	for range 2 {
		time.Sleep(1100 * time.Millisecond)
		insider.Call("send", nil)
	}
	time.Sleep(1100 * time.Millisecond)
	want(t, s.Client("bob").Call("send", nil), 429, "send-limited")
	want(t, s.Client("alice").Call("send", nil), 429, "send-limited") // a stranger with the password
	owner.Enter()
	if a := owner.Open("/"); a.Status != 200 {
		t.Errorf("the owner: %d", a.Status)
	}
	if n := s.Messages(); n != 4 {
		t.Errorf("%d messages, want 3 and the owner's one", n)
	}
}
