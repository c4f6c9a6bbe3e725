package otpcore_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

// A number that was read has one spelling, which reads back, and masking keeps
// most of it to itself.
func FuzzNumber(f *testing.F) {
	for _, written := range []string{
		"+447700900123", "+44 7700 900-123", "+1 (202) 555.0123", "+49/171/3920000", "0171 3920000", "+", "++447700900123",
		"+881612345678", "+999123456789", "+44770090012345678", "+447700\u202f900123", "+4477009OO123", "٠٤٩١٧١٣٩٢٠٠٠٠", "+49 171 3920000;ext=1", "tel:+491713920000",
	} {
		f.Add(written)
	}
	countries := []int{49, 44, 1}
	f.Fuzz(func(t *testing.T, written string) {
		n, err := otpcore.ParseNumber(written)
		if err == nil {
			checkNumber(t, n)
		}
		mobile, err := otpcore.ParseMobile(written, countries)
		if err != nil {
			return
		}
		checkNumber(t, mobile)
		if !slices.Contains(countries, mobile.CallingCode()) {
			t.Errorf("%q was taken for %s, which is in none of the countries", written, mobile)
		}
	})
}

func checkNumber(t *testing.T, n otpcore.Number) {
	t.Helper()
	digits := strings.TrimPrefix(string(n), "+")
	if len(digits) < 8 || len(digits) > 15 || strings.Trim(digits, "0123456789") != "" || n.CallingCode() == 0 {
		t.Errorf("%q is no number", n)
	}
	if again, err := otpcore.ParseNumber(string(n)); err != nil || again != n {
		t.Errorf("%q reads back as %q, %v", n, again, err)
	}
	if mask := n.Mask(); strings.Contains(mask, digits[len(digits)-5:]) {
		t.Errorf("the mask of %s is %s", n, mask)
	}
}

// What was typed is either a code of the right form, which reads as itself, or none.
func FuzzTypedCode(f *testing.F) {
	for _, typed := range []string{"123456", " 123 456 ", "code: 123-456", "１２３４５６", "١٢٣٤٥٦", "12345", "abcdef", "7K3M-9QXZ", "7k3m 9qxz", "\x00\xff123456", "𝟏𝟐𝟑𝟒𝟓𝟔"} {
		f.Add(typed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		for alphabet, characters := range map[otpcore.Alphabet]string{
			otpcore.Digits: "0123456789", otpcore.Alphanumeric: "23456789ABCDEFGHJKMNPQRSTVWXYZ",
		} {
			code, ok := alphabet.Normalize(typed, 6)
			if !ok {
				continue
			}
			if len(code) != 6 || strings.Trim(code, characters) != "" {
				t.Errorf("%q was taken for %q", typed, code)
			}
			if again, ok := alphabet.Normalize(code, 6); !ok || again != code {
				t.Errorf("%q reads as %q", code, again)
			}
		}
	})
}
