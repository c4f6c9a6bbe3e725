package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient/gatewaytest"
	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

func get(t *testing.T, host, path string) string {
	t.Helper()
	response, err := http.Get("http://" + host + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v", path, response.StatusCode, err)
	}
	return string(body)
}

// Everything that is written while people come and go is searched for what must
// not be in it: codes, full numbers, the token, the key, what browsers hold.
func TestNothingSecretIsWrittenAnywhere(t *testing.T) {
	s := harness.Start(t, harness.Options{
		Admin: true, Global: "limits {\nresend_after 1s\n}", Servers: "metrics",
	})
	key, err := os.ReadFile(filepath.Join(s.Dir, "storage", "sms_otp", "key"))
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{"token": harness.Token, "key": strings.TrimSpace(string(key)), "password": harness.Password}
	for user, number := range harness.Numbers {
		c := s.Client(user)
		sent := len(s.Gateway.Messages())
		c.Open("/")
		code := s.Code(sent + 1)
		c.Verify(harness.Wrong(code))
		c.Verify("12")
		c.Verify(code)
		c.Open("/")
		secrets["code of "+user], secrets["number of "+user] = code, number
		secrets["digits of "+user] = number[1:]
		secrets["challenge of "+user], secrets["verification of "+user] = c.Cookies[challengeCookie], c.Cookies[tokenCookie]
		c.Submit("/?sms_otp=logout", nil)
	}
	s.Gateway.Break(gatewaytest.Fault{Name: "refuse"})
	c := s.Client("alice")
	c.Call("send", nil)
	s.Messages()

	mustHideEverywhere(t, s, secrets)
}

// The same for the other three uses, with an access log and a code of the help desk.
func TestNothingSecretOfTheOtherUsesIsWrittenAnywhere(t *testing.T) {
	s := harness.Start(t, harness.Options{
		Admin: true, Servers: "metrics", Global: "countries 49 44\nlimits {\nresend_after 1s\n}",
		Before: `log
			@recover path /recover
			sms_otp @recover {
				ask_phone any
			}
			@pay path /pay
			sms_otp @pay {
				confirm
				message "{code} confirms {form.amount}"
			}
			@rest not path /recover /pay`,
		Matcher: "@rest", Block: "trust_device 30d",
	})
	secrets := map[string]string{"token": harness.Token, "password": harness.Password, "typed number": mobile, "its digits": mobile[1:]}

	visitor := s.Client("alice")
	want(t, recoverBy(visitor, "send", ask(mobile)), 202, "")
	secrets["code of the typed number"] = s.Code(1)
	want(t, recoverBy(visitor, "verify", url.Values{"code": {secrets["code of the typed number"]}}), 200, "")
	secrets["verification of the typed number"] = visitor.Cookies[tokenCookie]

	buyer := s.Client("bob")
	page := buyer.Submit("/pay", transfer("5", "shop"))
	secrets["code of the transaction"], secrets["kept request"] = s.Code(2), keptIn(t, page)
	if a := buyer.Submit("/pay?sms_otp=verify", url.Values{"code": {secrets["code of the transaction"]}, "kept": {secrets["kept request"]}}); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	secrets["handle"], _ = want(t, buyer.Do("POST", "/pay", "amount=6", form), 403, "step-up-required").JSON()["request"].(string)

	owner := s.Client("carol")
	pass, err := http.Post("http://"+s.Admin+"/sms_otp/users/carol/pass", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pass.Body.Close()
	var issued struct{ Code string }
	if err := json.NewDecoder(pass.Body).Decode(&issued); err != nil {
		t.Fatal(err)
	}
	secrets["code of the help desk"] = issued.Code
	if a := owner.Submit("/?sms_otp=verify", url.Values{"code": {issued.Code}, "trust": {"1"}}); a.Status != 303 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	secrets["trust"] = owner.Cookies[trustCookie]
	owner.Open("/")
	mustHideEverywhere(t, s, secrets)
	if !strings.Contains(s.Log(), "http.log.access") {
		t.Error("there is no access log to be a witness")
	}
}

// mustHideEverywhere searches everything that was written.
func mustHideEverywhere(t *testing.T, s *harness.Site, secrets map[string]string) {
	t.Helper()
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(s.Caddyfile()), nil)
	if err != nil {
		t.Fatal(err)
	}
	places := map[string]string{
		"output of caddy adapt": string(adapted), "log": timestamp.ReplaceAllString(s.Log(), ""),
		"metrics": get(t, s.Admin, "/metrics"), "admin's config": get(t, s.Admin, "/config/"), "admin's status": get(t, s.Admin, "/sms_otp/"),
	}
	for user := range harness.Numbers {
		places["what admin says of "+user] = get(t, s.Admin, "/sms_otp/users/"+user)
	}
	if len(places["log"]) < 2000 || !strings.Contains(places["log"], "challenge begun") {
		t.Fatalf("the log holds too little to be a witness: %s", places["log"])
	}
	if !strings.Contains(places["metrics"], "caddy_http_requests_total") {
		t.Fatal("the metrics hold too little to be a witness")
	}
	for place, content := range places {
		for name, secret := range secrets {
			if secret == "" {
				t.Fatalf("no %s to search for", name)
			}
			if i := find(content, secret); i >= 0 {
				t.Errorf("the %s stands in the %s: …%s…", name, place, content[max(0, i-80):min(len(content), i+40)])
			}
		}
	}
}

// timestamp is of each line of the log: its digits could be a code by chance.
var timestamp = regexp.MustCompile(`"ts":[0-9.]+`)

// find is where a secret stands, or -1. A code that is a part of a longer number is none.
func find(content, secret string) int {
	if strings.Trim(secret, "0123456789") != "" {
		return strings.Index(content, secret)
	}
	if at := regexp.MustCompile(`(^|[^0-9.])` + secret + `($|[^0-9])`).FindStringIndex(content); at != nil {
		return at[0]
	}
	return -1
}
