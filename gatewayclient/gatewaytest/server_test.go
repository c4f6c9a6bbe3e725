package gatewaytest_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient/gatewaytest"
)

// send hands a message over without a network.
func send(t *testing.T, s *gatewaytest.Server, more string) {
	t.Helper()
	resp, err := post(s, "/getdata/addsms", "token=a&sendto=%2B491713920011&body=Your+code+is+847291.&device_id=10403&sim=0&"+more)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

func post(s *gatewaytest.Server, path, form string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://gateway"+path, strings.NewReader(form))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return s.Client().Do(r)
}

func get(t *testing.T, s *gatewaytest.Server, path string) (string, http.Header) {
	t.Helper()
	resp, err := s.Client().Get("http://gateway" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body), resp.Header
}

func TestMessageGoesThroughTheDocumentedStates(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	s := gatewaytest.New(gatewaytest.Options{Poll: 10 * time.Second, Pace: time.Second, Report: 2 * time.Second, Now: func() time.Time { return now }})
	defer s.Close()
	now = now.Add(time.Second)
	send(t, s, "")
	var states []int
	for range 20 {
		if state := s.Messages()[0].State; len(states) == 0 || states[len(states)-1] != state {
			states = append(states, state)
		}
		now = now.Add(time.Second)
	}
	if want := []int{1, 3, 2, 6, 7}; !slices.Equal(states, want) {
		t.Errorf("states were %v, want %v", states, want)
	}
}

func TestPhoneTakesPacksOfFifteenUrgentFirstOneASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := gatewaytest.New(gatewaytest.Options{Poll: 10 * time.Second})
		defer s.Close()
		for range 20 {
			send(t, s, "")
		}
		send(t, s, "urgent=1")
		count := func(states ...int) (n int) {
			for _, m := range s.Messages() {
				if slices.Contains(states, m.State) {
					n++
				}
			}
			return n
		}
		time.Sleep(10 * time.Second)
		if count(2) != 15 || s.Messages()[20].State != 2 {
			t.Errorf("the first visit took %d, the urgent one is in state %d", count(2), s.Messages()[20].State)
		}
		time.Sleep(time.Second)
		if count(6, 7) != 1 || s.Messages()[20].State < 6 {
			t.Errorf("after a second %d are sent, the urgent one is in state %d", count(6, 7), s.Messages()[20].State)
		}
		time.Sleep(6 * time.Second)
		if count(6, 7) != 7 {
			t.Errorf("after seven seconds %d are sent", count(6, 7))
		}
		time.Sleep(20 * time.Second)
		if count(7) != 21 {
			t.Errorf("in the end %d are delivered", count(7))
		}
	})
}

func TestMessageForLaterWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := gatewaytest.New(gatewaytest.Options{})
		defer s.Close()
		send(t, s, "timetosend="+url.QueryEscape(time.Now().UTC().Add(time.Hour).Format(time.DateTime)))
		time.Sleep(59 * time.Minute)
		if state := s.Messages()[0].State; state != 3 {
			t.Errorf("before its time it is in state %d", state)
		}
		time.Sleep(2 * time.Minute)
		if state := s.Messages()[0].State; state != 7 {
			t.Errorf("after its time it is in state %d", state)
		}
	})
}

func TestAndroidsLimitAndThePlanAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := gatewaytest.New(gatewaytest.Options{Limit: 3, LimitPer: time.Hour, Plan: 6})
		defer s.Close()
		for range 5 {
			send(t, s, "")
		}
		time.Sleep(time.Minute)
		var states []int
		for _, m := range s.Messages() {
			states = append(states, m.State)
		}
		if want := []int{7, 7, 7, 9, 9}; !slices.Equal(states, want) {
			t.Errorf("five messages end in %v, want %v", states, want)
		}
		time.Sleep(time.Hour)
		send(t, s, "")
		send(t, s, "")
		time.Sleep(time.Minute)
		if all := s.Messages(); len(all) != 6 || all[5].State != 7 {
			t.Errorf("an hour later: %+v", all)
		}
	})
}

func TestInboxShowsWhatWasSentNewestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := gatewaytest.New(gatewaytest.Options{Devices: []string{"10403", "10404"}})
		defer s.Close()
		send(t, s, "body="+url.QueryEscape("Your code is 847291.\n\n@localhost #847291"))
		page, header := get(t, s, "/")
		if strings.Contains(page, "847291") || !strings.Contains(page, "waiting at the gateway") {
			t.Error("a text is shown before it was sent")
		}
		time.Sleep(3 * time.Second)
		send(t, s, "body="+url.QueryEscape(`<script>alert(1)</script> 112233`))
		time.Sleep(3 * time.Second)
		page, _ = get(t, s, "/")
		newer, older := strings.Index(page, `class="code">112233<`), strings.Index(page, `class="code">847291<`)
		if newer < 0 || older < newer || strings.Contains(page, "<script>alert") {
			t.Errorf("the codes stand at %d and %d", newer, older)
		}
		if !strings.Contains(page, "Phone 10404") || !strings.Contains(page, `<noscript><meta http-equiv="refresh"`) {
			t.Error("a phone, or the way without script, is missing")
		}
		if strings.Contains(page, "//") && regexp.MustCompile(`(src|href)="?(https?:)?//`).MatchString(page) {
			t.Error("the page asks a third party")
		}
		if policy := header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("the policy is %q", policy)
		}
	})
}

func TestMessagesAreListedAsJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := gatewaytest.New(gatewaytest.Options{})
		defer s.Close()
		if got, _ := get(t, s, "/messages"); got != "[]" {
			t.Errorf("no messages are %q", got)
		}
		send(t, s, "body="+url.QueryEscape("<a> & b"))
		time.Sleep(5 * time.Second)
		got, header := get(t, s, "/messages")
		want := `[{"id":22074698,"device_id":10403,"to":"+491713920011","body":"<a> & b","state":7}]`
		if got != want || header.Get("Content-Type") != "application/json" {
			t.Errorf("messages are %s, want %s", got, want)
		}
	})
}

func TestFaultsAreSwitchedByJSONAndFromThePage(t *testing.T) {
	s, base := start(t, gatewaytest.Options{})
	change := func(method, kind, body string, want int) {
		t.Helper()
		r, err := http.NewRequestWithContext(context.Background(), method, base+"/faults", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", kind)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s %s is %d", method, body, resp.StatusCode)
		}
	}
	change("POST", "application/json", `{"fault":"slow","call":"addsms","rate":0.5,"times":3,"delay_ms":70,"on":true}`, 200)
	change("POST", "application/x-www-form-urlencoded", "fault=offline&device=10403", 200)
	want := []gatewaytest.Fault{{Name: "slow", Call: "addsms", Rate: .5, Times: 3, Delay: 70}, {Name: "offline", Device: "10403"}}
	if got := s.Faults(); len(got) != 2 || got[0].Name != want[0].Name || got[0].Rate != .5 || got[0].Times != 3 || got[0].Delay != 70 || got[1].Device != "10403" {
		t.Errorf("faults are %+v, want %+v", got, want)
	}
	change("POST", "application/json", `{"fault":"offline","device":"10403","on":false}`, 200)
	change("POST", "application/json", `{"fault":"plague"}`, 400)
	change("POST", "application/json", `{"fault":"slow","times":"many"}`, 400)
	if got := s.Faults(); len(got) != 1 {
		t.Errorf("faults are %+v", got)
	}
	change("DELETE", "", "", 200)
	if got := s.Faults(); len(got) != 0 {
		t.Errorf("faults are %+v", got)
	}
}

func TestChanceIsTheSameForTheSameSeed(t *testing.T) {
	outcome := func(seed uint64) (failed []int64) {
		synctest.Test(t, func(t *testing.T) {
			s := gatewaytest.New(gatewaytest.Options{Seed: seed, Pace: time.Millisecond})
			defer s.Close()
			s.Break(gatewaytest.Fault{Name: "fail-9", Rate: .3})
			for i := range 200 {
				send(t, s, "body=message+"+strconv.Itoa(i))
			}
			time.Sleep(time.Minute)
			for _, m := range s.Messages() {
				if m.State == 9 {
					failed = append(failed, m.ID)
				}
			}
		})
		return failed
	}
	one, again, other := outcome(1), outcome(1), outcome(2)
	if !slices.Equal(one, again) || slices.Equal(one, other) || len(one) < 40 || len(one) > 80 {
		t.Errorf("of 200 with a rate of 0.3 fail %d, then %d, with another seed %d", len(one), len(again), len(other))
	}
}

func TestConnectionsBreakWhereTheyShould(t *testing.T) {
	s, base := start(t, gatewaytest.Options{})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	try := func(f gatewaytest.Fault) (int, error) {
		s.Break(f)
		defer s.Mend(f)
		before := len(s.Messages())
		resp, err := client.PostForm(base+"/getdata/addsms", url.Values{"token": {"a"}, "sendto": {number}, "body": {"x"}, "device_id": {"10403"}})
		if err == nil {
			resp.Body.Close()
		}
		return len(s.Messages()) - before, err
	}
	for name, taken := range map[string]int{"refuse-connection": 0, "lost-request": 0, "lost-reply": 1} {
		if n, err := try(gatewaytest.Fault{Name: name}); err == nil || n != taken {
			t.Errorf("%s gave %v and %d messages, want %d", name, err, n, taken)
		}
	}
	if n, err := try(gatewaytest.Fault{Name: "lost-reply", Call: "getsmsstatus"}); err != nil || n != 1 {
		t.Errorf("a fault of another call gave %v and %d messages", err, n)
	}
}

func TestBothVersionsOfHTTPAreServed(t *testing.T) {
	s := gatewaytest.New(gatewaytest.Options{})
	defer s.Close()
	secure, trusting := s.StartTLS()
	plain := s.Start()
	clear := &http.Client{Transport: &http.Transport{Protocols: new(http.Protocols)}}
	clear.Transport.(*http.Transport).Protocols.SetUnencryptedHTTP2(true)
	for url, row := range map[string]struct {
		client *http.Client
		major  int
	}{secure: {trusting, 2}, plain: {clear, 2}, plain + "/": {http.DefaultClient, 1}} {
		resp, err := row.client.Get(url)
		if err != nil {
			t.Error(err)
			continue
		}
		resp.Body.Close()
		if resp.ProtoMajor != row.major || resp.StatusCode != 200 {
			t.Errorf("%s answers %s %d", url, resp.Proto, resp.StatusCode)
		}
	}
}

// hooked collects what a webhook is called with.
func hooked(t *testing.T) (url string, calls func() []map[string]any) {
	var mu sync.Mutex
	var all []map[string]any
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, body)
	}))
	t.Cleanup(s.Close)
	return s.URL, func() []map[string]any { mu.Lock(); defer mu.Unlock(); return slices.Clone(all) }
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 2000 {
		if done() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%s did not come", what)
}

func TestWebhooksTellOfStates(t *testing.T) {
	for _, row := range []struct {
		fault string
		want  []float64
	}{
		{"", []float64{3, 2, 6, 7}},
		{"hook-duplicate", []float64{3, 3, 2, 2, 6, 6, 7, 7}},
		{"hook-old-shape", []float64{3, 2, 6, 7}},
		{"hook-disorder", nil},
	} {
		hook, calls := hooked(t)
		// Everything is due before the first look at it, so that there is an order to disturb.
		now := time.Now()
		var mu sync.Mutex
		clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
		s := gatewaytest.New(gatewaytest.Options{StateHook: hook, Poll: 8 * time.Millisecond, Pace: time.Millisecond, Report: time.Millisecond, Now: clock})
		if row.fault != "" {
			s.Break(gatewaytest.Fault{Name: row.fault})
		}
		send(t, s, "")
		mu.Lock()
		now = now.Add(time.Minute)
		mu.Unlock()
		waitFor(t, "the hooks", func() bool { return len(calls()) >= max(len(row.want), 4) })
		s.Close()
		var states []float64
		for _, c := range calls() {
			states = append(states, c["status_id"].(float64))
			_, old := c["sim"]
			_, recent := c["channel_id"]
			if old != (row.fault == "hook-old-shape") || recent == old || c["sendto"] != number || c["device_id"] != 10403.0 {
				t.Errorf("%q: called with %v", row.fault, c)
			}
		}
		if row.want != nil && !slices.Equal(states, row.want) || row.want == nil && slices.IsSorted(states[1:]) {
			t.Errorf("%q: states %v, want %v", row.fault, states, row.want)
		}
	}
}

func TestWebhookTellsOfTextsToThePhone(t *testing.T) {
	hook, calls := hooked(t)
	s := gatewaytest.New(gatewaytest.Options{InboundHook: hook, Poll: 8 * time.Millisecond})
	defer s.Close()
	resp, err := post(s, "/inbound", "device_id=10403&from=%2B491713920011&body=STOP")
	if err != nil || resp.StatusCode != http.StatusNoContent {
		t.Fatal(resp, err)
	}
	waitFor(t, "the hook", func() bool { return len(calls()) == 1 })
	if c := calls()[0]; c["address"] != number || c["body"] != "STOP" || c["type"] != "text" || c["device_id"] != 10403.0 || c["device_name"] == "" {
		t.Errorf("called with %v", c)
	}
	if resp, err := post(s, "/inbound", "device_id=1"); err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Error("an unknown phone got a text")
	}
}

func TestCloseEndsEverything(t *testing.T) {
	s := gatewaytest.New(gatewaytest.Options{StateHook: "http://127.0.0.1:1/"})
	url := s.Start()
	s.Break(gatewaytest.Fault{Name: "slow", Delay: 3_600_000})
	answered := make(chan error, 1)
	go func() {
		resp, err := http.PostForm(url+"/getdata/getalldevices", nil)
		if err == nil {
			resp.Body.Close()
		}
		answered <- err
	}()
	waitFor(t, "the call", func() bool { return s.Calls("getalldevices") == 1 })
	s.Close()
	s.Close()
	<-answered
	if _, err := http.Get(url); err == nil {
		t.Error("it still answers")
	}
}
