package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient/gatewaytest"
	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

// crowd is a site of many users whom a header names, in front of a slow gateway.
func crowd(t *testing.T, users int) (s *harness.Site, send func(from, to int)) {
	t.Helper()
	var phones strings.Builder
	for i := range users {
		fmt.Fprintf(&phones, "user%d,+44771%s\n", i, pad(i))
	}
	s = harness.Start(t, harness.Options{NoAuth: true, Phones: phones.String(), Block: "user {http.request.header.X-User}"})
	s.Gateway.Break(gatewaytest.Fault{Name: "slow", Call: "addsms", Delay: 700})
	return s, func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			c := s.Client("")
			c.Header = http.Header{"X-User": {fmt.Sprint("user", i)}}
			if a := c.Call("send", nil); a.Status != http.StatusAccepted {
				t.Fatalf("user%d: %d %s", i, a.Status, a.Body)
			}
		}
	}
}

// eachOnce demands one message for each user, with a code of its own number.
func eachOnce(t *testing.T, s *harness.Site, users int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for len(s.Gateway.Messages()) < users && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	to := map[string]int{}
	for _, m := range s.Gateway.Messages() {
		to[m.To]++
	}
	for number, n := range to {
		if n != 1 {
			t.Errorf("%d messages to %s", n, number)
		}
	}
	if len(to) != users {
		t.Errorf("%d of %d users got their message", len(to), users)
	}
}

func TestAStopLosesNoMessageAndSendsNoneTwice(t *testing.T) {
	const users = 24
	s, send := crowd(t, users)
	send(0, users)
	began := time.Now()
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	t.Logf("stopped in %s", time.Since(began))
	eachOnce(t, s, users)
}

func TestAReloadThatChangesTheDevicesLosesNoMessage(t *testing.T) {
	const users = 24
	s, send := crowd(t, users)
	send(0, users/2)
	changed := strings.Replace(s.Caddyfile(), "device 10403 {", "device 10404\ndevice 10403 {", 1)
	if err := s.Load(changed); err != nil {
		t.Fatal(err)
	}
	send(users/2, users)
	eachOnce(t, s, users)
}

func TestThePageDoesNotWaitForTheGateway(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	s.Gateway.Break(gatewaytest.Fault{Name: "slow", Call: "addsms", Delay: 5000})
	c := s.Client("alice")
	if page := c.Open("/"); page.Status != http.StatusForbidden || !strings.Contains(page.Body, "one-time-code") {
		t.Fatalf("%d", page.Status)
	}
	// Once the gateway has answered, the message is queued at least.
	if got := c.Status().JSON()["delivery"]; got != "sending" {
		t.Errorf("delivery %v: the page came after the gateway's answer", got)
	}
}
