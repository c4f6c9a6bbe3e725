package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

const (
	tokenCookie     = "__Host-Http-sms-otp"
	challengeCookie = "__Host-Http-sms-otp-challenge"
)

func claim(t *testing.T, token, name string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Errorf("not a token: %q", token)
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Error(err)
	}
	var m map[string]any
	if err := json.Unmarshal(payload, &m); err != nil {
		t.Error(err)
	}
	s, _ := m[name].(string)
	return s
}

func TestCookiesAreAsStrictAsCookiesGet(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	c := s.Client("alice")
	page := c.Open("/")
	a := c.Verify(s.Code(1))
	for _, line := range append(page.Header.Values("Set-Cookie"), a.Header.Values("Set-Cookie")...) {
		for _, attribute := range []string{"Path=/", "HttpOnly", "Secure", "SameSite=Lax"} {
			if !strings.Contains(line, attribute) {
				t.Errorf("no %s in %s", attribute, line)
			}
		}
		if strings.Contains(line, "Domain=") || !strings.HasPrefix(line, "__Host-Http-sms-otp") || len(line) > 4096 {
			t.Errorf("cookie %s", line)
		}
	}
	token := a.Header.Get("Set-Cookie")
	if strings.Contains(token, "Max-Age") || strings.Contains(token, "Expires") {
		t.Errorf("the token is not a session cookie: %s", token)
	}
	if id := c.Cookies[challengeCookie]; len(id) != 22 {
		t.Errorf("the challenge cookie holds %q, want 128 bits and nothing else", id)
	}
}

func TestAnotherUsersTokenIsWorthNothing(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	alice, bob := s.Client("alice"), s.Client("bob")
	alice.Enter()
	bob.Cookies[tokenCookie] = alice.Cookies[tokenCookie]
	want(t, bob.Do("GET", "/", "", nil), 403, "step-up-required")
	alice.Cookies["other"] = "1"
	if a := alice.Open("/"); a.Status != 200 {
		t.Errorf("alice's own: %d", a.Status)
	}
}

func TestTokenOfOneSiteOpensNoOther(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	c := s.Client("alice")
	c.Enter()
	for _, host := range []string{"localhost", "localhost:1"} {
		if a := c.Do("GET", "/", "", http.Header{"Host": {host}}); a.Status == 200 && len(s.Upstream.Hits()) > 0 {
			t.Errorf("Host %s: %d", host, a.Status)
		}
	}
}

func TestBadTokensAreAChallengeAndNothingElse(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	c := s.Client("alice")
	c.Enter()
	good := c.Cookies[tokenCookie]
	parts := strings.Split(good, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"sms-otp+jwt"}`))
	for name, bad := range map[string]string{
		"empty": "", "garbage": "x", "no signature": parts[0] + "." + parts[1] + ".", "alg none": none + "." + parts[1] + ".",
		"signature changed": good[:len(good)-2] + "AA", "5 KB": strings.Repeat("A", 5000), "dots": "..", "payload changed": parts[0] + "." + parts[1][:len(parts[1])-4] + "AAAA." + parts[2],
	} {
		thief := s.Client("alice")
		thief.Cookies[tokenCookie] = bad
		a := thief.Do("GET", "/", "", nil)
		if a.Status != 403 || a.Problem() != "step-up-required" {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	if n := s.Messages(); n != 1 {
		t.Errorf("%d messages, want the 1 of the owner", n)
	}
	// A cookie that a sub-domain planted in front of the real one.
	planted := s.Client("alice")
	planted.Header.Set("Cookie", tokenCookie+"=x; "+tokenCookie+"="+parts[0]+".x.y; a=b; "+tokenCookie+"="+good)
	if a := planted.Open("/"); a.Status != 200 {
		t.Errorf("the real one of several cookies: %d", a.Status)
	}
	hits := s.Upstream.Hits()
	if last := hits[len(hits)-1]; last.Cookie != "a=b" {
		t.Errorf("the upstream got the cookies %q", last.Cookie)
	}
}

func TestLogoutEndsTheVerificationAtOnce(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	c := s.Client("alice")
	c.Enter()
	stolen := c.Cookies[tokenCookie]
	out := c.Submit("/account?tab=2&sms_otp=logout", nil)
	if out.Status != 303 || out.Header.Get("Location") != "/account?tab=2" {
		t.Errorf("logout: %d to %q", out.Status, out.Header.Get("Location"))
	}
	if _, still := c.Cookies[tokenCookie]; still {
		t.Error("the browser still holds the token")
	}
	if a := c.Open("/account?tab=2", "Sec-Fetch-Site", "same-origin"); a.Status != 403 {
		t.Errorf("after logout: %d", a.Status)
	}
	if n := s.Messages(); n != 1 {
		t.Errorf("leaving cost a message: %d", n)
	}
	thief := s.Client("alice")
	thief.Cookies[tokenCookie] = stolen
	want(t, thief.Do("GET", "/", "", nil), 403, "step-up-required")
	want(t, c.Call("logout", nil), 204, "")
}

func TestFreshnessIsTheRoutesOwn(t *testing.T) {
	s := harness.Start(t, harness.Options{Before: "@none path /never", Block: "max_age 2s\nidle 1s"})
	c := s.Client("alice")
	c.Enter()
	began := time.Now()
	first := c.Cookies[tokenCookie]
	for time.Since(began) < 1700*time.Millisecond {
		if a := c.Open("/"); a.Status != 200 {
			t.Fatalf("in use, after %s: %d", time.Since(began), a.Status)
		}
		time.Sleep(200 * time.Millisecond)
	}
	if c.Cookies[tokenCookie] == first {
		t.Error("the token was not renewed in use")
	}
	if claim(t, c.Cookies[tokenCookie], "jti") != claim(t, first, "jti") {
		t.Error("renewing made another verification")
	}
	time.Sleep(time.Until(began.Add(2100 * time.Millisecond)))
	if a := c.Do("GET", "/", "", nil); a.Status != 403 {
		t.Errorf("older than max_age: %d", a.Status)
	}
}

func TestIdleEndsAVerification(t *testing.T) {
	s := harness.Start(t, harness.Options{Block: "idle 1s"})
	c := s.Client("alice")
	c.Enter()
	if a := c.Open("/"); a.Status != 200 {
		t.Fatalf("%d", a.Status)
	}
	time.Sleep(1100 * time.Millisecond)
	want(t, c.Do("GET", "/", "", nil), 403, "step-up-required")
}

func TestChangedNumberEndsVerificationsAndChallenges(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	in, waiting := s.Client("alice"), s.Client("bob")
	in.Enter()
	waiting.Open("/")
	code := s.Code(2)
	s.WritePhones("user,phone\nalice,+44 7700 900999\nbob,+44 7700 900998\n")
	deadline := time.Now().Add(15 * time.Second)
	for in.Do("GET", "/", "", nil).Status == 200 {
		if time.Now().After(deadline) {
			t.Fatal("the verification of the old number still holds")
		}
		time.Sleep(50 * time.Millisecond)
	}
	want(t, waiting.Verify(code), 403, "no-challenge")
	s.WritePhones("user,phone\nalice,not a number\n")
	for !strings.Contains(s.Log(), "the version before stays in force") {
		if time.Now().After(deadline) {
			t.Fatal("the log says nothing of a broken phonebook")
		}
		time.Sleep(50 * time.Millisecond)
	}
	want(t, in.Do("GET", "/", "", nil), 403, "step-up-required")
}

func TestWhoIsNotKnownGetsNoMessage(t *testing.T) {
	s := harness.Start(t, harness.Options{Block: `help "IT desk, extension 123"`})
	nobody := s.Client("nobody")
	refused := want(t, nobody.Do("GET", "/", "", nil), 403, "no-phone")
	if !strings.Contains(refused.Body, "extension 123") {
		t.Errorf("no help: %s", refused.Body)
	}
	if page := nobody.Open("/"); page.Status != 403 || !strings.Contains(page.Body, "extension 123") {
		t.Errorf("page: %d", page.Status)
	}
	want(t, nobody.Call("send", url.Values{"phone": {"+447700900123"}}), 403, "no-phone")
	if n := s.Messages(); n != 0 {
		t.Errorf("%d messages", n)
	}
}

func TestWithoutAUserNobodyGetsThrough(t *testing.T) {
	s := harness.Start(t, harness.Options{NoAuth: true})
	c := s.Client("")
	want(t, c.Do("GET", "/", "", nil), 403, "no-user")
	want(t, c.Call("send", nil), 403, "no-user")
	if len(s.Upstream.Hits()) != 0 {
		t.Error("a request got through")
	}
	if !strings.Contains(s.Log(), "Put a first factor such as basic_auth before sms_otp") {
		t.Error("the log does not name the missing first factor")
	}
}

func TestReservedParameter(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	c := s.Client("alice")
	c.Enter()
	for _, query := range []string{"sms_otp", "sms_otp=", "sms_otp=open", "sms_otp=verify&sms_otp=verify", "sms%5Fotp=", "a=b&sms_otp=Verify", "sms_otp=%zz"} {
		want(t, c.Do("POST", "/?"+query, "", nil), 400, "bad-action")
	}
	want(t, c.Do("GET", "/?sms_otp=verify&code=123456", "", nil), 405, "bad-action")
	if len(s.Upstream.Hits()) != 0 {
		t.Errorf("the upstream saw %+v", s.Upstream.Hits())
	}
	if a := c.Do("GET", "/?smsotp=1&x_sms_otp=2", "", nil); a.Status != 200 {
		t.Errorf("other parameters: %d", a.Status)
	}
}

func TestLocationStaysOnTheSite(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	for path, location := range map[string]string{
		"//evil.example/x": "/evil.example/x", "///evil.example": "/evil.example", "/%5Cevil.example": "/%5Cevil.example",
		"/a%0d%0aSet-Cookie:x": "/a%0d%0aSet-Cookie:x", "/x?a=1&sms_otp=verify&b=%2F": "/x?a=1&b=%2F",
	} {
		c := s.Client("alice")
		separator := "?"
		if strings.Contains(path, "?") {
			path = strings.Replace(path, "&sms_otp=verify", "", 1)
			separator = "&"
		}
		a := c.Submit(path+separator+"sms_otp=logout", nil)
		if got := a.Header.Get("Location"); got != location {
			t.Errorf("%s leads to %q, want %q", path, got, location)
		}
	}
	// What no browser sends, but somebody else may.
	for line, location := range map[string]string{
		`POST /\evil.example/x?sms_otp=logout`:              "/%5Cevil.example/x",
		"POST " + s.URL + "//evil.example/x?sms_otp=logout": "/evil.example/x",
		"POST //evil.example//y?sms_otp=logout":             "/evil.example//y",
	} {
		if got := raw(t, s, line, "Accept: text/html\r\nContent-Length: 0\r\n\r\n").Header.Get("Location"); got != location {
			t.Errorf("%s leads to %q, want %q", line, got, location)
		}
	}
	c := s.Client("alice")
	a := c.Do("POST", "/a?sms_otp=logout", "", http.Header{"Host": {s.URL[len("http://"):]}, "X-Forwarded-Host": {"evil.example"}, "Accept": {"text/html"}})
	if got := a.Header.Get("Location"); got != "/a" {
		t.Errorf("Location %q", got)
	}
}

// spellings are ways to write a path that Caddy reads as the same one.
func spellings(path string) []string {
	all := []string{path, path + "/", path + "?a=b", "/x/.." + path, "/%2e/x/%2E%2e" + path, "/." + path, strings.ToUpper(path)}
	for i := range path {
		before, c, after := path[:i], path[i:i+1], path[i+1:]
		if c == "/" {
			all = append(all, before+"//"+after, before+"///"+after, before+"/./"+after, before+"/y/../"+after, before+"/%2e/"+after)
			continue
		}
		all = append(all, before+strings.ToUpper(c)+after, fmt.Sprintf("%s%%%02x%s", before, c, after), fmt.Sprintf("%s%%%02X%s", before, strings.ToUpper(c), after))
	}
	return all
}

func TestEverySpellingOfAPathIsGated(t *testing.T) {
	part := harness.Options{Before: "@inside path /admin /admin/*", Matcher: "@inside"}
	for name, o := range map[string]harness.Options{"a part of the site": part, "the whole site": {}} {
		for _, secure := range []bool{false, true} {
			o.TLS = secure
			t.Run(fmt.Sprintf("%s, TLS %t", name, secure), func(t *testing.T) {
				s := harness.Start(t, o)
				c := s.Client("alice")
				paths := slices.Concat(spellings("/admin"), spellings("/admin/x"), []string{"/admin%2Fx"})
				for _, path := range paths {
					for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "DELETE", "PROPFIND", "QUERY"} {
						if a := c.Do(method, path, "", nil); a.Status != 403 {
							t.Errorf("%s %s: %d", method, path, a.Status)
						}
					}
				}
				if a := c.Do("GET", "/public", "", nil); (a.Status == 200) != (o.Matcher != "") {
					t.Errorf("outside of the matcher: %d", a.Status)
				}
				for _, hit := range s.Upstream.Hits() {
					if hit.URI != "/public" {
						t.Errorf("got through: %s %s", hit.Method, hit.URI)
					}
				}
			})
		}
	}
}

func TestEveryProtocolIsGated(t *testing.T) {
	s := harness.Start(t, harness.Options{TLS: true})
	c := s.Client("alice")
	third := c.HTTP3()
	for proto, browser := range map[string]*harness.Client{"HTTP/2.0": c, "HTTP/3.0": third} {
		if a := want(t, browser.Do("GET", "/", "", nil), 403, "step-up-required"); a.Proto != proto {
			t.Errorf("it was %s, want %s", a.Proto, proto)
		}
	}
	if n := len(s.Upstream.Hits()); n != 0 {
		t.Fatalf("%d requests got through", n)
	}
	third.Enter()
	if a := third.Open("/"); a.Status != 200 || a.Proto != "HTTP/3.0" {
		t.Errorf("with a code: %d over %s", a.Status, a.Proto)
	}
}

func TestAnUpgradeIsGated(t *testing.T) {
	upgrade := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-WebSocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="}, "Sec-WebSocket-Version": {"13"}}
	s := harness.Start(t, harness.Options{Upstream: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", r.Header.Get("Upgrade"))
		w.WriteHeader(http.StatusSwitchingProtocols)
	})})
	c := s.Client("alice")
	want(t, c.Do("GET", "/", "", upgrade), 403, "step-up-required")
	want(t, c.Do("CONNECT", "/", "", upgrade), 403, "step-up-required")
	if n := len(s.Upstream.Hits()); n != 0 {
		t.Errorf("%d requests got through", n)
	}
}
