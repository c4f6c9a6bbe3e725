package caddymodule

import (
	"strings"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

// asked is the visitor of a route where he types the number: it is the number that
// is proven, bound to the user where a first factor names one.
func (v *visit) asked() otpcore.Subject {
	return otpcore.Subject{
		User: otpcore.CanonicalUser(v.user), Source: otpcore.Asked,
		FirstFactor: v.user != "", Address: clientNetwork(v.r),
	}
}

// provable tells whether a typed number may be proven here: any of an allowed
// country, or else one of the phonebook, and only the user's own where one is named.
func (v *visit) provable(n otpcore.Number) bool {
	if !v.h.app.mayText(n, v.h.Phonebook) {
		return false
	}
	if v.h.AskPhone.Any {
		return true
	}
	if v.user != "" {
		entry, ok := v.h.Phonebook.lookup(v.subject.User)
		return ok && entry.number == n
	}
	return v.h.Phonebook.current.Load().numbers()[n]
}

// typedNumber reads what was typed; nothing stays nothing, which means the number
// of the challenge. Numbers of the phonebook need not be known to be in use: only
// the operator's own numbers pass there, whatever they look like.
func (v *visit) typedNumber(typed string) (otpcore.Number, error) {
	v.typed = strings.TrimSpace(typed)
	if v.typed == "" {
		return "", nil
	}
	if v.h.AskPhone.Any {
		return otpcore.ParseMobile(v.typed, v.h.app.Countries)
	}
	if n, err := otpcore.ParseNumber(v.typed); err == nil {
		return n, nil
	}
	countries := v.h.app.Countries
	if len(countries) == 0 {
		countries = v.h.Phonebook.current.Load().codes
	}
	return otpcore.ParseMobile(v.typed, countries)
}
