package caddymodule

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

const (
	defaultCookie = "__Host-Http-sms-otp"
	// maxCopies is how many cookies of one name are looked at: a sub-domain may
	// plant some, and must neither shut the owner out nor make us work without end.
	maxCopies = 4
)

// cookieValues returns up to maxCopies values that a request's header lines have for a
// cookie. It reads the header itself: net/http would parse every cookie of the site into a list.
func cookieValues(lines []string, name string) []string {
	// Small enough to be inlined: the list then stands on the caller's stack.
	return appendCookieValues(make([]string, 0, maxCopies), lines, name)
}

func appendCookieValues(values, lines []string, name string) []string {
	for _, line := range lines {
		for line != "" && len(values) < maxCopies {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			if n, v, ok := strings.Cut(pair, "="); ok && strings.TrimSpace(n) == name {
				values = append(values, strings.Trim(strings.TrimSpace(v), `"`))
			}
		}
	}
	return values
}

// stripCookies takes our cookies out of the request: the upstream has no use for
// them, and what it logs or leaks must not open anything. The others stay as they were
// sent; buf takes the lines that are left.
func stripCookies(r *http.Request, buf []string, names []string) {
	for _, line := range r.Header["Cookie"] {
		if line = withoutCookies(line, names); line != "" {
			buf = append(buf, line)
		}
	}
	if len(buf) == 0 {
		delete(r.Header, "Cookie")
		return
	}
	r.Header["Cookie"] = buf
}

// withoutCookies cuts the named cookies out of a line. Ours stand next to each other at one of
// its ends as a rule, and what is left is then a part of the line, not a copy.
func withoutCookies(line string, names []string) string {
	for start := 0; start < len(line); {
		end := len(line)
		if i := strings.IndexByte(line[start:], ';'); i >= 0 {
			end = start + i + 1
		}
		name, _, _ := strings.Cut(strings.TrimSuffix(line[start:end], ";"), "=")
		switch {
		case !slices.Contains(names, strings.TrimSpace(name)):
			start = end
		case start == 0:
			line = line[end:]
		case end == len(line):
			line = line[:start]
		default:
			line = line[:start] + line[end:]
		}
	}
	return strings.Trim(line, "; \t")
}

// setCookie gives the browser one of our cookies: for maxAge seconds, with 0 for as long as it
// stays open, with less than 0 it is taken back.
func setCookie(w http.ResponseWriter, name, value, domain string, maxAge int) {
	c := http.Cookie{
		Name: name, Value: value, Path: "/", Domain: domain, MaxAge: maxAge,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	w.Header().Add("Set-Cookie", c.String())
}

// setChallenge names the challenge to the browser for as long as it is remembered here.
func (h *Handler) setChallenge(w http.ResponseWriter, id otpcore.ID, life time.Duration) {
	setCookie(w, h.challengeCookie(), id.String(), "", int(life.Seconds()))
}

func (h *Handler) challengeCookie() string { return h.Cookie.Name + "-challenge" }

func (h *Handler) deviceCookie() string { return h.Cookie.Name + "-device" }

// challengeIDs are the challenges that the request may belong to.
func (v *visit) challengeIDs() (ids []otpcore.ID) {
	for _, value := range cookieValues(v.received, v.h.challengeCookie()) {
		if id, ok := otpcore.ParseID(value); ok {
			ids = append(ids, id)
		}
	}
	return ids
}
