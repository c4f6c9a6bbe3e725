package page

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/caddy-sms-otp/caddy-sms-otp/caddymodule/web"
)

// problemAtField is when a visitor may type again: the new page is there, and its field has the focus.
const problemAtField = `document.querySelector("#problem") && document.readyState == "complete" && document.activeElement.id == "code"`

const onUpstream = `document.title == "Upstream"`

func TestKeyboardAloneIsEnoughWithAndWithoutJavaScript(t *testing.T) {
	for _, disabled := range []bool{false, true} {
		s, b := newSite(t, nil), newTab(t)
		b.run(emulation.SetScriptExecutionDisabled(disabled))
		b.open(s.URL)
		// The field has the focus already: nobody has to look for it.
		b.run(chromedp.KeyEvent("111111" + kb.Enter))
		b.until(`document.querySelector("#problem")`)
		if title := eval[string](b, "document.title"); title != "Error: Enter the code from your text message – Example Co" {
			t.Errorf("title %q", title)
		}
		if got := eval[string](b, `document.activeElement.id + document.activeElement.ariaInvalid + document.activeElement.getAttribute("aria-describedby")`); got != "codetrueproblem intro" {
			t.Errorf("focus, validity and description after a wrong code: %s", got)
		}
		b.run(chromedp.KeyEvent("123456" + kb.Enter))
		b.until(onUpstream)
	}
}

func TestWhatIsPastedArrivesAsItWasPasted(t *testing.T) {
	for _, pasted := range []string{"code: 123-456", "１２３４５６", "١٢٣٤٥٦", "  123 456  "} {
		s, b := newSite(t, nil), newTab(t)
		b.open(s.URL)
		b.until(`document.activeElement.id == "code"`)
		b.run(input.InsertText(pasted), chromedp.Click("button.primary", chromedp.ByQuery))
		b.until(`document.querySelector("#problem")`)
		s.saw(func(s *site) {
			if got := s.forms[0].Get("code"); got != pasted {
				t.Errorf("pasted %q, arrived %q", pasted, got)
			}
		})
	}
}

func TestTypingAloneSubmitsNothing(t *testing.T) {
	s, b := newSite(t, nil), newTab(t)
	b.open(s.URL)
	b.run(chromedp.KeyEvent("123456"))
	// A whole round of the page's own clock later still nothing has been sent.
	waitForPoll(t, s)
	if s.posts() != 0 {
		t.Error("the code was sent without a press")
	}
}

func TestImpatientPressesSendOneForm(t *testing.T) {
	s, b := newSite(t, nil), newTab(t)
	s.hold = make(chan struct{})
	release := sync.OnceFunc(func() { close(s.hold) })
	defer release()
	// The page itself presses again while the first answer is awaited, and then reports.
	b.prepare(`addEventListener("submit", () => {
		setTimeout(() => document.querySelector("#verify").requestSubmit(), 200);
		setTimeout(() => fetch("/in?pressed"), 600);
	}, {once: true})`)
	b.open(s.URL)
	b.run(chromedp.KeyEvent("111111" + kb.Enter))
	eventually(t, "the page presses again", func() bool { return s.requested("GET /in?pressed") })
	posts := s.posts()
	release()
	if posts != 1 {
		t.Errorf("%d forms arrived, want 1", posts)
	}
	b.until(`document.querySelector("#problem")`)
}

func TestReloadAfterAWrongCodePostsNothing(t *testing.T) {
	s, b := newSite(t, nil), newTab(t)
	b.open(s.URL)
	b.run(chromedp.KeyEvent("111111" + kb.Enter))
	b.until(`document.querySelector("#problem")`)
	b.run(chromedp.Reload())
	b.until(`!document.querySelector("#problem")`)
	if got := s.posts(); got != 1 {
		t.Errorf("%d forms arrived, want 1", got)
	}
}

func TestBackNeverShowsADeadForm(t *testing.T) {
	s, b := newSite(t, nil), newTab(t)
	b.open(s.URL)
	b.run(chromedp.KeyEvent("111111" + kb.Enter))
	b.until(problemAtField)
	b.run(chromedp.KeyEvent("123456" + kb.Enter))
	b.until(onUpstream)
	for range 2 {
		b.run(chromedp.Evaluate("window.left = true; setTimeout(() => history.back()); 0", nil))
		b.until("!window.left && " + onUpstream)
	}
	if got := s.posts(); got != 2 {
		t.Errorf("%d forms arrived, want 2", got)
	}
}

func TestRestoredPageLooksHowThingsStand(t *testing.T) {
	s, b := newSite(t, nil), newTab(t)
	b.prepare(`setTimeout = () => 0`) // it looks at once, not with its next round
	b.open(s.URL)
	s.set(func(s *site) { s.state = "verified" })
	b.run(chromedp.Evaluate(`dispatchEvent(new PageTransitionEvent("pageshow", {persisted: true}))`, nil))
	b.until(onUpstream)
}

func TestTabGoesOnWhenAnotherHasPassed(t *testing.T) {
	s, one, two := newSite(t, nil), newTab(t), newTab(t)
	one.open(s.URL)
	two.open(s.URL)
	one.run(chromedp.KeyEvent("123456" + kb.Enter))
	one.until(onUpstream)
	two.until(onUpstream)
}

func TestPageWithAFormSendsItWhenAnotherTabHasPassed(t *testing.T) {
	s, b := newSite(t, func(p *web.Page) { p.Kept = "c2VhbGVk" }), newTab(t)
	b.open(s.URL + "?draft=1")
	s.set(func(s *site) { s.state = "verified" })
	b.run(chromedp.Evaluate(`dispatchEvent(new PageTransitionEvent("pageshow", {persisted: true}))`, nil))
	eventually(t, "the form is sent", func() bool { return s.posts() > 0 })
	s.saw(func(s *site) {
		if got := s.forms[0].Get("kept"); got != "c2VhbGVk" || len(s.forms) != 1 {
			t.Errorf("what was submitted arrived as %q, in %d forms", got, len(s.forms))
		}
	})
}

func TestPageOfATransactionStaysWhereItIs(t *testing.T) {
	s, b := newSite(t, func(p *web.Page) { p.Kept, p.Action = "c2VhbGVk", "POST /transfers" }), newTab(t)
	b.open(s.URL + "?draft=1")
	s.set(func(s *site) { s.state = "verified" })
	b.run(chromedp.Evaluate(`dispatchEvent(new PageTransitionEvent("pageshow", {persisted: true}))`, nil))
	eventually(t, "the page asks for the status", func() bool { return s.polled() > 0 })
	if got := eval[string](b, "location.search"); got != "?draft=1" || s.posts() != 0 {
		t.Errorf("the page with what was submitted has become %q, and sent %d forms", got, s.posts())
	}
	b.run(chromedp.KeyEvent("123456" + kb.Enter))
	b.until(onUpstream)
	s.saw(func(s *site) {
		if got := s.forms[0].Get("kept"); got != "c2VhbGVk" {
			t.Errorf("what was submitted arrived as %q", got)
		}
	})
}

func waitForPoll(t *testing.T, s *site) {
	t.Helper()
	before := s.polled()
	eventually(t, "the page asks for the status", func() bool { return s.polled() > before })
}

func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !happened(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestProtectedPageMayLeadToAnotherHost(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte("<!doctype html><title>Upstream</title>"))
	}))
	t.Cleanup(other.Close)
	s, b := newSite(t, nil), newTab(t)
	s.set(func(s *site) { s.next = other.URL })
	b.open(s.URL)
	b.run(chromedp.KeyEvent("123456" + kb.Enter))
	b.until(onUpstream)
}

func TestSendAgainCarriesWhatWasSent(t *testing.T) {
	s, b := newSite(t, func(p *web.Page) {
		p.ResendAt = time.Now()
		p.AskPhone, p.Phone = true, "+44 7700 900123"
	}), newTab(t)
	b.open(s.URL)
	b.until(`!document.querySelector("#again").disabled`)
	b.run(chromedp.Click("#again", chromedp.ByQuery))
	b.until(`document.querySelector("[name=sent]").value == "2"`)
	s.saw(func(s *site) {
		if f := s.forms[0]; f.Get("sent") != "1" || f.Get("phone") != "+44 7700 900123" || f.Has("code") {
			t.Errorf("the form has %v", f)
		}
	})
}

func TestConfirmationAsksForTheStatusWithPost(t *testing.T) {
	s, b := newSite(t, func(p *web.Page) { p.Action, p.Kept = "POST /transfers", "c2VhbGVk" }), newTab(t)
	b.open(s.URL)
	waitForPoll(t, s)
	if !s.requested("POST /in?sms_otp=status") {
		t.Error("asked with GET, which a route for POST alone would not take for its own")
	}
}
