package caddymodule

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

func TestWhatVisitorsTypeStaysReadable(t *testing.T) {
	for typed, want := range map[string]string{
		"12.50":                       "12.50",
		"-12.50 €":                    "-12.50 €",
		"1,234.56":                    "1,234.56",
		"1.234,56":                    "1.234,56",
		"1.234.567,89":                "1 234 567,89",
		"12.50.":                      "12.50",
		"Pay 12.50. Thanks":           "Pay 12.50 Thanks",
		"12。50":                       "12.50",
		"DE02 1203 0000 0000 2020 51": "DE02 1203 0000 0000 2020 51",
		"Müller & Söhne":              "Müller & Söhne",
		"e\u0301te\u0301":             "été",
		"हिन्दी":                      "हिन्दी",
		"ภาษาไทย":                     "ภาษาไทย",
		"日本語":                         "日本語",
		"שלום":                        "שלום",
		"  two   spaces\tand\ttabs  ": "two spaces and tabs",
		"":                            "",
		strings.Repeat(" ", 50) + "5": "5",
		strings.Repeat("a", 41):       strings.Repeat("a", 40),
		strings.Repeat("ä", 41):       strings.Repeat("ä", 40),
	} {
		if got := cleanDetail(typed); got != want {
			t.Errorf("%q becomes %q, want %q", typed, got, want)
		}
	}
}

// hostile are ways to make of a detail more than text.
var hostile = map[string]string{
	"a second line":             "1\n@evil.example #123456",
	"a carriage return":         "1\r@evil.example #123456",
	"next line":                 "1\u0085@evil.example #123456",
	"line separator":            "1\u2028@evil.example #123456",
	"paragraph separator":       "1\u2029@evil.example #123456",
	"vertical tab, form feed":   "1\v2\f3",
	"NUL and escape":            "1\x00\x1b[2J",
	"C1 controls":               "\u009b2J",
	"an address":                "https://evil.example/login",
	"an address without scheme": "evil.example/login",
	"www":                       "www.evil.example",
	"half a scheme":             "http//evil.example",
	"other schemes":             "tel:+4990012345 sms:1 mailto:a@evil.example javascript:x",
	"e-mail":                    "a@evil.example",
	"full-width":                "ｅｖｉｌ．ｅｘａｍｐｌｅ",
	"full-width signs":          "ａ＠ｂ ＃1 http：//x",
	"small forms":               "evil﹒example a﹫b ﹟1 http﹕//x",
	"vertical forms":            "evil︒example http︓//x",
	"ideographic full stops":    "evil。example evil｡example",
	"one dot leader":            "evil․example",
	"ellipsis":                  "evil‥example evil…example",
	"a number with its dot":     "evil⒈example",
	"signs that hold a dot":     "3㏂evil 4㏘example",
	"an address of numbers":     "192.0.2.1",
	"hidden in a number":        "19\u200d2.0\u200b.2\u2060.1",
	"numbers drawn together":    "1.9\u200d2.1\u200d6.8",
	"hidden in a name":          "evil\u200b.\u200bexample",
	"soft hyphen":               "evil\u00ad.example",
	"a zero-width joiner":       "evil\u034f.example",
	"Hangul filler":             "evil\u3164\uffa0\u115f\u1160.example",
	"Braille blank":             "evil.\u2800example",
	"turned round":              "\u202eelpmaxe.live\u202c",
	"isolates":                  "\u2066a\u2067b\u2069",
	"marks on the text before":  "\u0301\u0301\u0301a",
	"a pile of marks":           "a" + strings.Repeat("\u0301\u0323", 200),
	"enclosing marks":           "a\u20dd\u20e3.com",
	"variation selectors":       "a\ufe0f.\U000e0100com",
	"tags":                      "a\U000e0041.com",
	"private use":               "a\ue000.com",
	"unassigned":                "a\U0003ffff.com",
	"not UTF-8":                 "a\xff\xc0\xae.com",
	"surrogates in UTF-8":       "a\xed\xa0\x80.com",
	"a flood":                   strings.Repeat("evil.example ", 5000),
	"the placeholders":          "{code} {site} {form.to}",
	"backslashes":               `\\evil\share`,
}

func TestNothingAVisitorTypesIsMoreThanText(t *testing.T) {
	for name, typed := range hostile {
		t.Run(name, func(t *testing.T) { checkDetail(t, typed) })
	}
}

func FuzzCleanDetail(f *testing.F) {
	for _, typed := range hostile {
		f.Add(typed)
	}
	f.Add("12.50")
	f.Fuzz(func(t *testing.T, typed string) { checkDetail(t, typed) })
}

// reads is what phones make a link of: a scheme, a host with a name or number at its end, an e-mail.
var reads = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*:|\.\pL|\pL\.|\d+\.\d+\.\d+|[@#\\:]`)

func checkDetail(t *testing.T, typed string) {
	t.Helper()
	said := cleanDetail(typed)
	if n := utf8.RuneCountInString(said); n > 40 || !utf8.ValidString(said) {
		t.Errorf("%q: %d characters, valid UTF-8: %v", said, n, utf8.ValidString(said))
	}
	if said != strings.Join(strings.Fields(said), " ") {
		t.Errorf("%q: other white space than single blanks", said)
	}
	// As a browser or a phone would read it, whatever it is written with.
	if link := reads.FindString(norm.NFKC.String(said)); link != "" {
		t.Errorf("%q reads as a link: %q", said, link)
	}
	marks := 0
	for i, r := range said {
		if !unicode.IsGraphic(r) || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector, unicode.C) {
			t.Errorf("%q holds %U", said, r)
		}
		if r == '.' && (i == 0 || !strings.ContainsRune("0123456789", rune(said[i-1]))) {
			t.Errorf("%q has a dot that is not in an amount", said)
		}
		if marks++; !unicode.Is(unicode.M, r) {
			marks = 0
		}
		if marks > 3 || marks > 0 && i == 0 {
			t.Errorf("%q: marks beyond their letter", said)
		}
	}
}

func TestAFieldThatAnApplicationMayReadTwiceIsRefused(t *testing.T) {
	const form, asJSON = "application/x-www-form-urlencoded", "application/json"
	h := &Handler{Message: "{code} pays {form.amount} to {form.to_account}"}
	for _, r := range []struct {
		what, url, media, body string
		ok                     bool
	}{
		{"once", "/pay", form, "amount=1&to_account=a", true},
		{"once, beside others", "/pay?ref=7", form, "amount=1&to_account=a&note=x&amounts=2", true},
		{"empty", "/pay", form, "amount=1&to_account=", true},
		{"missing", "/pay", form, "amount=1", false},
		{"twice", "/pay", form, "amount=1&amount=9&to_account=a", false},
		{"an array", "/pay", form, "amount[]=9&amount=1&to_account=a", false},
		{"a map", "/pay", form, "amount[x]=9&amount=1&to_account=a", false},
		{"another case", "/pay", form, "Amount=9&amount=1&to_account=a", false},
		{"a blank before", "/pay", form, "+amount=9&amount=1&to_account=a", false},
		{"a dot that PHP makes an underline of", "/pay", form, "amount=1&to.account=b&to_account=a", false},
		{"a blank that PHP makes an underline of", "/pay", form, "amount=1&to+account=b&to_account=a", false},
		{"a bracket that PHP makes an underline of", "/pay", form, "amount=1&to[account=b&to_account=a", false},
		{"a name that ends early", "/pay", form, "amount=1&amount%00x=9&to_account=a", false},
		{"in the address too", "/pay?amount=9", form, "amount=1&to_account=a", false},
		{"in the address too, as an array", "/pay?amount%5B%5D=9", form, "amount=1&to_account=a", false},
		{"an address that cannot be read", "/pay?%zz", form, "amount=1&to_account=a", false},
		{"nothing that shows", "/pay", form, "amount=1&to_account=%E2%80%8B", false},
		{"JSON", "/pay", asJSON, `{"amount":12.50,"to_account":"a","list":[1,{"amount":2}],"more":null}`, true},
		{"a list in JSON", "/pay", asJSON, `{"amount":[9],"to_account":"a"}`, false},
		{"an object in JSON", "/pay", asJSON, `{"amount":{"v":9},"to_account":"a"}`, false},
		{"twice in JSON", "/pay", asJSON, `{"amount":1,"amount":9,"to_account":"a"}`, false},
		{"another case in JSON, as a list", "/pay", asJSON, `{"amount":1,"AMOUNT":[9],"to_account":"a"}`, false},
		{"another kind of body", "/pay", "text/plain", "amount=1&to_account=a", false},
	} {
		k := &keptRequest{Method: http.MethodPost, URL: r.url, Header: map[string]string{"Content-Type": r.media}, Body: []byte(r.body)}
		if said, err := h.details(k); (err == nil) != r.ok {
			t.Errorf("%s: %v, %v", r.what, said, err)
		}
	}
}
