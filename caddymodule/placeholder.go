package caddymodule

import (
	"strings"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
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

// outerGate is the variable of a request by which a gate behind another one knows of that.
const outerGate = "sms_otp_gate"

// passage is what remains of a visit when its request has gone through.
type passage struct {
	user     string
	held     *otpcore.Verification
	received []string  // as in visit, for a gate behind this one
	cookies  [1]string // what is left of the browser's for the upstream
}

// String says nothing: as a variable of the request a passage could be put into a log.
func (*passage) String() string { return "" }

// provided are the placeholders that a request has behind the gate.
var provided = [...]string{"http.sms_otp.user", "http.sms_otp.phone", "http.sms_otp.verified_at", "http.sms_otp.age"}

// provide lets handlers behind the gate ask who came through.
func (p *passage) provide(to *caddy.Replacer, again bool) {
	if again {
		// Of two gates the inner one has the last word. Caddy asks what was mapped first
		// first, but what was set before all that.
		for _, key := range provided {
			value, _ := p.placeholder(key)
			to.Set(key, value)
		}
		return
	}
	to.Map(p.placeholder)
}

// placeholder works a value out when it is asked for: on most sites nobody does.
func (p *passage) placeholder(key string) (any, bool) {
	switch key {
	case "http.sms_otp.user":
		return p.user, true
	case "http.sms_otp.phone":
		return string(p.held.Number), true
	case "http.sms_otp.verified_at":
		return p.held.VerifiedAt.Unix(), true
	case "http.sms_otp.age":
		return max(0, int64(time.Since(p.held.VerifiedAt)/time.Second)), true
	}
	return nil, false
}
