package otpcore_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

const month = 30 * 24 * time.Hour

func (d *desk) trust() (token string) {
	d.t.Helper()
	r := request("alice")
	id, code := d.start(r)
	v := d.must(otpcore.Accepted)(d.submit(id, r, code)).Verification
	token, err := d.TrustDevice(d.t.Context(), v, month)
	if err != nil {
		d.t.Fatal(err)
	}
	return token
}

func (d *desk) device(token string) (*otpcore.Verification, string) {
	d.t.Helper()
	v, renewed, err := d.Device(d.t.Context(), token, "site.example.com", "alice")
	if err != nil {
		d.t.Fatal(err)
	}
	return v, renewed
}

func TestTrustedDeviceLastsItsTimeAndIsRenewedDaily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 100)
		token := d.trust()
		began := time.Now()
		renewals := 0
		for time.Since(began) < month-time.Hour {
			v, renewed := d.device(token)
			if v == nil || v.Number != number {
				t.Fatalf("no trust after %s", time.Since(began))
			}
			if renewed != "" {
				token, renewals = renewed, renewals+1
			}
			time.Sleep(6 * time.Hour)
		}
		if renewals < 29 {
			t.Errorf("%d renewals in 30 days", renewals)
		}
		time.Sleep(time.Until(began.Add(month)))
		if v, _ := d.device(token); v != nil {
			t.Error("trusted for longer than said")
		}
	})
}

func TestReplacedDeviceTokenThatComesBackEndsTheTrust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 100)
		stolen := d.trust()
		time.Sleep(13 * time.Hour)
		_, owner := d.device(stolen)
		if owner == "" {
			t.Fatal("not renewed")
		}
		if v, _ := d.device(stolen); v == nil {
			t.Error("a request that was under way at the renewal was refused")
		}
		time.Sleep(2 * time.Minute)
		if v, _ := d.device(owner); v == nil {
			t.Fatal("the owner lost the trust")
		}
		if v, _ := d.device(stolen); v != nil {
			t.Error("a replaced token is still good")
		}
		if v, _ := d.device(owner); v != nil {
			t.Error("the trust goes on although two hold it")
		}
	})
}

func TestDeviceTokenIsForItsUserAndSiteAndEndsWithRevocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 100)
		token := d.trust()
		for _, other := range [][2]string{{"site.example.com", "bob"}, {"other.example.com", "alice"}} {
			if v, _, err := d.Device(t.Context(), token, other[0], other[1]); v != nil || err != nil {
				t.Errorf("%v: %v, %v", other, v, err)
			}
		}
		time.Sleep(time.Minute)
		d.Revocations.EndUser("alice", time.Now())
		if v, _ := d.device(token); v != nil {
			t.Error("trusted after a revocation")
		}
		time.Sleep(time.Minute)
		token = d.trust()
		if err := d.ForgetDevice(t.Context(), token, "site.example.com", "alice"); err != nil {
			t.Fatal(err)
		}
		if v, _ := d.device(token); v != nil {
			t.Error("trusted after it was forgotten")
		}
	})
}
