package web

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/feature/plural"
)

// counted are the messages that count something, with how much of it there can be.
var counted = map[string][2]int{
	"error.code-wrong": {1, 20}, "error.code-malformed": {4, 10}, "error.code-malformed-alphanumeric": {4, 10},
	"label.code": {4, 10}, "label.code-alphanumeric": {4, 10}, "label.trust": {1, 365},
	"valid.minutes": {2, 10}, "valid.seconds": {1, 120},
	"wait.seconds": {1, 100}, "wait.minutes": {1, 100}, "wait.hours": {1, 48},
}

// alike may read the same as in English.
var alike = map[string][]string{"es": {"error"}}

// uninflected languages have nouns that do not change after a number.
var uninflected = []string{"tr", "zh-Hans", "ja"}

func allLanguages(t *testing.T) []*language {
	t.Helper()
	all, err := languages()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 14 || all[0].name != "en" {
		t.Fatalf("%d languages, the first %s", len(all), all[0].name)
	}
	return all
}

func TestNothingIsMissingOrUntranslated(t *testing.T) {
	all := allLanguages(t)
	english := all[0].messages
	for _, l := range all[1:] {
		for key := range english {
			m, ok := l.messages[key]
			if !ok {
				t.Errorf("%s: %q is missing", l.name, key)
			} else if m[plural.Other].String() == english[key][plural.Other].String() && !slices.Contains(alike[l.name], key) {
				t.Errorf("%s: %q is untranslated: %s", l.name, key, m[plural.Other])
			}
		}
		for key := range l.messages {
			if _, ok := english[key]; !ok {
				t.Errorf("%s: %q is not in the English file", l.name, key)
			}
		}
	}
}

func placeholders(w wording) string {
	names := map[string]bool{}
	for _, s := range w {
		if s.name != "" {
			names[s.name] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), " ")
}

func TestTranslationsKeepThePlaceholders(t *testing.T) {
	all := allLanguages(t)
	for _, l := range all {
		for key, m := range l.messages {
			want := placeholders(all[0].messages[key][plural.Other])
			for form, w := range m {
				got := placeholders(w)
				// "one attempt" and "two attempts" may be words.
				if got != want && !(want == "n" && got == "" && (form == plural.One || form == plural.Two)) {
					t.Errorf("%s: %q has the placeholders %q, want %q", l.name, key, got, want)
				}
			}
		}
	}
}

func TestEveryNumberHasItsPluralForm(t *testing.T) {
	for _, l := range allLanguages(t) {
		for key, m := range l.messages {
			limits, counts := counted[key]
			if !counts {
				if len(m) > 1 {
					t.Errorf("%s: %q has plural forms but counts nothing", l.name, key)
				}
				continue
			}
			if len(m) == 1 && (slices.Contains(uninflected, l.name) || limits[0] == 4) {
				continue
			}
			for n := limits[0]; n <= limits[1]; n++ {
				form := plural.Cardinal.MatchPlural(l.tag, n, 0, 0, 0, 0)
				if _, ok := m[form]; !ok {
					t.Errorf("%s: %q has no plural form for %d", l.name, key, n)
					break
				}
			}
		}
	}
}

func TestPluralsReadAsTheyShould(t *testing.T) {
	for _, row := range []struct {
		lang, key string
		n         int
		want      string
	}{
		{"en", "wait.seconds", 1, "in 1 second"},
		{"en", "wait.seconds", 0, "in 0 seconds"},
		{"fr", "wait.seconds", 1, "dans 1 seconde"},
		{"pl", "wait.minutes", 1, "za 1 minutę"},
		{"pl", "wait.minutes", 22, "za 22 minuty"},
		{"pl", "wait.minutes", 12, "za 12 minut"},
		{"uk", "error.code-wrong", 21, "Код неправильний. У вас залишилася 21 спроба."},
		{"ar", "wait.minutes", 2, "بعد دقيقتين"},
		{"ar", "wait.minutes", 3, "بعد 3 دقائق"},
		{"he", "wait.hours", 2, "בעוד שעתיים"},
		{"ja", "wait.hours", 2, "2時間後"},
	} {
		p := &Page{language: renderer(t, Options{}).language(row.lang)}
		got, err := p.N(row.key, row.n)
		if plain := strings.ReplaceAll(string(got), "\u00a0", " "); err != nil || plain != row.want {
			t.Errorf("%s %s %d: %q, %v; want %q", row.lang, row.key, row.n, plain, err, row.want)
		}
	}
}

func TestEveryMessageIsUsed(t *testing.T) {
	sources := builtinPage + read(t, "words.go") + read(t, "web.go")
	built := regexp.MustCompile(`^(title|text|delivery)\.|-alphanumeric$`) // put together from the state
	for key := range allLanguages(t)[0].messages {
		if !built.MatchString(key) && !strings.Contains(sources, `"`+key+`"`) && !(strings.HasPrefix(key, "error.") && strings.Contains(sources, `"`+strings.TrimPrefix(key, "error.")+`"`)) {
			t.Errorf("%q is not used", key)
		}
	}
}

func TestLanguageIsTheVisitorsUnlessTheOperatorSaysOtherwise(t *testing.T) {
	for _, row := range []struct{ fixed, phonebook, accept, want string }{
		{"", "", "", "en"},
		{"", "", "de-CH,de;q=0.9,en;q=0.8", "de"},
		{"", "", "da, fr;q=0.5", "fr"},
		{"", "", "zh-CN", "zh-Hans"},
		{"", "", "pt-BR", "pt"},
		{"", "", "iw", "he"},
		{"", "", "xx;q=,;;", "en"},
		{"", "", strings.Repeat("a-", 5000), "en"},
		{"", "fr", "de", "fr"},
		{"", "fr-CA", "de", "fr"},
		{"", "tlh", "de", "de"},
		{"ja", "fr", "de", "ja"},
	} {
		if got := renderer(t, Options{Language: row.fixed}).Match(row.phonebook, row.accept); got != row.want {
			t.Errorf("language %q, phonebook %q, Accept-Language %.20q: %s, want %s", row.fixed, row.phonebook, row.accept, got, row.want)
		}
	}
}

const gsm7 = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"

// units are the characters a text takes, and how many of them fit one segment.
func units(text string) (used, segment int) {
	if strings.ContainsFunc(text, func(r rune) bool { return !strings.ContainsRune(gsm7, r) }) {
		return len(utf16.Encode([]rune(text))), 70
	}
	return utf8.RuneCountInString(text), 160
}

func TestTextsAreAsCheapAsTheirLanguageAllows(t *testing.T) {
	r := renderer(t, Options{})
	fill := strings.NewReplacer("{code}", "123456", "{site}", "Example Co", "{minutes}", "5", "{action}", "POST /transfers")
	const lastLine = "\n@example.com #123456"
	otherScript := []string{"uk", "ar", "he", "zh-Hans", "ja"}
	for _, lang := range r.Languages() {
		used, segment := units(fill.Replace(r.Text(lang)) + lastLine)
		if used > segment {
			t.Errorf("%s: %d characters, %d fit one segment: %s", lang, used, segment, r.Text(lang))
		}
		if segment == 70 && !slices.Contains(otherScript, lang) {
			t.Errorf("%s: not in GSM-7: %s", lang, r.Text(lang))
		}
		for _, text := range []string{r.ConfirmText(lang), r.DeviceText(lang)} {
			used, segment := units(fill.Replace(text) + lastLine)
			if used > 160 || (segment == 70) != slices.Contains(otherScript, lang) || used > 2*67 && segment == 70 {
				t.Errorf("%s: %d characters of segments of %d: %s", lang, used, segment, text)
			}
		}
	}
}

func TestLanguageFilesWithoutSenseAreRefused(t *testing.T) {
	for _, file := range []string{`{"a": {"some": "x"}}`, `{"a": {"one": "x"}}`, `{"a": 1}`, `[]`} {
		if _, err := parseLanguage("en", []byte(file)); err == nil {
			t.Errorf("%s was taken", file)
		}
	}
	if _, err := parseLanguage("not a tag", []byte(`{}`)); err == nil {
		t.Error("a file without a language was taken")
	}
}
