package browser

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	chromepage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
	"github.com/caddy-sms-otp/caddy-sms-otp/test/page"
)

// patience is how long anything that a page does may take on a busy machine.
const patience = 30 * time.Second

type tab struct {
	t   *testing.T
	ctx context.Context
}

func newTab(t *testing.T) *tab {
	t.Helper()
	ctx, cancel, err := page.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cancel)
	return &tab{t, ctx}
}

func (b *tab) run(actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		b.t.Fatalf("%v; the page says: %s", err, b.text())
	}
}

func (b *tab) text() (text string) {
	ctx, cancel := context.WithTimeout(b.ctx, time.Second)
	defer cancel()
	_ = chromedp.Run(ctx, chromedp.Evaluate("document.title + ': ' + document.body.innerText", &text))
	return text
}

// until waits until an expression holds in the page, whatever page that is by then.
func (b *tab) until(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	for ctx.Err() == nil {
		holds := false
		// An error means that the page is being replaced: the next one is asked.
		if err := chromedp.Run(ctx, chromedp.Evaluate("!!("+expression+")", &holds)); err == nil && holds {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	b.t.Fatalf("never came true: %s; the page says: %s", expression, b.text())
}

// withPassword is the site's address with what a visitor would type into the browser's own password window.
func withPassword(s *harness.Site, user string) string {
	return strings.Replace(s.URL, "://", "://"+user+":"+harness.Password+"@", 1) + "/"
}

// ready is when a visitor may type: the one field has the focus.
const ready = `document.readyState == "complete" && document.activeElement.autocomplete == "one-time-code"`

const inside = `document.title == "Inside"`

func TestFromThePasswordToThePageBehind(t *testing.T) {
	for name, disabled := range map[string]bool{"with JavaScript": false, "without JavaScript": true} {
		t.Run(name, func(t *testing.T) {
			s, b := harness.Start(t, harness.Options{Block: `site "Example Co"`}), newTab(t)
			b.run(emulation.SetScriptExecutionDisabled(disabled), chromedp.Navigate(withPassword(s, "alice")))
			b.until(ready)
			if text := b.text(); !strings.Contains(text, "+44•••••23") || !strings.Contains(text, "Example Co") {
				t.Errorf("the page does not say what was sent where: %s", text)
			}
			code := s.Code(1)
			b.run(chromedp.KeyEvent(harness.Wrong(code) + kb.Enter))
			b.until(`document.querySelector("[aria-invalid=true]")`)
			b.until(ready)
			if n := len(s.Upstream.Hits()); n != 0 {
				t.Fatalf("%d requests got through with a wrong code", n)
			}
			b.run(chromedp.KeyEvent(code + kb.Enter))
			b.until(inside)
			// The password survives the challenge: no 401 has made the browser forget it.
			b.run(chromedp.Navigate(s.URL + "/again"))
			b.until(inside)
			hits := s.Upstream.Hits()
			if last := hits[len(hits)-1]; last.URI != "/again" && last.URI != "/favicon.ico" {
				t.Errorf("the last request was for %s", last.URI)
			}
			if n := s.Messages(); n != 1 {
				t.Errorf("%d messages, want 1", n)
			}
		})
	}
}

func TestTheOtherTabGoesOnByItself(t *testing.T) {
	s, b := harness.Start(t, harness.Options{}), newTab(t)
	b.run(chromedp.Navigate(withPassword(s, "alice")))
	b.until(ready)
	second, cancel := chromedp.NewContext(b.ctx)
	defer cancel()
	// The first run opens the tab, which lives as long as that run's context.
	if err := chromedp.Run(second); err != nil {
		t.Fatal(err)
	}
	other := &tab{t, second}
	other.run(chromedp.Navigate(withPassword(s, "alice") + "other"))
	other.until(ready)
	other.run(chromedp.KeyEvent(s.Code(1) + kb.Enter))
	other.until(inside)
	// A page asks how things stand while it is visible.
	b.run(chromepage.BringToFront())
	b.until(inside)
	if n := s.Messages(); n != 1 {
		t.Errorf("%d messages for two tabs, want 1", n)
	}
}

func TestACodeIsTakenAsItWasPasted(t *testing.T) {
	digits := func(zero rune) func(string) string {
		return func(code string) string {
			return strings.Map(func(r rune) rune { return r - '0' + zero }, code)
		}
	}
	for name, paste := range map[string]func(code string) string{
		"with words":    func(code string) string { return "code: " + code[:3] + "-" + code[3:] },
		"with spaces":   func(code string) string { return "\u00a0" + code[:3] + " " + code[3:] + " " },
		"full-width":    digits('０'),
		"Arabic-Indic":  digits('٠'),
		"Extended":      digits('۰'),
		"the last line": func(code string) string { return "@localhost #" + code },
	} {
		t.Run(name, func(t *testing.T) {
			s, b := harness.Start(t, harness.Options{}), newTab(t)
			b.signIn(s)
			b.until(ready)
			b.run(input.InsertText(paste(s.Code(1))), chromedp.KeyEvent(kb.Enter))
			b.until(inside)
		})
	}
}
