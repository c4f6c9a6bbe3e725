package browser

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

// shop is an application with a form, and an answer to it.
func shop(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if r.Method == http.MethodPost {
		fmt.Fprint(w, `<!doctype html><html lang="en"><title>Done</title><h1>Done</h1>`)
		return
	}
	fmt.Fprint(w, `<!doctype html><html lang="en"><title>Shop</title>
<form method="post" action="/pay?ref=7"><input name="to" value="shop"><input name="amount" value="12.50" id="amount">
<textarea name="note">ä &amp; b
c</textarea><button id="pay">Pay</button></form>
<form method="post" action="/?sms_otp=logout"><button id="logout">Log out</button></form>`)
}

const (
	inShop = `document.readyState == "complete" && document.title == "Shop"`
	done   = `document.readyState == "complete" && document.title == "Done"`

	confirmed = `document.title.startsWith("This is already confirmed")`
)

// pause is a little longer than the shortest time between two messages to one number.
const pause = 1100 * time.Millisecond

const soon = "limits {\nresend_after 1s\n}"

func paying() harness.Options {
	return harness.Options{
		Upstream: http.HandlerFunc(shop), Global: soon,
		Before: "@pay {\npath /pay\nmethod POST\n}\n", Matcher: "@pay",
		Block: "confirm\nsite \"Example Co\"\nmessage \"{code} confirms {action} of {form.amount} to {form.to}\"",
	}
}

// posts are the bodies of the forms that got through.
func posts(s *harness.Site) (bodies []string) {
	for _, hit := range s.Upstream.Hits() {
		if hit.Method == http.MethodPost {
			bodies = append(bodies, hit.URI+" "+hit.Body)
		}
	}
	return bodies
}

// signIn opens the site with the password, and once more without it in the address.
func (b *tab) signIn(s *harness.Site, actions ...chromedp.Action) {
	b.t.Helper()
	b.run(append(actions, chromedp.Navigate(withPassword(s, "alice")), chromedp.Navigate(s.URL+"/"))...)
}

// enter types a code into the one field.
func (b *tab) enter(code string) {
	b.t.Helper()
	b.until(ready)
	b.run(chromedp.KeyEvent(code + kb.Enter))
}

func TestATransactionIsConfirmedAndRunsOnce(t *testing.T) {
	for name, disabled := range map[string]bool{"with JavaScript": false, "without JavaScript": true} {
		t.Run(name, func(t *testing.T) {
			s, b := harness.Start(t, paying()), newTab(t)
			b.signIn(s, emulation.SetScriptExecutionDisabled(disabled))
			b.until(inShop)
			b.run(chromedp.Click("#pay", chromedp.ByQuery))
			b.until(ready)
			if text := b.text(); !strings.Contains(text, "POST /pay") || !strings.Contains(text, "Example Co") {
				t.Errorf("the page does not say what is confirmed: %s", text)
			}
			code := s.Code(1)
			if text := s.Gateway.Messages()[0].Body; !strings.Contains(text, "confirms POST /pay of 12.50 to shop") {
				t.Errorf("the message says %q", text)
			}
			b.enter(harness.Wrong(code))
			b.until(`document.querySelector("[aria-invalid=true]")`)
			if got := posts(s); len(got) != 0 {
				t.Fatalf("got through with a wrong code: %q", got)
			}
			b.enter(code)
			b.until(done)
			want := "/pay?ref=7 to=shop&amount=12.50&note=%C3%A4+%26+b%0D%0Ac"
			ranOnce := func(after string) {
				t.Helper()
				if got := posts(s); len(got) != 1 || got[0] != want {
					t.Errorf("after %s the upstream has seen %q, want once %q", after, got, want)
				}
			}
			ranOnce("the right code")
			b.run(chromedp.Reload())
			b.until(confirmed)
			ranOnce("a reload of the answer")
			b.back()
			ranOnce("Back")
			// Chromium asks whether to send a form once more: yes.
			b.run(chromedp.Reload())
			b.until(confirmed + ` || document.querySelector("form [name=kept]")`)
			ranOnce("Back and a reload")
			b.run(chromedp.Navigate(s.URL + "/"))
			b.until(inShop)
			ranOnce("going on")
			for _, cookie := range b.cookies() {
				if cookie.Name == "__Host-Http-sms-otp" {
					t.Error("a confirmation left a session behind")
				}
			}
		})
	}
}

func TestTwoTransactionsInTwoTabsDoNotMeet(t *testing.T) {
	s, one := harness.Start(t, paying()), newTab(t)
	pay := func(b *tab, amount string) {
		t.Helper()
		b.until(inShop)
		b.run(chromedp.SetValue("#amount", amount, chromedp.ByQuery), chromedp.Click("#pay", chromedp.ByQuery))
		b.until(ready)
	}
	one.signIn(s)
	pay(one, "1.00")
	first := s.Code(1)
	time.Sleep(pause)
	two := one.another()
	two.signIn(s)
	pay(two, "2.00")
	second := s.Code(2)
	two.enter(second)
	two.until(done)
	one.front()
	if first != second {
		one.enter(second)
		one.until(`document.querySelector("[aria-invalid=true]")`)
	}
	one.enter(first)
	one.until(done)
	got := posts(s)
	if len(got) != 2 || !strings.Contains(got[0], "amount=2.00&") || !strings.Contains(got[1], "amount=1.00&") {
		t.Errorf("the upstream has seen %q", got)
	}
}
