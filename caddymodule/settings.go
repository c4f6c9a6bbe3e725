package caddymodule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/caddymodule/web"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"golang.org/x/net/http/httpguts"
)

// The bounds outside of which a setting is refused, and what NIST SP 800-63B-4
// and OWASP ask for, below which it loads with a warning.
const (
	minTTL, maxTTL               = 30 * time.Second, 10 * time.Minute
	minCodeLength, maxCodeLength = 4, 10
	minAge                       = time.Second
	minTrust, maxTrust           = 24 * time.Hour, 365 * 24 * time.Hour
	advisedCodeLength            = 6
	advisedTTL                   = 3 * time.Minute
	advisedIdle                  = time.Hour
	advisedAge                   = 24 * time.Hour
)

// checks are the rules for single options. They hold for settings that are still
// empty too: the defaults come later.
func (h *Handler) checks() checks {
	return checks{
		"ttl": h.checkTTL, "code": h.checkCode, "cookie": h.checkCookie,
		"max_age":      func() error { return checkAge("max_age", h.MaxAge) },
		"idle":         func() error { return checkAge("idle", h.Idle) },
		"trust_device": h.checkTrust, "confirm": h.checkTrust, "language": func() error { return checkLanguage(h.Language) },
	}
}

func (h *Handler) checkTTL() error {
	if ttl := time.Duration(h.TTL); ttl != 0 && (ttl < minTTL || ttl > maxTTL) {
		return fmt.Errorf("ttl is %s; codes may be valid for 30s to 10m (NIST SP 800-63B-4, 3.1.3.2)", ttl)
	}
	return nil
}

func (h *Handler) checkCode() error {
	if n := h.Code.Length; n != 0 && (n < minCodeLength || n > maxCodeLength) {
		return fmt.Errorf("code has %d characters; write 4 to 10, such as: code 6 digits", n)
	}
	switch h.Code.Alphabet {
	case "", otpcore.Digits.String(), otpcore.Alphanumeric.String():
		return nil
	}
	return fmt.Errorf("code %q is unknown; write digits or alphanumeric", h.Code.Alphabet)
}

func (h *Handler) checkTrust() error {
	trust := time.Duration(h.TrustDevice)
	if trust == 0 {
		return nil
	}
	if h.Confirm {
		return errors.New("confirm and trust_device exclude each other: confirm asks for a code each time; leave one")
	}
	if trust < minTrust || trust > maxTrust {
		return fmt.Errorf("trust_device is %s; write 1d to 365d, such as: trust_device 30d", trust)
	}
	return nil
}

// checkLanguage refuses a language that the page is not written in.
func checkLanguage(name string) error {
	if name == "" {
		return nil // nearly always: no page need be made to say so
	}
	_, err := web.New(web.Options{Language: name})
	return err
}

func checkAge(option string, written caddy.Duration) error {
	if age := time.Duration(written); age != 0 && age < minAge {
		return fmt.Errorf("%s is %s, must be at least 1s", option, age)
	}
	return nil
}

func (h *Handler) checkMessage() error {
	if h.Message == "" {
		return nil
	}
	return checkMessage(h.Message, h.Confirm)
}

func (h *Handler) checkCookie() error {
	name := h.Cookie.Name
	if name != "" && !httpguts.ValidHeaderFieldName(name) {
		return fmt.Errorf("cookie name %q has characters that a cookie's name cannot have", name)
	}
	if h.Cookie.Domain == "" {
		return nil
	}
	if name == "" || strings.HasPrefix(strings.ToLower(name), "__host-") {
		return errors.New("cookie domain: browsers refuse a domain on a cookie whose name begins with __Host-; add: cookie { name __Http-sms-otp }")
	}
	if strings.ContainsAny(h.Cookie.Domain, " :/;,") || !strings.Contains(h.Cookie.Domain, ".") {
		return fmt.Errorf("cookie domain %q is not a domain; write it without scheme and port, such as example.com", h.Cookie.Domain)
	}
	h.Cookie.Domain = strings.ToLower(strings.TrimPrefix(h.Cookie.Domain, "."))
	return nil
}

func (h *Handler) checkNumbers() error {
	if h.Phone != "" && len(h.app.Countries) == 0 {
		return errors.New("phone takes numbers from a placeholder: say with the global option countries which calling codes may be sent to, such as: countries 49 43")
	}
	if h.AskPhone != nil && h.AskPhone.Any && len(h.app.Countries) == 0 {
		return errors.New("ask_phone any takes numbers from anybody: say with the global option countries which calling codes may be sent to, such as: countries 49 43")
	}
	if h.AskPhone != nil && h.Phone != "" {
		return errors.New("ask_phone and phone exclude each other: either the visitor names the number or the placeholder does; leave one")
	}
	if h.Phone == "" && h.Phonebook == nil && (h.AskPhone == nil || !h.AskPhone.Any) {
		return errors.New("no phone numbers: add phonebook file phones.csv to the global option sms_otp or to this directive, or name with phone the placeholder that holds the number")
	}
	return nil
}

// warn logs what loads but is weaker than the standards ask for.
func (h *Handler) warn() {
	warn := func(weak bool, setting, advice, clause string) {
		if weak {
			h.log.Warn(setting+" is weaker than advised: "+advice, zap.String("clause", clause))
		}
	}
	warn(h.Code.Length < advisedCodeLength, "code", "use at least 6 characters", "NIST SP 800-63B-4, 3.1.3.2")
	warn(time.Duration(h.TTL) < advisedTTL, "ttl", "visitors need at least 3m to find their phone", "OWASP MFA cheat sheet; NIST SP 800-63B-4, 3.1.3.2")
	warn(time.Duration(h.Idle) > advisedIdle, "idle", "ask again after at most 1h without a request", "NIST SP 800-63B-4, 2.2.3")
	h.warnOfSegments()
	if !h.pages.HasField() {
		h.log.Warn("page.html of templates has no field with the name code, so nobody gets in by the page; add <input name=\"code\">", zap.String("templates", h.Templates))
	}
	warn(time.Duration(h.MaxAge) > advisedAge, "max_age", "ask again after at most 24h", "NIST SP 800-63B-4, 2.2.3")
}
