package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

func want(t *testing.T, a harness.Answer, status int, problem string) harness.Answer {
	t.Helper()
	if a.Status != status || a.Problem() != problem {
		t.Fatalf("answer %d %q, want %d %q: %s", a.Status, a.Problem(), status, problem, a.Body)
	}
	return a
}

func number(t *testing.T, m map[string]any, name string) int {
	t.Helper()
	n, ok := m[name].(float64)
	if !ok {
		t.Fatalf("no number %q in %v", name, m)
	}
	return int(n)
}

func TestAPersonGetsInWithTheCodeOfTheMessage(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	c := s.Client("alice")
	page := c.Open("/report?month=5")
	if page.Status != http.StatusForbidden || !strings.Contains(page.Header.Get("Content-Type"), "text/html") {
		t.Fatalf("%d %s", page.Status, page.Header)
	}
	if page.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control %q", page.Header.Get("Cache-Control"))
	}
	code := s.Code(1)
	if to := s.Gateway.Messages()[0].To; to != harness.Numbers["alice"] {
		t.Errorf("the message went to %s", to)
	}
	wrong := c.Submit("/report?month=5&sms_otp=verify", url.Values{"code": {harness.Wrong(code)}})
	if wrong.Status != http.StatusForbidden || len(s.Upstream.Hits()) != 0 {
		t.Fatalf("a wrong code: %d, %d hits", wrong.Status, len(s.Upstream.Hits()))
	}
	right := c.Submit("/report?month=5&sms_otp=verify", url.Values{"code": {" " + code[:3] + " " + code[3:] + " "}})
	if right.Status != http.StatusSeeOther || right.Header.Get("Location") != "/report?month=5" {
		t.Fatalf("the right code: %d to %q", right.Status, right.Header.Get("Location"))
	}
	inside := c.Open("/report?month=5")
	if inside.Status != http.StatusOK || !strings.Contains(inside.Body, "inside") {
		t.Fatalf("after the right code: %d %s", inside.Status, inside.Body)
	}
	hits := s.Upstream.Hits()
	if len(hits) != 1 || hits[0].URI != "/report?month=5" || hits[0].Cookie != "" {
		t.Errorf("the upstream saw %+v", hits)
	}
}

func TestAProgramGetsInWithJSON(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	c := s.Client("alice")
	want(t, c.Do("GET", "/", "", nil), 403, "step-up-required")
	if n := s.Messages(); n != 0 {
		t.Fatalf("a program's request sent %d messages", n)
	}
	want(t, c.Status(), 403, "no-challenge")
	want(t, c.Verify("123456"), 403, "no-challenge")
	challenge := want(t, c.Call("send", nil), 202, "").JSON()
	if challenge["state"] != "pending" || challenge["phone_hint"] != "+44•••••23" || challenge["code_alphabet"] != "digits" {
		t.Errorf("challenge %v", challenge)
	}
	if n := number(t, challenge, "attempts_left"); n != 5 {
		t.Errorf("%d attempts left", n)
	}
	if left := number(t, challenge, "expires_at") - int(time.Now().Unix()); left < 298 || left > 300 {
		t.Errorf("expires in %d s", left)
	}
	code := s.Code(1)
	want(t, c.Verify("12345"), 422, "code-malformed")
	refused := want(t, c.Verify(harness.Wrong(code)), 403, "code-wrong").JSON()
	if number(t, refused, "attempts_left") != 4 || number(t, refused["challenge"].(map[string]any), "attempts_left") != 4 {
		t.Errorf("attempts after one wrong code: %v", refused)
	}
	right := want(t, c.Verify(code), 200, "").JSON()
	if right["verified"] != true || number(t, right, "expires_at") <= int(time.Now().Unix()) {
		t.Errorf("verified: %v", right)
	}
	if a := c.Do("GET", "/", "", nil); a.Status != 200 {
		t.Errorf("after the right code: %d", a.Status)
	}
	if state := want(t, c.Status(), 200, "").JSON()["state"]; state != "verified" {
		t.Errorf("status says %v, other tabs wait for verified", state)
	}
}

func TestAProgramIsGivenTheVisitorsWords(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	c := s.Client("alice")
	c.Header = http.Header{"Accept-Language": {"de-CH, en;q=0.5"}}
	if got := want(t, c.Do("GET", "/", "", nil), 403, "step-up-required").JSON()["title"]; got != "Bestätigen Sie, dass Sie es sind" {
		t.Errorf("title %q", got)
	}
	sent := want(t, c.Call("send", nil), 202, "").JSON()
	if text, _ := sent["text"].(string); !strings.Contains(text, "+44•••••23") || !strings.Contains(text, "SMS") || sent["input_mode"] != "numeric" {
		t.Errorf("challenge %v", sent)
	}
	refused := want(t, c.Verify(harness.Wrong(s.Code(1))), 403, "code-wrong").JSON()
	if detail, _ := refused["detail"].(string); !strings.Contains(detail, "4\u00a0Versuche") || strings.Contains(detail, "Sekunden") {
		t.Errorf("detail %q", detail)
	}
	limited := want(t, c.Call("send", nil), 429, "send-limited").JSON()
	if detail, _ := limited["detail"].(string); !strings.Contains(detail, "Sekunden") {
		t.Errorf("detail %q", detail)
	}
	want(t, c.Verify(s.Code(1)), 200, "")
	if status := c.Status().JSON(); status["verified"] != true {
		t.Errorf("after the right code: %v", status)
	}
}

func TestBearerClientsAreToldToStepUp(t *testing.T) {
	s := harness.Start(t, harness.Options{NoAuth: true, Block: "user carol\nmax_age 5m"})
	a := s.Client("").Do("GET", "/", "", http.Header{"Authorization": {"Bearer abc"}})
	want(t, a, 401, "step-up-required")
	if got := a.Header.Get("WWW-Authenticate"); got != `Bearer error="insufficient_user_authentication", max_age=300` {
		t.Errorf("WWW-Authenticate %q", got)
	}
}

func TestDeliveryIsToldAsItIs(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	c := s.Client("alice")
	c.Call("send", nil)
	for deadline := time.Now().Add(20 * time.Second); ; {
		state := c.Status().JSON()["delivery"]
		if state == "delivered" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("delivery is %v, the phone says delivered", state)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestOnlyARealVisitCostsAMessage(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	for name, ask := range map[string]func(c *harness.Client) harness.Answer{
		"HEAD":      func(c *harness.Client) harness.Answer { return c.Do("HEAD", "/", "", harness.Navigation()) },
		"OPTIONS":   func(c *harness.Client) harness.Answer { return c.Do("OPTIONS", "/", "", harness.Navigation()) },
		"prefetch":  func(c *harness.Client) harness.Answer { return c.Open("/", "Sec-Purpose", "prefetch") },
		"prerender": func(c *harness.Client) harness.Answer { return c.Open("/", "Sec-Purpose", "prefetch;prerender") },
		"image": func(c *harness.Client) harness.Answer {
			return c.Open("/x.png", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image")
		},
		"frame":          func(c *harness.Client) harness.Answer { return c.Open("/", "Sec-Fetch-Dest", "iframe") },
		"another site":   func(c *harness.Client) harness.Answer { return c.Open("/", "Sec-Fetch-Site", "cross-site") },
		"XMLHttpRequest": func(c *harness.Client) harness.Answer { return c.Open("/", "X-Requested-With", "XMLHttpRequest") },
		"fetch": func(c *harness.Client) harness.Answer {
			return c.Open("/", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty")
		},
		"link scanner": func(c *harness.Client) harness.Answer {
			return c.Do("GET", "/", "", http.Header{"Accept": {"text/html"}})
		},
		"JSON client": func(c *harness.Client) harness.Answer {
			return c.Do("GET", "/", "", http.Header{"Accept": {"application/json"}})
		},
		"form":   func(c *harness.Client) harness.Answer { return c.Submit("/", url.Values{"a": {"b"}}) },
		"status": func(c *harness.Client) harness.Answer { return c.Status() },
		"verify": func(c *harness.Client) harness.Answer { return c.Verify("123456") },
		"WebSocket": func(c *harness.Client) harness.Answer {
			return c.Do("GET", "/", "", http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Fetch-Mode": {"websocket"}})
		},
	} {
		c := s.Client("alice")
		if a := ask(c); a.Status != http.StatusForbidden {
			t.Errorf("%s: %d", name, a.Status)
		}
	}
	if n := s.Messages(); n != 0 {
		t.Fatalf("%d messages for requests of which none is a real visit", n)
	}
	c := s.Client("alice")
	for range 20 {
		c.Open("/", "Cache-Control", "max-age=0")
	}
	if n := s.Messages(); n != 1 {
		t.Errorf("%d messages for a visit and 19 reloads, want 1", n)
	}
	if n := len(s.Upstream.Hits()); n != 0 {
		t.Errorf("%d requests got through", n)
	}
}

func TestACookieThatIsNotTheVisitorsCountsAsNone(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	alice := s.Client("alice")
	alice.Open("/")
	code := s.Code(1)
	bob := s.Client("bob")
	bob.Cookies[challengeCookie] = alice.Cookies[challengeCookie]
	bob.Open("/")
	s.Code(2)
	if to := s.Gateway.Messages(); to[1].To != harness.Numbers["bob"] {
		t.Errorf("somebody else in the same browser: %+v", to)
	}
	carol := s.Client("carol")
	carol.Cookies[challengeCookie] = "AAAAAAAAAAAAAAAAAAAAAA"
	for range 5 {
		carol.Open("/")
	}
	s.Code(3)
	if n := s.Messages(); n != 3 {
		t.Errorf("%d messages, want one for each", n)
	}
	want(t, alice.Verify(code), 200, "")
}

func TestLeavingCostsNoMessageAndComingBackDoes(t *testing.T) {
	s := harness.Start(t, harness.Options{Global: "limits {\nresend_after 1s\n}"})
	c := s.Client("alice")
	c.Enter()
	time.Sleep(1100 * time.Millisecond) // resend_after
	if a := c.Submit("/?sms_otp=logout", nil); a.Status != 303 {
		t.Fatalf("logout: %d", a.Status)
	}
	for range 2 {
		if a := c.Open("/", "Sec-Fetch-Site", "same-origin"); a.Status != 403 || !strings.Contains(a.Body, "Send the code") {
			t.Errorf("after logout: %d %s", a.Status, a.Body)
		}
	}
	if n := s.Messages(); n != 1 {
		t.Errorf("%d messages, want 1: leaving costs none", n)
	}
	want(t, c.Call("logout", nil), 204, "")
	c.Open("/")
	if n := s.Messages(); n != 2 {
		t.Errorf("%d messages, want 2: a program is led nowhere, so the visit is a new one", n)
	}
}

func TestAPostFromAnotherSiteChangesNothing(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	c := s.Client("alice")
	want(t, c.Call("send", nil), 202, "")
	code := s.Code(1)
	for name, header := range map[string]http.Header{
		"form of another site": {"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}, "Content-Type": {"application/x-www-form-urlencoded"}},
		"sub-domain":           {"Sec-Fetch-Site": {"same-site"}, "Content-Type": {"application/x-www-form-urlencoded"}},
		"old browser":          {"Origin": {"https://evil.example"}, "Content-Type": {"application/x-www-form-urlencoded"}},
		"sandboxed frame":      {"Origin": {"null"}, "Content-Type": {"application/x-www-form-urlencoded"}},
		"text/plain":           {"Sec-Fetch-Site": {"cross-site"}, "Content-Type": {"text/plain"}},
		"JSON of another site": {"Origin": {"https://evil.example"}, "Content-Type": {"application/json"}},
	} {
		for _, action := range []string{"verify", "send", "logout"} {
			a := c.Do("POST", "/?sms_otp="+action, "code="+code, header)
			if a.Status != 403 || a.Problem() != "cross-site" {
				t.Errorf("%s, %s: %d %s", name, action, a.Status, a.Body)
			}
		}
	}
	if left := number(t, c.Status().JSON(), "attempts_left"); left != 5 {
		t.Errorf("%d attempts left, want 5", left)
	}
	want(t, c.Verify(code), 200, "")
}

func TestCodeWorksOnce(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	c := s.Client("alice")
	c.Open("/")
	code := s.Code(1)
	tokens := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 64 {
		one := s.Client("alice")
		one.Cookies["__Host-Http-sms-otp-challenge"] = c.Cookies["__Host-Http-sms-otp-challenge"]
		wg.Go(func() {
			if a := one.Verify(code); a.Status != 200 {
				t.Errorf("the same browser's right code: %d %s", a.Status, a.Body)
			}
			mu.Lock()
			tokens[claim(t, one.Cookies["__Host-Http-sms-otp"], "jti")]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if len(tokens) != 1 {
		t.Errorf("%d verifications came of one code: %v", len(tokens), tokens)
	}
	stranger := s.Client("alice")
	want(t, stranger.Verify(code), 403, "no-challenge")
}

func TestSimultaneousWrongCodesAreComparedExactlyAttemptsTimes(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	c := s.Client("alice")
	c.Open("/")
	code := s.Code(1)
	problems := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 64 {
		one := s.Client("alice")
		one.Cookies["__Host-Http-sms-otp-challenge"] = c.Cookies["__Host-Http-sms-otp-challenge"]
		wg.Go(func() {
			a := one.Verify(harness.Wrong(code))
			mu.Lock()
			problems[fmt.Sprint(a.Status, " ", a.Problem())]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if problems["403 code-wrong"] != 5 || problems["429 locked"] != 59 {
		t.Errorf("answers %v, want 5 wrong and 59 locked", problems)
	}
	locked := want(t, c.Verify(code), 429, "locked")
	if seconds, err := strconv.Atoi(locked.Header.Get("Retry-After")); err != nil || seconds < 0 || seconds > 30 {
		t.Errorf("Retry-After %q, want the seconds until a new challenge may begin", locked.Header.Get("Retry-After"))
	}
	if n := len(s.Upstream.Hits()); n != 0 {
		t.Errorf("%d requests got through", n)
	}
}

func TestReloadKeepsTheChallenge(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	c := s.Client("alice")
	c.Open("/")
	code := s.Code(1)
	want(t, c.Verify(harness.Wrong(code)), 403, "code-wrong")
	if err := s.Load(s.Caddyfile() + "# reloaded\n"); err != nil {
		t.Fatal(err)
	}
	if left := number(t, c.Status().JSON(), "attempts_left"); left != 4 {
		t.Errorf("%d attempts left after the reload, want 4", left)
	}
	broken := strings.Replace(s.Caddyfile(), "reverse_proxy", "basic_auth {\nx y\n}\nreverse_proxy", 1)
	if err := s.Load(broken); err == nil {
		t.Fatal("a broken configuration was loaded")
	}
	late := strings.Replace(s.Caddyfile(), "phones.csv", "none.csv", 1)
	if err := s.Load(late); err == nil {
		t.Fatal("a configuration without its phonebook was loaded")
	}
	if left := number(t, c.Status().JSON(), "attempts_left"); left != 4 {
		t.Errorf("%d attempts left after failed reloads, want 4", left)
	}
	want(t, c.Verify(code), 200, "")
	if err := s.Load(s.Caddyfile()); err != nil {
		t.Fatal(err)
	}
	if a := c.Open("/"); a.Status != 200 {
		t.Errorf("verified before the reload, %d after it", a.Status)
	}
}

func TestANewKeyInFrontForgetsNothing(t *testing.T) {
	older, newer := strings.Repeat("b", 43), strings.Repeat("c", 43)
	s := harness.Start(t, harness.Options{Global: "key " + older + "\nlimits {\nuser_attempts 2 24h\n}"})
	c, locked := s.Client("alice"), s.Client("bob")
	c.Open("/")
	code := s.Code(1)
	want(t, c.Verify(harness.Wrong(code)), 403, "code-wrong")
	locked.Open("/")
	bobs := s.Code(2)
	for range 2 {
		want(t, locked.Verify(harness.Wrong(bobs)), 403, "code-wrong")
	}
	verified := s.Client("carol")
	verified.Enter()
	if err := s.Load(strings.Replace(s.Caddyfile(), "key ", "key "+newer+" ", 1)); err != nil {
		t.Fatal(err)
	}
	if left := number(t, c.Status().JSON(), "attempts_left"); left != 1 {
		t.Errorf("%d attempts left under the new key, want the user's 1", left)
	}
	want(t, c.Verify(code), 200, "")
	want(t, locked.Verify(bobs), 429, "locked")
	if a := verified.Open("/"); a.Status != 200 {
		t.Errorf("verified before the new key, %d after it", a.Status)
	}
}

func TestFullStoreIs503WithoutAMessage(t *testing.T) {
	s := harness.Start(t, harness.Options{Global: "store memory {\ncapacity 1\n}"})
	alice := s.Client("alice")
	alice.Open("/")
	code := s.Code(1)
	bob := s.Client("bob")
	full := want(t, bob.Call("send", nil), 503, "unavailable")
	if full.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if page := bob.Open("/"); page.Status != 503 || page.Header.Get("Retry-After") == "" {
		t.Errorf("page: %d, Retry-After %q", page.Status, page.Header.Get("Retry-After"))
	}
	if n := s.Messages(); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
	want(t, alice.Verify(code), 200, "")
	if strings.Count(s.Log(), "the store is full") != 1 {
		t.Error("the log does not name the cause exactly once")
	}
}

func TestResendIsTheSameCodeAndWaits(t *testing.T) {
	s := harness.Start(t, harness.Options{Global: "limits {\nresend_after 1s\n}"})
	c := s.Client("alice")
	c.Open("/")
	code := s.Code(1)
	limited := want(t, c.Call("send", nil), 429, "send-limited")
	if got := limited.Header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After %q", got)
	}
	want(t, c.Verify(harness.Wrong(code)), 403, "code-wrong")
	time.Sleep(1100 * time.Millisecond)
	again := want(t, c.Call("send", nil), 202, "").JSON()
	if number(t, again, "attempts_left") != 4 || number(t, again, "sends_left") != 1 {
		t.Errorf("after a resend %v", again)
	}
	if second := s.Code(2); second != code {
		t.Errorf("the second message has the code %s, the first %s", second, code)
	}
	want(t, c.Verify(code), 200, "")
}
