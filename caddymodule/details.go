package caddymodule

import (
	"errors"
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxDetail is the most that the message says of one thing that a visitor typed, in characters.
const maxDetail = 40

var errDetail = errors.New("the message names a form field that the request does not have exactly once")

// details are what the message says of a request: what the operator's text asks for, no more.
func (h *Handler) details(k *keptRequest) (map[string]string, error) {
	said := map[string]string{"{action}": k.action()}
	var form fields
	for _, p := range messagePlaceholders.FindAllString(h.Message, -1) {
		name, ok := formField(p)
		if !ok {
			continue
		}
		if form == nil {
			var err error
			if form, err = parseFields(k.Header["Content-Type"], string(k.Body)); err != nil {
				return nil, errDetail
			}
		}
		value, there := form[name]
		if !there || repeated(form, name) {
			return nil, errDetail
		}
		said[p] = cleanDetail(value)
	}
	return said, nil
}

// formField returns the field that a placeholder such as {form.amount} names.
func formField(placeholder string) (string, bool) {
	name, ok := strings.CutPrefix(strings.TrimSuffix(placeholder, "}"), "{form.")
	return name, ok && name != ""
}

// repeated tells whether an application might read the field from another name
// too: amount[] is an array of PHP's, and other letter case the same key to some.
func repeated(form fields, name string) bool {
	for other := range form {
		if other == name {
			continue
		}
		bare, _, _ := strings.Cut(other, "[")
		if strings.EqualFold(strings.TrimSpace(bare), name) {
			return true
		}
	}
	return false
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
	n := 0
	runes := []rune(strings.ToValidUTF8(typed, ""))
	for i, r := range runes {
		if n == maxDetail {
			break
		}
		switch {
		case unicode.IsSpace(r), unicode.IsControl(r):
			r = ' '
		case unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp):
			continue // invisible, or turns the direction of what follows
		case isDot(r):
			if !betweenDigits(runes, i) {
				r = ' '
			} else {
				r = '.'
			}
		case strings.ContainsRune(`@#＠＃﹫﹟\`, r), r == ':' || r == '：':
			r = ' '
		case r == utf8.RuneError:
			continue
		}
		b.WriteRune(r)
		n++
	}
	return strings.TrimSpace(strings.Join(strings.Fields(b.String()), " "))
}

// isDot finds what a host name may be written with (UTS 46 4.2.2).
func isDot(r rune) bool { return strings.ContainsRune(".。．｡․﹒", r) }

// betweenDigits tells whether the dot at i is one of an amount, such as 12.50, and
// not one of an address such as 192.0.2.1.
func betweenDigits(s []rune, i int) bool {
	digit := func(j int) bool { return j >= 0 && j < len(s) && '0' <= s[j] && s[j] <= '9' }
	if !digit(i-1) || !digit(i+1) {
		return false
	}
	for _, step := range []int{-1, 1} {
		j := i + step
		for digit(j) {
			j += step
		}
		if j >= 0 && j < len(s) && isDot(s[j]) {
			return false
		}
	}
	return true
}
