package gatewayclient_test

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient"
)

func TestClientConfigMistakesSayWhatToWrite(t *testing.T) {
	for _, row := range []struct {
		c    gatewayclient.Config
		says string
	}{
		{gatewayclient.Config{}, "token {env.SMSGATEWAY24_TOKEN}"},
		{gatewayclient.Config{Token: "a b"}, "copy it again"},
		{gatewayclient.Config{Token: "a\n"}, "copy it again"},
		{gatewayclient.Config{Token: "t", URL: "http://sms.example.com"}, "write https://sms.example.com"},
		{gatewayclient.Config{Token: "t", URL: "ftp://sms.example.com"}, "write https://"},
		{gatewayclient.Config{Token: "t", URL: "sms.example.com"}, "write it like https://"},
		{gatewayclient.Config{Token: "t", URL: "https://"}, "write it like https://"},
		{gatewayclient.Config{Token: "t", URL: "https://me:secret@sms.example.com"}, "user name or password"},
		{gatewayclient.Config{Token: "t", URL: "https://sms.example.com/?token=t"}, "leave out what follows"},
		{gatewayclient.Config{Token: "t", URL: "https://sms.example.com/getdata/"}, "write https://sms.example.com"},
		{gatewayclient.Config{Token: "t", URL: "https://sms.example.com/api/v1/send"}, "write https://sms.example.com"},
		{gatewayclient.Config{Token: "t", API: "v2"}, "write getdata or v1"},
		{gatewayclient.Config{Token: "t", API: "v1", Auth: "basic"}, "write bearer or body"},
		{gatewayclient.Config{Token: "t", Auth: "body"}, "write `api v1`"},
		{gatewayclient.Config{Token: "t", Timeout: -time.Second}, "write a duration such as 10s"},
	} {
		_, err := gatewayclient.New(row.c)
		if err == nil || !strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v gives %v, want %q in it", row.c, err, row.says)
		}
	}
	for _, url := range []string{"", "https://sms.example.com/base/", "http://127.0.0.1:8024", "http://localhost:8024", "http://[::1]:8024"} {
		if _, err := gatewayclient.New(gatewayclient.Config{Token: "t", URL: url}); err != nil {
			t.Errorf("%q gives %v", url, err)
		}
	}
}

func TestFleetConfigMistakesSayWhatToWrite(t *testing.T) {
	client := newClient(t, gatewayclient.Config{})
	one := func(d gatewayclient.DeviceConfig) gatewayclient.FleetConfig {
		return gatewayclient.FleetConfig{Client: client, Devices: []gatewayclient.DeviceConfig{d}}
	}
	twice := one(gatewayclient.DeviceConfig{ID: "1"})
	twice.Devices = append(twice.Devices, twice.Devices[0])
	often := one(gatewayclient.DeviceConfig{ID: "1"})
	often.Poll = 100 * time.Millisecond
	for _, row := range []struct {
		c    gatewayclient.FleetConfig
		says string
	}{
		{gatewayclient.FleetConfig{Client: client}, "write `device <id>`"},
		{one(gatewayclient.DeviceConfig{}), "is not an id"},
		{one(gatewayclient.DeviceConfig{ID: "desk"}), "such as 10403"},
		{one(gatewayclient.DeviceConfig{ID: "1", SIM: 6}), "write 0, 1, whatsapp_business"},
		{one(gatewayclient.DeviceConfig{ID: "1", LimitN: 30}), "such as `limit 30 30m`"},
		{one(gatewayclient.DeviceConfig{ID: "1", LimitPer: time.Hour}), "such as `limit 30 30m`"},
		{twice, "leave one out"},
		{often, "write 500ms or more"},
	} {
		if _, err := gatewayclient.NewFleet(row.c); err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%+v gives %v, want %q in it", row.c.Devices, err, row.says)
		}
	}
	v1 := newClient(t, gatewayclient.Config{API: "v1"})
	if _, err := gatewayclient.NewFleet(gatewayclient.FleetConfig{Client: v1, Devices: []gatewayclient.DeviceConfig{{ID: "your_device_id"}}}); err != nil {
		t.Errorf("v1 knows devices by name, too: %v", err)
	}
}

func TestSlotsAreNamed(t *testing.T) {
	for name, want := range map[string]int{"": 0, "0": 0, "1": 1, "whatsapp_business": 2, "whatsapp": 3, "rcs0": 4, "rcs1": 5} {
		if got, err := gatewayclient.ParseSIM(name); err != nil || got != want {
			t.Errorf("%q is %d, %v, want %d", name, got, err, want)
		}
	}
	if _, err := gatewayclient.ParseSIM("2"); err == nil || !strings.Contains(err.Error(), "whatsapp_business") {
		t.Errorf("2 gives %v", err)
	}
}
