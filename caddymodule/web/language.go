package web

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"html/template"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/text/feature/plural"
	xlanguage "golang.org/x/text/language"
)

//go:embed languages/*.json
var languageFiles embed.FS

// maxAcceptLanguage bounds, in bytes, what one request can make the matcher do.
const maxAcceptLanguage = 200

// A language holds the page's words in one language. It is read-only.
type language struct {
	tag      xlanguage.Tag
	name     string // the tag as written in the lang attribute
	dir      string
	messages map[string]message
	page     func() *template.Template // the built-in one, made when first asked for
}

// A message has a wording for each plural category of its language that it
// needs; one that counts nothing has only Other.
type message map[plural.Form]wording

// A wording is text cut at its placeholders, so that filling it in is a walk
// and what is filled in is never read as markup or as another placeholder.
type wording []segment

type segment struct {
	text string // as it stands in the file
	html string // the same, escaped
	name string // of the placeholder; then text and html are empty
}

// languages are all languages in the order of preference of the matcher, which
// takes the first where nothing fits.
var languages = sync.OnceValues(func() ([]*language, error) {
	files, err := languageFiles.ReadDir("languages")
	if err != nil {
		return nil, err
	}
	var all []*language
	for _, file := range files {
		data, err := languageFiles.ReadFile(path.Join("languages", file.Name()))
		if err != nil {
			return nil, err
		}
		l, err := parseLanguage(strings.TrimSuffix(file.Name(), ".json"), data)
		if err != nil {
			return nil, fmt.Errorf("language file %s: %w", file.Name(), err)
		}
		all = append(all, l)
	}
	english := slices.IndexFunc(all, func(l *language) bool { return l.name == "en" })
	first := all[english]
	all = slices.Insert(slices.Delete(all, english, english+1), 0, first)
	return all, nil
})

func parseLanguage(name string, data []byte) (*language, error) {
	tag, err := xlanguage.Parse(name)
	if err != nil {
		return nil, err
	}
	l := &language{tag: tag, name: name, dir: "ltr", messages: map[string]message{}}
	if script, _ := tag.Script(); script.String() == "Arab" || script.String() == "Hebr" {
		l.dir = "rtl"
	}
	l.page = sync.OnceValue(l.builtIn)
	return l, json.Unmarshal(data, &l.messages)
}

var constant = regexp.MustCompile(`{{\.T "([^"]+)"}}`)

// builtIn has the words that no page changes in their places already: to look them up on the way
// takes as long as all the rest. A template of an operator's is left as it is, since what may stand
// where is known of our own alone.
func (l *language) builtIn() *template.Template {
	page := constant.ReplaceAllStringFunc(builtinPage, func(call string) string {
		w, err := l.wording(constant.FindStringSubmatch(call)[1], 0)
		if err != nil || len(w) != 1 || w[0].name != "" {
			return call
		}
		return w[0].html
	})
	return template.Must(template.New("page.html").Parse(page))
}

// UnmarshalJSON takes a string, or an object from plural categories to strings.
func (m *message) UnmarshalJSON(data []byte) error {
	forms := map[string]string{}
	var single string
	if json.Unmarshal(data, &single) == nil {
		forms["other"] = single
	} else if err := json.Unmarshal(data, &forms); err != nil {
		return err
	}
	*m = message{}
	for category, text := range forms {
		form, ok := pluralForms[category]
		if !ok {
			return fmt.Errorf("plural category %q: use zero, one, two, few, many or other", category)
		}
		(*m)[form] = parseWording(text)
	}
	if _, ok := (*m)[plural.Other]; !ok {
		return errors.New("message without the plural category other")
	}
	return nil
}

var pluralForms = map[string]plural.Form{
	"zero": plural.Zero, "one": plural.One, "two": plural.Two,
	"few": plural.Few, "many": plural.Many, "other": plural.Other,
}

func parseWording(text string) wording {
	var w wording
	for text != "" {
		before, rest, found := strings.Cut(text, "{")
		if before != "" {
			w = append(w, segment{text: before, html: escape(w, before)})
		}
		if !found {
			break
		}
		name, after, _ := strings.Cut(rest, "}")
		w = append(w, segment{name: name})
		text = after
	}
	return w
}

// escape also keeps a number on one line with what it counts.
func escape(before wording, text string) string {
	if rest, ok := strings.CutPrefix(text, " "); ok && len(before) > 0 && before[len(before)-1].name == "n" {
		text = "\u00a0" + rest
	}
	return html.EscapeString(text)
}

// String is the wording as it was written, placeholders and all.
func (w wording) String() string {
	var b strings.Builder
	for _, s := range w {
		if s.name != "" {
			b.WriteString("{" + s.name + "}")
		}
		b.WriteString(s.text)
	}
	return b.String()
}

// wording picks the form of a message that fits the number n.
func (l *language) wording(key string, n int) (wording, error) {
	m, ok := l.messages[key]
	if !ok {
		return nil, fmt.Errorf("no message %q in language %s", key, l.name)
	}
	if len(m) > 1 {
		if w, ok := m[plural.Cardinal.MatchPlural(l.tag, n, 0, 0, 0, 0)]; ok {
			return w, nil
		}
	}
	return m[plural.Other], nil
}
