package caddymodule

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("sms_otp", parseGlobal)
	httpcaddyfile.RegisterDirective("sms_otp", parseDirective)
	// After every kind of first factor, and after encode, so that the page is compressed.
	httpcaddyfile.RegisterDirectiveOrder("sms_otp", httpcaddyfile.After, "encode")
}

// options are the subdirectives of a block, each with what reads it. The
// dispenser stands on the subdirective's name.
type options map[string]func(d *caddyfile.Dispenser) error

// checks are the rules for what options were set to, by option. They are asked
// twice: by the parser, which knows the line, and on provisioning, for JSON.
type checks map[string]func() error

func (c checks) all() error {
	for _, name := range slices.Sorted(maps.Keys(c)) {
		if err := c[name](); err != nil {
			return err
		}
	}
	return nil
}

// read reads a block in which each option may stand once, those in repeatable any number of times.
func (o options) read(d *caddyfile.Dispenser, c checks, repeatable ...string) error {
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		read, ok := o[name]
		if !ok {
			return d.Errf("unknown option %q; use one of %s", name, strings.Join(slices.Sorted(maps.Keys(o)), ", "))
		}
		if seen[name] && !slices.Contains(repeatable, name) {
			return d.Errf("%s stands twice; leave one", name)
		}
		seen[name] = true
		if err := read(d); err != nil {
			return err
		}
		if check := c[name]; check != nil {
			if err := check(); err != nil {
				return d.Err(err.Error())
			}
		}
	}
	return nil
}

// text reads one argument.
func text(to *string) func(*caddyfile.Dispenser) error {
	return func(d *caddyfile.Dispenser) error {
		name := d.Val()
		args := d.RemainingArgs()
		if len(args) != 1 {
			return d.Errf("%s takes one value, there are %d; put quotes around a value with spaces", name, len(args))
		}
		if args[0] == "" {
			return d.Errf("%s is empty; write a value or leave the option out", name)
		}
		*to = args[0]
		return nil
	}
}

// duration reads a time such as 30s.
func duration(to *caddy.Duration) func(*caddyfile.Dispenser) error {
	return func(d *caddyfile.Dispenser) error {
		name := d.Val()
		args := d.RemainingArgs()
		if len(args) != 1 {
			return d.Errf("%s takes one time, such as: %s 30s", name, name)
		}
		return parseDuration(d, name, args[0], to)
	}
}

func parseDuration(d *caddyfile.Dispenser, name, written string, to *caddy.Duration) error {
	parsed, err := caddy.ParseDuration(written)
	if err != nil {
		return d.Errf("%s: %q is not a time; write a number with its unit, such as 30s, 5m, 12h or 30d", name, written)
	}
	if parsed <= 0 {
		return d.Errf("%s: %q must be more than nothing", name, written)
	}
	*to = caddy.Duration(parsed)
	return nil
}

// count reads a whole number of at least one.
func count(to *int) func(*caddyfile.Dispenser) error {
	return func(d *caddyfile.Dispenser) error {
		name := d.Val()
		args := d.RemainingArgs()
		if len(args) != 1 {
			return d.Errf("%s takes one number", name)
		}
		return parseCount(d, name, args[0], to)
	}
}

func parseCount(d *caddyfile.Dispenser, name, written string, to *int) error {
	n, err := strconv.Atoi(written)
	if err != nil || n < 1 {
		return d.Errf("%s: %q is not a whole number of at least 1", name, written)
	}
	*to = n
	return nil
}

// rate reads a number and a time, such as 15 24h.
func rate(to **Rate) func(*caddyfile.Dispenser) error {
	return func(d *caddyfile.Dispenser) error {
		name := d.Val()
		args := d.RemainingArgs()
		if len(args) != 2 {
			example := map[string]string{"limit": "30 30m", "ip_starts": "20 1h", "total_sends": "1000 24h"}[name]
			return d.Errf("%s takes a number and a time, such as: %s %s", name, name, cmp.Or(example, "15 24h"))
		}
		*to = new(Rate)
		if err := parseCount(d, name, args[0], &(*to).N); err != nil {
			return err
		}
		return parseDuration(d, name, args[1], &(*to).Per)
	}
}

func phonebook(to **Phonebook) func(*caddyfile.Dispenser) error {
	return func(d *caddyfile.Dispenser) error {
		kind := ""
		if d.NextArg() {
			kind = d.Val()
		}
		*to = new(Phonebook)
		switch kind {
		case "file":
			args := d.RemainingArgs()
			if len(args) != 1 {
				return d.Err("phonebook file takes one path, such as: phonebook file phones.csv")
			}
			(*to).File = args[0]
			return nil
		case "inline":
			return (*to).unmarshalInline(d)
		}
		return d.Errf("phonebook %q is unknown; write phonebook file <path> or phonebook inline { <user> <phone> }", kind)
	}
}

func (p *Phonebook) unmarshalInline(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.Errf("phonebook inline takes a block: { <user> <phone> }, not %q", d.Val())
	}
	p.Inline = map[string]string{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		user := d.Val()
		// A number may be written with spaces.
		phone := strings.Join(d.RemainingArgs(), " ")
		if phone == "" {
			return d.Errf("phonebook inline: %s has no number; write the user and the number in one line", user)
		}
		if _, twice := p.Inline[user]; twice {
			return d.Errf("phonebook inline: %s stands twice; leave one", user)
		}
		if !strings.Contains(phone, "{") {
			if _, err := otpcore.ParseNumber(phone); err != nil {
				return d.Errf("phonebook inline: the phone number of %q %v", user, err)
			}
		}
		p.Inline[user] = phone
	}
	return nil
}

// parseGlobal reads the global option.
func parseGlobal(d *caddyfile.Dispenser, existing any) (any, error) {
	d.Next() // the option's name
	if existing != nil {
		return nil, d.Err("the global option sms_otp stands twice; put everything into one")
	}
	app := new(App)
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "sms_otp", Value: caddyconfig.JSON(app, nil)}, nil
}

// UnmarshalCaddyfile reads the block of the global option; the dispenser stands on its name.
func (app *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.Errf("the global option sms_otp takes a block, not %q", d.Val())
	}
	err := options{
		"gateway": func(d *caddyfile.Dispenser) (err error) {
			app.GatewayRaw, err = guest(d, "gateway", "sms_otp.gateways.")
			return err
		},
		"store": func(d *caddyfile.Dispenser) (err error) {
			app.StoreRaw, err = guest(d, "store", "sms_otp.stores.")
			return err
		},
		"phonebook": phonebook(&app.Phonebook),
		"key":       app.unmarshalKeys,
		"countries": app.unmarshalCountries,
		"limits":    app.unmarshalLimits,
	}.read(d, nil)
	if err != nil {
		return err
	}
	if app.GatewayRaw == nil {
		return d.Err(errNoGateway.Error())
	}
	return nil
}

// guest reads a guest module: its name and whatever it makes of the rest.
func guest(d *caddyfile.Dispenser, key, namespace string) (json.RawMessage, error) {
	if !d.NextArg() {
		return nil, d.Errf("%s needs a name, such as: %s %s", key, key, map[string]string{"gateway": "smsgateway24", "store": "memory"}[key])
	}
	name := d.Val()
	if key == "store" && name == "redis" {
		return nil, d.Err("store redis is not supported yet; use: store memory")
	}
	module, err := caddyfile.UnmarshalModule(d, namespace+name)
	if err != nil {
		return nil, err
	}
	return caddyconfig.JSONModuleObject(module, key, name, nil), nil
}

func (app *App) unmarshalKeys(d *caddyfile.Dispenser) error {
	if app.Keys = d.RemainingArgs(); len(app.Keys) == 0 {
		return d.Err("key needs a value; make one with: openssl rand -base64 32; or leave the option out, and one is made and kept for you")
	}
	for i, written := range app.Keys {
		if strings.Contains(written, "{") {
			continue
		}
		if _, err := parseKey(i, written); err != nil {
			return d.Err(err.Error())
		}
	}
	return nil
}

func (app *App) unmarshalCountries(d *caddyfile.Dispenser) error {
	for _, arg := range d.RemainingArgs() {
		var code int
		if err := parseCount(d, "countries", strings.TrimPrefix(arg, "+"), &code); err != nil {
			return err
		}
		app.Countries = append(app.Countries, code)
	}
	if len(app.Countries) == 0 {
		return d.Err("countries needs calling codes, such as: countries 49 43")
	}
	if err := app.checkCountries(); err != nil {
		return d.Err(err.Error())
	}
	return nil
}

func (app *App) unmarshalLimits(d *caddyfile.Dispenser) error {
	app.Limits = new(Limits)
	l := app.Limits
	return options{
		"attempts": count(&l.Attempts), "user_attempts": rate(&l.UserAttempts), "lock_after": count(&l.LockAfter),
		"sends": count(&l.Sends), "resend_after": duration(&l.ResendAfter), "phone_sends": rate(&l.PhoneSends),
		"ip_starts": rate(&l.IPStarts), "total_sends": rate(&l.TotalSends),
	}.read(d, checks{"resend_after": l.check})
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler.
func (s *MemoryStore) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.Errf("store memory takes a block, not %q", d.Val())
	}
	return options{"capacity": count(&s.Capacity)}.read(d, checks{"capacity": s.check})
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler.
func (g *SmsGateWay24) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.Errf("gateway smsgateway24 takes a block, not %q", d.Val())
	}
	err := options{
		"url": text(&g.URL), "api": text(&g.API), "token": text(&g.Token), "auth": text(&g.Auth),
		"timeout": duration(&g.Timeout), "poll": duration(&g.Poll), "device": g.unmarshalDevice,
	}.read(d, checks{"url": g.checkWire, "api": g.checkWire, "auth": g.checkWire, "poll": g.checkPoll}, "device")
	if err != nil {
		return err
	}
	if err := g.checkRequired(); err != nil {
		return d.Err(err.Error())
	}
	return nil
}

func (g *SmsGateWay24) unmarshalDevice(d *caddyfile.Dispenser) error {
	var device Device
	if err := text(&device.ID)(d); err != nil {
		return err
	}
	sim := func() error { _, err := gatewayclient.ParseSIM(device.SIM); return err }
	if err := (options{"sim": text(&device.SIM), "limit": rate(&device.Limit)}).read(d, checks{"sim": sim}); err != nil {
		return err
	}
	for _, other := range g.Devices {
		if other.ID == device.ID && cmp.Or(other.SIM, "0") == cmp.Or(device.SIM, "0") {
			return d.Errf("device %s stands twice with the same sim; leave one", device.ID)
		}
	}
	g.Devices = append(g.Devices, device)
	return nil
}

var (
	_ caddyfile.Unmarshaler = (*App)(nil)
	_ caddyfile.Unmarshaler = (*MemoryStore)(nil)
	_ caddyfile.Unmarshaler = (*SmsGateWay24)(nil)
)
