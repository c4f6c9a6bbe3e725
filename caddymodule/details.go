package caddymodule

import (
	"errors"
	"mime"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// maxDetail is the most that the message says of one thing that a visitor typed, in characters.
const maxDetail = 40

var errDetail = errors.New("the message names a form field that the request does not have exactly once")

// details are what the message says of a request: what the operator's text asks for, no more.
func (h *Handler) details(k *keptRequest) (map[string]string, error) {
	said := map[string]string{"{action}": k.action()}
	var form fields
	var query url.Values
	for _, p := range messagePlaceholders.FindAllString(h.Message, -1) {
		name, ok := formField(p)
		if !ok {
			continue
		}
		if form == nil {
			var err error
			if form, query, err = k.parameters(); err != nil {
				return nil, errDetail
			}
		}
		value, there := form[name]
		if !there || repeated(form, query, name) {
			return nil, errDetail
		}
		if said[p] = cleanDetail(value); said[p] == "" && value != "" {
			return nil, errDetail
		}
	}
	return said, nil
}

// parameters are what an application may read from the request, by name.
func (k *keptRequest) parameters() (fields, url.Values, error) {
	if !k.plain() {
		return nil, nil, errMalformed
	}
	form, err := parseFields(k.Header["Content-Type"], string(k.Body))
	if err != nil {
		return nil, nil, err
	}
	_, query, _ := strings.Cut(k.URL, "?")
	values, err := url.ParseQuery(query)
	return form, values, err
}

// plain tells whether the body means to an application what it means to us. One that is
// compressed, or in another character set, can be written so that it is a form before it is
// decoded and another one after that.
func (k *keptRequest) plain() bool {
	_, params, err := mime.ParseMediaType(k.Header["Content-Type"])
	charset := params["charset"]
	return err == nil && k.Header["Content-Encoding"] == "" && (charset == "" || strings.EqualFold(charset, "utf-8"))
}

// formField returns the field that a placeholder such as {form.amount} names.
func formField(placeholder string) (string, bool) {
	name, ok := strings.CutPrefix(strings.TrimSuffix(placeholder, "}"), "{form.")
	return name, ok && name != ""
}

// repeated tells whether an application might read the field from another name, or
// from the address, too.
func repeated(form fields, query url.Values, name string) bool {
	for other := range form {
		if other != name && mayMean(other, name) {
			return true
		}
	}
	for other := range query {
		if mayMean(other, name) {
			return true
		}
	}
	return false
}

// mayMean tells whether some framework reads a field of the name other as name: amount[] is an
// array of PHP's, which also takes to.account for to_account and ends a name at
// NUL, and other letter case is the same key to some.
func mayMean(other, name string) bool {
	other, _, _ = strings.Cut(strings.TrimSpace(other), "\x00")
	array, _, _ := strings.Cut(other, "[")
	return sameName(other, name) || sameName(array, name)
}

var phpName = strings.NewReplacer(".", "_", " ", "_", "[", "_")

func sameName(a, b string) bool {
	return strings.EqualFold(strings.TrimSpace(a), b) || strings.EqualFold(phpName.Replace(a), phpName.Replace(b))
}

func parseFields(contentType, body string) (fields, error) {
	media, _, _ := mime.ParseMediaType(contentType)
	switch {
	case media == "application/x-www-form-urlencoded":
		return formFields(body)
	case media == "application/json", strings.HasSuffix(media, "+json"):
		return jsonFields(body)
	}
	return nil, errMalformed
}

// cleanDetail makes of what a visitor typed something that can stand in a
// message that others trust: one short line, with no control character, nothing that
// a phone makes a link of, and no @ or #, which the message's last line is made of.
func cleanDetail(typed string) string {
	var b strings.Builder
	runes := visible(typed)
	last, marks, n := ' ', 0, 0
	for i := 0; i < len(runes) && n < maxDetail; i++ {
		r := harmless(runes, i)
		if unicode.Is(unicode.M, r) {
			// On nothing it would sit on the operator's own words, and a pile of them on other lines.
			if marks++; last == ' ' || marks > maxMarks {
				continue
			}
		} else {
			marks = 0
		}
		if r == ' ' && last == ' ' {
			continue
		}
		b.WriteRune(r)
		last = r
		n++
	}
	return strings.TrimSpace(b.String())
}

// maxMarks is how many marks a letter may carry; no language needs more.
const maxMarks = 3

// visible are the characters that show, composed: what does not show, or turns the
// direction of what follows, could hide a link from us and not from the phone.
func visible(typed string) []rune {
	runes := []rune(norm.NFC.String(strings.ToValidUTF8(typed, "")))
	return slices.DeleteFunc(runes, func(r rune) bool {
		shows := unicode.IsGraphic(r) || unicode.IsSpace(r) || unicode.IsControl(r)
		return !shows || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector, unicode.Me)
	})
}

// harmless is the character at i, or a space where it could be read as a part of an
// address. Compatible spellings count: a browser reads a full-width dot as a dot (UTS 46).
func harmless(s []rune, i int) rune {
	r := s[i]
	folded := norm.NFKC.String(string(r))
	switch {
	case unicode.IsSpace(r), unicode.IsControl(r), r == blankPattern:
		return ' '
	case isDot(r) && betweenDigits(s, i):
		return '.'
	case isDot(r), strings.ContainsAny(folded, `.@#:\`):
		return ' '
	}
	return r
}

// blankPattern is Braille without a dot: it shows nothing, yet is no space.
const blankPattern = '\u2800'

// isDot finds what a host name may be written with (UTS 46 4.2.2).
func isDot(r rune) bool { return strings.ContainsRune(".\u3002\uff0e\uff61\u2024\ufe52\ufe12", r) }

// betweenDigits tells whether the dot at i is one of an amount, such as 12.50, and
// not one of an address such as 192.0.2.1.
func betweenDigits(s []rune, i int) bool {
	left, right := pastDigits(s, i-1, -1), pastDigits(s, i+1, 1)
	joins := func(dot, beyond int) bool { return dot >= 0 && dot < len(s) && isDot(s[dot]) && isDigit(s, beyond) }
	return left < i-1 && right > i+1 && !joins(left, left-1) && !joins(right, right+1)
}

// pastDigits is where the digits from i on have ended.
func pastDigits(s []rune, i, step int) int {
	for isDigit(s, i) {
		i += step
	}
	return i
}

func isDigit(s []rune, i int) bool { return i >= 0 && i < len(s) && '0' <= s[i] && s[i] <= '9' }
