package web

import (
	"strings"
	"testing"
	"time"
)

func TestPlainTextIsThePagesInEveryLanguage(t *testing.T) {
	r := renderer(t, Options{})
	problems := map[string]State{
		"code-wrong": Waiting, "code-malformed": Waiting, "code-expired": Expired, "no-challenge": Offer, "send-limited": SendLimited,
		"phone-refused": AskPhone, "delivery-failed": DeliveryFailed, "locked": Locked, "unavailable": Unavailable, "no-phone": NoPhone, "no-user": NoUser,
	}
	for _, lang := range r.Languages() {
		page := waiting()
		page.Lang, page.Site = lang, "R&D <x>"
		said := map[string]string{}
		for _, state := range []State{Waiting, Locked, Expired} {
			page.State = state
			said["news of "+string(state)] = r.News(page)
		}
		for name, state := range problems {
			page.State, page.Error = state, name
			said[name] = r.Problem(page)
			page.RetryAt = page.Now.Add(time.Minute)
			waits := name == "send-limited" || name == "delivery-failed" || name == "locked" || name == "unavailable"
			if later := r.Problem(page); strings.Contains(later, "60") != waits {
				t.Errorf("%s: %s with a minute to wait: %q", lang, name, later)
			}
			page.RetryAt = time.Time{}
		}
		page.State, page.Error = Offer, "step-up-required"
		said["title"] = r.Title(page)
		for what, text := range said {
			if text == "" || strings.Contains(strings.ReplaceAll(text, "R&D <x>", ""), "<") || strings.ContainsAny(text, "{}") || strings.Contains(text, "&amp;") {
				t.Errorf("%s: %s: %q", lang, what, text)
			}
		}
	}
}

func TestPlainTextSaysWhatCounts(t *testing.T) {
	r, page := renderer(t, Options{}), waiting()
	if got, want := r.News(page), "\u2066+49•••••78\u2069: The message is waiting to be sent."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	page.Error, page.AttemptsLeft = "code-wrong", 4
	if got, want := r.Problem(page), "That code is not right. You have 4\u00a0attempts left."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	page.Error, page.RetryAt = "send-limited", noon.Add(10*time.Second)
	if got, want := r.Problem(page), "Another message cannot be sent yet. You can try again in 10\u00a0seconds."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	page.Error = "bad-action"
	if got := r.Problem(page); got != "" {
		t.Errorf("a program's mistake is told to people: %q", got)
	}
}
