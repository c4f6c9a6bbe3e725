package caddymodule

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

// parseDirective reads sms_otp in a site block.
func parseDirective(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	if !h.Next() {
		return nil, h.ArgErr()
	}
	gate := h.Token()
	matcher, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, err
	}
	handler := new(Handler)
	if err := handler.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	// The page of confirm speaks POST only, so there the method may be matched.
	if name := slippery(matcher, handler.Confirm); name == "method" && handler.Confirm {
		return nil, h.Err("sms_otp: with confirm the one method to match is POST, by which its page sends the code: method POST")
	} else if name != "" {
		return nil, h.Errf("sms_otp: a matcher by %s lets the code's own POST slip past the gate; match by path, host, address or user", name)
	}
	warnOfRewrites(h, gate, matcher)
	return h.NewRoute(matcher, handler), nil
}

// slippery names the first matcher that may say no to the actions of a challenge
// that another request began, or "".
func slippery(matchers caddy.ModuleMap, confirm bool) string {
	for name, raw := range matchers {
		switch name {
		case "method":
			var methods []string
			if !confirm || json.Unmarshal(raw, &methods) != nil || !slices.Equal(methods, []string{http.MethodPost}) {
				return name
			}
		case "header", "header_regexp", "query", "expression":
			return name
		case "not":
			var sets []caddy.ModuleMap
			if json.Unmarshal(raw, &sets) != nil {
				continue
			}
			for _, set := range sets {
				if inner := slippery(set, false); inner != "" {
					return inner
				}
			}
		}
	}
	return ""
}

// UnmarshalCaddyfile reads the directive's block.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.Errf("sms_otp takes a matcher and a block, not %q; a matcher begins with @ or /", d.Val())
	}
	err := options{
		"user": text(&h.User), "phone": text(&h.Phone), "phonebook": phonebook(&h.Phonebook),
		"max_age": duration(&h.MaxAge), "idle": duration(&h.Idle), "ttl": duration(&h.TTL), "code": h.Code.unmarshal,
		"site": text(&h.Site), "domain": text(&h.Domain), "help": text(&h.Help), "message": text(&h.Message),
		"templates": text(&h.Templates), "language": text(&h.Language), "cookie": h.Cookie.unmarshal,
		"ask_phone": h.unmarshalAskPhone, "confirm": h.unmarshalConfirm, "trust_device": duration(&h.TrustDevice),
	}.read(d, h.checks())
	if err != nil {
		return err
	}
	// Only now is it known whether confirm stands beside it.
	if err := h.checkMessage(); err != nil {
		return d.Err(err.Error())
	}
	return nil
}

func (h *Handler) unmarshalConfirm(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.Errf("confirm takes nothing, not %q", d.Val())
	}
	h.Confirm = true
	return nil
}

func (h *Handler) unmarshalAskPhone(d *caddyfile.Dispenser) error {
	h.AskPhone = new(AskPhone)
	switch args := d.RemainingArgs(); {
	case len(args) == 0:
	case len(args) == 1 && args[0] == "any":
		h.AskPhone.Any = true
	default:
		return d.Err("ask_phone takes nothing, for numbers of the phonebook, or the word any")
	}
	return nil
}

func (c *Code) unmarshal(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) < 1 || len(args) > 2 {
		return d.Err("code takes a length and an alphabet, such as: code 6 digits")
	}
	if err := parseCount(d, "code", args[0], &c.Length); err != nil {
		return err
	}
	if len(args) == 2 {
		c.Alphabet = args[1]
	}
	return nil
}

func (c *Cookie) unmarshal(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.Errf("cookie takes a block: { name … domain … }, not %q", d.Val())
	}
	return options{"name": text(&c.Name), "domain": text(&c.Domain)}.read(d, nil)
}

var _ caddyfile.Unmarshaler = (*Handler)(nil)
