package caddymodule

import (
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// onlyPlaceholder returns the name of the placeholder that a setting is, or ""
// where it is anything else.
func onlyPlaceholder(setting string) string {
	key, opened := strings.CutPrefix(setting, "{")
	key, closed := strings.CutSuffix(key, "}")
	if !opened || !closed || strings.ContainsAny(key, `{}\`) {
		return ""
	}
	return key
}

// userOf returns the user, or "" if any placeholder in it is unknown or empty.
func (h *Handler) userOf(repl *caddy.Replacer) string {
	if h.userKey != "" {
		name, _ := repl.GetString(h.userKey)
		return strings.TrimSpace(name)
	}
	name, err := repl.ReplaceOrErr(h.User, true, true)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(name)
}

// provided are the placeholders that a request has behind the gate.
var provided = [...]string{"http.sms_otp.user", "http.sms_otp.phone", "http.sms_otp.verified_at", "http.sms_otp.age"}

// provide lets handlers behind the gate ask who came through.
func (v *visit) provide() {
	if v.outer != nil {
		// Of two gates the inner one has the last word. Caddy asks what was mapped first
		// first, but what was set before all that.
		for _, key := range provided {
			value, _ := v.placeholder(key)
			v.repl.Set(key, value)
		}
		return
	}
	v.repl.Map(v.placeholder)
}

// placeholder works a value out when it is asked for: on most sites nobody does.
func (v *visit) placeholder(key string) (any, bool) {
	switch key {
	case "http.sms_otp.user":
		return v.user, true
	case "http.sms_otp.phone":
		return string(v.held.Number), true
	case "http.sms_otp.verified_at":
		return v.held.VerifiedAt.Unix(), true
	case "http.sms_otp.age":
		return max(0, int64(v.now.Sub(v.held.VerifiedAt)/time.Second)), true
	}
	return nil, false
}
