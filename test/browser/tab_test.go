package browser

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	chromepage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

// another opens a second tab of the same browser.
func (b *tab) another() *tab {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	b.t.Cleanup(cancel)
	// The first run opens the tab, which lives as long as that run's context.
	if err := chromedp.Run(ctx); err != nil {
		b.t.Fatal(err)
	}
	return &tab{b.t, ctx}
}

// front makes the tab the one that is seen: keys go there, and its page asks how things stand.
func (b *tab) front() {
	b.t.Helper()
	b.run(chromepage.BringToFront())
}

func (b *tab) cookies() (cookies []*network.Cookie) {
	b.t.Helper()
	b.run(chromedp.ActionFunc(func(ctx context.Context) (err error) {
		cookies, err = network.GetCookies().Do(ctx)
		return err
	}))
	return cookies
}

// closeAndOpen forgets what a browser forgets that is closed.
func (b *tab) closeAndOpen() {
	b.t.Helper()
	for _, cookie := range b.cookies() {
		if cookie.Session {
			b.run(network.DeleteCookies(cookie.Name).WithDomain(cookie.Domain).WithPath(cookie.Path))
		}
	}
}

// back goes back to a page that came of a form, and which therefore is not shown unasked.
func (b *tab) back() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, chromedp.NavigateBack()); err == nil || !strings.Contains(err.Error(), "ERR_CACHE_MISS") {
		b.t.Errorf("Back shows a page that a form led to: %v; the page says: %s", err, b.text())
	}
}

// administer does something for a user at the admin endpoint, and returns the answer.
func administer(t *testing.T, s *harness.Site, what string) []byte {
	t.Helper()
	answer, err := http.Post("http://"+s.Admin+"/sms_otp/users/"+what, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s %v", what, answer.StatusCode, body, err)
	}
	return body
}
