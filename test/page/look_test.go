package page

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/caddy-sms-otp/caddy-sms-otp/caddymodule/web"
	"github.com/caddy-sms-otp/caddy-sms-otp/test/storybook"
)

func newStorybook(t *testing.T) (string, *web.Renderer) {
	t.Helper()
	r, err := web.New(web.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(storybook.Handler(r))
	t.Cleanup(server.Close)
	return server.URL, r
}

// prefer sets the width of the window and the theme of the visitor.
func (b tab) prefer(width int64, theme string) {
	b.t.Helper()
	b.run(chromedp.EmulateViewport(width, 640), emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}))
}

// checker reads the source of a checker that npm ci has put here.
func checker(t *testing.T, path ...string) string {
	t.Helper()
	file := filepath.Join(append([]string{"node_modules"}, path...)...)
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("%v; run npm ci in test/page", err)
	}
	return file
}

func TestAxeFindsNothing(t *testing.T) {
	address, _ := newStorybook(t)
	b := newTab(t)
	for _, lang := range []string{"en", "ar"} {
		for _, story := range storybook.Stories() {
			b.open(address + "/story/" + story.Name + "?lang=" + lang)
			b.loadAxe()
			for _, width := range []int64{320, 1280} {
				for _, theme := range []string{"light", "dark"} {
					b.prefer(width, theme)
					for _, violation := range b.axe() {
						t.Errorf("%s, %s, %s, %d px: %s", story.Name, lang, theme, width, violation)
					}
				}
			}
		}
	}
}

func TestAxeFindsNothingOnAPageThatHasEnded(t *testing.T) {
	address, _ := newStorybook(t)
	b := newTab(t)
	b.prepare(`Object.defineProperty(navigator, "cookieEnabled", {get: () => false})`)
	b.open(address + "/story/waiting-trust")
	b.until(`!document.querySelector("#verify").checkVisibility()`)
	b.loadAxe()
	for _, violation := range b.axe() {
		t.Error(violation)
	}
}

func (b tab) loadAxe() {
	b.t.Helper()
	source, err := os.ReadFile(checker(b.t, "axe-core", "axe.min.js"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.run(chromedp.Evaluate(string(source)+";0", nil))
}

// unfold shows what is folded, which no checker looks at otherwise.
const unfold = `document.querySelectorAll("details").forEach((d) => { d.open = true });`

// axe lists the violations, and what axe could not decide.
func (b tab) axe() []string {
	b.t.Helper()
	var found []string
	b.run(chromedp.Evaluate(unfold+`axe.run({resultTypes: ["violations", "incomplete"]}).then((r) => [...r.violations, ...r.incomplete].map((v) => v.id + " " + v.nodes.map((n) => n.html + " " + n.failureSummary).join("; ")))`, &found, chromedp.EvalAsValue, awaitPromise))
	return found
}

func TestEverythingFitsANarrowScreen(t *testing.T) {
	address, r := newStorybook(t)
	b := newTab(t)
	b.prefer(320, "light") // as wide as 1280 pixels at 400 %
	for _, lang := range r.Languages() {
		for _, story := range storybook.Stories() {
			b.open(address + "/story/" + story.Name + "?lang=" + lang)
			for _, problem := range eval[[]string](b, narrow) {
				t.Errorf("%s, %s: %s", story.Name, lang, problem)
			}
		}
	}
}

// narrow lists what sticks out of the window or is too small for a finger.
const narrow = `(() => {
	const found = [];
	` + unfold + `
	if (document.documentElement.scrollWidth > innerWidth) found.push("scrolls sideways to " + document.documentElement.scrollWidth);
	for (const e of document.querySelectorAll("main *")) {
		if (e.className != "unseen" && e.checkVisibility() && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display != "inline" && e.tagName != "INPUT") found.push("overflows: " + e.outerHTML.slice(0, 80));
	}
	for (const e of document.querySelectorAll("button, a.button, summary, input:not([type=hidden], [type=checkbox]), label[for=trust]")) {
		const box = e.getBoundingClientRect();
		if (e.checkVisibility() && (box.height < 44 || box.width < 44)) found.push("small: " + e.outerHTML.slice(0, 80) + " " + box.height);
	}
	return found;
})()`

func TestCodeRunsLeftToRightInEveryLanguage(t *testing.T) {
	address, _ := newStorybook(t)
	b := newTab(t)
	for _, lang := range []string{"ar", "he"} {
		b.open(address + "/story/waiting-sent?lang=" + lang)
		if got := eval[string](b, `getComputedStyle(document.body).direction + " " + getComputedStyle(document.querySelector("#code")).direction + " " + getComputedStyle(document.querySelector(".masked")).direction`); got != "rtl ltr ltr" {
			t.Errorf("%s: page, code and number run %s", lang, got)
		}
	}
}

func TestNothingMovesForThoseWhoWantItStill(t *testing.T) {
	address, _ := newStorybook(t)
	b := newTab(t)
	b.run(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}}))
	b.open(address + "/story/waiting-sent")
	if got := eval[string](b, `getComputedStyle(document.querySelector(".track i")).transitionProperty`); got != "none" {
		t.Errorf("the bar moves: %s", got)
	}
}

// compressed serves what the handler makes as `encode gzip` would.
func compressed(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, 5)
		z.Write(answer.Body.Bytes())
		z.Close()
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(answer.Code)
		w.Write(b.Bytes())
	})
}

// maxWeight is what the first view may weigh in bytes, with its headers.
const maxWeight = 8 << 10

func TestFirstViewIsOneLightRequest(t *testing.T) {
	_, r := newStorybook(t)
	server := httptest.NewServer(compressed(storybook.Handler(r)))
	t.Cleanup(server.Close)
	for _, lang := range r.Languages() {
		b := newTab(t)
		var mu sync.Mutex
		var urls, complaints []string
		weight := 0.0
		chromedp.ListenTarget(b.ctx, func(event any) {
			mu.Lock()
			defer mu.Unlock()
			switch event := event.(type) {
			case *network.EventRequestWillBeSent:
				urls = append(urls, event.Request.URL)
			case *network.EventLoadingFinished:
				weight += event.EncodedDataLength
			case *log.EventEntryAdded:
				complaints = append(complaints, event.Entry.Text)
			}
		})
		b.run(network.Enable(), log.Enable())
		b.open(server.URL + "/story/waiting-trust?lang=" + lang)
		b.run(chromedp.ActionFunc(func(context.Context) error { return nil }))
		mu.Lock()
		if len(urls) != 1 && !(len(urls) == 2 && strings.HasPrefix(urls[1], "data:")) {
			t.Errorf("%s: requests %v, want one", lang, urls)
		}
		if weight == 0 || weight > maxWeight {
			t.Errorf("%s: %.0f bytes, want at most %d", lang, weight, maxWeight)
		}
		if len(complaints) > 0 {
			t.Errorf("%s: the browser complains: %q", lang, complaints)
		}
		t.Logf("%s: %.0f bytes", lang, weight)
		mu.Unlock()
	}
}

// rated are pages of different build; all of them were rated by hand, see docs/BENCHMARKS.md.
var rated = []struct{ story, lang string }{
	{"waiting-sent", "en"}, {"wrong", "ar"}, {"ask-phone", "de"}, {"send-limited", "ja"},
}

func TestLighthouseGivesFullMarks(t *testing.T) {
	cli := checker(t, "lighthouse", "cli", "index.js")
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v; install Debian's package chromium", err)
	}
	address, _ := newStorybook(t)
	for _, page := range rated {
		for category, score := range lighthouse(t, cli, browser, address+"/story/"+page.story+"?lang="+page.lang) {
			if score != 1 {
				t.Errorf("%s, %s: %s %.0f, want 100", page.story, page.lang, category, score*100)
			}
		}
	}
}

// lighthouse returns the scores, from 0 to 1, of the categories that hold for any page.
func lighthouse(t *testing.T, cli, browser, url string) map[string]float64 {
	t.Helper()
	run := exec.CommandContext(t.Context(), "node", cli, url, "--quiet", "--output=json", "--only-categories=accessibility,best-practices",
		"--no-enable-error-reporting", "--chrome-flags=--headless=new --no-sandbox --disable-gpu --disable-component-update --disable-quic --disable-background-networking --disable-sync --no-first-run")
	run.Env = append(os.Environ(), "CHROME_PATH="+browser)
	var complaints bytes.Buffer
	run.Stderr = &complaints
	out, err := run.Output()
	var report struct {
		Categories map[string]struct{ Score float64 }
	}
	if jsonErr := json.Unmarshal(out, &report); err != nil || jsonErr != nil || len(report.Categories) != 2 {
		t.Fatalf("%s: %v, %v, %d categories: %s", url, err, jsonErr, len(report.Categories), &complaints)
	}
	scores := map[string]float64{}
	for name, category := range report.Categories {
		scores[name] = category.Score
	}
	return scores
}

func TestDocumentsAreValidHTML(t *testing.T) {
	jar := checker(t, "vnu-jar", "build", "dist", "vnu.jar")
	java, err := exec.LookPath("java")
	if err != nil {
		t.Fatalf("%v; install Debian's package default-jre-headless", err)
	}
	_, r := newStorybook(t)
	dir := t.TempDir()
	for _, lang := range r.Languages() {
		for _, story := range storybook.Stories() {
			story.Page.Lang = lang
			document, err := r.Render(story.Page)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, story.Name+"."+lang+".html"), document, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	out, err := exec.Command(java, "-jar", jar, "--format", "json", "--stdout", "--skip-non-html", dir).Output()
	var report struct {
		Messages []struct{ Type, SubType, URL, Message, Extract string }
	}
	if jsonErr := json.Unmarshal(out, &report); jsonErr != nil {
		t.Fatalf("%v, %v: %s", err, jsonErr, out)
	}
	for _, m := range report.Messages {
		if m.Type == "error" || m.SubType == "warning" {
			t.Errorf("%s: %s %s", filepath.Base(m.URL), m.Message, m.Extract)
		}
	}
}
