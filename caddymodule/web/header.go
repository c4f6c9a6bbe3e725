package web

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
)

// header makes the headers of a page with this style and this script.
//
// There is no form-action: browsers hold it against every redirect that follows
// the form, and the protected page may well lead to another host. All addresses
// of forms are made here and escaped.
func header(style, script string) http.Header {
	policy := strings.Join([]string{
		"default-src 'none'",
		"style-src " + hashSource(style),
		"script-src " + hashSource(script),
		"connect-src 'self'",
		"img-src 'self' data:",
		"base-uri 'none'",
		"frame-ancestors 'none'",
	}, "; ")
	h := http.Header{}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	// Not no-referrer: browsers would then send the form with "Origin: null".
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Robots-Tag", "noindex")
	return h
}

func hashSource(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// withoutComments takes indentation, blank lines and comments out of the
// built-in style and script, whose comments stand on lines of their own.
func withoutComments(source string) string {
	var b strings.Builder
	for line := range strings.Lines(source) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "//") || strings.HasPrefix(line, "/*") {
			continue
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}
