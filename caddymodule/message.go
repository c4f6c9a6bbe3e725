package caddymodule

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

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

// compose returns what writes the message for this visit. The last line binds the
// code to the domain, so that a phone offers to fill it in there and nowhere else
// (WICG "origin-bound one-time codes").
func (v *visit) compose() func(code string, remaining time.Duration) string {
	text := v.h.Message
	if text == "" {
		text = v.defaultText(v.h.pages.Match(v.language, v.r.Header.Get("Accept-Language")))
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
		minutes := int((remaining + time.Minute - 1) / time.Minute)
		body := strings.NewReplacer(append(said,
			"{code}", code, "{site}", site, "{minutes}", strconv.Itoa(minutes), "{domain}", domain)...).Replace(text)
		if domain != "" {
			body += "\n\n@" + domain + " #" + code
		}
		return body
	}
}
