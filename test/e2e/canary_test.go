package e2e

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
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

	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(s.Caddyfile()), nil)
	if err != nil {
		t.Fatal(err)
	}
	places := map[string]string{
		"output of caddy adapt": string(adapted), "log": s.Log(),
		"metrics": get(t, s.Admin, "/metrics"), "admin's config": get(t, s.Admin, "/config/"),
	}
	if len(places["log"]) < 2000 || !strings.Contains(places["log"], "wrong code") {
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
			if i := strings.Index(content, secret); i >= 0 {
				t.Errorf("the %s stands in the %s: …%s…", name, place, content[max(0, i-80):min(len(content), i+40)])
			}
		}
	}
}
