package e2e

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

const mobile = "+491713920000" // from the range for fiction

func ask(phone string) url.Values { return url.Values{"phone": {phone}} }

func anyNumber() harness.Options {
	return harness.Options{NoAuth: true, Global: "countries 49 44", Block: "ask_phone any"}
}

func TestWhoOwnsANumberProvesIt(t *testing.T) {
	s := harness.Start(t, anyNumber())
	c := s.Client("")
	if page := c.Open("/"); page.Status != 403 || !strings.Contains(page.Body, `name="phone"`) {
		t.Fatalf("page: %d %s", page.Status, page.Body)
	}
	want(t, c.Call("send", nil), 422, "phone-refused")
	for _, bad := range []string{"+12025550123", "+4930901820", "+881612345678", "0171 ABCDEFG", "1", "+49 900 1234567", "+441632960001"} {
		want(t, c.Call("send", ask(bad)), 422, "phone-refused")
	}
	if n := s.Messages(); n != 0 {
		t.Fatalf("%d messages to refused numbers", n)
	}
	sent := want(t, c.Call("send", ask("0171 3920000")), 202, "").JSON()
	if sent["phone_hint"] != "+49•••••00" {
		t.Errorf("hint %v", sent["phone_hint"])
	}
	code := s.Code(1)
	if to := s.Gateway.Messages()[0].To; to != mobile {
		t.Errorf("the message went to %s", to)
	}
	want(t, c.Status(), 200, "")
	want(t, c.Verify(harness.Wrong(code)), 403, "code-wrong")
	want(t, c.Verify(code), 200, "")
	if a := c.Open("/"); a.Status != http.StatusOK {
		t.Errorf("after the right code: %d", a.Status)
	}
	if src := claim(t, c.Cookies[tokenCookie], "src"); src != "asked" {
		t.Errorf("the token says the number is from the %s", src)
	}
}

func TestATypedNumberOpensNoRouteOfThePhonebook(t *testing.T) {
	s := harness.Start(t, harness.Options{
		Global: "countries 49 44", Before: "@recover path /recover\nsms_otp @recover {\nask_phone any\n}\n@rest not path /recover", Matcher: "@rest",
	})
	thief := s.Client("alice") // knows the password, and has a phone of his own
	want(t, thief.Do("POST", "/recover?sms_otp=send", "phone="+url.QueryEscape(mobile), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}), 202, "")
	code := s.Code(1)
	want(t, thief.Do("POST", "/recover?sms_otp=verify", "code="+code, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}), 200, "")
	if a := thief.Do("GET", "/recover", "", nil); a.Status != 200 {
		t.Errorf("his own number: %d", a.Status)
	}
	want(t, thief.Do("GET", "/admin", "", nil), 403, "step-up-required")
	owner := s.Client("alice")
	owner.Enter()
	if a := owner.Do("GET", "/admin", "", nil); a.Status != 200 {
		t.Errorf("the owner: %d", a.Status)
	}
	want(t, owner.Do("GET", "/recover", "", nil), 403, "step-up-required")
}

func TestUnknownNumberLooksLikeAKnownOne(t *testing.T) {
	s := harness.Start(t, harness.Options{NoAuth: true, Block: "ask_phone\nsite Example", Global: "limits {\nip_starts 1000 1h\n}"})
	known, unknown := s.Client(""), s.Client("")
	a, b := known.Call("send", ask(harness.Numbers["alice"])), unknown.Call("send", ask("+447700900111"))
	if a.Status != 202 || b.Status != 202 {
		t.Fatalf("%d and %d", a.Status, b.Status)
	}
	code := s.Code(1)
	if n := s.Messages(); n != 1 {
		t.Errorf("%d messages, want the 1 of the known number", n)
	}
	for _, c := range []*harness.Client{known, unknown} {
		if got := c.Status().JSON()["delivery"]; got != "unknown" {
			t.Errorf("delivery %v tells the one from the other", got)
		}
		want(t, c.Verify(harness.Wrong(code)), 403, "code-wrong")
	}
	want(t, known.Verify(code), 200, "")
	want(t, unknown.Verify(code), 403, "code-wrong")

	// Everything that programs are told of both, but for the last digits of the number.
	told := func(phone string) string {
		c := s.Client("")
		c.Header.Set("Accept-Language", "de")
		var all strings.Builder
		for _, a := range []harness.Answer{
			c.Call("send", ask(phone)), c.Status(), c.Call("send", ask(phone)), c.Do("GET", "/", "", nil), c.Verify("12"),
			c.Verify("000000"), c.Verify("000000"), c.Verify("000000"), c.Verify("000000"), c.Verify("000000"), c.Verify("000000"), c.Status(),
		} {
			fmt.Fprintln(&all, a.Status, a.Body)
		}
		masked := strings.ReplaceAll(all.String(), "•"+phone[len(phone)-2:], "•")
		return regexp.MustCompile(`"(expires|resend)_at":\d+|\d+.Sekunden`).ReplaceAllString(masked, "")
	}
	if one, other := told(harness.Numbers["carol"]), told("+447700900113"); one != other || strings.Count(one, "\n") < 12 {
		t.Errorf("of a known number programs are told\n%s\nand of an unknown one\n%s", one, other)
	}

	// The page of both, with what differs by nature taken out.
	page := func(phone string) string {
		c := s.Client("")
		body := c.Submit("/?sms_otp=send", ask(phone)).Body
		end := phone[len(phone)-2:]
		body = strings.NewReplacer("•"+end, "", "ending in "+end, "", strings.TrimPrefix(phone, "+"), "").Replace(body)
		// The seconds move on between the two.
		return regexp.MustCompile(`\d+ (seconds|minutes)|data-(expires|resend|now)="\d+"`).ReplaceAllString(body, "")
	}
	first, second := page(harness.Numbers["bob"]), page("+447700900112")
	if one, other := strings.Split(first, "\n"), strings.Split(second, "\n"); len(one) != len(other) {
		t.Errorf("pages of %d and %d lines", len(one), len(other))
	} else {
		for i := range one {
			if one[i] != other[i] {
				t.Errorf("the pages differ:\n%s\n%s", one[i], other[i])
			}
		}
	}
}

func TestATypedNumberMustBeTheUsersOwn(t *testing.T) {
	s := harness.Start(t, harness.Options{Block: "ask_phone"})
	c := s.Client("alice")
	want(t, c.Call("send", ask(harness.Numbers["bob"])), 202, "")
	if n := s.Messages(); n != 0 {
		t.Errorf("%d messages to somebody else's number", n)
	}
	want(t, c.Call("send", ask(harness.Numbers["alice"])), 202, "")
	want(t, c.Verify(s.Code(1)), 200, "")
	if a := c.Open("/"); a.Status != 200 {
		t.Errorf("with the own number: %d", a.Status)
	}
}

func TestCountriesHoldForTypedNumbersOfThePhonebookToo(t *testing.T) {
	s := harness.Start(t, harness.Options{
		NoAuth: true, Global: "countries 49", Block: "ask_phone", Phones: "alice," + mobile + "\nbob,+447700900456\n",
	})
	abroad := s.Client("")
	want(t, abroad.Call("send", ask("+447700900456")), 202, "") // as any number looks that is not known
	allowed := s.Client("")
	want(t, allowed.Call("send", ask(mobile)), 202, "")
	want(t, allowed.Verify(s.Code(1)), 200, "")
	time.Sleep(500 * time.Millisecond) // longer than a message to such a number may linger
	for _, m := range s.Gateway.Messages() {
		if m.To != mobile {
			t.Errorf("a message went to %s", m.To)
		}
	}
}

func TestKnownAndUnknownNumbersTakeTheSameTime(t *testing.T) {
	const rounds = 500
	var phones strings.Builder
	for i := range rounds {
		phones.WriteString("user" + string(rune('a'+i%26)) + string(rune('a'+i/26)) + ",+44771" + pad(i) + "\n")
	}
	s := harness.Start(t, harness.Options{
		NoAuth: true, Block: "ask_phone", Phones: phones.String(),
		Global: "limits {\nip_starts 10000 1h\ntotal_sends 100000 1h\n}",
	})
	c := s.Client("")
	took := func(phone string) time.Duration {
		clear(c.Cookies)
		began := time.Now()
		if a := c.Call("send", ask(phone)); a.Status != 202 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		return time.Since(began)
	}
	took("+447729999999")
	var known, unknown []time.Duration
	for i := range rounds {
		known = append(known, took("+44771"+pad(i)))
		unknown = append(unknown, took("+44772"+pad(i)))
	}
	// Kolmogorov and Smirnov's distance between two samples of 500 passes 0.16 by
	// chance once in a hundred thousand times; a difference of work would show as far more.
	if d := distance(known, unknown); d > 0.16 {
		t.Errorf("the times differ: distance %.2f", d)
	}
}

func pad(i int) string {
	return "0000" + string(rune('0'+i/100%10)) + string(rune('0'+i/10%10)) + string(rune('0'+i%10))
}

// distance is the greatest difference between the two samples' distributions.
func distance(a, b []time.Duration) (d float64) {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	for _, x := range slices.Concat(a, b) {
		below := func(s []time.Duration) float64 {
			n, _ := slices.BinarySearch(s, x+1)
			return float64(n) / float64(len(s))
		}
		d = max(d, math.Abs(below(a)-below(b)))
	}
	return d
}

func TestTypedNumbersUseAQuarterOfADevicesLimit(t *testing.T) {
	o := anyNumber()
	o.Global += "\nlimits {\nip_starts 100 1h\n}"
	s := harness.Start(t, o)
	limited := strings.Replace(s.Caddyfile(), "limit 10000 1h", "limit 8 1h", 1)
	if err := s.Load(limited); err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		c := s.Client("")
		if a := c.Call("send", ask("+4917139200"+strconv.Itoa(10+i))); a.Status != http.StatusAccepted && a.Status != http.StatusServiceUnavailable {
			t.Errorf("send %d: %d %s", i, a.Status, a.Body)
		}
	}
	if n := s.Messages(); n != 2 {
		t.Errorf("%d messages to typed numbers from a phone that may send 8, want a quarter", n)
	}
}
