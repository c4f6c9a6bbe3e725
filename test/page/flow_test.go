package page

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/caddy-sms-otp/caddy-sms-otp/caddymodule/web"
)

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
	polls := 0
	s.saw(func(s *site) { polls = s.polls })
	// A whole round of the page's own clock later still nothing has been sent.
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		done := false
		s.saw(func(s *site) { done = s.polls > polls })
		if done {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if s.posts() != 0 {
		t.Error("the code was sent without a press")
	}
}

func TestOneFormIsSentOnce(t *testing.T) {
	s, b := newSite(t, nil), newTab(t)
	b.open(s.URL)
	b.run(chromedp.KeyEvent("111111"))
	b.run(chromedp.Evaluate(`for (let i = 0; i < 3; i++) document.querySelector("#verify").requestSubmit()`, nil))
	b.until(`document.querySelector("#problem")`)
	if got := s.posts(); got != 1 {
		t.Errorf("%d forms arrived, want 1", got)
	}
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
	b.until(`document.querySelector("#problem")`)
	b.run(chromedp.KeyEvent("123456" + kb.Enter))
	b.until(onUpstream)
	for range 2 {
		b.run(chromedp.Evaluate("history.back()", nil))
		b.until(onUpstream)
	}
	if got := s.posts(); got != 2 {
		t.Errorf("%d forms arrived, want 2", got)
	}
}

func TestRestoredPageLooksHowThingsStand(t *testing.T) {
	s, b := newSite(t, nil), newTab(t)
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

func TestPageWithSomethingSubmittedStaysWhereItIs(t *testing.T) {
	s, b := newSite(t, func(p *web.Page) { p.Kept = "c2VhbGVk" }), newTab(t)
	b.open(s.URL + "?draft=1")
	s.set(func(s *site) { s.state = "verified" })
	b.run(chromedp.Evaluate(`dispatchEvent(new PageTransitionEvent("pageshow", {persisted: true}))`, nil))
	waitForPoll(t, s)
	if got := eval[string](b, "location.search"); got != "?draft=1" {
		t.Errorf("the page with what was submitted has become %q", got)
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
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		polls := 0
		s.saw(func(s *site) { polls = s.polls })
		if polls > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the page never asked for the status")
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
	s.saw(func(s *site) {
		if !slices.Contains(s.requests, "POST /in?sms_otp=status") {
			t.Errorf("requests: %v", s.requests)
		}
	})
}
