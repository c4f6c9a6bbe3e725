package gatewayclient

import "unicode/utf16"

// The alphabet of GSM 03.38. A character of the second string is sent as two.
const (
	gsmBasic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmExtended = "\f^{}\\[~]|€"
)

var gsmWidth = func() map[rune]int {
	w := make(map[rune]int, 140)
	for _, r := range gsmBasic {
		w[r] = 1
	}
	for _, r := range gsmExtended {
		w[r] = 2
	}
	return w
}()

// Segments counts the messages that carriers and phones make of text, each of
// which is paid and limited by itself. forced is the first character that GSM-7
// lacks, which makes the whole text UCS-2 with less than half the room; 0 where there is none.
func Segments(text string) (n int, forced rune) {
	for _, r := range text {
		if gsmWidth[r] == 0 {
			return parts(text, 70, 67, func(r rune) int { return max(utf16.RuneLen(r), 1) }), r
		}
	}
	return parts(text, 160, 153, func(r rune) int { return gsmWidth[r] }), 0
}

// parts packs a text of which no character may be torn apart.
func parts(text string, single, each int, width func(rune) int) int {
	n, used, total := 1, 0, 0
	for _, r := range text {
		w := width(r)
		total += w
		if used += w; used > each {
			n, used = n+1, w
		}
	}
	if total <= single {
		return 1
	}
	return n
}
