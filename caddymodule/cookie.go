package caddymodule

import (
	"net/http"
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

// cookieValues returns up to maxCopies values that the request has for a
// cookie. It reads the header itself: net/http would parse every cookie of the site into a list.
func cookieValues(r *http.Request, name string) (values []string) {
	for _, line := range r.Header["Cookie"] {
		for line != "" && len(values) < maxCopies {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			if n, v, ok := strings.Cut(pair, "="); ok && strings.TrimSpace(n) == name {
				values = append(values, strings.Trim(v, " \t\""))
			}
		}
	}
	return values
}

// stripCookies takes our cookies out of the request: the upstream has no use for
// them, and what it logs or leaks must not open anything.
func stripCookies(r *http.Request, names ...string) {
	lines := r.Header["Cookie"]
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		if line = withoutCookies(line, names); line != "" {
			kept = append(kept, line)
		}
	}
	if len(kept) == 0 {
		r.Header.Del("Cookie")
		return
	}
	r.Header["Cookie"] = kept
}

func withoutCookies(line string, names []string) string {
	var b strings.Builder
	for line != "" {
		var pair string
		pair, line, _ = strings.Cut(line, ";")
		name, _, _ := strings.Cut(pair, "=")
		if pair = strings.TrimSpace(pair); pair == "" || isOneOf(strings.TrimSpace(name), names) {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(pair)
	}
	return b.String()
}

func isOneOf(name string, names []string) bool {
	for _, n := range names {
		if name == n {
			return true
		}
	}
	return false
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
func (h *Handler) challengeIDs(r *http.Request) (ids []otpcore.ID) {
	for _, value := range cookieValues(r, h.challengeCookie()) {
		if id, ok := otpcore.ParseID(value); ok {
			ids = append(ids, id)
		}
	}
	return ids
}
