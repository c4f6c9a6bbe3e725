package caddymodule_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient/gatewaytest"
	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

// patient lets a test send as often as it likes.
const patient = "limits {\n%s\nresend_after 1s\n}"

func startWithAdmin(t *testing.T, limits string) *harness.Site {
	t.Helper()
	return harness.Start(t, harness.Options{Admin: true, Global: fmt.Sprintf(patient, limits)})
}

// adminAnswer is what Caddy's admin API said.
type adminAnswer struct {
	status int
	header http.Header
	body   string
}

func (a adminAnswer) json(t *testing.T) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("%q is not JSON: %v", a.body, err)
	}
	return m
}

func (a adminAnswer) number(t *testing.T, name string) int {
	t.Helper()
	n, ok := a.json(t)[name].(float64)
	if !ok {
		t.Fatalf("no number %s in %s", name, a.body)
	}
	return int(n)
}

func askAdmin(t *testing.T, s *harness.Site, method, path string, header ...string) adminAnswer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Admin+"/sms_otp/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if r.Header.Set(header[i], header[i+1]); header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return adminAnswer{response.StatusCode, response.Header, string(body)}
}

// mustAdmin is askAdmin where nothing may go wrong.
func mustAdmin(t *testing.T, s *harness.Site, method, path string) adminAnswer {
	t.Helper()
	a := askAdmin(t, s, method, path)
	if a.status != http.StatusOK {
		t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
	}
	return a
}

// guessWrong asks for a code and gives as many wrong ones.
func guessWrong(t *testing.T, s *harness.Site, c *harness.Client, times int) (code string) {
	t.Helper()
	sent := len(s.Gateway.Messages())
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		a := c.Call("send", nil)
		if a.Status == http.StatusAccepted {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("send: %d %s", a.Status, a.Body)
		}
	}
	code = s.Code(sent + 1)
	for range times {
		if a := c.Verify(harness.Wrong(code)); a.Problem() != "code-wrong" {
			t.Fatalf("a wrong code: %d %s", a.Status, a.Body)
		}
	}
	return code
}

// waitForContact waits until the phone was heard of, which happens beside the message.
func waitForContact(t *testing.T, s *harness.Site) {
	t.Helper()
	for range 1000 {
		device := mustAdmin(t, s, "GET", "").json(t)["devices"].([]any)[0].(map[string]any)
		if device["last_contact"] != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("nothing was heard of the phone")
}

func TestAdminTellsHowTheServerStands(t *testing.T) {
	s := startWithAdmin(t, "total_sends 40 2h")
	a := mustAdmin(t, s, "GET", "")
	if a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("header %v", a.header)
	}
	if n := a.number(t, "pending"); n != 0 {
		t.Errorf("pending %d before anybody came", n)
	}
	c := s.Client("alice")
	code := guessWrong(t, s, c, 0)
	waitForContact(t, s)
	got := mustAdmin(t, s, "GET", "").json(t)
	if got["pending"] != 1.0 || got["capacity"] != 100000.0 {
		t.Errorf("challenges: %v", got)
	}
	budget := got["budget"].(map[string]any)
	if budget["limit"] != 40.0 || budget["left"] != 39.0 || budget["per"] != 7200.0 || budget["left_for_typed_numbers"] != 10.0 {
		t.Errorf("budget: %v", budget)
	}
	device := got["devices"].([]any)[0].(map[string]any)
	if limit, _ := device["limit"].(float64); device["id"] != "10403" || device["state"] != "up" || limit == 0 || device["left"] != limit-1 {
		t.Errorf("device: %v", device)
	}
	contact, _ := device["last_contact"].(float64)
	if age := time.Since(time.Unix(int64(contact), 0)); age > time.Minute || age < -2*time.Second {
		t.Errorf("last contact %v is %s old", device["last_contact"], age)
	}
	c.Verify(code)
	if n := mustAdmin(t, s, "GET", "").number(t, "pending"); n != 0 {
		t.Errorf("pending %d after the code was given", n)
	}
}

func TestAdminTellsHowAUserStands(t *testing.T) {
	s := startWithAdmin(t, "")
	c := s.Client("alice")
	code := guessWrong(t, s, c, 2)
	c.Verify("12")
	got := mustAdmin(t, s, "GET", "users/alice").json(t)
	for name, want := range map[string]any{
		"wrong_codes": 2.0, "attempts_left": 13.0, "consecutive_wrong_codes": 2.0, "locked": false, "in_phonebook": true,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	phone := got["phones"].([]any)[0].(map[string]any)
	if phone["phone"] != "+44•••••23" || phone["messages_sent"] != 1.0 || phone["messages_left"] != 14.0 {
		t.Errorf("phone: %v", phone)
	}
	c.Verify(code)
	after := mustAdmin(t, s, "GET", "users/%20Alice")
	if after.number(t, "wrong_codes") != 2 || after.number(t, "consecutive_wrong_codes") != 0 {
		t.Errorf("after the right code, and by another spelling of the name: %s", after.body)
	}
	if name, _ := got["pseudonym"].(string); len(name) < 8 || !strings.Contains(s.Log(), name) {
		t.Errorf("pseudonym %q is not what the log says", name)
	}
	stranger := mustAdmin(t, s, "GET", "users/nobody").json(t)
	if stranger["in_phonebook"] != false || stranger["attempts_left"] != 15.0 {
		t.Errorf("a user without a number: %v", stranger)
	}
}

func TestUnlockLetsALockedUserIn(t *testing.T) {
	for name, limits := range map[string]string{
		"attempts of the day": "user_attempts 4 24h",
		"lock for good":       "lock_after 4",
	} {
		t.Run(name, func(t *testing.T) {
			s := startWithAdmin(t, limits)
			c := s.Client("alice")
			code := guessWrong(t, s, c, 4)
			if a := c.Verify(code); a.Problem() != "locked" {
				t.Fatalf("the right code of a locked user: %d %s", a.Status, a.Body)
			}
			got := mustAdmin(t, s, "GET", "users/alice").json(t)
			if _, ends := got["locked_until"]; got["locked"] != true || ends != strings.HasPrefix(limits, "user_attempts") {
				t.Errorf("locked: %v", got)
			}
			unlocked := mustAdmin(t, s, "POST", "users/alice/unlock").json(t)
			if unlocked["locked"] != false || unlocked["wrong_codes"] != 0.0 {
				t.Errorf("after unlocking: %v", unlocked)
			}
			if a := c.Verify(code); a.Status != http.StatusOK {
				t.Errorf("the right code after unlocking: %d %s", a.Status, a.Body)
			}
		})
	}
}

func TestUnlockReachesTheNumberAndABrowserThatTheOwnerUsedBefore(t *testing.T) {
	s := harness.Start(t, harness.Options{
		Admin: true, Block: "idle 1s", Global: fmt.Sprintf(patient, "phone_sends 1 24h\nlock_after 3"),
	})
	c := s.Client("alice")
	c.Enter()
	code := guessWrong(t, s, c, 3)
	if a := c.Verify(code); a.Problem() != "locked" {
		t.Fatalf("the right code of a locked user: %d %s", a.Status, a.Body)
	}
	if a := c.Call("send", nil); a.Problem() != "send-limited" {
		t.Fatalf("a second message to a number that may have one: %d %s", a.Status, a.Body)
	}
	mustAdmin(t, s, "POST", "users/alice/unlock")
	if again := guessWrong(t, s, c, 0); again != code {
		t.Errorf("another code was sent again")
	}
	if a := c.Verify(code); a.Status != http.StatusOK {
		t.Errorf("the right code after unlocking: %d %s", a.Status, a.Body)
	}
}

// On a route where visitors type their number and nobody names them, somebody who knows
// a number can lock it. What helps its owner is the user's name or, where there is none, the number itself.
func TestUnlockReachesWhoTypesTheNumber(t *testing.T) {
	const phone = "+491713920000"
	for _, name := range []string{"alice", "+49 171 3920000"} {
		t.Run(name, func(t *testing.T) {
			o := harness.Options{
				Admin: true, NoAuth: true, Block: "ask_phone any",
				Global: "countries 49\n" + fmt.Sprintf(patient, "lock_after 4\nphone_sends 1 24h"),
			}
			if name == "alice" {
				o.Phones = "alice," + phone + "\n"
			}
			s := harness.Start(t, o)
			c := s.Client("")
			if a := c.Call("send", url.Values{"phone": {phone}}); a.Status != http.StatusAccepted {
				t.Fatalf("send: %d %s", a.Status, a.Body)
			}
			code := s.Code(1)
			for range 4 {
				c.Verify(harness.Wrong(code))
			}
			if a := c.Verify(code); a.Problem() != "locked" {
				t.Fatalf("the right code of a locked number: %d %s", a.Status, a.Body)
			}
			path := "users/" + url.PathEscape(name)
			shown := mustAdmin(t, s, "GET", path).json(t)
			if asked, _ := shown["without_first_factor"].(map[string]any); asked["locked"] != true || asked["wrong_codes"] != 4.0 {
				t.Errorf("locked: %v", shown)
			}
			if listed := shown["in_phonebook"]; listed != (name == "alice") {
				t.Errorf("in the phonebook: %v", listed)
			}
			mustAdmin(t, s, "POST", path+"/unlock")
			if a := c.Verify(code); a.Status != http.StatusOK {
				t.Errorf("the right code after unlocking: %d %s", a.Status, a.Body)
			}
			if a := s.Client("").Call("send", url.Values{"phone": {phone}}); a.Status != http.StatusAccepted {
				t.Errorf("another message after unlocking: %d %s", a.Status, a.Body)
			}
		})
	}
}

func TestUnlockClearsTheLimitsOfTheNumber(t *testing.T) {
	s := startWithAdmin(t, "phone_sends 1 24h")
	code := guessWrong(t, s, s.Client("alice"), 0)
	c := s.Client("alice")
	if a := c.Call("send", nil); a.Problem() != "send-limited" {
		t.Fatalf("a second message to a number that may have one: %d %s", a.Status, a.Body)
	}
	mustAdmin(t, s, "POST", "users/alice/unlock")
	if another := guessWrong(t, s, c, 0); another == code {
		t.Error("another challenge has the same code")
	}
}

func TestRevokeEndsAVerificationWithTheNextRequest(t *testing.T) {
	s := startWithAdmin(t, "")
	c, other := s.Client("alice"), s.Client("bob")
	c.Enter()
	other.Enter()
	if a := c.Open("/"); a.Status != http.StatusOK {
		t.Fatalf("a verified user: %d", a.Status)
	}
	if mustAdmin(t, s, "POST", "users/ALICE/revoke").number(t, "revoked_at") == 0 {
		t.Error("the revocation is not told")
	}
	hits := len(s.Upstream.Hits())
	if a := c.Open("/"); a.Status != http.StatusForbidden {
		t.Errorf("a revoked user: %d", a.Status)
	}
	if len(s.Upstream.Hits()) != hits {
		t.Error("a revoked request reached the upstream")
	}
	if a := other.Open("/"); a.Status != http.StatusOK {
		t.Errorf("another user: %d", a.Status)
	}
	pass := mustAdmin(t, s, "POST", "users/alice/pass").json(t)["code"].(string)
	if a := c.Verify(pass); a.Status != http.StatusOK {
		t.Fatalf("verify: %d %s", a.Status, a.Body)
	}
	if a := c.Open("/"); a.Status != http.StatusOK {
		t.Errorf("verified right after the revocation: %d", a.Status)
	}
}

// restart is what systemctl restart does: everything stops, and starts from what was written down.
func restart(t *testing.T, s *harness.Site) {
	t.Helper()
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.Load(s.Caddyfile()); err != nil {
		t.Fatal(err)
	}
}

func TestWhatAnAdministratorDidOutlivesARestart(t *testing.T) {
	s := startWithAdmin(t, "user_attempts 3 24h")
	alice, bob := s.Client("alice"), s.Client("bob")
	alice.Enter()
	bob.Enter()
	carol := s.Client("carol")
	code := guessWrong(t, s, carol, 3)
	restart(t, s)
	if a := carol.Verify(code); a.Problem() != "locked" {
		t.Fatalf("a locked user after a restart: %d %s", a.Status, a.Body)
	}
	mustAdmin(t, s, "POST", "users/alice/revoke")
	pass := mustAdmin(t, s, "POST", "users/alice/pass").json(t)["code"].(string)
	mustAdmin(t, s, "POST", "users/carol/unlock")
	restart(t, s)
	if a := alice.Open("/"); a.Status != http.StatusForbidden {
		t.Errorf("a revoked user after a restart: %d", a.Status)
	}
	if a := bob.Open("/"); a.Status != http.StatusOK {
		t.Errorf("another user after a restart: %d", a.Status)
	}
	if a := alice.Verify(pass); a.Status != http.StatusOK {
		t.Errorf("a pass after a restart: %d %s", a.Status, a.Body)
	}
	if a := carol.Verify(code); a.Status != http.StatusOK {
		t.Errorf("an unlocked user after a restart: %d %s", a.Status, a.Body)
	}
	if a := alice.Open("/"); a.Status != http.StatusOK {
		t.Errorf("with the pass: %d", a.Status)
	}
}

func TestAdminAnswersMistakesAsJSON(t *testing.T) {
	s := startWithAdmin(t, "")
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"POST", "", 405},
		{"DELETE", "users/alice", 405},
		{"GET", "users/alice/unlock", 405},
		{"PUT", "users/alice/pass", 405},
		{"GET", "users", 404},
		{"GET", "users/alice/else", 404},
		{"POST", "users/alice/pass/again", 404},
		{"GET", "elsewhere", 404},
		{"GET", "users/", 400},
		{"GET", "users/%20", 400},
	} {
		a := askAdmin(t, s, c.method, c.path)
		if message, _ := a.json(t)["error"].(string); a.status != c.status || message == "" {
			t.Errorf("%s %s: %d %s, want %d and what is wrong", c.method, c.path, a.status, a.body, c.status)
		}
		if a.status == 405 && a.header.Get("Allow") == "" {
			t.Errorf("%s %s: does not say which method is allowed", c.method, c.path)
		}
	}
}

func TestAdminKeepsCaddysAccessRules(t *testing.T) {
	s := startWithAdmin(t, "")
	for _, header := range [][]string{{"Host", "evil.example"}, {"Origin", "https://evil.example"}, {"Sec-Fetch-Mode", "cors"}} {
		if a := askAdmin(t, s, "POST", "users/alice/pass", header...); a.status != http.StatusForbidden || strings.Contains(a.body, "code\"") {
			t.Errorf("%v: %d %s", header, a.status, a.body)
		}
	}
}

func TestAdminSaysWhereTheAppIsMissing(t *testing.T) {
	s := startWithAdmin(t, "")
	bare := fmt.Sprintf("{\nadmin %s\npersist_config off\nauto_https off\nstorage file_system %s/storage\nlog {\noutput discard\n}\n}\n:0 {\nbind 127.0.0.1\nrespond ok\n}\n", s.Admin, s.Dir)
	if err := s.Load(bare); err != nil {
		t.Fatal(err)
	}
	a := askAdmin(t, s, "GET", "")
	if message, _ := a.json(t)["error"].(string); a.status != http.StatusServiceUnavailable || !strings.Contains(message, "sms_otp") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if err := s.Load(s.Caddyfile()); err != nil {
		t.Fatal(err)
	}
	mustAdmin(t, s, "GET", "")
}

func TestAdminNamesNobody(t *testing.T) {
	s := startWithAdmin(t, "")
	c := s.Client("alice")
	code := guessWrong(t, s, c, 1)
	c.Verify(code)
	s.Gateway.Break(gatewaytest.Fault{Name: "refuse"})
	var said strings.Builder
	said.WriteString(mustAdmin(t, s, "GET", "").body)
	said.WriteString(mustAdmin(t, s, "GET", "users/alice").body)
	for _, act := range []string{"unlock", "revoke", "pass"} {
		said.WriteString(mustAdmin(t, s, "POST", "users/alice/"+act).body)
	}
	for what, secret := range map[string]string{
		"user": "alice", "number": harness.Numbers["alice"][1:], "code": code, "gateway's token": harness.Token,
		"challenge": c.Cookies["__Host-Http-sms-otp-challenge"], "verification": c.Cookies["__Host-Http-sms-otp"],
	} {
		if secret == "" || strings.Contains(said.String(), secret) {
			t.Errorf("the %s %q is told: %s", what, secret, said.String())
		}
	}
}
