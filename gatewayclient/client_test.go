package gatewayclient_test

import (
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient"
	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient/gatewaytest"
)

var update = flag.Bool("update", false, "write the golden files anew")

const token = "token-of-the-account"

var message = gatewayclient.Message{To: number, Body: text, Device: "10403", SIM: 1, CustomerID: 1234567, Urgent: true}

func newClient(t *testing.T, c gatewayclient.Config) *gatewayclient.Client {
	t.Helper()
	if c.Token == "" {
		c.Token = token
	}
	client, err := gatewayclient.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// One gateway that answers everything with the same.
func answering(t *testing.T, status int, header http.Header, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, v := range header {
			w.Header()[name] = v
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestCallsAreWrittenAsTheGatewayDocumentsThem(t *testing.T) {
	ctx := context.Background()
	send := func(c *gatewayclient.Client) error { _, err := c.Send(ctx, message); return err }
	for name, row := range map[string]struct {
		config gatewayclient.Config
		call   func(*gatewayclient.Client) error
	}{
		"addsms":          {gatewayclient.Config{}, send},
		"getsmsstatus":    {gatewayclient.Config{}, func(c *gatewayclient.Client) error { _, err := c.Status(ctx, "22074698"); return err }},
		"getdevicestatus": {gatewayclient.Config{}, func(c *gatewayclient.Client) error { _, err := c.DeviceStatus(ctx, "10403"); return err }},
		"getalldevices":   {gatewayclient.Config{}, func(c *gatewayclient.Client) error { _, err := c.Devices(ctx); return err }},
		"getallsms":       {gatewayclient.Config{}, func(c *gatewayclient.Client) error { _, err := c.Find(ctx, 1234567); return err }},
		"v1_bearer":       {gatewayclient.Config{API: "v1"}, send},
		"v1_body":         {gatewayclient.Config{API: "v1", Auth: "body"}, send},
	} {
		t.Run(name, func(t *testing.T) {
			s := gatewaytest.New(gatewaytest.Options{})
			defer s.Close()
			row.config.URL = s.Start()
			c := newClient(t, row.config)
			if name == "getsmsstatus" {
				if err := send(newClient(t, gatewayclient.Config{URL: row.config.URL})); err != nil {
					t.Fatal(err)
				}
			}
			if err := row.call(c); err != nil {
				t.Fatal(err)
			}
			all := s.Requests()
			host := strings.TrimPrefix(row.config.URL, "http://")
			got := strings.Replace(all[len(all)-1].Raw, "Host: "+host, "Host: smsgateway24.com", 1)
			checkGolden(t, name, strings.ReplaceAll(got, "\r\n", "\n")+"\n")
		})
	}
}

func checkGolden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("on the wire:\n%s\nwant:\n%s", got, want)
	}
}

func TestStatesAreReadByNumber(t *testing.T) {
	for code, want := range map[string]string{
		"1": "queued", "3": "queued", `"3"`: "queued", "2": "on_device", "6": "sent", "6.0": "sent", "7": "delivered",
		"8": "failed", "9": "failed", "10": "failed", "11": "failed", "12": "failed", "100": "failed", "101": "failed",
		"4": "unknown", "5": "unknown", "77": "unknown",
	} {
		url := answering(t, 200, nil, `{"error":"0","sms_id":"5","status":`+code+`,"status_description":"Delivered"}`)
		got, err := newClient(t, gatewayclient.Config{URL: url}).Status(context.Background(), "5")
		if err != nil || got.String() != want {
			t.Errorf("status %s is %v, %v, want %s", code, got, err, want)
		}
	}
}

func TestAnswerAboutAnotherMessageIsNone(t *testing.T) {
	url := answering(t, 200, nil, `{"error":0,"sms_id":6,"status":7}`)
	if got, err := newClient(t, gatewayclient.Config{URL: url}).Status(context.Background(), "5"); err == nil {
		t.Errorf("message 5 is %v by what was said of message 6", got)
	}
}

func TestAnswersToSendFallIntoClasses(t *testing.T) {
	const getdata, v1 = "getdata", "v1"
	const fine = 255
	retry := http.Header{"Retry-After": {"7"}}
	away := http.Header{"Location": {"https://www.sms.test/x?token=" + token}}
	for _, row := range []struct {
		api    string
		status int
		header http.Header
		body   string
		want   gatewayclient.Class
		says   string
	}{
		{getdata, 200, nil, `{"error":0,"sms_id":22074938,"message":"Sms has been saved successfully"}`, fine, "22074938"},
		{getdata, 200, nil, `{"error":false,"sms_id":"22074938"}`, fine, "22074938"},
		{getdata, 200, nil, "\ufeff {\"error\":\"0\",\"sms_id\":\"7\"}", fine, "7"},
		{getdata, 200, nil, `{"error":1,"message":"Device is not available"}`, gatewayclient.Refused, "Device is not available"},
		{getdata, 200, nil, `{"error":"1"}`, gatewayclient.Refused, "answered with an error"},
		{getdata, 200, nil, `{"error":true}`, gatewayclient.Refused, "answered with an error"},
		{getdata, 200, nil, `{"error":"no such device"}`, gatewayclient.Refused, "answered with an error"},
		{getdata, 200, nil, `{"error":0}`, gatewayclient.Ambiguous, "no sms_id"},
		{getdata, 200, nil, `{"error":0,"sms_id":0}`, gatewayclient.Ambiguous, "no sms_id"},
		{getdata, 200, nil, `{"error":null,"sms_id":5}`, gatewayclient.Ambiguous, "no verdict"},
		{getdata, 200, nil, `{"sms_id":5}`, gatewayclient.Ambiguous, "no verdict"},
		{getdata, 200, nil, `[]`, gatewayclient.Ambiguous, "not a JSON object"},
		{getdata, 200, nil, `{"error":0,"sms_i`, gatewayclient.Ambiguous, "not a JSON object"},
		{getdata, 200, nil, ``, gatewayclient.Ambiguous, "not a JSON object"},
		{getdata, 200, nil, strings.Repeat(" ", 70<<10), gatewayclient.Ambiguous, "longer than 64 KiB"},
		{getdata, 200, nil, "\n <!DOCTYPE html><p>Welcome", gatewayclient.Protocol, "web page"},
		{getdata, 302, away, "", gatewayclient.Protocol, "redirect to www.sms.test, which is not followed"},
		{getdata, 404, nil, "<html>", gatewayclient.Protocol, "no /getdata/addsms; look at `url`"},
		{getdata, 400, nil, `{"message":"wrong number"}`, gatewayclient.Invalid, "wrong number"},
		{getdata, 422, nil, `{}`, gatewayclient.Invalid, "refused the request"},
		{getdata, 401, nil, `{}`, gatewayclient.Auth, "token was refused"},
		{getdata, 403, nil, `<html>`, gatewayclient.Auth, "token was refused"},
		{getdata, 402, nil, `{}`, gatewayclient.Quota, "no more messages"},
		{getdata, 429, retry, `{}`, gatewayclient.RateLimited, "too many calls"},
		{getdata, 500, nil, `{}`, gatewayclient.Ambiguous, "answered 500"},
		{getdata, 503, nil, `<html>`, gatewayclient.Ambiguous, "answered 503"},
		{v1, 200, nil, `{"success":true,"message_id":17}`, fine, "17"},
		{v1, 200, nil, `{"data":{"id":"abc"}}`, fine, "abc"},
		{v1, 201, nil, `{"messages":[{"sms_id":9}],"error":null}`, fine, "9"},
		{v1, 202, nil, `{}`, fine, ""},
		{v1, 200, nil, `{"error":0,"status":"queued"}`, fine, ""},
		{v1, 200, nil, `{"error":1}`, gatewayclient.Refused, "refused the message"},
		{v1, 200, nil, `{"error":"1"}`, gatewayclient.Refused, "refused the message"},
		{v1, 200, nil, `{"error":"no credit"}`, gatewayclient.Refused, "no credit"},
		{v1, 200, nil, `{"error":{"code":5}}`, gatewayclient.Refused, "refused the message"},
		{v1, 200, nil, `{"success":false,"id":5}`, gatewayclient.Refused, "refused the message"},
		{v1, 200, nil, `{"status":"ERROR","id":5}`, gatewayclient.Refused, "refused the message"},
		{v1, 200, nil, `{"id":5,"data":{"status":"failed"}}`, gatewayclient.Refused, "refused the message"},
		{v1, 200, nil, `{"messages":[{"id":5,"error":true}]}`, gatewayclient.Refused, "refused the message"},
		{v1, 200, nil, `"ok"`, gatewayclient.Ambiguous, "not a JSON object"},
		{v1, 204, nil, ``, gatewayclient.Ambiguous, "not a JSON object"},
		{v1, 200, nil, `<html>`, gatewayclient.Protocol, "web page"},
		{v1, 404, nil, `<html>`, gatewayclient.Protocol, "this host has no /api/v1/send; use `api getdata`"},
		{v1, 301, away, ``, gatewayclient.Protocol, "not followed"},
		{v1, 500, nil, ``, gatewayclient.Ambiguous, "answered 500"},
	} {
		c := newClient(t, gatewayclient.Config{API: row.api, URL: answering(t, row.status, row.header, row.body)})
		receipt, err := c.Send(context.Background(), message)
		if row.want == fine {
			if err != nil || receipt.ID != row.says {
				t.Errorf("%s %d %.60q is %+v, %v, want id %q", row.api, row.status, row.body, receipt, err, row.says)
			}
			continue
		}
		var e *gatewayclient.Error
		if !errors.As(err, &e) || e.Class != row.want || !strings.Contains(e.Error(), row.says) {
			t.Errorf("%s %d %.60q is %v, want %v: %s", row.api, row.status, row.body, err, row.want, row.says)
			continue
		}
		if strings.Contains(e.Error(), token) || (row.header["Retry-After"] != nil && e.RetryAfter != 7*time.Second) {
			t.Errorf("%s %d gives %v with %s", row.api, row.status, e, e.RetryAfter)
		}
	}
}

func TestEchoedSecretsStayOutOfErrors(t *testing.T) {
	for _, said := range []string{
		token, "bad token " + token, text, "refused: 847291", "code 847 291", "to " + number, "to 49 171 3920011",
		"x" + token + "x", strings.ToUpper(token), "\x1b[31m" + text,
	} {
		body := `{"error":1,"message":` + quoted(said) + `}`
		for _, api := range []string{"getdata", "v1"} {
			_, err := newClient(t, gatewayclient.Config{API: api, URL: answering(t, 200, nil, body)}).Send(context.Background(), message)
			got := err.Error()
			for _, secret := range []string{token, strings.ToUpper(token), text, "847291", "847", number, "3920011", "\x1b"} {
				if strings.Contains(got, secret) {
					t.Errorf("%s: after %q the error is %q", api, said, got)
				}
			}
		}
	}
}

func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		if r < ' ' || r == '"' || r == '\\' {
			b.WriteString(`\u00` + string("0123456789abcdef"[r>>4]) + string("0123456789abcdef"[r&15]))
			continue
		}
		b.WriteRune(r)
	}
	return b.String() + `"`
}

func TestNothingIsSentWhereNothingListens(t *testing.T) {
	s := httptest.NewServer(nil)
	url := s.URL
	s.Close()
	_, err := newClient(t, gatewayclient.Config{URL: url}).Send(context.Background(), message)
	if class, _ := gatewayclient.ClassOf(err); class != gatewayclient.Unavailable {
		t.Errorf("a refused connection is %v, want unavailable", err)
	}
}

func TestAnswerThatNeverCameIsAmbiguous(t *testing.T) {
	arrived := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- struct{}{}
		<-r.Context().Done()
	}))
	defer s.Close()
	c := newClient(t, gatewayclient.Config{URL: s.URL})
	for call, row := range map[string]struct {
		make func(context.Context) error
		want gatewayclient.Class
	}{
		"a message":  {func(ctx context.Context) error { _, err := c.Send(ctx, message); return err }, gatewayclient.Ambiguous},
		"a question": {func(ctx context.Context) error { _, err := c.Status(ctx, "5"); return err }, gatewayclient.Unavailable},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		go func() { <-arrived; cancel() }()
		if class, _ := gatewayclient.ClassOf(row.make(ctx)); class != row.want {
			t.Errorf("%s given up after it was written is %v, want %v", call, class, row.want)
		}
		cancel()
	}
}

func TestUntrustedCertificateIsRefused(t *testing.T) {
	s := gatewaytest.New(gatewaytest.Options{})
	defer s.Close()
	url, trusting := s.StartTLS()
	_, err := newClient(t, gatewayclient.Config{URL: url}).Send(context.Background(), message)
	if class, _ := gatewayclient.ClassOf(err); class == gatewayclient.Ambiguous || err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown certificate is %v", err)
	}
	if len(s.Messages()) != 0 {
		t.Error("the message was sent all the same")
	}
	if _, err := newClient(t, gatewayclient.Config{URL: url, HTTP: trusting}).Send(context.Background(), message); err != nil {
		t.Errorf("a trusted certificate is %v", err)
	}
}

func TestV1AsksNothingThatItCannot(t *testing.T) {
	c := newClient(t, gatewayclient.Config{API: "v1"})
	if _, err := c.Status(context.Background(), "5"); err == nil || !strings.Contains(err.Error(), "use `api getdata`") {
		t.Errorf("Status is %v", err)
	}
}

func TestDevicesAndTheirLastContactAreRead(t *testing.T) {
	at := "2020-08-11 16:09:53.000000"
	devices := `{"count":2,"device":{"1576":{"id":1576,"title":"Desk","lastseen":{"date":"` + at + `","timezone_type":1,"timezone":"+02:00"},
		"siminfo":[{"Slot":"1","Number":" 12025550100","CountryIso":"us","CarrierName":"Example"}],"delaybetweenrequest":"5"},"9":[],"x":{}}}`
	got, err := newClient(t, gatewayclient.Config{URL: answering(t, 200, nil, devices)}).Devices(context.Background())
	want := time.Date(2020, 8, 11, 14, 9, 53, 0, time.UTC)
	if err != nil || len(got) != 1 || got[0].ID != "1576" || !got[0].LastSeen.Equal(want) || got[0].Poll != 5*time.Second || got[0].SIMs[0].Slot != 1 {
		t.Errorf("devices are %+v, %v", got, err)
	}
	for _, none := range []string{`{"count":0,"device":[]}`, `{"count":0,"device":{}}`, `{"count":0,"device":null}`, `{"error":0}`} {
		got, err := newClient(t, gatewayclient.Config{URL: answering(t, 200, nil, none)}).Devices(context.Background())
		if err != nil || len(got) != 0 {
			t.Errorf("%s is %+v, %v", none, got, err)
		}
	}
	status := `{"online":false,"error":0,"message":"OK","device_id":260,"lastseen":{"date":"` + at + `"},"diffseconds":28851900,"title":"Desk"}`
	s, err := newClient(t, gatewayclient.Config{URL: answering(t, 200, nil, status)}).DeviceStatus(context.Background(), "260")
	if err != nil || s.Online || s.Since != 28851900*time.Second || s.Title != "Desk" {
		t.Errorf("device status is %+v, %v", s, err)
	}
}

func TestFindKeepsOnlyWhatWasAskedFor(t *testing.T) {
	body := `{"error":0,"smss":{"5":{"id":5,"customerid":77,"status":2,"deviceid":260},"6":{"id":6,"customerid":null,"status":1},"7":{"customerid":"77","status":"6"}},"count":3}`
	got, err := newClient(t, gatewayclient.Config{URL: answering(t, 200, nil, body)}).Find(context.Background(), 77)
	if err != nil || len(got) != 2 || got[0].ID != "5" || got[0].Device != "260" || got[0].State != gatewayclient.OnDevice || got[1].State != gatewayclient.Sent {
		t.Errorf("found %+v, %v", got, err)
	}
}
