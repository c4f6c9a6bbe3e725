// Package web makes everything that a visitor sees: the page in all its states
// and languages, the headers it is served with, and the words of the message.
//
// It knows neither HTTP servers nor the rules of challenges: a Page says what
// is so, Render makes one whole HTML document of it. A Renderer is safe for
// concurrent use.
package web

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"strings"

	xlanguage "golang.org/x/text/language"
)

//go:embed page.html
var builtinPage string

//go:embed style.css
var builtinStyle string

//go:embed app.js
var builtinScript string

// maxTemplate bounds, in bytes, each file of an operator's template directory.
const maxTemplate = 256 << 10

// Options of New. The zero value is good.
type Options struct {
	// Templates is a directory whose page.html and style.css, where present,
	// take the place of the built-in ones. Default: none.
	Templates string
	// Language fixes the language of page and message. Default: the visitor's.
	Language string
}

// A Renderer makes pages. It is safe for concurrent use.
type Renderer struct {
	page      *template.Template // an operator's; nil: the built-in one
	style     template.CSS
	script    template.JS
	header    http.Header
	languages map[string]*language
	matcher   xlanguage.Matcher
	ordered   []*language
	fixed     string
	noField   bool
}

// HasField tells whether the page that waits for the code has a field for it. Without
// one, which an operator's own template may lack, nobody gets in by the page.
func (r *Renderer) HasField() bool { return !r.noField }

// New reads and tries the templates; one that would fail on any page is an
// error here.
func New(o Options) (*Renderer, error) {
	all, err := languages()
	if err != nil {
		return nil, err
	}
	r := &Renderer{ordered: all, languages: map[string]*language{}, script: template.JS(withoutComments(builtinScript))}
	var tags []xlanguage.Tag
	for _, l := range all {
		r.languages[l.name] = l
		tags = append(tags, l.tag)
	}
	r.matcher = xlanguage.NewMatcher(tags)
	if err := r.fixLanguage(o.Language); err != nil {
		return nil, err
	}
	if err := r.load(o.Templates); err != nil {
		return nil, err
	}
	r.header = header(string(r.style), string(r.script))
	return r, nil
}

func (r *Renderer) fixLanguage(name string) error {
	if name == "" {
		return nil
	}
	if l := r.written(name); l != nil {
		r.fixed = l.name
		return nil
	}
	return fmt.Errorf("language %q: use one of %s", name, strings.Join(r.Languages(), ", "))
}

// Languages lists the tags of all languages, the default first.
func (r *Renderer) Languages() []string {
	var names []string
	for _, l := range r.ordered {
		names = append(names, l.name)
	}
	return names
}

func (r *Renderer) load(dir string) error {
	page, style, own := "", withoutComments(builtinStyle), false
	if dir != "" {
		var err error
		if own, err = readOverrides(dir, &page, &style); err != nil {
			return err
		}
	}
	if own {
		t, err := template.New("page.html").Parse(page)
		if err != nil {
			return fmt.Errorf("templates %s: %w; correct page.html", dir, err)
		}
		r.page = t
	}
	if strings.Contains(strings.ToLower(style), "</style") {
		return fmt.Errorf("templates %s: style.css closes its own <style> element; remove \"</style\" from it", dir)
	}
	r.style = template.CSS(style)
	if dir == "" {
		return nil
	}
	return r.try(dir)
}

// readOverrides reads through os.Root, so that a link in the directory cannot
// lead the page to a file outside of it.
func readOverrides(dir string, page, style *string) (ownPage bool, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false, fmt.Errorf("templates %s: %w; name the directory that holds page.html or style.css", dir, err)
	}
	defer root.Close()
	ownPage, err = readOverride(root, "page.html", page)
	if err != nil {
		return false, fmt.Errorf("templates %s: %w", dir, err)
	}
	foundStyle, err := readOverride(root, "style.css", style)
	if err != nil {
		return false, fmt.Errorf("templates %s: %w", dir, err)
	}
	if !ownPage && !foundStyle {
		return false, fmt.Errorf("templates %s: neither page.html nor style.css is there; add one or leave the option out", dir)
	}
	return ownPage, nil
}

func readOverride(root *os.Root, name string, to *string) (bool, error) {
	f, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxTemplate+1))
	if err != nil {
		return false, err
	}
	if len(data) > maxTemplate {
		return false, fmt.Errorf("%s is larger than %d bytes; make it smaller", name, maxTemplate)
	}
	*to = string(data)
	return true, nil
}

// try renders every state once, since a template fails only where it is walked.
func (r *Renderer) try(dir string) error {
	for _, state := range States() {
		for _, problem := range []string{"", "code-wrong"} {
			document, err := r.Render(Page{State: state, Error: problem, CodeLength: 6, VerifyURL: "/?sms_otp=verify", SendURL: "/?sms_otp=send", ContinueURL: "/"})
			if err == nil {
				err = r.check(string(document), state)
			}
			if err != nil {
				return fmt.Errorf("templates %s: %w; correct page.html", dir, err)
			}
		}
	}
	return nil
}

var codeField = regexp.MustCompile(`\sname=["']?code["'\s/>]`)

// check finds what would fail in silence: elements that the browser blocks, as
// the policy admits no others. That the field is missing it notes.
func (r *Renderer) check(document string, state State) error {
	lower := strings.ToLower(strings.Replace(strings.Replace(document, "<style>"+string(r.style), "", 1), "<script>"+string(r.script), "", 1))
	switch {
	case strings.Contains(lower, "<style"):
		return errors.New("a <style> besides <style>{{.Style}}</style> would be blocked; put it into style.css")
	case strings.Contains(lower, "<script"):
		return errors.New("a <script> besides <script>{{.Script}}</script> would be blocked; leave it out")
	case strings.Contains(lower, ` style="`):
		return errors.New("a style attribute would be blocked; put it into style.css")
	}
	r.noField = r.noField || state == Waiting && !codeField.MatchString(lower)
	return nil
}

// Match picks a language: the configured one, else the phonebook's, else what
// the browser asks for in Accept-Language, else English.
func (r *Renderer) Match(phonebookLang, acceptLanguage string) string {
	if r.fixed != "" {
		return r.fixed
	}
	if l := r.written(phonebookLang); l != nil {
		return l.name
	}
	if len(acceptLanguage) > maxAcceptLanguage {
		acceptLanguage = acceptLanguage[:maxAcceptLanguage]
	}
	tags, _, _ := xlanguage.ParseAcceptLanguage(acceptLanguage)
	_, i, _ := r.matcher.Match(tags...)
	return r.ordered[i].name
}

// written is the language that somebody wrote down, or nil. Only the same
// language will do: the matcher alone would answer Klingon with English.
func (r *Renderer) written(name string) *language {
	tag, err := xlanguage.Parse(name)
	if err != nil {
		return nil
	}
	_, i, _ := r.matcher.Match(tag)
	wanted, _ := tag.Base()
	if found, _ := r.ordered[i].tag.Base(); found != wanted {
		return nil
	}
	return r.ordered[i]
}

// Render makes the whole document. It fails only on a State, Delivery or
// template that New has not seen.
func (r *Renderer) Render(p Page) ([]byte, error) {
	l := r.language(p.Lang)
	p.Lang, p.Dir, p.language = l.name, l.dir, l
	p.Style, p.Script = r.style, r.script
	if p.Device == 0 {
		p.Device = 1
	}
	page := r.page
	if page == nil {
		page = l.page()
	}
	var b bytes.Buffer
	b.Grow(16 << 10)
	if err := page.Execute(&b, &p); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (r *Renderer) language(name string) *language {
	if l := r.languages[name]; l != nil {
		return l
	}
	if l := r.languages[r.fixed]; l != nil {
		return l
	}
	return r.ordered[0]
}

// Header returns the headers of every page, free for the caller to change.
func (r *Renderer) Header() http.Header { return r.header.Clone() }

// Text is the message in this language, with the placeholders {code}, {site}
// and {minutes}. The caller adds the origin-bound last line. With a usual name
// and domain both together fit one segment: of GSM-7 where the language can be
// written in it, else of UCS-2.
func (r *Renderer) Text(lang string) string { return r.text("sms", lang) }

// ConfirmText is the message that also says, as {action}, what its code confirms.
func (r *Renderer) ConfirmText(lang string) string { return r.text("sms.confirm", lang) }

// DeviceText is the message that also says that the code is for a browser that
// is not known yet.
func (r *Renderer) DeviceText(lang string) string { return r.text("sms.device", lang) }

func (r *Renderer) text(key, lang string) string {
	w, err := r.language(lang).wording(key, 0)
	if err != nil {
		return "{code}" // never: a test finds missing messages
	}
	return w.String()
}
