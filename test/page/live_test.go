package page

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/caddy-sms-otp/caddy-sms-otp/caddymodule/web"
)

func TestDeliveryLineFollowsTheMessage(t *testing.T) {
	s, b := newSite(t, nil), newTab(t)
	b.open(s.URL)
	for _, row := range []struct {
		delivery string
		device   int
		line     string
		moved    bool
	}{
		{"on_device", 1, "The message is being sent.", false},
		{"failed", 1, "The message could not be sent. Ask for it again below.", false},
		{"queued", 2, "The message is waiting to be sent.", true},
		{"sent", 2, "The message is sent and can arrive any moment.", true},
		{"delivered", 2, "The message has reached your phone.", true},
	} {
		s.set(func(s *site) { s.page.Delivery, s.page.Device = row.delivery, row.device })
		b.until(`document.querySelector("#line").textContent == "` + row.line + `"`)
		if got := eval[bool](b, `document.querySelector("#moved").checkVisibility()`); got != row.moved {
			t.Errorf("%s: says that another phone took over: %v", row.delivery, got)
		}
		if got := eval[string](b, `document.querySelector("#delivery").dataset.delivery`); got != row.delivery {
			t.Errorf("bar shows %s, want %s", got, row.delivery)
		}
	}
}

func TestCountdownEndsAndIsNotReadOut(t *testing.T) {
	s, b := newSite(t, func(p *web.Page) { p.ResendAt = time.Now().Add(3 * time.Second) }), newTab(t)
	// Every change inside of a live region would be read out.
	b.prepare(`window.readOut = 0; addEventListener("DOMContentLoaded", () => {
		for (const region of document.querySelectorAll("[role=status],[role=alert],[aria-live]"))
			new MutationObserver((changes) => readOut += changes.length).observe(region, {subtree: true, childList: true, characterData: true});
	})`)
	b.open(s.URL)
	if !eval[bool](b, `document.querySelector("#again").disabled && /^0:0[1-3]$/.test(document.querySelector("#count").textContent)`) {
		t.Error("the button does not count down")
	}
	b.until(`!document.querySelector("#again").disabled && document.querySelector("#count").textContent == ""`)
	waitForPoll(t, s)
	if got := eval[int](b, "readOut"); got != 0 {
		t.Errorf("%d changes were read out", got)
	}
}

func TestWrongClockOfTheVisitorDoesNotMatter(t *testing.T) {
	s, b := newSite(t, nil), newTab(t)
	b.prepare(`const real = Date.now; Date.now = () => real() + 3600e3 * 24`)
	b.open(s.URL)
	if eval[bool](b, `document.querySelector("#verify").hidden`) || !eval[bool](b, `document.querySelector("#again").disabled`) {
		t.Error("a clock one day ahead has ended the code")
	}
}

func TestCodeThatRunsOutGivesWayToANewOne(t *testing.T) {
	for name, run := range map[string]struct {
		change func(*web.Page)
		state  string
	}{
		"by the clock":                  {func(p *web.Page) { p.ExpiresAt, p.ResendAt = time.Now().Add(2*time.Second), time.Now() }, "pending"},
		"by the clock, all sent":        {func(p *web.Page) { p.ExpiresAt, p.ResendAt, p.SendsLeft = time.Now().Add(2*time.Second), time.Now(), 0 }, "pending"},
		"by the server":                 {func(p *web.Page) { p.ResendAt = time.Now() }, "expired"},
		"because it is no longer known": {func(p *web.Page) { p.ResendAt = time.Now() }, ""},
	} {
		s, b := newSite(t, run.change), newTab(t)
		s.set(func(s *site) { s.state = run.state })
		b.open(s.URL)
		b.until(`!document.querySelector("#verify").checkVisibility() && document.querySelector("h1").textContent == "The code has expired"`)
		if got := eval[string](b, `document.title + "|" + document.querySelector("main").innerText`); !strings.HasPrefix(got, "The code has expired – Example Co|") || strings.Contains(got, "We are texting") || strings.Contains(got, "for this code") {
			t.Errorf("%s: still says what no longer holds: %s", name, got)
		}
		if got := eval[string](b, `document.querySelector("#again").innerText`); got != "Send a new code" {
			t.Errorf("%s: the button reads %q", name, got)
		}
		b.run(chromedp.Click("#again", chromedp.ByQuery))
		b.until(`document.querySelector("[name=sent]").value == "2"`)
	}
}

func TestLockedCodeTakesTheFieldAway(t *testing.T) {
	s, b := newSite(t, nil), newTab(t)
	s.set(func(s *site) { s.state = "locked" })
	b.open(s.URL)
	b.until(`!document.querySelector("#verify").checkVisibility() && document.querySelector("h1").textContent == "Too many wrong codes" && document.querySelector("#over").textContent.includes("no longer works")`)
}

func TestBlockedCookiesAreNotTakenForAnExpiredCode(t *testing.T) {
	s, b := newSite(t, nil), newTab(t)
	b.prepare(`Object.defineProperty(navigator, "cookieEnabled", {get: () => false})`)
	s.set(func(s *site) { s.state = "" })
	b.open(s.URL)
	b.until(`!document.querySelector("#verify").checkVisibility() && document.querySelector("h1").textContent == "Your browser is blocking cookies"`)
	if s.polled() != 0 {
		t.Error("asks how a challenge stands that the browser cannot have")
	}
}

func TestNothingIsAskedWhileThePageIsHidden(t *testing.T) {
	s, b := newSite(t, nil), newTab(t)
	b.prepare(`window.away = true; window.skipped = 0;
		Object.defineProperty(document, "hidden", {get: () => (skipped += away, away)})`)
	b.open(s.URL)
	b.until("skipped > 0")
	s.saw(func(s *site) {
		if s.polls != 0 {
			t.Errorf("%d polls of a hidden page", s.polls)
		}
	})
	s.set(func(s *site) { s.state = "verified" })
	b.run(chromedp.Evaluate(`away = false; document.dispatchEvent(new Event("visibilitychange"))`, nil))
	b.until(onUpstream)
}

// webOTP stands in for a browser that reads the message.
const webOTP = `window.OTPCredential = class {};
	navigator.credentials.get = (options) => new Promise((resolve, reject) => {
		window.asked = JSON.stringify(options.otp);
		window.arrives = (code) => resolve({code});
		options.signal.addEventListener("abort", () => { sessionStorage.aborted = "yes"; reject(); });
	})`

func TestCodeReadFromTheMessageIsSubmitted(t *testing.T) {
	s, b := newSite(t, nil), newTab(t)
	b.prepare(webOTP)
	b.open(s.URL)
	if got := eval[string](b, "asked"); got != `{"transport":["sms"]}` {
		t.Errorf("asked for %s", got)
	}
	b.run(chromedp.Evaluate(`arrives("123456")`, nil))
	b.until(onUpstream)
}

func TestCodeReadFromTheMessageWaitsWhereThereIsAChoice(t *testing.T) {
	for _, change := range []func(*web.Page){
		func(p *web.Page) { p.TrustDays = 30 },
		func(p *web.Page) { p.Action, p.Kept = "POST /transfers", "c2VhbGVk" },
	} {
		s, b := newSite(t, change), newTab(t)
		b.prepare(webOTP)
		b.open(s.URL)
		b.run(chromedp.Evaluate(`arrives("123456")`, nil))
		b.until(`document.querySelector("#code").value == "123456"`)
		waitForPoll(t, s)
		if s.posts() != 0 {
			t.Error("submitted before the visitor could choose")
		}
		b.run(chromedp.Click("button.primary", chromedp.ByQuery))
		b.until(onUpstream)
	}
}

func TestSubmittingEndsTheWaitForTheMessage(t *testing.T) {
	s, b := newSite(t, nil), newTab(t)
	b.prepare(webOTP)
	b.open(s.URL)
	b.run(chromedp.KeyEvent("123456" + kb.Enter))
	b.until(onUpstream)
	if got := eval[string](b, "sessionStorage.aborted"); got != "yes" {
		t.Errorf("aborted: %q", got)
	}
}

func TestTrustIsTickedOnlyByTheVisitor(t *testing.T) {
	s, b := newSite(t, func(p *web.Page) { p.TrustDays = 30 }), newTab(t)
	b.open(s.URL)
	b.run(chromedp.KeyEvent("111111" + kb.Enter))
	b.until(`document.querySelector("#problem")`)
	b.run(chromedp.Click("label[for=trust]", chromedp.ByQuery), chromedp.SendKeys("#code", "123456"+kb.Enter, chromedp.ByQuery))
	b.until(onUpstream)
	s.saw(func(s *site) {
		if first, second := s.forms[0].Get("trust"), s.forms[1].Get("trust"); first != "" || second != "1" {
			t.Errorf("trust %q, then %q", first, second)
		}
	})
}

func TestTimeOfExpiryIsTheVisitorsOwn(t *testing.T) {
	s, b := newSite(t, func(p *web.Page) { p.Lang = "de" }), newTab(t)
	b.run(emulation.SetTimezoneOverride("Asia/Kolkata"))
	b.open(s.URL)
	want := "Der Code gilt bis " + s.page.ExpiresAt.In(time.FixedZone("", 5*3600+1800)).Format("15:04") + "."
	want = strings.Replace(want, "bis 0", "bis ", 1)
	if got := eval[string](b, `document.querySelector("#valid").textContent`); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
