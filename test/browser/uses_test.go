package browser

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

const mobile = "+491713920000" // from the range for fiction

// phone fills in the field for the number and sends it.
func (b *tab) phone(number string) {
	b.t.Helper()
	b.until(`document.readyState == "complete" && document.querySelector("#phone")`)
	b.run(
		chromedp.Evaluate(`document.querySelector("#phone").select()`, nil),
		chromedp.KeyEvent(number+kb.Enter),
	)
}

func TestWhoOwnsANumberProvesItOnThePage(t *testing.T) {
	s, b := harness.Start(t, harness.Options{
		NoAuth: true, Global: "countries 49 44", Block: "ask_phone any", Proxy: "header_up X-Verified-Phone {http.sms_otp.phone}",
	}), newTab(t)
	b.run(chromedp.Navigate(s.URL + "/recover"))
	for _, bad := range []string{"12345", "+12025550123"} {
		b.phone(bad)
		b.until(`document.querySelector("#phone[aria-invalid=true]") && document.querySelector("#phone").value == "` + bad + `"`)
	}
	if n := s.Messages(); n != 0 {
		t.Fatalf("%d messages to refused numbers", n)
	}
	b.phone("0171 3920000")
	code := s.Code(1)
	if to := s.Gateway.Messages()[0].To; to != mobile {
		t.Errorf("the message went to %s", to)
	}
	b.enter(harness.Wrong(code))
	b.until(`document.querySelector("#code[aria-invalid=true]")`)
	if n := len(s.Upstream.Hits()); n != 0 {
		t.Fatalf("%d requests got through with a wrong code", n)
	}
	b.enter(code)
	b.until(inside)
	if hit := s.Upstream.Hits()[0]; hit.URI != "/recover" || hit.Header.Get("X-Verified-Phone") != mobile {
		t.Errorf("the upstream saw %s with the number %q", hit.URI, hit.Header.Get("X-Verified-Phone"))
	}
}

func TestANumberThatIsNotListedGetsNothingAndLooksTheSame(t *testing.T) {
	s, b := harness.Start(t, harness.Options{NoAuth: true, Block: "ask_phone", Global: soon}), newTab(t)
	b.run(chromedp.Navigate(s.URL + "/"))
	b.phone("+44 7700 900111")
	const said = "If this number is known here"
	b.until(ready)
	if text := b.text(); !strings.Contains(text, said) {
		t.Errorf("the page of an unknown number: %s", text)
	}
	b.enter("123456")
	b.until(`document.querySelector("#code[aria-invalid=true]")`)
	if n := s.Messages(); n != 0 {
		t.Fatalf("%d messages to a number that is not listed", n)
	}
	// The visitor sees his mistake.
	b.until(`document.querySelector("#again") && !document.querySelector("#again").disabled`)
	b.run(chromedp.Evaluate(`document.querySelector("#phone").closest("details").open = true`, nil))
	b.phone(harness.Numbers["alice"])
	code := s.Code(1)
	b.until(ready)
	if text := b.text(); !strings.Contains(text, said) {
		t.Errorf("the page of a known number: %s", text)
	}
	b.enter(code)
	b.until(inside)
}

func TestATrustedBrowserIsStillInWhenItIsOpenedAgain(t *testing.T) {
	for name, tick := range map[string]bool{"ticked": true, "not ticked": false} {
		t.Run(name, func(t *testing.T) {
			s, b := harness.Start(t, harness.Options{Block: "trust_device 30d"}), newTab(t)
			b.signIn(s)
			b.until(ready + ` && !document.querySelector("#trust").checked`)
			if text := s.Gateway.Messages(); len(text) == 1 && !strings.Contains(text[0].Body, "New device") {
				t.Errorf("the message does not tell of a new device: %q", text[0].Body)
			}
			if tick {
				b.run(chromedp.Click("label[for=trust]", chromedp.ByQuery), chromedp.Focus("#code", chromedp.ByQuery))
			}
			b.enter(s.Code(1))
			b.until(inside)
			b.closeAndOpen()
			before := len(s.Upstream.Hits())
			b.run(chromedp.Navigate(s.URL + "/again"))
			b.until(`document.readyState == "complete"`)
			if tick {
				b.until(inside)
				if n := s.Messages(); n != 1 {
					t.Errorf("%d messages, want 1", n)
				}
				return
			}
			// The time between two messages has not passed: the page says when it will have.
			b.until(`document.body.innerText.includes("try again in")`)
			if hits := s.Upstream.Hits()[before:]; len(hits) != 0 {
				t.Errorf("a browser that nobody trusted got through: %+v", hits)
			}
		})
	}
}

// payTooLate sends the form of the shop when the verification is over, and is offered a code.
func (b *tab) payTooLate(s *harness.Site) {
	b.t.Helper()
	b.signIn(s)
	b.enter(s.Code(1))
	b.until(inShop)
	time.Sleep(pause)
	administer(b.t, s, "alice/revoke")
	b.run(chromedp.Click("#pay", chromedp.ByQuery))
	b.until(offered)
}

// offered is when nothing was sent yet, and a button sends.
const offered = `document.readyState == "complete" && document.querySelector("form[action*=send] button")`

func TestAFormIsNotLostWhenItsVerificationIs(t *testing.T) {
	s, b := harness.Start(t, harness.Options{Upstream: http.HandlerFunc(shop), Global: soon, Admin: true}), newTab(t)
	b.payTooLate(s)
	if text := b.text(); !strings.Contains(text, "What you submitted is kept") {
		t.Errorf("the page does not say that nothing is lost: %s", text)
	}
	b.run(chromedp.Click("form[action*=send] button", chromedp.ByQuery))
	code := s.Code(2)
	b.enter(harness.Wrong(code))
	b.until(`document.querySelector("[aria-invalid=true]")`)
	if got := posts(s); len(got) != 0 {
		t.Fatalf("got through: %q", got)
	}
	b.enter(code)
	b.until(done)
	b.run(chromedp.Reload())
	b.until(`document.readyState == "complete" && document.title != "Done"`)
	want := "/pay?ref=7 to=shop&amount=12.50&note=%C3%A4+%26+b%0D%0Ac"
	if got := posts(s); len(got) != 1 || got[0] != want {
		t.Errorf("the upstream has seen %q, want once %q", got, want)
	}
}

func TestAKeptFormGoesOnWhenTheOtherTabPasses(t *testing.T) {
	s, b := harness.Start(t, harness.Options{Upstream: http.HandlerFunc(shop), Global: soon, Admin: true}), newTab(t)
	b.payTooLate(s)
	b.run(chromedp.Click("form[action*=send] button", chromedp.ByQuery))
	b.until(ready)
	other := b.another()
	other.signIn(s)
	other.enter(s.Code(2))
	other.until(inShop)
	b.front()
	b.until(done)
	if got := posts(s); len(got) != 1 || !strings.Contains(got[0], "amount=12.50") {
		t.Errorf("the upstream has seen %q, want the form once", got)
	}
}

func TestARouteThatWantsARecentCodeSaysWhyItAsksAgain(t *testing.T) {
	s, b := harness.Start(t, harness.Options{
		Global: soon, Matcher: "@rest", Block: "site \"Example Co\"",
		Before: "@rest not path /billing /billing/*\n@billing path /billing /billing/*\nsms_otp @billing {\nsite \"Example Co\"\nmax_age 3s\n}",
	}), newTab(t)
	b.signIn(s)
	b.enter(s.Code(1))
	b.until(inside)
	time.Sleep(3 * time.Second) // the rule is about time
	before := len(s.Upstream.Hits())
	b.run(chromedp.Navigate(s.URL + "/billing/2026"))
	b.until(ready)
	if text := b.text(); !strings.Contains(text, "Example Co asks again because this part needs a recent check.") {
		t.Errorf("the page does not say why it asks again: %s", text)
	}
	for _, hit := range s.Upstream.Hits()[before:] {
		if strings.HasPrefix(hit.URI, "/billing") {
			t.Errorf("got through with an old verification: %s", hit.URI)
		}
	}
	b.run(chromedp.Navigate(s.URL + "/elsewhere"))
	b.until(inside)
	b.run(chromedp.Navigate(s.URL + "/billing/2026"))
	b.until(ready)
	b.enter(s.Code(2))
	b.until(inside)
	if n := s.Messages(); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
}

func TestABrowserThatKeepsNoCookiesIsToldSo(t *testing.T) {
	s, b := harness.Start(t, harness.Options{}), newTab(t)
	b.signIn(s)
	b.until(ready)
	b.run(network.ClearBrowserCookies())
	b.enter(s.Code(1))
	b.until(`document.title.includes("Your browser is blocking cookies")`)
	if n := len(s.Upstream.Hits()); n != 0 {
		t.Errorf("%d requests got through", n)
	}
}

func TestAPageOffersLogout(t *testing.T) {
	s, b := harness.Start(t, harness.Options{Upstream: http.HandlerFunc(shop)}), newTab(t)
	b.signIn(s)
	b.enter(s.Code(1))
	b.until(inShop)
	before := len(s.Upstream.Hits())
	b.run(chromedp.Click("#logout", chromedp.ByQuery))
	b.until(offered)
	b.run(chromedp.Navigate(s.URL + "/account"))
	b.until(offered)
	for _, hit := range s.Upstream.Hits()[before:] {
		if hit.URI != "/favicon.ico" {
			t.Errorf("got through after logout: %s %s", hit.Method, hit.URI)
		}
	}
	if n := s.Messages(); n != 1 {
		t.Errorf("%d messages, want 1: leaving costs none", n)
	}
}

func TestTheHelpDesksPassOpensThePage(t *testing.T) {
	s, b := harness.Start(t, harness.Options{Admin: true}), newTab(t)
	b.signIn(s)
	b.until(ready)
	var pass struct{ Code string }
	if err := json.Unmarshal(administer(t, s, "alice/pass"), &pass); err != nil || pass.Code == "" {
		t.Fatalf("no pass: %v", err)
	}
	b.enter(harness.Wrong(pass.Code))
	b.until(`document.querySelector("[aria-invalid=true]")`)
	if n := len(s.Upstream.Hits()); n != 0 {
		t.Fatalf("%d requests got through with a wrong pass", n)
	}
	b.enter(pass.Code)
	b.until(inside)
	// Once, and then never again.
	thief := s.Client("alice")
	if a := thief.Submit("/?sms_otp=verify", url.Values{"code": {pass.Code}}); a.Status == http.StatusSeeOther {
		t.Error("the pass opened twice")
	}
}
