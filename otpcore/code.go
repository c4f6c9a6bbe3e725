package otpcore

import (
	"crypto/rand"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// Alphabet is the set of characters that codes are made of.
type Alphabet uint8

const (
	// Digits are 0 to 9.
	Digits Alphabet = iota
	// Alphanumeric are the digits and capital letters that nobody mistakes for one another.
	Alphanumeric
)

// I, L, O, U, 0 and 1 are left out: read from a small screen they are guessed, not read.
const unambiguous = "23456789ABCDEFGHJKMNPQRSTVWXYZ"

func (a Alphabet) String() string {
	if a == Alphanumeric {
		return "alphanumeric"
	}
	return "digits"
}

func (a Alphabet) characters() string {
	if a == Alphanumeric {
		return unambiguous
	}
	return "0123456789"
}

// NewCode returns length characters, each drawn uniformly from crypto/rand
// (NIST SP 800-63B-4 3.1.3.2). Leading zeros are as likely as any other digit.
func NewCode(a Alphabet, length int) string {
	chars := a.characters()
	// Bytes past the last whole multiple are drawn again: a plain remainder would favour the first characters.
	limit := 256 - 256%len(chars)
	code := make([]byte, 0, length)
	var draw [16]byte
	for len(code) < length {
		rand.Read(draw[:]) // never fails: crypto/rand ends the program instead
		for _, b := range draw {
			if int(b) < limit && len(code) < length {
				code = append(code, chars[int(b)%len(chars)])
			}
		}
	}
	return string(code)
}

// Normalize reads a code as people paste it. For digits whatever is not a digit
// is ignored and every decimal digit of Unicode counts; for alphanumeric codes
// spaces and dashes are ignored, full-width forms are narrowed and case does not matter.
// It reports false where what remains cannot be a code of this length, so that
// a slip of the thumb costs no attempt.
func (a Alphabet) Normalize(typed string, length int) (string, bool) {
	var b strings.Builder
	if a == Digits {
		for _, r := range typed {
			if d, ok := decimal(r); ok {
				b.WriteByte('0' + d)
			}
		}
		return b.String(), b.Len() == length
	}
	for _, r := range strings.ToUpper(width.Narrow.String(typed)) {
		switch {
		case unicode.IsSpace(r), unicode.Is(unicode.Pd, r):
		case r < unicode.MaxASCII && strings.ContainsRune(unambiguous, r):
			b.WriteRune(r)
		default:
			return "", false
		}
	}
	return b.String(), b.Len() == length
}

// decimal gives the value of any decimal digit. Unicode keeps each script's
// ten digits together and in order (Nd ranges are multiples of ten).
func decimal(r rune) (byte, bool) {
	if '0' <= r && r <= '9' {
		return byte(r - '0'), true
	}
	if r < 0x80 {
		return 0, false
	}
	for _, g := range unicode.Nd.R16 {
		if rune(g.Lo) <= r && r <= rune(g.Hi) {
			return byte((r - rune(g.Lo)) % 10), true
		}
	}
	for _, g := range unicode.Nd.R32 {
		if rune(g.Lo) <= r && r <= rune(g.Hi) {
			return byte((r - rune(g.Lo)) % 10), true
		}
	}
	return 0, false
}
