package browser

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/evanw/esbuild/pkg/api"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

// app is a single-page application, as strict as docs/fetch.md says it may be, but
// for another origin that it is told to speak to.
func app(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/app":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; connect-src 'self' "+r.FormValue("other")+"; require-trusted-types-for 'script'")
		fmt.Fprint(w, `<!doctype html><html lang="en"><title>App</title><button id="load">Load</button><script type="module" src="/app.js"></script>`)
	case "/app.js":
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprint(w, `import { withCode } from '/fetch.js';
			const send = withCode();
			window.answers = [];
			window.load = (path, init) => send(path, init).then((a) => a.text()).then((text) => answers.push(text), (e) => answers.push(e.name));
			document.title = 'Ready';`)
	case "/fetch.js":
		w.Header().Set("Content-Type", "text/javascript")
		http.ServeFile(w, r, "../../docs/fetch.js")
	default:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"path":%q}`, r.URL.Path)
	}
}

// openApp opens the application, which itself asks for a password only.
func openApp(t *testing.T, o harness.Options) (*harness.Site, *tab) {
	t.Helper()
	o.Upstream = http.HandlerFunc(app)
	s, b := harness.Start(t, o), newTab(t)
	b.run(chromedp.Navigate(withPassword(s, "alice") + "app"))
	// Once more without the password, since nothing can be fetched by a page whose address holds one.
	b.run(chromedp.Navigate(s.URL + "/app"))
	b.until(`document.title == "Ready"`)
	return s, b
}

func gatedData() harness.Options {
	return harness.Options{Before: "@inside path /data /data/*\n", Matcher: "@inside"}
}

// load begins a request and does not wait for its end.
func (b *tab) load(arguments string) {
	b.t.Helper()
	b.run(chromedp.Evaluate("load("+arguments+"); 0", nil))
}

// asked is when the dialog is open and may be typed into.
const asked = `document.querySelector("dialog:modal input:enabled") && document.activeElement.autocomplete == "one-time-code"`

// askedAgain asks for a code until it is no longer too soon for another.
const askedAgain = asked + ` || (document.querySelector("dialog [name=send]")?.click(), false)`

// hitsOf are the requests for a path that got through.
func hitsOf(s *harness.Site, path string) (hits []harness.Hit) {
	for _, hit := range s.Upstream.Hits() {
		if strings.HasPrefix(hit.URI, path) {
			hits = append(hits, hit)
		}
	}
	return hits
}

func TestFetchAsksForTheCodeAndRepeatsTheRequestOnce(t *testing.T) {
	s, b := openApp(t, gatedData())
	b.load(`"/data/pay?year=2026", {method: "PUT", body: '{"n":1}'}`)
	b.until(asked)
	code := s.Code(1)
	b.until(`document.querySelector("dialog [role=status]").textContent.includes("+44•••••23")`)
	// Status asks while the dialog is open: what it says comes to be true.
	b.until(`document.querySelector("dialog [role=status]").textContent.includes("reached your phone")`)
	b.run(chromedp.KeyEvent(harness.Wrong(code) + kb.Enter))
	b.until(`document.querySelector("dialog [role=alert]").textContent.includes("4")`)
	b.until(asked + ` && document.activeElement.ariaInvalid == "true"`)
	if hits := hitsOf(s, "/data"); len(hits) != 0 {
		t.Fatalf("got through with a wrong code: %+v", hits)
	}
	// What was typed is selected, so that typing replaces it.
	b.run(chromedp.KeyEvent(code + kb.Enter))
	b.until(`answers.length == 1 && !document.querySelector("dialog")`)
	b.until(`answers[0] == '{"path":"/data/pay"}'`)
	hits := hitsOf(s, "/data")
	if len(hits) != 1 || hits[0].Method != "PUT" || hits[0].URI != "/data/pay?year=2026" || hits[0].Body != `{"n":1}` {
		t.Errorf("the upstream saw %+v", hits)
	}
	b.load(`"/data/more"`)
	b.until(`answers.length == 2`)
	if n := s.Messages(); n != 1 || len(hitsOf(s, "/data")) != 2 {
		t.Errorf("%d messages, and the upstream saw %+v", n, hitsOf(s, "/data"))
	}
}

func TestFetchesAtOnceShareOneDialog(t *testing.T) {
	s, b := openApp(t, gatedData())
	b.load(`"/data/1"); load("/data/2"); load("/data/3"`)
	b.until(asked)
	code := s.Code(1)
	// Time for the others to open a dialog of their own, if they would.
	if n := s.Messages(); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
	var dialogs int
	b.run(chromedp.Evaluate(`document.querySelectorAll("dialog").length`, &dialogs))
	if dialogs != 1 {
		t.Errorf("%d dialogs for three requests, want 1", dialogs)
	}
	b.run(chromedp.KeyEvent(code + kb.Enter))
	b.until(`answers.length == 3 && !document.querySelector("dialog")`)
	if hits := hitsOf(s, "/data"); len(hits) != 3 {
		t.Errorf("the upstream saw %+v", hits)
	}
}

func TestFetchConfirmsOneRequest(t *testing.T) {
	s, b := openApp(t, harness.Options{
		Global: "limits {\nresend_after 1s\n}",
		Before: "@pay {\npath /pay\nmethod POST\n}\n", Matcher: "@pay",
		Block: "confirm\nmessage \"{code} confirms {form.amount}\"",
	})
	const body = `{"amount":12.50}`
	pay := `"/pay", {method: "POST", headers: {"Content-Type": "application/json"}, body: '` + body + `'}`
	for n := 1; n <= 2; n++ {
		b.load(pay)
		b.until(askedAgain)
		code := s.Code(n)
		if text := s.Gateway.Messages()[n-1].Body; !strings.Contains(text, "confirms 12.50") {
			t.Errorf("the message says %q", text)
		}
		b.until(`document.querySelector("dialog [role=status]").textContent.includes("reached your phone")`)
		b.run(chromedp.KeyEvent(harness.Wrong(code) + kb.Enter))
		b.until(asked + ` && document.activeElement.ariaInvalid == "true"`)
		b.run(chromedp.KeyEvent(code + kb.Enter))
		b.until(fmt.Sprintf(`answers.length == %d && !document.querySelector("dialog")`, n))
		hits := hitsOf(s, "/pay")
		if len(hits) != n || hits[n-1].Body != body || hits[n-1].Header.Get("Sms-Otp-Confirm") != "" {
			t.Fatalf("after %d confirmations the upstream saw %+v", n, hits)
		}
	}
}

// network makes the tab's network slow, or cuts it off.
func (b *tab) network(offline bool, latency time.Duration) {
	b.t.Helper()
	b.run(network.EmulateNetworkConditions(offline, float64(latency.Milliseconds()), -1, -1))
}

func TestFetchTakesADoubleClickForOne(t *testing.T) {
	s, b := openApp(t, gatedData())
	b.load(`"/data"`)
	b.until(asked)
	code := s.Code(1)
	b.network(false, 300*time.Millisecond)
	b.run(chromedp.KeyEvent(harness.Wrong(code) + kb.Enter + kb.Enter + kb.Enter))
	b.until(`document.querySelector("dialog [role=alert]").textContent`)
	// What else was pressed would come before the next question for the status.
	b.until(`performance.getEntriesByType("resource").at(-1).name.includes("sms_otp=status")`)
	b.until(`document.querySelector("dialog [role=alert]").textContent.includes("4")`)
	var calls int
	b.run(chromedp.Evaluate(`performance.getEntriesByType("resource").filter((r) => r.name.includes("sms_otp=verify")).length`, &calls))
	if calls != 1 {
		t.Errorf("%d attempts for one code", calls)
	}
}

func TestFetchGoesOnAfterTheNetworkWasAway(t *testing.T) {
	s, b := openApp(t, gatedData())
	b.load(`"/data"`)
	b.until(asked)
	code := s.Code(1)
	b.network(true, 0)
	b.run(chromedp.KeyEvent(code + kb.Enter))
	b.until(asked + ` && document.querySelector("dialog [role=alert]").textContent == "No answer."`)
	b.network(false, 0)
	b.run(chromedp.KeyEvent(kb.Enter))
	b.until(`answers.length == 1 && !document.querySelector("dialog")`)
	if hits := hitsOf(s, "/data"); len(hits) != 1 {
		t.Errorf("the upstream saw %+v", hits)
	}
}

func TestFetchGoesOnWhenAnotherTabHasPassed(t *testing.T) {
	s, b := openApp(t, gatedData())
	b.load(`"/data/1"`)
	b.until(asked)
	other := b.another()
	other.run(chromedp.Navigate(s.URL + "/app"))
	other.until(`document.title == "Ready"`)
	other.front()
	other.load(`"/data/2"`)
	other.until(asked)
	other.run(chromedp.KeyEvent(s.Code(1) + kb.Enter))
	other.until(`answers.length == 1`)
	b.front()
	b.until(`answers.length == 1 && !document.querySelector("dialog")`)
	if n := s.Messages(); n != 1 || len(hitsOf(s, "/data")) != 2 {
		t.Errorf("%d messages, and the upstream saw %+v", n, hitsOf(s, "/data"))
	}
}

func TestFetchRejectsWhenTheVisitorGivesUp(t *testing.T) {
	s, b := openApp(t, gatedData())
	b.load(`"/data"`)
	b.until(asked)
	b.run(chromedp.KeyEvent(kb.Escape))
	b.until(`answers[0] == "AbortError" && !document.querySelector("dialog")`)
	// The code that was sent is still good: nothing new is sent for it.
	b.load(`"/data"`)
	b.until(asked)
	code := s.Code(1)
	b.run(chromedp.Click(`dialog button:last-of-type`, chromedp.ByQuery))
	b.until(`answers[1] == "AbortError"`)
	if hits := hitsOf(s, "/data"); len(hits) != 0 {
		t.Fatalf("got through without a code: %+v", hits)
	}
	b.load(`"/data"`)
	b.until(asked)
	b.run(chromedp.KeyEvent(code + kb.Enter))
	b.until(`answers.length == 3`)
	if n := s.Messages(); n != 1 || len(hitsOf(s, "/data")) != 1 {
		t.Errorf("%d messages, and the upstream saw %+v", n, hitsOf(s, "/data"))
	}
	// Before the first answer is there, too.
	b.run(network.ClearBrowserCookies())
	b.network(false, 300*time.Millisecond)
	b.load(`"/data"`)
	b.until(`document.querySelector("dialog:modal input:disabled")`)
	b.run(chromedp.KeyEvent(kb.Escape))
	b.until(`answers[3] == "AbortError" && !document.querySelector("dialog")`)
}

func TestFetchOffersAnotherCodeAfterALock(t *testing.T) {
	o := gatedData()
	o.Global = "limits {\nattempts 2\nresend_after 1s\n}"
	s, b := openApp(t, o)
	b.load(`"/data"`)
	b.until(asked)
	wrong := harness.Wrong(s.Code(1))
	b.run(chromedp.KeyEvent(wrong + kb.Enter))
	b.until(asked + ` && document.activeElement.ariaInvalid == "true"`)
	b.run(chromedp.KeyEvent(wrong + kb.Enter))
	b.until(`document.querySelector("dialog input:disabled") && document.activeElement.textContent.includes("again")`)
	b.until(askedAgain)
	b.run(chromedp.KeyEvent(s.Code(2) + kb.Enter))
	b.until(`answers.length == 1`)
	if hits := hitsOf(s, "/data"); len(hits) != 1 {
		t.Errorf("the upstream saw %+v", hits)
	}
}

func TestFetchLeavesOtherAnswersAlone(t *testing.T) {
	s, b := openApp(t, harness.Options{
		Before: "@no path /refused\nrespond @no `{\"type\":\"urn:example:no\"}` 403\n@inside path /data\n", Matcher: "@inside",
	})
	b.load(`"/refused"`)
	b.until(`answers[0] == '{"type":"urn:example:no"}'`)
	b.load(`"/open"`)
	b.until(`answers[1] == '{"path":"/open"}'`)
	if n := s.Messages(); n != 0 {
		t.Errorf("%d messages, want none", n)
	}
}

func TestFetchOpensNoDialogForAnotherSite(t *testing.T) {
	const problem = `{"type":"urn:sms-otp:step-up-required","challenge":{"state":"pending"}}`
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, problem)
	}))
	t.Cleanup(other.Close)
	s, b := openApp(t, gatedData())
	b.run(chromedp.Navigate(s.URL + "/app?other=" + other.URL))
	b.until(`document.title == "Ready"`)
	b.load(fmt.Sprintf("%q", other.URL))
	b.until(fmt.Sprintf("answers[0] == %q", problem))
}

// The size is that of esbuild --minify --format=esm --target=es2022 | gzip -9, or some bytes
// more: Go compresses a little less.
func TestFetchFitsItsBudget(t *testing.T) {
	const budget = 1024
	source, err := os.ReadFile("../../docs/fetch.js")
	if err != nil {
		t.Fatal(err)
	}
	minified := api.Transform(string(source), api.TransformOptions{
		MinifyWhitespace: true, MinifyIdentifiers: true, MinifySyntax: true, Format: api.FormatESModule, Target: api.ES2022,
	})
	if len(minified.Errors) > 0 {
		t.Fatal(minified.Errors)
	}
	var small bytes.Buffer
	w, _ := gzip.NewWriterLevel(&small, gzip.BestCompression)
	w.Write(minified.Code)
	w.Close()
	if small.Len() > budget {
		t.Errorf("docs/fetch.js has %d bytes, minified and compressed; at most %d", small.Len(), budget)
	}
	t.Logf("%d bytes", small.Len())
}
