package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"
)

func init() {
	caddy.RegisterModule(new(App))
	caddy.RegisterModule(new(MemoryStore))
}

// App holds what all protected routes of a server share: the gateway, the
// phonebook, the keys and the limits.
type App struct {
	// The gateway that texts go out through. Required.
	GatewayRaw json.RawMessage `json:"gateway,omitempty" caddy:"namespace=sms_otp.gateways inline_key=gateway"`
	// Whose phone is whose. A route may name its own instead.
	Phonebook *Phonebook `json:"phonebook,omitempty"`
	// Where challenges are kept. Default: memory.
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=sms_otp.stores inline_key=store"`
	// Secrets of at least 32 bytes, as base64 or placeholders; the first signs, all
	// verify. Default: one that is made once and kept in Caddy's storage.
	Keys []string `json:"keys,omitempty"`
	// Calling codes that may be sent to. Default: those of the phonebook.
	Countries []int `json:"countries,omitempty"`
	// What visitors, numbers and the whole server may use up.
	Limits *Limits `json:"limits,omitempty"`

	ctx      caddy.Context
	log      *zap.Logger
	engine   *engine
	sender   otpcore.Sender
	gateway  string // the module's name
	events   *caddyevents.App
	capacity int
	keys     [][]byte
	books    []*Phonebook
	// The longest times of all routes: a token must live as long as the most patient route accepts it.
	maxAge, idle time.Duration

	once    sync.Once
	svc     *otpcore.Service
	onceErr error
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sms_otp", New: func() caddy.Module { return new(App) }}
}

// MemoryStore keeps challenges in memory.
type MemoryStore struct {
	// How many challenges may be pending at a time. Default: 100000
	Capacity int `json:"capacity,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*MemoryStore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sms_otp.stores.memory", New: func() caddy.Module { return new(MemoryStore) }}
}

func (s *MemoryStore) check() error {
	if s.Capacity < 0 || s.Capacity > maxCapacity {
		return fmt.Errorf("store memory: capacity is %d, must be 1 to %d", s.Capacity, maxCapacity)
	}
	return nil
}

const (
	defaultCapacity = 100_000
	maxCapacity     = 10_000_000
)

// Limits are what visitors, numbers and the whole server may use up.
type Limits struct {
	// Wrong codes in one challenge. Default: 5
	Attempts int `json:"attempts,omitempty"`
	// Wrong codes of one user, whatever browser, address or challenge. Default: 15 in 24h
	UserAttempts *Rate `json:"user_attempts,omitempty"`
	// Consecutive wrong codes of one user; then only an administrator helps. Default: 100
	LockAfter int `json:"lock_after,omitempty"`
	// Messages in one challenge. Default: 3
	Sends int `json:"sends,omitempty"`
	// Time between two messages to one number; doubles within a challenge. Default: 30s
	ResendAfter caddy.Duration `json:"resend_after,omitempty"`
	// Messages to one number. Default: 15 in 24h
	PhoneSends *Rate `json:"phone_sends,omitempty"`
	// Challenges begun from one address where no first factor stands before. Default: 20 in 1h
	IPStarts *Rate `json:"ip_starts,omitempty"`
	// Messages of the whole server. Default: 1000 in 24h
	TotalSends *Rate `json:"total_sends,omitempty"`
}

// Rate is how often something may happen within a time.
type Rate struct {
	N   int            `json:"n"`
	Per caddy.Duration `json:"per"`
}

var errNoGateway = errors.New("sms_otp has no gateway; add to the global options: sms_otp { gateway smsgateway24 { token … device … } }")

// Provision sets up the app. It starts nothing: a configuration that is only validated must leave no trace.
func (app *App) Provision(ctx caddy.Context) (err error) {
	app.ctx, app.log = ctx, ctx.Logger()
	if app.GatewayRaw == nil {
		return errNoGateway
	}
	if app.keys, err = resolveKeys(app.Keys); err != nil {
		return err
	}
	if err := errors.Join(app.Limits.check(), app.checkCountries()); err != nil {
		return err
	}
	if err := app.provisionStore(ctx); err != nil {
		return err
	}
	gateway, err := ctx.LoadModule(app, "GatewayRaw")
	if err != nil {
		return fmt.Errorf("loading gateway module: %w", err)
	}
	app.gateway = gateway.(caddy.Module).CaddyModule().ID.Name()
	sender, err := gateway.(Gateway).Sender(app.engine.devices)
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	app.sender = sender
	if err := app.provisionReports(ctx); err != nil {
		return err
	}
	return app.addPhonebook(app.Phonebook)
}

// addPhonebook loads a phonebook, which is watched from Start on. None is none.
func (app *App) addPhonebook(book *Phonebook) error {
	if book == nil {
		return nil
	}
	app.books = append(app.books, book)
	return book.load()
}

func (app *App) provisionStore(ctx caddy.Context) error {
	app.capacity = defaultCapacity
	if app.StoreRaw != nil {
		store, err := ctx.LoadModule(app, "StoreRaw")
		if err != nil {
			return fmt.Errorf("loading store module: %w", err)
		}
		memory, ok := store.(*MemoryStore)
		if !ok {
			return fmt.Errorf("store: %T is not supported; use: store memory", store)
		}
		if err := memory.check(); err != nil {
			return err
		}
		if memory.Capacity != 0 {
			app.capacity = memory.Capacity
		}
	}
	var err error
	app.engine, err = acquireEngine(app.capacity)
	return err
}

// Start makes the key if there is none, takes back what was written down of the
// state, and puts this configuration's settings in force.
func (app *App) Start() error {
	svc, err := app.service()
	if err != nil {
		return err
	}
	app.engine.persist.attach(app, app.stateTarget(svc.Keys))
	app.engine.store.SetCapacity(app.capacity)
	app.watchDevices()
	for _, book := range app.books {
		if book.File != "" {
			go book.watch(app.ctx, app.log)
		}
	}
	return nil
}

// Stop has the state written down if no other configuration takes over. What is
// on its way goes on: it belongs to no configuration.
func (app *App) Stop() error { return app.engine.persist.detach(app) }

// Cleanup releases the shared state, if this configuration got as far as to use it.
func (app *App) Cleanup() error {
	if app.engine == nil {
		return nil
	}
	return releaseEngine()
}

// service returns the rules with this configuration's settings. Caddy starts
// apps in any order: the first request may come before Start.
func (app *App) service() (*otpcore.Service, error) {
	app.once.Do(func() { app.svc, app.onceErr = app.newService() })
	return app.svc, app.onceErr
}

func (app *App) newService() (*otpcore.Service, error) {
	secrets := app.keys
	if len(secrets) == 0 {
		ctx, cancel := context.WithTimeout(app.ctx, 30*time.Second)
		defer cancel()
		key, err := storedKey(ctx, app.ctx.Storage())
		if err != nil {
			return nil, err
		}
		secrets = [][]byte{key}
	}
	keys, err := otpcore.NewKeyring(secrets...)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if err := app.restore(keys); err != nil {
		return nil, err
	}
	journal := &journal{app: app, log: app.log, keys: keys}
	return &otpcore.Service{
		Store: app.engine.store, Keys: keys, Workers: app.engine.workers, Revocations: app.engine.revocations,
		Sender: app.sender, Limits: app.Limits.rules(), Observe: journal.observe,
	}, nil
}

// enroll notes how long a route lets a verification live.
func (app *App) enroll(maxAge, idle time.Duration) {
	app.maxAge, app.idle = max(app.maxAge, maxAge), max(app.idle, idle)
}

// expiry is when a token that was last in use at active ends, whatever route it is shown to.
func (app *App) expiry(verified, active time.Time) time.Time {
	end := verified.Add(app.maxAge)
	if idle := active.Add(app.idle); idle.Before(end) {
		end = idle
	}
	// Tokens count whole seconds; each route checks its own times to the millisecond.
	return end.Truncate(time.Second).Add(time.Second)
}

// lastExpiry is when the last reissue of a verification ends.
func (app *App) lastExpiry(held *otpcore.Verification) time.Time {
	if end := held.VerifiedAt.Add(app.maxAge); end.After(held.ExpiresAt) {
		return end
	}
	return held.ExpiresAt
}

// mayText tells whether numbers of this calling code may be sent to: those of
// the configuration, or else those of the phonebook in use.
func (app *App) mayText(n otpcore.Number, book *Phonebook) bool {
	if len(app.Countries) > 0 {
		return slices.Contains(app.Countries, n.CallingCode())
	}
	return book != nil && slices.Contains(book.current.Load().codes, n.CallingCode())
}

func (app *App) checkCountries() error {
	for _, code := range app.Countries {
		if !otpcore.IsCallingCode(code) {
			return fmt.Errorf("countries: no country has the calling code %d; write the number that stands after the + of its phone numbers, such as: countries 49 43", code)
		}
	}
	return nil
}

func (l *Limits) check() error {
	if l == nil {
		return nil
	}
	for name, n := range map[string]int{"attempts": l.Attempts, "lock_after": l.LockAfter, "sends": l.Sends} {
		if n < 0 {
			return fmt.Errorf("limits %s: is %d, must be at least 1", name, n)
		}
	}
	if l.ResendAfter != 0 && time.Duration(l.ResendAfter) < time.Second {
		return fmt.Errorf("limits resend_after: is %s, must be at least 1s", time.Duration(l.ResendAfter))
	}
	rates := map[string]*Rate{"user_attempts": l.UserAttempts, "phone_sends": l.PhoneSends, "ip_starts": l.IPStarts, "total_sends": l.TotalSends}
	for name, r := range rates {
		if r != nil && (r.N < 1 || time.Duration(r.Per) < time.Second) {
			return fmt.Errorf("limits %s: needs a number of at least 1 and a time of at least 1s, such as 15 24h", name)
		}
	}
	return nil
}

// rules fills in the defaults.
func (l *Limits) rules() otpcore.Limits {
	rules := otpcore.DefaultLimits()
	if l == nil {
		return rules
	}
	setInt := func(to *int, n int) {
		if n != 0 {
			*to = n
		}
	}
	setRate := func(to *otpcore.Limit, r *Rate) {
		if r != nil {
			*to = otpcore.Limit{N: r.N, Per: time.Duration(r.Per)}
		}
	}
	setInt(&rules.Attempts, l.Attempts)
	setInt(&rules.LockAfter, l.LockAfter)
	setInt(&rules.Sends, l.Sends)
	setRate(&rules.UserAttempts, l.UserAttempts)
	setRate(&rules.PhoneSends, l.PhoneSends)
	setRate(&rules.IPStarts, l.IPStarts)
	setRate(&rules.TotalSends, l.TotalSends)
	if l.ResendAfter != 0 {
		rules.ResendAfter = time.Duration(l.ResendAfter)
	}
	return rules
}

var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
