package gatewaytest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient/gatewaytest"
)

const number = "+491713920011"

func start(t *testing.T, o gatewaytest.Options) (*gatewaytest.Server, string) {
	t.Helper()
	s := gatewaytest.New(o)
	t.Cleanup(s.Close)
	return s, s.Start()
}

// call makes a request and reads its answer with numbers as they came.
func call(t *testing.T, method, url, kind, body string) map[string]any {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&answer); err != nil {
		t.Fatalf("%s is not JSON: %v", raw, err)
	}
	return answer
}

func multipartForm(t *testing.T, fields map[string]string) (kind, body string) {
	t.Helper()
	var b strings.Builder
	w := multipart.NewWriter(&b)
	for name, value := range fields {
		if err := w.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	return w.FormDataContentType(), b.String()
}

// The ways in which the vendor's own clients and other people's put the same call.
func TestEveryShapeOfACallIsUnderstood(t *testing.T) {
	const form, jsonType = "application/x-www-form-urlencoded", "application/json"
	fields := map[string]string{
		"token": "any", "sendto": number, "body": "Hallo Ümit & co", "device_id": "10403", "sim": "1", "customerid": "77", "urgent": "1",
	}
	values := url.Values{}
	for name, v := range fields {
		values.Set(name, v)
	}
	kind, parts := multipartForm(t, fields)
	with := func(name, value string) string {
		v, _ := url.ParseQuery(values.Encode())
		v.Set(name, value)
		return v.Encode()
	}
	camel := strings.Replace(values.Encode(), "customerid=", "customerId=", 1)
	for _, shape := range []struct{ name, method, query, kind, body string }{
		{"npm package: multipart", "POST", "", kind, parts},
		{"npm package: query", "GET", values.Encode(), "", ""},
		{"PHP SDK: urlencoded", "POST", "", form, values.Encode()},
		{"PHP SDK: customerId", "POST", "", form, camel},
		{"Java: urgent=true", "POST", "", form, with("urgent", "true")},
		{"Java: token=NO_TOKEN", "POST", "", form, with("token", "NO_TOKEN")},
		{"JSON of strings", "POST", "", jsonType, `{"token":"any","sendto":"` + number + `","body":"Hallo Ümit & co","device_id":"10403","sim":"1","customerid":"77","urgent":"1"}`},
		{"JSON of numbers", "POST", "", jsonType, `{"token":"any","sendto":"` + number + `","body":"Hallo Ümit & co","device_id":10403,"sim":1,"customerid":77,"urgent":true}`},
		{"JSON called a form", "POST", "", form, `{"token":"any","sendto":"` + number + `","body":"Hallo Ümit & co","device_id":10403,"sim":1,"customerid":77,"urgent":1}`},
		{"token in the query, the rest in a form", "POST", "token=any", form, strings.Replace(values.Encode(), "token=any&", "", 1)},
	} {
		s, base := start(t, gatewaytest.Options{})
		got := call(t, shape.method, base+"/getdata/addsms?"+shape.query, shape.kind, shape.body)
		if got["error"] != json.Number("0") || got["message"] != "Sms has been saved successfully" {
			t.Errorf("%s: answered %v", shape.name, got)
			continue
		}
		all := s.Messages()
		if len(all) != 1 || got["sms_id"] != json.Number(strconv.FormatInt(all[0].ID, 10)) {
			t.Errorf("%s: sms_id is %T %v", shape.name, got["sms_id"], got["sms_id"])
		}
		if m := all[0]; m.To != number || m.Body != "Hallo Ümit & co" || m.DeviceID != 10403 || m.SIM != 1 || m.CustomerID != 77 || !m.Urgent {
			t.Errorf("%s: understood as %+v", shape.name, m)
		}
	}
}

func TestBulkIsTakenFromAFormAndAsJSON(t *testing.T) {
	bulk := `{"token":"any","smsdata":[{"sendto":"+491713920011","body":"one","sim":0,"device_id":10403,"customerid":5,"urgent":0},{"sendto":"+491713920012","body":"two","device_id":"10403"}]}`
	for kind, body := range map[string]string{
		"application/json": bulk, "application/x-www-form-urlencoded": url.Values{"datajson": {bulk}}.Encode(), "text/plain": bulk,
	} {
		s, base := start(t, gatewaytest.Options{})
		got := call(t, "POST", base+"/getdata/addalotofsms", kind, body)
		if all := s.Messages(); len(got) != 2 || got["error"] != json.Number("0") || len(all) != 2 || all[1].Body != "two" {
			t.Errorf("%s: answered %v, took %+v", kind, got, s.Messages())
		}
	}
}

func TestQuestionsAreAnsweredAsTheVendorDocuments(t *testing.T) {
	_, base := start(t, gatewaytest.Options{Devices: []string{"10403", "10404"}})
	form := "application/x-www-form-urlencoded"
	sent := call(t, "POST", base+"/getdata/addsms", form, "token=a&sendto=%2B491713920011&body=x&device_id=10403&sim=0")
	id := sent["sms_id"].(json.Number).String()
	status := call(t, "GET", base+"/getdata/getsmsstatus?token=a&sms_id="+id, "", "")
	if len(status) != 5 || status["sms_id"].(json.Number).String() != id || status["status_description"] == "" || status["message"] != "Ok" {
		t.Errorf("getsmsstatus is %v", status)
	}
	if _, err := status["status"].(json.Number).Int64(); err != nil {
		t.Errorf("status is %v", status["status"])
	}
	device := call(t, "POST", base+"/getdata/getdevicestatus", form, "token=a&device_id=10403")
	seen := device["lastseen"].(map[string]any)
	if device["online"] != true || device["error"] != json.Number("0") || device["message"] != "OK" || device["device_id"] != json.Number("10403") ||
		seen["timezone_type"] != json.Number("1") || seen["timezone"] == "" || len(seen["date"].(string)) != len("2020-08-11 16:09:53.000000") {
		t.Errorf("getdevicestatus is %v", device)
	}
	all := call(t, "POST", base+"/getdata/getalldevices", form, "token=a")
	if _, has := all["error"]; has || all["count"] != json.Number("2") || all["device"].(map[string]any)["10404"].(map[string]any)["id"] != json.Number("10404") {
		t.Errorf("getalldevices is %v", all)
	}
	list := call(t, "POST", base+"/getdata/getallsms", form, "token=a&customerid=9")
	if none, ok := list["smss"].([]any); !ok || len(none) != 0 || list["count"] != json.Number("0") {
		t.Errorf("an empty list is %v", list)
	}
	list = call(t, "POST", base+"/getdata/getallsms", form, "token=a&device_id=10403&phone=491713920011")
	row := list["smss"].(map[string]any)[id].(map[string]any)
	if row["sendto"] != number || row["customerid"] != nil || row["deviceid"] != json.Number("10403") || row["statustitle"] == "" {
		t.Errorf("getallsms has %v", row)
	}
	got := call(t, "POST", base+"/getdata/gettoken", form, "email=me@example.com&pass=x")
	if token, _ := got["token"].(string); len(token) != 32 || got["message"] != "OK" {
		t.Errorf("gettoken is %v", got)
	}
}

func TestBadTokenIsRefusedInTheVendorsWords(t *testing.T) {
	_, base := start(t, gatewaytest.Options{})
	for _, path := range []string{"addsms", "addalotofsms", "getsmsstatus", "getdevicestatus", "getalldevices", "getallsms"} {
		for _, token := range []string{"token=bad", ""} {
			got := call(t, "POST", base+"/getdata/"+path, "application/x-www-form-urlencoded", token)
			if len(got) != 2 || got["error"] != json.Number("1") || got["message"] != "Login or password incorrect" {
				t.Errorf("%s with %q is %v", path, token, got)
			}
		}
	}
	got := call(t, "POST", base+"/api/v1/send", "application/json", `{"token":"bad","phone":"+491713920011","message":"x","device_id":"10403"}`)
	if got["success"] != false {
		t.Errorf("v1 with a bad token is %v", got)
	}
}
