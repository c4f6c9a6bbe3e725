package caddymodule

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

// Whatever stands in the header, the upstream gets none of our cookies and all
// of the others, and we look at a few only.
func FuzzCookies(f *testing.F) {
	for _, line := range []string{
		"a=b", "__Host-Http-sms-otp=x.y.z", "__Host-Http-sms-otp=x; a=b; __Host-Http-sms-otp=\"y\"", " __Host-Http-sms-otp = x ;;; =",
		"__Host-Http-sms-otp", "__host-http-sms-otp=x", "a=b;__Host-Http-sms-otp-challenge=AAAAAAAAAAAAAAAAAAAAAA", "a=\"b; __Host-Http-sms-otp=x\"", strings.Repeat("__Host-Http-sms-otp=x;", 9),
	} {
		f.Add(line)
	}
	ours := []string{defaultCookie, defaultCookie + "-challenge", defaultCookie + "-device"}
	f.Fuzz(func(t *testing.T, line string) {
		before := &http.Request{Header: http.Header{"Cookie": {line}}}
		values := cookieValues(before.Header["Cookie"], defaultCookie)
		if len(values) > maxCopies {
			t.Errorf("%d values are looked at", len(values))
		}
		after := &http.Request{Header: http.Header{"Cookie": {line}}}
		stripCookies(after, nil, ours)
		if left := cookieValues(after.Header["Cookie"], defaultCookie); len(left) != 0 {
			t.Errorf("the upstream gets %q", left)
		}
		var others []string
		for _, c := range before.Cookies() {
			if slices.Contains(ours, c.Name) {
				continue
			}
			others = append(others, c.Name+"="+c.Value)
		}
		var kept []string
		for _, c := range after.Cookies() {
			if slices.Contains(ours, c.Name) {
				t.Errorf("the upstream gets %s", c)
			}
			kept = append(kept, c.Name+"="+c.Value)
		}
		if !slices.Equal(others, kept) {
			t.Errorf("of the cookies %q the upstream gets %q", others, kept)
		}
	})
}

// No spelling of the parameter slips past, and what leads back is on this site.
func FuzzActions(f *testing.F) {
	for _, target := range []string{
		"/?sms_otp=send", "/a?b=c&sms_otp=verify", "/?sms%5Fotp=status", "/?sms_otp=verify&sms_otp=send", "/?sms_otp", "/?sms_otp=%zz", "/?a=b;sms_otp=send",
		"//evil.example/?sms_otp=logout", "/\\evil.example", "///x", "/%5Cevil.example", "/a%0d%0ab?x", "/?%73ms_otp=send", "/?sms_otp=Send", "/?a=%", "/é?sms_otp=send",
	} {
		f.Add(target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Host != "" && !u.IsAbs() || strings.Contains(target, "#") {
			return // a fragment is kept by the client
		}
		act, err := actionOf(u.RawQuery)
		values := u.Query()[actionParam]
		switch {
		case err == nil && act == noAction && len(values) > 0:
			t.Errorf("%q slipped past with %q", u.RawQuery, values)
		case err == nil && act != noAction && (len(values) != 1 || values[0] != string(act)):
			t.Errorf("%q is %q, others read %q", u.RawQuery, act, values)
		}
		clean := cleanURL(u)
		if !strings.HasPrefix(clean, "/") || strings.HasPrefix(clean, "//") || strings.HasPrefix(clean, `/\`) || strings.ContainsAny(clean, "\r\n") {
			t.Errorf("%q leads to %q", target, clean)
		}
		back, err := url.Parse(clean)
		if err != nil || back.Host != "" || back.Scheme != "" {
			t.Errorf("%q leads to %q: %v", target, clean, err)
			return
		}
		if left := back.Query()[actionParam]; len(left) != 0 {
			t.Errorf("%q leads to the action %q", target, left)
		}
	})
}

// Of two values for one field neither counts, in whatever form they come.
func FuzzFields(f *testing.F) {
	for _, body := range []string{
		"code=123456", "code=1&code=2", "code=%zz", "code[]=1&code[]=2", `{"code":"012345"}`, `{"code":012345}`, `{"code":12345,"code":"1"}`, `{"Code":"1","code":"2"}`,
		`{"code":{"a":1}}`, `{"code":null}`, `{"code":"1"}{"code":"2"}`, `[]`, `{"code":1e400}`, "{", "",
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		if read, err := formFields(body); err == nil {
			values, _ := url.ParseQuery(body)
			for name, value := range read {
				if len(values[name]) != 1 || values[name][0] != value {
					t.Errorf("field %q is %q, others read %q", name, value, values[name])
				}
			}
		}
		read, err := jsonFields(body)
		if err != nil {
			return
		}
		var whole map[string]any
		decoder := json.NewDecoder(strings.NewReader(body))
		decoder.UseNumber()
		if err := decoder.Decode(&whole); err != nil {
			t.Errorf("%q was read: %v", body, err)
		}
		for name, value := range read {
			if text, ok := whole[name].(string); ok && text != value {
				t.Errorf("field %q is %q, others read %q", name, value, text)
			}
		}
	})
}

// A phonebook that was read holds numbers of users in one form each, or it was refused.
func FuzzPhonebook(f *testing.F) {
	for _, content := range []string{
		"user,phone\nalice,+44 7700 900123\n", "\ufeffuser,phone,language\nalice,+447700900123,de\n# nobody\nBob,\"+44 7700 900456\"\n", "phone,user\n+447700900123,alice\n",
		"user,phone\nalice,+447700900123\nALICE,+447700900456\n", "user,phone\nalice\n", "user,phone\n,+447700900123\n", "user,phone\r\nalice,0171 3920000\r\n", "", "user;phone\n", "user,phone\n\"", "user,phone,phone\na,1,2\n",
	} {
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content string) {
		d, err := readDirectory(strings.NewReader(content))
		if err != nil {
			return
		}
		for name, entry := range d.entries {
			if name != otpcore.CanonicalUser(name) || name == "" {
				t.Errorf("user %q", name)
			}
			if again, err := otpcore.ParseNumber(string(entry.number)); err != nil || again != entry.number {
				t.Errorf("%q has the number %q", name, entry.number)
			}
			if !slices.Contains(d.codes, entry.number.CallingCode()) {
				t.Errorf("calling code of %q is not among %v", entry.number, d.codes)
			}
		}
	})
}

// No Caddyfile makes the adapter panic or write what is no JSON.
func FuzzCaddyfile(f *testing.F) {
	files, err := filepath.Glob("testdata/caddyfile/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		caddyfile, _, _ := strings.Cut(string(content), fixtureSeparator)
		f.Add(caddyfile)
	}
	f.Fuzz(func(t *testing.T, caddyfile string) {
		if strings.Contains(caddyfile, "import") {
			return // reads files of this machine
		}
		if config, err := adapt(caddyfile); err == nil && !json.Valid(config) {
			t.Errorf("adapted to %q", config)
		}
	})
}
