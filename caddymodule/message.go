package caddymodule

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient"
	"go.uber.org/zap"
)

// messagePlaceholders are what an operator's message may hold.
var messagePlaceholders = regexp.MustCompile(`\{[^{}\s]*\}`)

// checkMessage refuses a message that would reach the phone with a hole in it.
func checkMessage(text string, confirm bool) error {
	for _, p := range messagePlaceholders.FindAllString(text, -1) {
		switch p {
		case "{code}", "{site}", "{minutes}", "{domain}":
		case "{http.request.host}", "{http.request.method}", "{http.request.uri.path}":
			return fmt.Errorf("message: {host}, {method} and {path} are shorthands of the Caddyfile that never reach a message; use {site} or {domain}")
		default:
			if _, form := formField(p); form || p == "{action}" {
				if confirm {
					continue
				}
				return fmt.Errorf("message: %s is there only with confirm", p)
			}
			return fmt.Errorf("message: unknown placeholder %s; use {code}, {site}, {minutes} and {domain}", p)
		}
	}
	if !strings.Contains(text, "{code}") {
		return fmt.Errorf("message: has no {code}; add it where the code shall stand")
	}
	return nil
}

// defaultText is the message of a route without one of its own. It says what the
// code is good for: a confirmation, or a browser that is new to this route.
func (v *visit) defaultText(language string) string {
	switch {
	case v.h.Confirm:
		return v.h.pages.ConfirmText(language)
	case v.h.TrustDevice > 0 && v.subject.Known == nil:
		return v.h.pages.DeviceText(language)
	default:
		return v.h.pages.Text(language)
	}
}

// write fills in a message's text and adds its last line.
func write(text, site, domain, code string, minutes int, said ...string) string {
	body := strings.NewReplacer(append(said,
		"{code}", code, "{site}", site, "{minutes}", strconv.Itoa(minutes), "{domain}", domain)...).Replace(text)
	if domain != "" {
		body += "\n\n@" + domain + " #" + code
	}
	return body
}

// warnOfSegments says at load what a message will cost: carriers and phones count, and
// Android's limit counts, in segments.
func (h *Handler) warnOfSegments() {
	text, site := h.Message, h.Site
	if text == "" {
		text = h.pages.Text(h.Language)
	}
	if site == "" {
		site = h.Domain
	}
	sample := write(text, site, h.Domain, strings.Repeat("0", h.Code.Length), minutesOf(time.Duration(h.TTL)))
	n, forced := gatewayclient.Segments(sample)
	if n < 2 {
		return
	}
	fields := []zap.Field{zap.Int("segments", n)}
	if forced != 0 {
		fields = append(fields, zap.String("character", string(forced)))
		h.log.Warn("each message is sent as several, since a character that GSM-7 lacks leaves room for 70 only; leave it out, or shorten the text", fields...)
		return
	}
	h.log.Warn("each message is sent as several, since it has more than 160 characters; shorten the text", fields...)
}

func minutesOf(remaining time.Duration) int { return int((remaining + time.Minute - 1) / time.Minute) }

// compose returns what writes the message for this visit. The last line binds the
// code to the domain, so that a phone offers to fill it in there and nowhere else
// (WICG "origin-bound one-time codes").
func (v *visit) compose() func(code string, remaining time.Duration) string {
	text := v.h.Message
	if text == "" {
		text = v.defaultText(v.tongue())
	}
	site, domain := v.siteName(), v.domain()
	var said []string
	if v.kept != nil {
		for placeholder, value := range v.kept.Fields {
			said = append(said, placeholder, value)
		}
	}
	if domain == "" {
		v.h.complain("messages go out without the last line by which phones fill in the code only here: TLS does not vouch for the site's name. Name it with domain", "domain", zap.String("option", "domain"))
	}
	if site == "" {
		site = "SMS OTP"
	}
	return func(code string, remaining time.Duration) string {
		return write(text, site, domain, code, minutesOf(remaining), said...)
	}
}
