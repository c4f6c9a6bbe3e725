package e2e

import (
	"compress/gzip"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

// digests are what somebody might make of a code without a key that clients lack:
// there are only a million codes, so each would give the code away.
func digests(code string, salts ...string) map[string]string {
	made := map[string]string{"code": code, "code backwards": reversed(code), "code in base64": base64.StdEncoding.EncodeToString([]byte(code))}
	for name, algorithm := range map[string]func() hash.Hash{"MD5": md5.New, "SHA-1": sha1.New, "SHA-256": sha256.New, "SHA-512": sha512.New} {
		for _, salt := range salts {
			for how, sum := range map[string][]byte{
				"salt first": digest(algorithm(), salt+code), "code first": digest(algorithm(), code+salt),
				"with a colon": digest(algorithm(), salt+":"+code), "HMAC": digest(hmac.New(algorithm, []byte(salt)), code),
			} {
				what := name + " " + how + " " + salt
				made[what+" hex"] = hex.EncodeToString(sum)[:16]
				made[what+" base64"] = base64.StdEncoding.EncodeToString(sum)[:11]
				made[what+" base64url"] = base64.RawURLEncoding.EncodeToString(sum)[:11]
			}
		}
	}
	return made
}

func digest(h hash.Hash, text string) []byte {
	h.Write([]byte(text))
	return h.Sum(nil)
}

func reversed(s string) string {
	b := []byte(s)
	for i := range b[:len(b)/2] {
		b[i], b[len(b)-1-i] = b[len(b)-1-i], b[i]
	}
	return string(b)
}

func TestNothingThatTheClientHoldsIsMadeFromTheCode(t *testing.T) {
	s := harness.Start(t, harness.Options{TLS: true, Block: "site Example"})
	c := s.Client("alice")
	page := c.Open("/")
	code := s.Code(1)
	held := page.Body + c.Status().Body + c.Verify(harness.Wrong(code)).Body + c.Do("GET", "/", "", nil).Body
	headers, err := json.Marshal(page.Header)
	if err != nil {
		t.Fatal(err)
	}
	held += string(headers)
	for name, value := range c.Cookies {
		decoded, _ := base64.RawURLEncoding.DecodeString(value)
		held += name + "=" + value + " " + hex.EncodeToString(decoded)
	}
	if !strings.Contains(held, c.Cookies[challengeCookie]) || !strings.Contains(held, "phone_hint") {
		t.Fatalf("too little to search in: %s", held)
	}
	for what, made := range digests(code, "", "alice", harness.Numbers["alice"], c.Cookies[challengeCookie], "localhost", "sms-otp") {
		if strings.Contains(strings.ToLower(held), strings.ToLower(made)) {
			t.Errorf("the client holds the %s: %s", what, made)
		}
	}
}

func TestNumbersComeFromTheOperatorAlone(t *testing.T) {
	s := harness.Start(t, harness.Options{TLS: true, Global: "countries 44 49"})
	other := url.QueryEscape(mobile)
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	for name, ask := range map[string]func(c *harness.Client) harness.Answer{
		"form": func(c *harness.Client) harness.Answer { return c.Call("send", ask(mobile)) },
		"query": func(c *harness.Client) harness.Answer {
			return c.Do("POST", "/?phone="+other+"&sms_otp=send", "", form)
		},
		"JSON": func(c *harness.Client) harness.Answer {
			return c.Do("POST", "/?sms_otp=send", `{"phone":"`+mobile+`","to":"`+mobile+`"}`, http.Header{"Content-Type": {"application/json"}})
		},
		"header": func(c *harness.Client) harness.Answer {
			return c.Do("POST", "/?sms_otp=send", "", http.Header{"Phone": {mobile}, "X-Phone": {mobile}})
		},
		"cookie": func(c *harness.Client) harness.Answer {
			c.Cookies["phone"] = mobile
			return c.Call("send", nil)
		},
	} {
		if a := ask(s.Client("alice")); a.Status != 202 && a.Status != 429 {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	s.Code(1)
	s.Messages()
	for _, m := range s.Gateway.Messages() {
		if m.To != harness.Numbers["alice"] {
			t.Errorf("a message went to %s", m.To)
		}
	}
}

// A cause is named once, however often somebody meets it.
func TestRefusalsDoNotFillTheLog(t *testing.T) {
	for name, test := range map[string]struct{ block, line string }{
		"no number": {"phone {header.X-Phone}", "no phone number for a user"},
		"no user":   {"user {header.X-User}", "there is no user"},
		"a country": {"phone +12025550123", "outside the allowed countries"},
	} {
		t.Run(name, func(t *testing.T) {
			s := harness.Start(t, harness.Options{Block: test.block, Global: "countries 44"})
			c := s.Client("alice")
			for range 20 {
				if a := c.Do("GET", "/", "", nil); a.Status != 403 {
					t.Fatalf("%d %s", a.Status, a.Body)
				}
			}
			if n := strings.Count(s.Log(), test.line); n != 1 {
				t.Errorf("%q stands in the log %d times", test.line, n)
			}
		})
	}
}

func TestThePageIsNeitherKeptNorFramed(t *testing.T) {
	s := harness.Start(t, harness.Options{TLS: true})
	page := s.Client("alice").Open("/")
	for name, value := range map[string]string{
		"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
	} {
		if got := page.Header.Get(name); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	policy := page.Header.Get("Content-Security-Policy")
	for _, part := range []string{"frame-ancestors 'none'", "default-src 'none'", "base-uri 'none'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("no %s in %s", part, policy)
		}
	}
	if strings.Contains(policy, "unsafe-") || strings.Contains(policy, "http") {
		t.Errorf("the policy lets others in: %s", policy)
	}
	for _, a := range []harness.Answer{s.Client("alice").Status(), s.Client("alice").Do("GET", "/", "", nil)} {
		if got := a.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("a problem's Cache-Control is %q", got)
		}
	}
}

func TestThePageComesWholeAndCompressedWhereTheSiteCompresses(t *testing.T) {
	plain := harness.Start(t, harness.Options{}).Client("alice").Open("/", "Accept-Encoding", "identity")
	if got := plain.Header.Get("Content-Length"); got != strconv.Itoa(len(plain.Body)) {
		t.Errorf("Content-Length is %q, the page has %d bytes", got, len(plain.Body))
	}
	s := harness.Start(t, harness.Options{Before: "encode gzip"})
	packed := s.Client("alice").Open("/", "Accept-Encoding", "gzip")
	r, err := gzip.NewReader(strings.NewReader(packed.Body))
	if err != nil {
		t.Fatalf("the page is not compressed: %v", err)
	}
	if page, err := io.ReadAll(r); err != nil || !strings.HasSuffix(string(page), "</html>\n") {
		t.Errorf("the compressed page ends in %q, %v", page[max(0, len(page)-20):], err)
	}
}

func TestTheMessageNamesTheSiteThatTLSVouchesFor(t *testing.T) {
	s := harness.Start(t, harness.Options{TLS: true})
	c := s.Client("alice")
	c.Header.Set("X-Forwarded-Host", "evil.example")
	c.Header.Set("Forwarded", "host=evil.example")
	c.Open("/")
	code := s.Code(1)
	if body := s.Gateway.Messages()[0].Body; !strings.HasSuffix(body, "\n@localhost #"+code) || strings.Contains(body, "evil") {
		t.Errorf("message %q", body)
	}
	plain := harness.Start(t, harness.Options{})
	plain.Client("alice").Open("/")
	plain.Code(1)
	if body := plain.Gateway.Messages()[0].Body; strings.Contains(body, "@") || strings.Contains(body, "localhost") {
		t.Errorf("nothing vouches for a host here: %q", body)
	}
}
