package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

var hiddenKept = regexp.MustCompile(`name="?kept"? value="([^"]+)"`)

func keptIn(t *testing.T, a harness.Answer) string {
	t.Helper()
	m := hiddenKept.FindStringSubmatch(a.Body)
	if m == nil {
		t.Fatalf("no kept request in the page: %d %s", a.Status, a.Body)
	}
	return html.UnescapeString(m[1])
}

func pay() harness.Options {
	return harness.Options{
		Global: "limits {\nresend_after 1s\n}", Before: "@pay {\npath /pay\nmethod POST\n}\n", Matcher: "@pay",
		Block: `confirm
			site Example
			message "{code} confirms {action} of {form.amount} to {form.to} at {site}"`,
	}
}

func transfer(amount, to string) url.Values { return url.Values{"amount": {amount}, "to": {to}} }

func TestAConfirmedRequestRunsOnceByteForByte(t *testing.T) {
	s := harness.Start(t, pay())
	c := s.Client("alice")
	body := "to=shop&amount=12.50&note=%C3%A4+b&x="
	page := c.Do("POST", "/pay?ref=7", body, http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"text/html"}, "Origin": {s.URL}, "Referer": {s.URL + "/cart"},
		"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Site": {"same-origin"},
	})
	if page.Status != 403 {
		t.Fatalf("%d", page.Status)
	}
	code := s.Code(1)
	if text := s.Gateway.Messages()[0].Body; !strings.Contains(text, "confirms POST /pay of 12.50 to shop at Example") {
		t.Errorf("the message says %q", text)
	}
	kept := keptIn(t, page)
	wrong := c.Submit("/pay?ref=7&sms_otp=verify", url.Values{"code": {harness.Wrong(code)}, "kept": {kept}})
	if wrong.Status != 403 || len(s.Upstream.Hits()) != 0 {
		t.Fatalf("a wrong code: %d, %d hits", wrong.Status, len(s.Upstream.Hits()))
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	answers := map[int]int{}
	for range 100 {
		one := s.Client("alice")
		one.Cookies[challengeCookie] = c.Cookies[challengeCookie]
		wg.Go(func() {
			a := one.Submit("/pay?ref=7&sms_otp=verify", url.Values{"code": {code}, "kept": {keptIn(t, wrong)}})
			mu.Lock()
			defer mu.Unlock()
			answers[a.Status]++
			if one.Cookies[tokenCookie] != "" {
				t.Error("a confirmation left a session behind")
			}
		})
	}
	wg.Wait()
	hits := s.Upstream.Hits()
	if len(hits) != 1 || answers[200] != 1 || answers[403] != 99 {
		t.Fatalf("%d hits, answers %v; want one transaction", len(hits), answers)
	}
	hit := hits[0]
	if hit.Method != "POST" || hit.URI != "/pay?ref=7" || hit.Body != body ||
		hit.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || hit.Header.Get("Referer") != s.URL+"/cart" || hit.Cookie != "" {
		t.Errorf("the upstream saw %+v", hit)
	}
	// Reload of the answer, later.
	time.Sleep(1100 * time.Millisecond)
	if a := c.Submit("/pay?ref=7&sms_otp=verify", url.Values{"code": {code}, "kept": {kept}}); a.Status != 403 || len(s.Upstream.Hits()) != 1 {
		t.Errorf("sent again: %d, %d hits", a.Status, len(s.Upstream.Hits()))
	}
	if n := s.Messages(); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

// Nobody must read that a transaction is done which never ran.
func TestATransactionWhoseChallengeIsGoneIsNotCalledDone(t *testing.T) {
	o := pay()
	o.Global += "\ncountries 44"
	o.Block += "\nphone {header.X-Phone}"
	s := harness.Start(t, o)
	c := s.Client("alice")
	c.Header.Set("X-Phone", harness.Numbers["alice"])
	kept := keptIn(t, c.Submit("/pay", transfer("5", "shop")))
	c.Header.Set("X-Phone", harness.Numbers["bob"]) // a new number ends the challenge
	gone := c.Submit("/pay?sms_otp=verify", url.Values{"code": {s.Code(1)}, "kept": {kept}})
	if gone.Status != 403 || strings.Contains(gone.Body, "You are verified") {
		t.Errorf("%d %s", gone.Status, gone.Body)
	}
	// The page offers another code for the same transaction.
	sent := c.Submit("/pay?sms_otp=send", url.Values{"kept": {keptIn(t, gone)}})
	if sent.Status != 202 || len(s.Upstream.Hits()) != 0 {
		t.Fatalf("%d %s", sent.Status, sent.Body)
	}
	if a := c.Submit("/pay?sms_otp=verify", url.Values{"code": {s.Code(2)}, "kept": {keptIn(t, sent)}}); a.Status != 200 || len(s.Upstream.Hits()) != 1 {
		t.Errorf("with another code: %d, %d hits", a.Status, len(s.Upstream.Hits()))
	}
}

func TestReloadOfATransactionsPageCostsNothing(t *testing.T) {
	s := harness.Start(t, pay())
	c := s.Client("alice")
	for range 5 {
		c.Submit("/pay", transfer("5", "shop"))
	}
	if n := s.Messages(); n != 1 {
		t.Errorf("%d messages for one transaction", n)
	}
}

// The page asks without the request, which only its form carries.
func TestATransactionsPageLearnsHowItStands(t *testing.T) {
	s := harness.Start(t, pay())
	c := s.Client("alice")
	page := c.Submit("/pay", transfer("5", "shop"))
	asked := statusURL.FindStringSubmatch(page.Body)
	if asked == nil {
		t.Fatalf("the page asks nowhere: %s", page.Body)
	}
	state := func(c *harness.Client) any {
		t.Helper()
		return c.Do("POST", html.UnescapeString(asked[1]), "", http.Header{"Accept": {"application/json"}}).JSON()["state"]
	}
	code := s.Code(1)
	if got := state(c); got != "pending" {
		t.Errorf("%v while the code is awaited", got)
	}
	if got := state(s.Client("alice")); got != nil {
		t.Errorf("another browser learns: %v", got)
	}
	c.Submit("/pay?sms_otp=verify", url.Values{"code": {code}, "kept": {keptIn(t, page)}})
	if got := state(c); got != "verified" {
		t.Errorf("%v after the right code", got)
	}
}

var statusURL = regexp.MustCompile(`data-status="?([^" >]+)`)

// Whether a transaction that broke off has run nobody here can tell, so it does not go on again.
func TestATransactionWhoseUpstreamFailsIsNotRunAgain(t *testing.T) {
	for name, row := range map[string]struct {
		upstream http.HandlerFunc
		want     int // what the browser gets, 0 where the connection breaks
	}{
		"the upstream refuses":                      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, 500},
		"the upstream breaks off before its answer": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 502},
		"the upstream breaks off in its answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("half")) //nolint:errcheck // it breaks off here
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			o := pay()
			o.Upstream = row.upstream
			s := harness.Start(t, o)
			c := s.Client("alice")
			page := c.Submit("/pay", transfer("5", "shop"))
			form := url.Values{"code": {s.Code(1)}, "kept": {keptIn(t, page)}}
			answer, err := c.Try("POST", "/pay?sms_otp=verify", form.Encode(), c.Form())
			if answer.Status != row.want || (err != nil) != (row.want == 0) {
				t.Errorf("the browser got %d, %v; want %d", answer.Status, err, row.want)
			}
			again := c.Submit("/pay?sms_otp=verify", form)
			if again.Status != 403 || len(s.Upstream.Hits()) != 1 {
				t.Errorf("sent again: %d, the upstream was hit %d times", again.Status, len(s.Upstream.Hits()))
			}
			if page := c.Submit("/pay", transfer("5", "shop")); page.Status != 403 || !hiddenKept.MatchString(page.Body) {
				t.Errorf("the same once more, as a transaction of its own: %d", page.Status)
			}
		})
	}
}

func TestTwoTransactionsInTwoTabsDoNotMeet(t *testing.T) {
	s := harness.Start(t, pay())
	c := s.Client("alice")
	first := c.Submit("/pay", transfer("1.00", "shop"))
	one := s.Code(1)
	time.Sleep(1100 * time.Millisecond)
	second := c.Submit("/pay", transfer("2.00", "shop"))
	two := s.Code(2)
	if one == two {
		t.Fatal("two equal codes, once in a million: run again")
	}
	if a := c.Submit("/pay?sms_otp=verify", url.Values{"code": {two}, "kept": {keptIn(t, first)}}); a.Status != 403 {
		t.Errorf("the other tab's code: %d", a.Status)
	}
	for _, tab := range []struct {
		code string
		page harness.Answer
	}{{two, second}, {one, first}} {
		if a := c.Submit("/pay?sms_otp=verify", url.Values{"code": {tab.code}, "kept": {keptIn(t, tab.page)}}); a.Status != 200 {
			t.Errorf("a tab's own code: %d %s", a.Status, a.Body)
		}
	}
	hits := s.Upstream.Hits()
	if len(hits) != 2 || hits[0].Body != "amount=2.00&to=shop" || hits[1].Body != "amount=1.00&to=shop" {
		t.Errorf("the upstream saw %+v", hits)
	}
	// The same payment once more, meant so: it needs, and gets, a code of its own.
	time.Sleep(1100 * time.Millisecond)
	again := c.Submit("/pay", transfer("1.00", "shop"))
	three := s.Code(3)
	if a := c.Submit("/pay?sms_otp=verify", url.Values{"code": {three}, "kept": {keptIn(t, again)}}); a.Status != 200 || len(s.Upstream.Hits()) != 3 {
		t.Errorf("a deliberate repetition: %d, %d hits", a.Status, len(s.Upstream.Hits()))
	}
}

func TestAProgramConfirms(t *testing.T) {
	s := harness.Start(t, pay())
	c := s.Client("alice")
	asJSON := func(header ...string) http.Header {
		h := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}}
		for i := 0; i+1 < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return h
	}
	body := `{"amount": 12.50, "to": "shop", "list": [1, 2]}`
	refused := want(t, c.Do("POST", "/pay", body, asJSON()), 403, "step-up-required").JSON()
	handle, _ := refused["request"].(string)
	if handle == "" {
		t.Fatalf("no request handle: %v", refused)
	}
	if n := s.Messages(); n != 0 {
		t.Fatalf("%d messages unasked", n)
	}
	act := func(action string, form url.Values) harness.Answer {
		form.Set("request", handle)
		return c.Do("POST", "/pay?sms_otp="+action, form.Encode(), asJSON("Content-Type", "application/x-www-form-urlencoded"))
	}
	want(t, act("send", url.Values{}), 202, "")
	code := s.Code(1)
	if text := s.Gateway.Messages()[0].Body; !strings.Contains(text, "of 12.50 to shop") {
		t.Errorf("the message says %q", text)
	}
	want(t, act("verify", url.Values{"code": {harness.Wrong(code)}}), 403, "code-wrong")
	confirmed := want(t, act("verify", url.Values{"code": {code}}), 200, "").JSON()
	token, _ := confirmed["confirm"].(string)
	if confirmed["verified"] != true || token == "" {
		t.Fatalf("verified: %v", confirmed)
	}
	for name, other := range map[string]func() harness.Answer{
		"another body": func() harness.Answer {
			return c.Do("POST", "/pay", strings.Replace(body, "12.50", "99.50", 1), asJSON("Sms-Otp-Confirm", token))
		},
		"another address": func() harness.Answer { return c.Do("POST", "/pay?x=1", body, asJSON("Sms-Otp-Confirm", token)) },
		"another user": func() harness.Answer {
			bob := s.Client("bob")
			bob.Cookies[challengeCookie] = c.Cookies[challengeCookie]
			return bob.Do("POST", "/pay", body, asJSON("Sms-Otp-Confirm", token))
		},
		"a made-up token": func() harness.Answer { return c.Do("POST", "/pay", body, asJSON("Sms-Otp-Confirm", "AAAA")) },
	} {
		if a := other(); a.Status != 403 || len(s.Upstream.Hits()) != 0 {
			t.Errorf("%s: %d, %d hits", name, a.Status, len(s.Upstream.Hits()))
		}
	}
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() { c.Do("POST", "/pay", body, asJSON("Sms-Otp-Confirm", token)) })
	}
	wg.Wait()
	hits := s.Upstream.Hits()
	if len(hits) != 1 || hits[0].Body != body || hits[0].Header.Get("Sms-Otp-Confirm") != "" {
		t.Errorf("the upstream saw %+v", hits)
	}
}

// raw sends a request as it stands here, to which only who asks is added.
func raw(t *testing.T, s *harness.Site, line, rest string) *http.Response {
	t.Helper()
	host := strings.TrimPrefix(s.URL, "http://")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	login := base64.StdEncoding.EncodeToString([]byte("alice:" + harness.Password))
	fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Basic %s\r\n%s", line, host, login, rest)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestARequestThatCannotBeReadIsNotCalledDone(t *testing.T) {
	o := pay()
	o.Before += "request_body {\nmax_size 10\n}\n"
	s := harness.Start(t, o)
	const chunks = "Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n"
	if a := raw(t, s, "POST /pay", chunks+"zz\r\n"); a.StatusCode != 400 {
		t.Errorf("a body that is no body: %s", a.Status)
	}
	if a := raw(t, s, "POST /pay", chunks+"10\r\namount=1&to=shop\r\n0\r\n\r\n"); a.StatusCode != 413 {
		t.Errorf("more than the server takes: %s", a.Status)
	}
}

func TestAProgramsHandleRunsNothingFromThePage(t *testing.T) {
	s := harness.Start(t, pay())
	c := s.Client("alice")
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	handle, _ := want(t, c.Do("POST", "/pay", "amount=5&to=shop", form), 403, "step-up-required").JSON()["request"].(string)
	page := c.Submit("/pay?sms_otp=send", url.Values{"request": {handle}})
	if page.Status != 202 {
		t.Fatalf("%d %s", page.Status, page.Body)
	}
	c.Submit("/pay?sms_otp=verify", url.Values{"code": {s.Code(1)}, "kept": {keptIn(t, page)}})
	if hits := s.Upstream.Hits(); len(hits) != 0 {
		t.Errorf("what was confirmed had a body; what ran is %+v", hits)
	}
}

func TestWhatTheMessageNamesMustBeClear(t *testing.T) {
	s := harness.Start(t, pay())
	c := s.Client("alice")
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	asJSON := http.Header{"Content-Type": {"application/json"}}
	for _, r := range []struct {
		body   string
		header http.Header
	}{
		{"amount=1&amount=9&to=a", form},
		{"amount[]=9&amount=1&to=a", form},
		{"to=a", form},
		{"amount=1&to=a&Amount=9", form},
		{"%zz", form},
		{`{"amount":1,"amount":9,"to":"a"}`, asJSON},
		{`{"amount":1,"AMOUNT":9,"to":"a"}`, asJSON},
		{`[1]`, asJSON},
		{`{"to":"a"}`, asJSON},
		{"amount=1&to=a", http.Header{"Content-Type": {"text/plain"}}},
		{"amount=1&to=a", nil},
	} {
		if a := c.Do("POST", "/pay", r.body, r.header); a.Status != 422 {
			t.Errorf("%q: %d %s", r.body, a.Status, a.Body)
		}
	}
	want(t, c.Do("POST", "/pay", strings.Repeat("a", 64<<10+1), form), 413, "too-large")
	if n := s.Messages(); n != 0 || len(s.Upstream.Hits()) != 0 {
		t.Errorf("%d messages, %d hits", n, len(s.Upstream.Hits()))
	}
	c.Submit("/pay", transfer("1\n@evil.example #1", "https://evil.example/login\u202e now"))
	s.Code(1)
	text := s.Gateway.Messages()[0].Body
	first, rest, _ := strings.Cut(text, "\n")
	if strings.ContainsAny(first, "@#\u202e") || strings.Contains(first, "evil.example") || strings.Contains(rest, "evil") {
		t.Errorf("what was typed reads as more than text: %q", text)
	}
}

// compressed is a body that says one thing to who unpacks it, and has another in its comment for who does not.
func compressed(t *testing.T, inside, comment string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Comment = "&" + comment + "&"
	if _, err := z.Write([]byte(inside)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestABodyThatTheUpstreamReadsInAnotherWayIsNotConfirmed(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	s := harness.Start(t, pay())
	c := s.Client("alice")
	packed := compressed(t, "amount=9999&to=thief", "amount=1&to=shop")
	wide := "amount=1&to=shop" + strings.Join(strings.Split("&amount=9999&to=thief&", ""), "\x00")
	for name, r := range map[string]struct {
		body   string
		header http.Header
	}{
		"compressed":            {packed, http.Header{"Content-Type": {form}, "Content-Encoding": {"gzip"}}},
		"another character set": {wide, http.Header{"Content-Type": {form + "; charset=utf-16le"}}},
		"an unclear set":        {wide, http.Header{"Content-Type": {form + "; charset=utf-16le; x"}}},
		"two types":             {"amount=1&to=shop", http.Header{"Content-Type": {form, "multipart/form-data; boundary=amount"}}},
	} {
		if a := c.Do("POST", "/pay", r.body, r.header); a.Status != 422 {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	if a := c.Do("POST", "/pay", "amount=1&to=shop", http.Header{"Content-Type": {form + "; charset=UTF-8"}}); a.Status != 403 {
		t.Errorf("a form that says that it is in UTF-8: %d %s", a.Status, a.Body)
	}
}

// What is unpacked only once it was confirmed is not what was confirmed.
func TestAConfirmationIsForTheEncodingToo(t *testing.T) {
	o := pay()
	o.Block = "confirm\nsite Example"
	s := harness.Start(t, o)
	c := s.Client("alice")
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	body := compressed(t, "amount=9999", "amount=1")
	handle, _ := want(t, c.Do("POST", "/pay", body, form), 403, "step-up-required").JSON()["request"].(string)
	want(t, c.Do("POST", "/pay?sms_otp=send", "request="+handle, form), 202, "")
	token, _ := want(t, c.Do("POST", "/pay?sms_otp=verify", "request="+handle+"&code="+s.Code(1), form), 200, "").JSON()["confirm"].(string)
	form.Set("Sms-Otp-Confirm", token)
	other := form.Clone()
	other.Set("Content-Encoding", "gzip")
	want(t, c.Do("POST", "/pay", body, other), 403, "step-up-required")
	if a := c.Do("POST", "/pay", body, form); a.Status != 200 || len(s.Upstream.Hits()) != 1 {
		t.Errorf("as it was confirmed: %d, %d hits", a.Status, len(s.Upstream.Hits()))
	}
}

func TestAFormOutlivesItsVerification(t *testing.T) {
	s := harness.Start(t, harness.Options{Block: "idle 1s", Global: "limits {\nresend_after 1s\n}"})
	c := s.Client("alice")
	c.Enter()
	time.Sleep(1200 * time.Millisecond)
	lost := c.Submit("/save?id=3", url.Values{"text": {"a long letter"}})
	if lost.Status != 403 || len(s.Upstream.Hits()) != 0 {
		t.Fatalf("%d", lost.Status)
	}
	kept := keptIn(t, lost)
	sent := c.Submit("/save?id=3&sms_otp=send", url.Values{"kept": {kept}})
	if sent.Status != 202 {
		t.Fatalf("send: %d %s", sent.Status, sent.Body)
	}
	code := s.Code(2)
	for range 3 {
		c.Submit("/save?id=3&sms_otp=verify", url.Values{"code": {code}, "kept": {keptIn(t, sent)}})
	}
	hits := s.Upstream.Hits()
	if len(hits) != 1 || hits[0].Method != "POST" || hits[0].URI != "/save?id=3" || hits[0].Body != "text=a+long+letter" {
		t.Errorf("the upstream saw %+v", hits)
	}
	if c.Cookies[tokenCookie] == "" {
		t.Error("no session came of it")
	}
}

func TestTwoFormsGoOnWithOneCode(t *testing.T) {
	s := harness.Start(t, harness.Options{Block: "idle 5s", Global: "limits {\nresend_after 1s\n}"})
	c := s.Client("alice")
	one := keptIn(t, c.Submit("/save", url.Values{"text": {"one"}}))
	two := keptIn(t, c.Submit("/save", url.Values{"text": {"two"}}))
	if a := c.Submit("/save?sms_otp=verify", url.Values{"kept": {one}}); a.Status != 403 {
		t.Fatalf("a kept form without a code: %d", a.Status)
	}
	c.Submit("/save?sms_otp=send", url.Values{"kept": {one}})
	code := s.Code(1)
	for range 3 {
		c.Submit("/save?sms_otp=verify", url.Values{"code": {code}, "kept": {one}})
		c.Submit("/save?sms_otp=verify", url.Values{"kept": {two}})
	}
	hits := s.Upstream.Hits()
	if len(hits) != 2 || hits[0].Body != "text=one" || hits[1].Body != "text=two" {
		t.Errorf("the upstream saw %+v, want each form once", hits)
	}
}

func TestKeptFormsOfOneVisitorAreLimited(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	c := s.Client("alice")
	kept := make([]string, 101)
	for i := range kept {
		kept[i] = keptIn(t, c.Submit("/save", url.Values{"text": {strconv.Itoa(i)}}))
	}
	c.Submit("/save?sms_otp=send", url.Values{"kept": {kept[0]}})
	c.Submit("/save?sms_otp=verify", url.Values{"code": {s.Code(1)}, "kept": {kept[0]}})
	for _, form := range kept[1:] {
		c.Submit("/save?sms_otp=verify", url.Values{"kept": {form}})
	}
	last := c.Submit("/save?sms_otp=verify", url.Values{"kept": {kept[100]}})
	if last.Status != 403 || !strings.Contains(last.Body, "was not submitted") || strings.Contains(last.Body, "is kept") {
		t.Errorf("form 101: %d %s", last.Status, last.Body)
	}
	if hits := s.Upstream.Hits(); len(hits) != 100 || hits[99].Body != "text=99" {
		t.Errorf("the upstream saw %d forms", len(hits))
	}
	// One that went on was not lost, however many there were since.
	if again := c.Submit("/save?sms_otp=verify", url.Values{"kept": {kept[5]}}); again.Status != 303 {
		t.Errorf("a form that went on before: %d", again.Status)
	}
}

func TestAConfirmedRouteTakesNoOtherCode(t *testing.T) {
	o := pay()
	o.Before += "sms_otp /account {\n}\n"
	s := harness.Start(t, o)
	c := s.Client("alice")
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	want(t, c.Do("POST", "/account?sms_otp=send", "", form), 202, "")
	code := s.Code(1)
	want(t, c.Do("POST", "/pay?sms_otp=verify", "code="+code, form), 403, "no-challenge")
	want(t, c.Do("POST", "/pay?sms_otp=send", "", form), 403, "no-challenge")
	handle, _ := want(t, c.Do("POST", "/pay", "amount=1&to=a", form), 403, "step-up-required").JSON()["request"].(string)
	want(t, c.Do("POST", "/pay?sms_otp=verify", "code="+code+"&request="+handle, form), 403, "code-wrong") // refused and charged
	if n := len(s.Upstream.Hits()); n != 0 {
		t.Errorf("%d requests got through", n)
	}
	// The session's own code is as good as before.
	want(t, c.Do("POST", "/account?sms_otp=verify", "code="+code, form), 200, "")
	want(t, c.Do("POST", "/pay", "amount=1&to=a", form), 403, "step-up-required")
}
