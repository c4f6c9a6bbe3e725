package otpcore

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	testSite = "site.example.com"
	testUser = "alice"
)

func testKeys(t testing.TB, secrets ...string) *Keyring {
	t.Helper()
	var keys [][]byte
	for _, s := range secrets {
		keys = append(keys, []byte(strings.Repeat(s, 32)))
	}
	ring, err := NewKeyring(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func testVerification(now time.Time) *Verification {
	return &Verification{
		ID: NewID(), Site: testSite, User: testUser, Number: "+447700900123", FirstFactor: true,
		VerifiedAt: now.Add(-time.Minute), ActiveAt: now, ExpiresAt: now.Add(time.Hour),
	}
}

func issue(t testing.TB, k *Keyring, v *Verification) string {
	t.Helper()
	token, err := k.Issue(v)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTokenReadsBackWhatWasIssued(t *testing.T) {
	k, now := testKeys(t, "a"), time.UnixMilli(1_790_000_000_123)
	want := testVerification(now)
	got, err := k.Read(issue(t, k, want), testSite, testUser)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != want.ID || got.Number != want.Number || got.Source != want.Source || !got.FirstFactor ||
		!got.VerifiedAt.Equal(want.VerifiedAt) || !got.ActiveAt.Equal(want.ActiveAt) || got.ExpiresAt.Unix() != want.ExpiresAt.Unix() {
		t.Errorf("read %+v, issued %+v", got, want)
	}
}

func TestTokenHoldsNothingPersonalInClear(t *testing.T) {
	k := testKeys(t, "a")
	token := issue(t, k, testVerification(time.Now()))
	for part := range strings.SplitSeq(token, ".") {
		decoded, _ := base64.RawURLEncoding.DecodeString(part)
		for _, secret := range []string{testUser, "7700900123", "192.0.2"} {
			if strings.Contains(string(decoded), secret) || strings.Contains(part, secret) {
				t.Errorf("%q stands in the token: %s", secret, decoded)
			}
		}
	}
	if len(token) > 1024 {
		t.Errorf("token has %d bytes", len(token))
	}
}

func TestTokenOpensNothingForOthers(t *testing.T) {
	k := testKeys(t, "a")
	token := issue(t, k, testVerification(time.Now()))
	for _, c := range []struct{ name, site, user string }{
		{"another user", testSite, "bob"},
		{"no user", testSite, ""},
		{"another site", "other.example.com", testUser},
		{"another port", testSite + ":8443", testUser},
	} {
		if _, err := k.Read(token, c.site, c.user); !errors.Is(err, ErrToken) {
			t.Errorf("%s: %v, want ErrToken", c.name, err)
		}
	}
	if _, err := testKeys(t, "b").Read(token, testSite, testUser); !errors.Is(err, ErrToken) {
		t.Error("a server with another key accepted the token")
	}
}

func TestOlderKeyStillVerifies(t *testing.T) {
	token := issue(t, testKeys(t, "a"), testVerification(time.Now()))
	if _, err := testKeys(t, "b", "a").Read(token, testSite, testUser); err != nil {
		t.Errorf("the older key does not verify: %v", err)
	}
}

// resign signs any header and payload with the very key of the ring: what gets
// through then is only what the checks after the MAC let through.
func resign(k *Keyring, header, payload string) string {
	signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	mac := hmac.New(sha256.New, k.sets[0].tokenKey)
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func TestTokenHasOneSpelling(t *testing.T) {
	k, now := testKeys(t, "a"), time.Now()
	token := issue(t, k, testVerification(now))
	parts := strings.Split(token, ".")
	headerJSON, _ := base64.RawURLEncoding.DecodeString(parts[0])
	payloadJSON, _ := base64.RawURLEncoding.DecodeString(parts[1])
	header, payload := string(headerJSON), string(payloadJSON)
	if got := resign(k, header, payload); got != token {
		t.Fatalf("resign does not reproduce the token:\n%s\n%s", got, token)
	}
	change := func(f func(map[string]any)) string {
		var m map[string]any
		if err := json.Unmarshal(payloadJSON, &m); err != nil {
			t.Fatal(err)
		}
		f(m)
		changed, _ := json.Marshal(m)
		return resign(k, header, string(changed))
	}
	exp := time.Now().Add(time.Hour).Unix()
	none, _ := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"sub": "x"}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	for name, bad := range map[string]string{
		"empty":                     "",
		"alg none":                  none,
		"no signature":              parts[0] + "." + parts[1] + ".",
		"two parts":                 parts[0] + "." + parts[1],
		"five parts":                token + "." + token,
		"newline in the signature":  parts[0] + "." + parts[1] + "." + parts[2][:5] + "\n" + parts[2][5:],
		"newline at the end":        token + "\n",
		"padding":                   token + "=",
		"control byte":              token[:len(token)-1] + "\x00",
		"too long":                  token + strings.Repeat("A", 5000),
		"other alg":                 resign(k, `{"alg":"HS512","typ":"sms-otp+jwt"}`, payload),
		"other typ":                 resign(k, `{"alg":"HS256","typ":"JWT"}`, payload),
		"no typ":                    resign(k, `{"alg":"HS256"}`, payload),
		"kid":                       resign(k, `{"alg":"HS256","kid":"/dev/null","typ":"sms-otp+jwt"}`, payload),
		"jwk":                       resign(k, `{"alg":"HS256","jwk":{},"typ":"sms-otp+jwt"}`, payload),
		"crit":                      resign(k, `{"alg":"HS256","crit":["exp"],"typ":"sms-otp+jwt"}`, payload),
		"header spelled apart":      resign(k, `{"typ":"sms-otp+jwt","alg":"HS256"}`, payload),
		"no exp":                    change(func(m map[string]any) { delete(m, "exp") }),
		"exp as a string":           resign(k, header, strings.Replace(payload, `"exp":`, `"exp":"`, 1)),
		"exp as a fraction":         change(func(m map[string]any) { m["exp"] = float64(exp) + .5 }),
		"exp with an exponent":      resign(k, header, strings.Replace(payload, `"exp":1`, `"exp":1e9,"x":1`, 1)),
		"unknown claim":             change(func(m map[string]any) { m["admin"] = true }),
		"claim twice":               resign(k, header, `{"iss":"evil",`+payload[1:]),
		"other issuer":              resign(k, header, strings.Replace(payload, `"iss":"sms-otp"`, `"iss":"other"`, 1)),
		"white space":               resign(k, header, " "+payload),
		"trailing JSON":             resign(k, header, payload+"{}"),
		"not JSON":                  resign(k, header, "x"),
		"subject of the wrong kind": change(func(m map[string]any) { m["sub"] = m["num"] }),
		"number of another token": change(func(m map[string]any) {
			m["tel"] = base64.RawURLEncoding.EncodeToString(k.Seal([]byte("+447700900456"), []byte("number other")))
		}),
	} {
		if _, err := k.Read(bad, testSite, testUser); !errors.Is(err, ErrToken) {
			t.Errorf("%s: %v, want ErrToken", name, err)
		}
	}
}

func TestFreshness(t *testing.T) {
	now := time.UnixMilli(1_790_000_000_500)
	v := Verification{VerifiedAt: now.Add(-10 * time.Minute), ActiveAt: now.Add(-time.Minute), ExpiresAt: now.Add(time.Hour)}
	for _, c := range []struct {
		name         string
		now          time.Time
		maxAge, idle time.Duration
		want         bool
	}{
		{"fresh", now, time.Hour, time.Hour, true},
		{"too old for this route", now, 10 * time.Minute, time.Hour, false},
		{"just young enough", now, 10*time.Minute + time.Millisecond, time.Hour, true},
		{"idle too long", now, time.Hour, time.Minute, false},
		{"expired", now.Add(time.Hour), 24 * time.Hour, 24 * time.Hour, false},
		{"from the future", now.Add(-time.Hour), 24 * time.Hour, 24 * time.Hour, false},
	} {
		if got := v.Fresh(c.now, c.maxAge, c.idle); got != c.want {
			t.Errorf("%s: fresh = %v", c.name, got)
		}
	}
}

// In its window a verification is fresh, and just after it is not, whichever limit ends it.
func TestWindowIsFresh(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	some := func() time.Duration { return time.Duration(random.Int64N(int64(2 * time.Hour))) }
	for range 2000 {
		start := time.UnixMilli(1_790_000_000_000)
		v := Verification{VerifiedAt: start, ActiveAt: start.Add(some().Truncate(time.Millisecond))}
		v.ExpiresAt = v.ActiveAt.Add(some().Truncate(time.Second))
		maxAge, idle := some(), some()
		from, until := v.Window(maxAge, idle)
		for _, ms := range []int64{from, from + (until-from)/2, until - 1} {
			if ms >= from && ms < until && !v.Fresh(time.UnixMilli(ms), maxAge, idle) {
				t.Fatalf("%+v is not fresh at %d, in its window of %d to %d (max_age %s, idle %s)", v, ms, from, until, maxAge, idle)
			}
		}
		if until >= from && v.Fresh(time.UnixMilli(until+1), maxAge, idle) {
			t.Fatalf("%+v is fresh at %d, after its window of %d to %d (max_age %s, idle %s)", v, until+1, from, until, maxAge, idle)
		}
	}
}

// Whatever is cut out of a token or put into it, it opens nothing any more. What
// varies is the change and not the token: each of the fuzzer's processes has its own.
func FuzzTokenHasOneSpelling(f *testing.F) {
	k := testKeys(f, "a")
	token := issue(f, k, testVerification(time.Now()))
	header := strings.IndexByte(token, '.')
	f.Add(0, 0, "")
	f.Add(len(token), 0, "\n")
	f.Add(len(token)-1, 1, "=")
	f.Add(0, header, base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)))
	f.Add(header+20, 1, "A")
	f.Add(header, 1, "..")
	f.Add(0, 1000, "a.b.c")
	f.Fuzz(func(t *testing.T, at, drop int, insert string) {
		at = min(max(at, 0), len(token))
		drop = min(max(drop, 0), len(token)-at)
		changed := token[:at] + insert + token[at+drop:]
		if _, err := k.Read(changed, testSite, testUser); err == nil && changed != token {
			t.Errorf("%q opens what only %q should", changed, token)
		}
	})
}

func TestForgedTokenIsRefusedWithoutAllocating(t *testing.T) {
	k := testKeys(t, "a", "b")
	token := []byte(issue(t, k, testVerification(time.Now())))
	token[len(token)-10] ^= 1
	forged := string(token)
	least := testing.AllocsPerRun(1, func() { k.Read(forged, testSite, testUser) })
	for range 100 { // the race detector makes pools forget at random
		least = min(least, testing.AllocsPerRun(1, func() { k.Read(forged, testSite, testUser) }))
	}
	if least != 0 {
		t.Errorf("%v allocations, want none: whoever makes tokens up must not make us work", least)
	}
}

func BenchmarkRead(b *testing.B) {
	k, now := testKeys(b, "a"), time.Now()
	token := issue(b, k, testVerification(now))
	signed, _, _ := splitToken(token)
	changed := []byte(token)
	changed[len(changed)-10] ^= 1
	forged := string(changed)
	for name, read := range map[string]func(){
		"good":   func() { k.Read(token, testSite, testUser) },
		"forged": func() { k.Read(forged, testSite, testUser) },
		"MAC":    func() { k.sets[0].token.sum(signed) },
		"issue":  func() { k.Issue(testVerification(now)) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				read()
			}
		})
	}
}
