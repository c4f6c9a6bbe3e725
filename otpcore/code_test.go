package otpcore

import (
	"strings"
	"testing"
)

func TestCodesAreUniform(t *testing.T) {
	// Chi-square of each place against 10 equally likely digits; with 9 degrees
	// of freedom a fair source passes 40 once in 130,000 times.
	const n, length = 1_000_000, 6
	var seen [length][10]int
	for range n {
		code := NewCode(Digits, length)
		if len(code) != length {
			t.Fatalf("code %q has %d characters", code, len(code))
		}
		for i := range length {
			seen[i][code[i]-'0']++
		}
	}
	for place, counts := range seen {
		chi, expected := 0.0, float64(n)/10
		for _, c := range counts {
			chi += (float64(c) - expected) * (float64(c) - expected) / expected
		}
		if chi > 50 {
			t.Errorf("place %d: chi-square %.1f, counts %v", place, chi, counts)
		}
	}
}

func TestAlphanumericCodesUseEveryCharacterAndNoneThatIsMistaken(t *testing.T) {
	seen := map[rune]bool{}
	for range 10_000 {
		for _, r := range NewCode(Alphanumeric, 8) {
			seen[r] = true
		}
	}
	if len(seen) != len(unambiguous) {
		t.Errorf("%d characters were used, there are %d", len(seen), len(unambiguous))
	}
	for _, r := range "01ILOU" {
		if seen[r] {
			t.Errorf("%q is too easily mistaken", r)
		}
	}
}

func TestCodesAreReadAsPeoplePasteThem(t *testing.T) {
	for _, c := range []struct {
		alphabet Alphabet
		typed    string
		length   int
		want     string
		ok       bool
	}{
		{Digits, "123456", 6, "123456", true},
		{Digits, "  123 456\n", 6, "123456", true},
		{Digits, "code: 123-456", 6, "123456", true},
		{Digits, "012345", 6, "012345", true},
		{Digits, "１２３４５６", 6, "123456", true}, // full-width
		{Digits, "٠١٢٣٤٥", 6, "012345", true}, // Arabic-Indic
		{Digits, "۰۱۲۳۴۵", 6, "012345", true}, // extended Arabic-Indic
		{Digits, "०१२३४५", 6, "012345", true}, // Devanagari
		{Digits, "𝟎𝟏𝟐𝟑𝟒𝟓", 6, "012345", true}, // mathematical bold
		{Digits, "²³⁴", 3, "", false},         // superscripts are no decimal digits
		{Digits, "12345", 6, "", false},
		{Digits, "1234567", 6, "", false},
		{Digits, "", 6, "", false},
		{Alphanumeric, "ab-cd 23 45", 8, "ABCD2345", true},
		{Alphanumeric, "ＡＢＣＤ２３４５", 8, "ABCD2345", true},
		{Alphanumeric, "abcd–2345", 8, "ABCD2345", true},
		{Alphanumeric, "abcd234", 8, "", false},
		{Alphanumeric, "abcd234!", 8, "", false},
		{Alphanumeric, "abcd234o", 8, "", false},
	} {
		got, ok := c.alphabet.Normalize(c.typed, c.length)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%q: %q, %v; want %q, %v", c.typed, got, ok, c.want, c.ok)
		}
	}
}

func TestUsersAreComparedInOneForm(t *testing.T) {
	for _, same := range [][2]string{{"Alice", "alice"}, {" alice ", "alice"}, {"Zoë", "zoe\u0308"}} {
		if a, b := CanonicalUser(same[0]), CanonicalUser(same[1]); a != b {
			t.Errorf("%q and %q are two users: %q, %q", same[0], same[1], a, b)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ written, want, mask string }{
		{"+44 7700 900123", "+447700900123", "+44•••••23"},
		{"+1 (202) 555-0123", "+12025550123", "+1•••••23"},
		{" +49-171/39200.00 ", "+491713920000", "+49•••••00"},
	} {
		n, err := ParseNumber(c.written)
		if err != nil || string(n) != c.want || n.Mask() != c.mask {
			t.Errorf("%q: %q, %q, %v; want %q, %q", c.written, n, n.Mask(), err, c.want, c.mask)
		}
	}
	for _, bad := range []string{"", "07700900123", "+44770", "+4477009001234567", "+999900000000", "+44 7700 ABCDEF", "++447700900123", "+٤٤7700900123"} {
		if n, err := ParseNumber(bad); err == nil {
			t.Errorf("%q became %q", bad, n)
		} else if strings.Contains(err.Error(), "900123") {
			t.Errorf("%q: the error holds the number: %v", bad, err)
		}
	}
}

func TestSealedValuesOpenOnlyInTheirContext(t *testing.T) {
	k := testKeys(t, "a")
	sealed := k.Seal([]byte("123456"), []byte("here"))
	if strings.Contains(string(sealed), "123456") {
		t.Error("the code stands in clear")
	}
	if _, err := k.Open(sealed, []byte("there")); err == nil {
		t.Error("opened in another context")
	}
	if plain, err := testKeys(t, "b", "a").Open(sealed, []byte("here")); err != nil || string(plain) != "123456" {
		t.Errorf("an older key does not open: %q, %v", plain, err)
	}
}
