package page

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// chromium is the one browser of all tests; each test has a profile of its own in it.
var chromium context.Context

func TestMain(m *testing.M) {
	ctx, cancel, err := Start(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	chromium = ctx
	code := m.Run()
	cancel()
	os.Exit(code)
}

// patience bounds every wait for the browser. Only a broken page takes so long.
const patience = 15 * time.Second

// A tab fails its test when the browser cannot do what it is told.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// newTab opens a window of its own: only the front tab of a window is visible.
func newTab(t *testing.T) tab {
	t.Helper()
	browser := cdp.WithExecutor(chromium, chromedp.FromContext(chromium).Browser)
	profile, err := target.CreateBrowserContext().Do(browser)
	if err != nil {
		t.Fatal(err)
	}
	id, err := target.CreateTarget("about:blank").WithBrowserContextID(profile).WithNewWindow(true).Do(browser)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithTargetID(id))
	t.Cleanup(func() {
		cancel()
		// Chromium has been seen not to answer; what is left ends with it.
		ctx, stop := context.WithTimeout(browser, patience)
		defer stop()
		target.DisposeBrowserContext(profile).Do(ctx)
	})
	// The first run ties the tab to its context, so it must not be one with a deadline.
	if err := chromedp.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return tab{t, ctx}
}

func (b tab) run(actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// open goes to an address, and gives the browser a moment to put the focus where
// the page wants it: keys that come before are lost. A tab in the background may never.
func (b tab) open(url string) {
	b.t.Helper()
	b.run(chromedp.Navigate(url))
	for range 100 {
		if eval[bool](b, `!document.querySelector("[autofocus]") || document.activeElement.hasAttribute("autofocus")`) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// prepare runs a script in every document before its own.
func (b tab) prepare(script string) {
	b.t.Helper()
	b.run(chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := page.AddScriptToEvaluateOnNewDocument(script).Do(ctx)
		return err
	}))
}

// eval is the value of an expression in the page.
func eval[T any](b tab, expression string) T {
	b.t.Helper()
	var value T
	b.run(chromedp.Evaluate(expression, &value))
	return value
}

// until waits for an expression in the page to become true.
func (b tab) until(expression string) {
	b.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		var ok bool
		// Between two documents there is nothing to evaluate in.
		ctx, cancel := context.WithTimeout(b.ctx, 2*time.Second)
		err := chromedp.Run(ctx, chromedp.Evaluate("Boolean("+expression+")", &ok))
		cancel()
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("still not so: %s (%v)\n%s", expression, err, eval[string](b, "document.body.innerText"))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func awaitPromise(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }
