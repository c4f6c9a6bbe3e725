package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// waiting is the page that nearly everybody sees.
func waiting() Page {
	return Page{
		State: Waiting, Site: "Example Co", Help: "IT desk, extension 123", PhoneHint: "+49•••••78", CodeLength: 6,
		AttemptsLeft: 5, SendsLeft: 2, Sent: 1, Delivery: "queued", Device: 1,
		Now: noon, ExpiresAt: noon.Add(5 * time.Minute), ResendAt: noon.Add(30 * time.Second),
		VerifyURL: "/a?sms_otp=verify", SendURL: "/a?sms_otp=send", StatusURL: "/a?sms_otp=status", ContinueURL: "/a",
	}
}

func renderer(t testing.TB, o Options) *Renderer {
	t.Helper()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func render(t testing.TB, r *Renderer, p Page) string {
	t.Helper()
	document, err := r.Render(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(document)
}

func between(t *testing.T, s, from, to string) string {
	t.Helper()
	_, rest, ok := strings.Cut(s, from)
	inner, _, closed := strings.Cut(rest, to)
	if !ok || !closed {
		t.Fatalf("no %s…%s in the page", from, to)
	}
	return inner
}

func TestPolicyAdmitsExactlyTheStyleAndScriptOfThePage(t *testing.T) {
	r := renderer(t, Options{})
	policy := r.Header().Get("Content-Security-Policy")
	for _, state := range States() {
		page := waiting()
		page.State = state
		document := render(t, r, page)
		for directive, element := range map[string]string{"style-src": "style", "script-src": "script"} {
			sum := sha256.Sum256([]byte(between(t, document, "<"+element+">", "</"+element+">")))
			want := directive + " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"
			if !strings.Contains(policy, want) {
				t.Errorf("%s: policy %q lacks %q", state, policy, want)
			}
			if strings.Count(document, "<"+element) != 1 {
				t.Errorf("%s: more than one <%s>", state, element)
			}
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("policy has an unsafe source: %s", policy)
	}
}

func TestEveryStateHasAHeadingInEveryLanguage(t *testing.T) {
	r := renderer(t, Options{})
	for _, lang := range r.Languages() {
		for _, state := range States() {
			page := waiting()
			page.State, page.Lang = state, lang
			document := render(t, r, page)
			if heading := between(t, document, "<h1>", "</h1>"); heading == "" || !strings.Contains(document, `lang="`+lang+`"`) {
				t.Errorf("%s, %s: heading %q", lang, state, heading)
			}
		}
	}
}

func TestEveryStateHasANextStep(t *testing.T) {
	r := renderer(t, Options{})
	for _, state := range States() {
		page := waiting()
		page.State, page.Help = state, ""
		if document := render(t, r, page); !strings.Contains(document, "<form") && !strings.Contains(document, `<a class="button`) {
			t.Errorf("%s: nothing to do next", state)
		}
	}
}

func TestHelpdeskIsOfferedOnlyWhereItsCodeCounts(t *testing.T) {
	r := renderer(t, Options{})
	for name, row := range map[string]struct {
		change func(*Page)
		want   bool
	}{
		"nothing can be sent": {func(*Page) {}, true},
		"a number is asked":   {func(p *Page) { p.AskPhone = true }, false},
		"a transaction waits": {func(p *Page) { p.Action = "POST /pay" }, false},
	} {
		page := waiting()
		page.State = DeliveryFailed
		row.change(&page)
		if got := strings.Contains(render(t, r, page), "Code from the help desk"); got != row.want {
			t.Errorf("%s: offered: %t", name, got)
		}
	}
}

func TestLockedPageSaysHowLong(t *testing.T) {
	r := renderer(t, Options{})
	for want, change := range map[string]func(*Page){
		"this code no longer works":                        func(*Page) {},
		"no code is accepted for now":                      func(p *Page) { p.RetryAt = noon.Add(time.Hour) },
		"until the people who run <bdi>Example Co</bdi> u": func(p *Page) { p.SendURL = "" },
	} {
		page := waiting()
		page.State = Locked
		change(&page)
		if document := render(t, r, page); !strings.Contains(document, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func TestMaskedNumberIsReadOutByItsLastDigits(t *testing.T) {
	for hint, want := range map[string]string{
		"+49•••••78": "the number ending in 78", "+49•••••": "the number ending in ", "07": "the number ending in 07",
	} {
		page := waiting()
		page.PhoneHint = hint
		if got := between(t, render(t, renderer(t, Options{}), page), `<span class="unseen">`, "</span>"); got != want {
			t.Errorf("%s: %q, want %q", hint, got, want)
		}
	}
}

func TestEveryDeliveryHasItsTextAtHandForTheScript(t *testing.T) {
	document := render(t, renderer(t, Options{}), waiting())
	for _, delivery := range []string{"sending", "queued", "on_device", "sent", "delivered", "failed", "unknown"} {
		if text := between(t, document, `<span data-of="`+delivery+`">`, "</span>"); text == "" {
			t.Errorf("%s: no text", delivery)
		}
	}
	if strings.Contains(document, "ZgotmplZ") {
		t.Error("the template engine has refused a value")
	}
}

func TestWhatOthersTypedIsEscaped(t *testing.T) {
	const evil = `"'></script><b>{site}`
	page := waiting()
	page.Site, page.Help, page.PhoneHint, page.Phone, page.Action, page.Kept = evil, evil, evil, evil, evil, evil
	page.VerifyURL, page.ContinueURL = "/"+evil, "/"+evil
	for _, state := range States() {
		page.State, page.AskPhone = state, true
		if document := render(t, renderer(t, Options{}), page); strings.Contains(document, "<b>") {
			t.Errorf("%s: markup of a value reached the page", state)
		}
	}
}

func TestFirstViewFitsItsBudget(t *testing.T) {
	r := renderer(t, Options{})
	page := waiting()
	page.TrustDays = 30
	for _, lang := range r.Languages() {
		page.Lang = lang
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write([]byte(render(t, r, page)))
		w.Close()
		if b.Len() > 8<<10 {
			t.Errorf("%s: %d bytes compressed, want at most 8 KiB", lang, b.Len())
		}
	}
}

func TestBrokenTemplatesAreRefused(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"syntax":        {"page.html": "{{if}}"},
		"unknown field": {"page.html": "{{.Nothing}}"},
		"unknown key":   {"page.html": `{{if eq .State "locked"}}{{.T "nothing"}}{{end}}`},
		"open tag":      {"page.html": "<a href='{{.ContinueURL}}"},
		"style closed":  {"style.css": "</STYLE><script>"},
		"neither":       {"other.html": ""},
		"own style":     {"page.html": `<style>b{}</style><input name="code">`},
		"own script":    {"page.html": `<script>1</script><input name="code">`},
		"attribute":     {"page.html": `<p style="color:red"><input name="code">`},
	} {
		dir := t.TempDir()
		for file, content := range files {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := New(Options{Templates: dir}); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: error %v, want one that names the directory", name, err)
		}
	}
}

func TestPageWithoutItsFieldIsNoted(t *testing.T) {
	for page, want := range map[string]bool{
		``: false, `<p>{{.Title}}`: false, `<input name="code">`: true, `<input name=code>`: true, `<input name='code' >`: true, `<input name="codes">`: false,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "page.html"), []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := renderer(t, Options{Templates: dir}).HasField(); got != want {
			t.Errorf("%s: %v", page, got)
		}
	}
	if !renderer(t, Options{}).HasField() {
		t.Error("our own page has no field")
	}
}

func TestOwnTemplateSpeaksWithTheSameWords(t *testing.T) {
	dir := t.TempDir()
	const page = `<style>{{.Style}}</style><h1>{{.Title}}</h1>{{.T "text.waiting"}}<form action="{{.VerifyURL}}"><input name="code"></form><script>{{.Script}}</script>`
	if err := os.WriteFile(filepath.Join(dir, "page.html"), []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	shown := waiting()
	shown.Lang = "de"
	if got := between(t, render(t, renderer(t, Options{Templates: dir}), shown), "<h1>", "</h1>"); got != "Geben Sie den Code aus der SMS ein" {
		t.Errorf("heading %q", got)
	}
}

func TestBuiltInPageIsTheSameAsATemplate(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "page.html"), []byte(builtinPage), 0o600); err != nil {
		t.Fatal(err)
	}
	builtIn, own := renderer(t, Options{}), renderer(t, Options{Templates: dir})
	for _, lang := range builtIn.Languages() {
		for _, state := range States() {
			page := waiting()
			page.Lang, page.State, page.AskPhone, page.TrustDays, page.Error = lang, state, true, 30, "code-wrong"
			if got, want := render(t, builtIn, page), render(t, own, page); got != want {
				t.Errorf("%s, %s: the built-in page is\n%s\nand as a template\n%s", lang, state, got, want)
			}
		}
	}
}

func TestTemplatesCannotLeaveTheirDirectory(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret.css")
	if err := os.WriteFile(outside, []byte("b{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "style.css")); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Templates: dir}); err == nil {
		t.Error("a link out of the directory was followed")
	}
}

func TestOperatorsStyleIsTakenAsItIs(t *testing.T) {
	dir := t.TempDir()
	const style = "/* kept */ b { color: red } @media print { i > b { content: \"<&\" } }\n"
	if err := os.WriteFile(filepath.Join(dir, "style.css"), []byte(style), 0o600); err != nil {
		t.Fatal(err)
	}
	r := renderer(t, Options{Templates: dir})
	if got := between(t, render(t, r, waiting()), "<style>", "</style>"); got != style {
		t.Errorf("style %q, want %q", got, style)
	}
	if !strings.Contains(r.Header().Get("Content-Security-Policy"), hashSource(style)) {
		t.Error("the policy does not admit the operator's style")
	}
}

func TestUnknownLanguageIsRefusedWithTheKnownOnes(t *testing.T) {
	if _, err := New(Options{Language: "tlh"}); err == nil || !strings.Contains(err.Error(), "en") {
		t.Errorf("error %v, want the list of languages", err)
	}
}

func BenchmarkRender(b *testing.B) {
	r := renderer(b, Options{})
	page := waiting()
	for b.Loop() {
		r.Render(page)
	}
}

func BenchmarkMatch(b *testing.B) {
	r := renderer(b, Options{})
	for b.Loop() {
		r.Match("", "de-CH,de;q=0.9,en;q=0.8")
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		if _, err := New(Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
