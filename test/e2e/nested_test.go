package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

func TestAStricterRouteInsideAGatedSiteAsksAgain(t *testing.T) {
	s := harness.Start(t, harness.Options{
		Global: "limits {\nresend_after 1s\n}", Before: "sms_otp /billing/* {\nmax_age 1s\n}",
	})
	c := s.Client("alice")
	c.Enter()
	time.Sleep(1100 * time.Millisecond)
	if a := c.Open("/"); a.Status != http.StatusOK {
		t.Errorf("the site: %d", a.Status)
	}
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	want(t, c.Do("GET", "/billing/1", "", form), 403, "step-up-required")
	want(t, c.Do("POST", "/billing/1?sms_otp=send", "", form), 202, "")
	want(t, c.Do("POST", "/billing/1?sms_otp=verify", "code="+s.Code(2), form), 200, "")
	if a := c.Do("GET", "/billing/1", "", form); a.Status != http.StatusOK {
		t.Errorf("after the second code: %d %s", a.Status, a.Body)
	}
	if a := c.Open("/"); a.Status != http.StatusOK {
		t.Errorf("the site, after the second code: %d", a.Status)
	}
}

func TestAConfirmedRouteInsideAGatedSite(t *testing.T) {
	s := harness.Start(t, harness.Options{
		Global: "limits {\nresend_after 1s\n}", Before: "@pay {\npath /pay\nmethod POST\n}\nsms_otp @pay {\nconfirm\n}",
	})
	c := s.Client("alice")
	c.Enter()
	time.Sleep(1100 * time.Millisecond)
	page := c.Submit("/pay", transfer("5", "shop"))
	if page.Status != 403 {
		t.Fatalf("%d", page.Status)
	}
	answer := c.Submit("/pay?sms_otp=verify", map[string][]string{"code": {s.Code(2)}, "kept": {keptIn(t, page)}})
	if answer.Status != 200 || len(s.Upstream.Hits()) != 1 || s.Upstream.Hits()[0].Body != "amount=5&to=shop" {
		t.Errorf("%d, %+v", answer.Status, s.Upstream.Hits())
	}
}
