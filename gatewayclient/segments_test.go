package gatewayclient_test

import (
	"strings"
	"testing"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient"
)

func TestSegmentsAreCountedAsCarriersDo(t *testing.T) {
	for _, row := range []struct {
		name, text string
		n          int
		forced     rune
	}{
		{"empty", "", 1, 0},
		{"full", strings.Repeat("a", 160), 1, 0},
		{"one over", strings.Repeat("a", 161), 2, 0},
		{"two full", strings.Repeat("a", 306), 2, 0},
		{"three", strings.Repeat("a", 307), 3, 0},
		{"doubles full", strings.Repeat("€", 80), 1, 0},
		{"doubles over", strings.Repeat("€", 80) + "a", 2, 0},
		{"each double", strings.Repeat(`^{}[]~\|€`, 8) + strings.Repeat("a", 16), 1, 0},
		// An escape and its character are not torn apart, which here costs a part.
		{"torn double", strings.Repeat("a", 152) + "€" + strings.Repeat("a", 152), 3, 0},
		{"accents of the alphabet", "äöüßÄÖÜñàèéùìò", 1, 0},
		{"curly quote", "Don’t share it", 1, '’'},
		{"ucs-2 full", strings.Repeat("ж", 70), 1, 'ж'},
		{"ucs-2 over", strings.Repeat("ж", 71), 2, 'ж'},
		{"ucs-2 two full", strings.Repeat("ж", 134), 2, 'ж'},
		{"ucs-2 three", strings.Repeat("ж", 135), 3, 'ж'},
		{"pairs", strings.Repeat("🙂", 35), 1, '🙂'},
		{"pairs over", strings.Repeat("🙂", 36), 2, '🙂'},
		{"torn pair", strings.Repeat("ж", 66) + "🙂" + strings.Repeat("ж", 66), 3, 'ж'},
		{"a late one decides", strings.Repeat("a", 100) + "ç", 2, 'ç'},
	} {
		if n, forced := gatewayclient.Segments(row.text); n != row.n || forced != row.forced {
			t.Errorf("%s: %d parts because of %q, want %d because of %q", row.name, n, forced, row.n, row.forced)
		}
	}
}
