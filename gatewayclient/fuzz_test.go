package gatewayclient_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient"
)

// answers is a gateway that says one thing, whatever it is asked.
type answers struct {
	status   int
	kind     string
	location string
	body     []byte
}

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: a.status, Request: r, ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {a.kind}, "Location": {a.location}, "Retry-After": {a.location}},
		Body:   io.NopCloser(bytes.NewReader(a.body)),
	}, nil
}

// No answer panics, none that is not plainly a success becomes one, and no
// error holds a secret, even when the gateway echoes what it was sent.
func FuzzAnswers(f *testing.F) {
	for _, body := range []string{
		`{"error":0,"sms_id":22074938,"message":"Sms has been saved successfully"}`, `{"error":1,"message":"TOKEN TEXT NUMBER"}`,
		`{"error":0,"sms_id":22074698,"status":1,"status_description":"New","message":"Ok"}`, `{"error":"0","sms_id":"7","status":"6.0"}`,
		`{"online":false,"error":0,"device_id":260,"lastseen":{"date":"2020-08-11 16:09:53.000000","timezone_type":1,"timezone":"+02:00"},"diffseconds":28851900}`,
		`{"count":1,"device":{"1576":{"lastseen":{"date":"x","timezone":"Europe/Berlin"},"siminfo":[{"Slot":"0"}],"delaybetweenrequest":1e300}}}`,
		`{"error":0,"smss":{"22074698":{"id":1,"customerid":null,"status":1,"deviceid":260}},"count":6}`, `{"error":0,"smss":[],"device":[]}`,
		`{"success":true,"message_id":17}`, `{"data":{"id":"abc"},"messages":[{"sms_id":1}]}`, `{"error":{"message":"TOKEN"}}`,
		`[]`, `{}`, `null`, ``, `<html>TOKEN`, "\ufeff{}", `{"error":`, `{"error":-0,"sms_id":9223372036854775808}`, `{"error":0.5}`,
		"{\"\x82\":-0,\"sms_id\":9223372E36854775808}", `{"error":0e7,"sms_id":1e3}`,
	} {
		f.Add(200, "application/json", "", []byte(body))
		f.Add(500, "text/html", "https://TOKEN.example.com/?t=TOKEN", []byte(body))
		f.Add(302, "", "//NUMBER/TEXT", []byte(body))
		f.Add(429, "", "Mon, 23 Nov 2026 22:00:00 GMT", []byte(body))
	}
	f.Fuzz(func(t *testing.T, status int, kind, location string, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		echo := strings.NewReplacer("TOKEN", token, "TEXT", text, "NUMBER", number)
		a := answers{status, kind, echo.Replace(location), []byte(echo.Replace(string(body)))}
		for _, api := range []string{"getdata", "v1"} {
			c, err := gatewayclient.New(gatewayclient.Config{API: api, Token: token, HTTP: &http.Client{Transport: a}})
			if err != nil {
				t.Fatal(err)
			}
			receipt, err := c.Send(context.Background(), message)
			checkAnswer(t, err)
			if err == nil && !plainSuccess(api, a) {
				t.Errorf("%s: %d %q became a success, %+v", api, a.status, a.body, receipt)
			}
			_, err = c.Status(context.Background(), "7")
			checkAnswer(t, err)
			_, err = c.DeviceStatus(context.Background(), "7")
			checkAnswer(t, err)
			_, err = c.Devices(context.Background())
			checkAnswer(t, err)
			_, err = c.Find(context.Background(), 7)
			checkAnswer(t, err)
		}
	})
}

func checkAnswer(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	var e *gatewayclient.Error
	if !errors.As(err, &e) {
		t.Errorf("an error without a class: %v", err)
	}
	for _, secret := range []string{token, text, "847291", number, number[1:]} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q is in %q", secret, err)
		}
	}
}

// plainSuccess is the least that a success needs, read in another way than the client does.
func plainSuccess(api string, a answers) bool {
	var o map[string]any
	d := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(bytes.TrimSpace(a.body), []byte("\ufeff"))))
	d.UseNumber()
	if a.status >= 300 || d.Decode(&o) != nil || o == nil {
		return false
	}
	if api == "v1" {
		bad := o["success"] == false || o["error"] == true || o["error"] == "1" || o["error"] == json.Number("1")
		return !bad && o["status"] != "error" && o["status"] != "failed"
	}
	zero := func(s string) bool {
		n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		return s == "false" || (err == nil && n == 0)
	}
	switch e := o["error"].(type) {
	case json.Number:
		if !zero(e.String()) {
			return false
		}
	case string:
		if !zero(e) {
			return false
		}
	case bool:
		if e {
			return false
		}
	default:
		return false
	}
	_, number := o["sms_id"].(json.Number)
	_, words := o["sms_id"].(string)
	return number || words || o["sms_id"] == true
}

func FuzzSegments(f *testing.F) {
	for _, seed := range []string{"", text, "€€", "ж🙂", "\xff", strings.Repeat("a", 161)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, forced := gatewayclient.Segments(s)
		longest := 2*len(s)/67 + 1 // even if every byte took two units
		if n < 1 || n > longest+1 || (forced != 0 && !strings.ContainsRune(s, forced)) {
			t.Errorf("%q is %d parts because of %q", s, n, forced)
		}
		if more, _ := gatewayclient.Segments(s + "a"); more < n {
			t.Errorf("%q is %d parts, and fewer with one more character", s, n)
		}
	})
}

// A ledger that was written down, or damaged since, is refused as a whole or reads as
// something that is written as it was read.
func FuzzSnapshot(f *testing.F) {
	for _, seed := range []string{
		`{"version":1,"phones":{"10403":{"spent":[{"From":"2026-11-01T12:00:00Z","At":"2026-11-01T12:00:01Z","Segments":2,"Asked":1}],
		"open":{"7":{"At":"2026-11-01T12:00:01Z","Segments":1,"ID":"48"}},"breakers":[{"sim":1,"failures":3,"until":"2026-11-01T12:05:00Z","silent":true}],
		"contact":"2026-11-01T12:00:00Z","offline":true,"poll":60000000000,"touched":"2026-11-01T12:00:00Z"}}}`,
		``, `{}`, `{"version":2}`, `{"version":1,"phones":null}`, `{"version":1,"phones":{"a":null,"b":{}}}`,
		`{"version":1,"phones":{"a":{"breakers":[{"sim":-1,"failures":1},{"sim":99,"failures":1},{"sim":0,"failures":-5}]}}}`,
		`{"version":1,"phones":{"a":{"spent":[{"From":"9999-01-01T00:00:00Z","At":"0001-01-01T00:00:00Z"}],"open":{"-1":{}},"poll":-1}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l := gatewayclient.NewLedger()
		if l.UnmarshalBinary(data) != nil {
			if l.Changes() != 0 {
				t.Error("what was refused has changed the ledger")
			}
			return
		}
		written, err := l.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		again := gatewayclient.NewLedger()
		if err := again.UnmarshalBinary(written); err != nil {
			t.Fatalf("%s does not read back: %v", written, err)
		}
		if twice, err := again.MarshalBinary(); err != nil || !bytes.Equal(twice, written) {
			t.Errorf("written as\n%s\nand, read back, as\n%s", written, twice)
		}
	})
}
