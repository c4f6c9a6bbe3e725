package e2e

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

// A token that was read before is known by heart. What these tests hold is that nothing of
// what can change meanwhile is: each has the same token pass first, and be refused with the next request.

func passes(t *testing.T, c *harness.Client, path string, lines http.Header) {
	t.Helper()
	for range 2 {
		if a := c.Do("GET", path, "", lines); a.Status != 200 {
			t.Fatalf("a good token: %d %s", a.Status, a.Body)
		}
	}
}

func TestKnownTokenPassesOnlyWhereItIsFreshEnough(t *testing.T) {
	secret := strings.Repeat("k", otpcore.MinKeyLength)
	s := harness.Start(t, harness.Options{
		Global:  "key " + base64.StdEncoding.EncodeToString([]byte(secret)),
		Matcher: "/", Before: "handle /strict {\nsms_otp {\nmax_age 5m\n}\nrespond inside\n}\nhandle /idle {\nsms_otp {\nidle 2m\n}\nrespond inside\n}",
	})
	ring, err := otpcore.NewKeyring([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	now, c := time.Now(), s.Client("alice")
	c.Cookies[tokenCookie], err = ring.Issue(&otpcore.Verification{
		ID: otpcore.NewID(), Site: strings.TrimPrefix(s.URL, "http://"), User: "alice", Number: otpcore.Number(harness.Numbers["alice"]),
		FirstFactor: true, VerifiedAt: now.Add(-10 * time.Minute), ActiveAt: now.Add(-3 * time.Minute), ExpiresAt: now.Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	passes(t, c, "/", nil)
	want(t, c.Do("GET", "/strict", "", nil), 403, "step-up-required")
	want(t, c.Do("GET", "/idle", "", nil), 403, "step-up-required")
	passes(t, c, "/", nil)
}

func TestKnownTokenOpensNothingForAnotherUser(t *testing.T) {
	// One phone for both: nothing but the user tells them apart.
	s := harness.Start(t, harness.Options{Phones: "alice,+447700900123\nbob,+447700900123\n"})
	alice, bob := s.Client("alice"), s.Client("bob")
	alice.Enter()
	passes(t, alice, "/", nil)
	bob.Cookies[tokenCookie] = alice.Cookies[tokenCookie]
	want(t, bob.Do("GET", "/", "", nil), 403, "step-up-required")
	passes(t, alice, "/", nil)
}

func TestKnownTokenEndsWithItsNumber(t *testing.T) {
	s := harness.Start(t, harness.Options{Block: "phone {header.X-Phone}", Global: "countries 44"})
	c := s.Client("alice")
	c.Header.Set("X-Phone", harness.Numbers["alice"])
	c.Enter()
	passes(t, c, "/", nil)
	want(t, c.Do("GET", "/", "", http.Header{"X-Phone": {harness.Numbers["bob"]}}), 403, "step-up-required")
	want(t, c.Do("GET", "/", "", http.Header{"X-Phone": {""}}), 403, "no-phone")
	passes(t, c, "/", nil)
}

func TestKnownTokenEndsWithItsRevocation(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	c := s.Client("alice")
	c.Enter()
	passes(t, c, "/", nil)
	token := c.Cookies[tokenCookie]
	if a := c.Call("logout", nil); a.Status != http.StatusNoContent {
		t.Fatalf("logout: %d", a.Status)
	}
	c.Cookies[tokenCookie] = token
	want(t, c.Do("GET", "/", "", nil), 403, "step-up-required")
}

func TestKnownTokenIsTakenOutOfEachRequest(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	c := s.Client("alice")
	c.Enter()
	c.Cookies["a"], c.Cookies["z"] = "1", "2" // one before ours and one after
	passes(t, c, "/", nil)
	hits := s.Upstream.Hits()
	if len(hits) != 2 {
		t.Fatalf("%d requests got through, want 2", len(hits))
	}
	for _, hit := range hits {
		if strings.Contains(hit.Cookie, "sms-otp") || !strings.Contains(hit.Cookie, "a=1") || !strings.Contains(hit.Cookie, "z=2") {
			t.Errorf("the upstream got the cookies %q, want a and z alone", hit.Cookie)
		}
	}
}
