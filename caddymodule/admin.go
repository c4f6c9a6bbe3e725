package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

func init() { caddy.RegisterModule(new(Admin)) }

// Admin adds the endpoints below /sms_otp/ to Caddy's admin API, under its
// access rules: how things stand, and what helps a user who is stuck.
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (*Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.sms_otp", New: func() caddy.Module { return new(Admin) }}
}

const adminPath = "/sms_otp/"

// Routes implements [caddy.AdminRouter].
func (*Admin) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: adminPath, Handler: caddy.AdminHandlerFunc(serveAdmin)}}
}

// serveAdmin finds the app with each request: these routes are bound before
// apps are provisioned, and stay bound to a configuration that then fails.
func serveAdmin(w http.ResponseWriter, r *http.Request) error {
	app := activeApp()
	if app == nil {
		return adminError(http.StatusServiceUnavailable, "sms_otp is not part of the running configuration; load one with the global option sms_otp")
	}
	svc, err := app.service()
	if err != nil {
		return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: err}
	}
	a := admin{app: app, svc: svc, w: w, r: r}
	if err := a.route(strings.TrimPrefix(r.URL.EscapedPath(), adminPath)); err != nil {
		return apiError(err)
	}
	return nil
}

// apiError makes a fault of ours one that may pass.
func apiError(err error) error {
	if errors.As(err, new(caddy.APIError)) {
		return err
	}
	return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: err}
}

func adminError(status int, message string) caddy.APIError {
	return caddy.APIError{HTTPStatus: status, Err: errors.New(message)}
}

// admin is one request of an administrator.
type admin struct {
	app *App
	svc *otpcore.Service
	w   http.ResponseWriter
	r   *http.Request
}

// userAdmin is one about a user.
type userAdmin struct {
	admin
	user    string // canonical
	listed  bool   // in a phonebook
	numbers []otpcore.Number
}

// userActions change something, so they take POST alone.
var userActions = map[string]func(*userAdmin) error{
	"unlock": (*userAdmin).unlock, "revoke": (*userAdmin).revoke, "pass": (*userAdmin).pass,
}

func (a admin) route(path string) error {
	if path == "" {
		return a.method(a.status, http.MethodGet)
	}
	parts := strings.Split(path, "/")
	if parts[0] != "users" || len(parts) < 2 || len(parts) > 3 {
		return errAdminPath
	}
	name, err := url.PathUnescape(parts[1])
	user := otpcore.CanonicalUser(name)
	if err != nil || user == "" {
		return adminError(http.StatusBadRequest, "the user is missing: GET /sms_otp/users/<name>")
	}
	numbers := a.app.numbersOf(user)
	u := &userAdmin{admin: a, user: user, listed: len(numbers) > 0, numbers: numbers}
	// Where visitors type their number and nobody names them, it is all that they are called.
	if n, err := otpcore.ParseNumber(user); err == nil && !slices.Contains(numbers, n) {
		u.numbers = append(u.numbers, n)
	}
	if len(parts) == 2 {
		return a.method(u.inspect, http.MethodGet)
	}
	act, ok := userActions[parts[2]]
	if !ok {
		return errAdminPath
	}
	return a.method(func() error { return act(u) }, http.MethodPost)
}

var errAdminPath = adminError(http.StatusNotFound,
	"no such endpoint; there are GET /sms_otp/, GET /sms_otp/users/<name> and POST /sms_otp/users/<name>/ with unlock, revoke or pass")

func (a admin) method(serve func() error, allowed string) error {
	if a.r.Method != allowed {
		a.w.Header().Set("Allow", allowed)
		return adminError(http.StatusMethodNotAllowed, "use "+allowed)
	}
	return serve()
}

// numbersOf are the user's numbers in all phonebooks.
func (app *App) numbersOf(user string) (numbers []otpcore.Number) {
	for _, book := range app.books {
		if entry, ok := book.lookup(user); ok && !slices.Contains(numbers, entry.number) {
			numbers = append(numbers, entry.number)
		}
	}
	return numbers
}

func (a admin) json(body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("writing answer: %w", err)
	}
	a.w.Header().Set("Content-Type", "application/json")
	a.w.Header().Set("Cache-Control", "no-store")
	a.w.Write(append(text, '\n')) //nolint:errcheck // the client is gone
	return nil
}

// serverJSON is how everything stands. Times are Unix seconds, durations seconds.
type serverJSON struct {
	Pending  int          `json:"pending"`
	Capacity int          `json:"capacity"`
	InFlight int          `json:"in_flight"` // messages that are being followed
	Budget   budgetJSON   `json:"budget"`
	Devices  []deviceJSON `json:"devices"`
}

type budgetJSON struct {
	Limit int   `json:"limit"`
	Per   int64 `json:"per"`
	Left  int   `json:"left"`
	Asked int   `json:"left_for_typed_numbers"`
}

type deviceJSON struct {
	ID          string `json:"id"`
	SIM         string `json:"sim"`
	State       string `json:"state"`
	LastContact int64  `json:"last_contact,omitempty"` // left out where unknown
	Limit       int    `json:"limit"`
	Per         int64  `json:"per"`
	Left        int    `json:"left"`
	Waiting     int    `json:"waiting"`
	Failures    int    `json:"failures"`
	RestsFor    int64  `json:"rests_for,omitempty"`
}

func (a admin) status() error {
	left, asked, err := a.svc.Budget(a.r.Context())
	if err != nil {
		return err
	}
	total := a.svc.Limits.TotalSends
	body := serverJSON{
		Pending: a.app.engine.pending(), Capacity: a.app.engine.store.Capacity(), InFlight: a.svc.Workers.Pending(),
		Budget:  budgetJSON{total.N, seconds(total.Per), left, asked},
		Devices: []deviceJSON{},
	}
	for _, d := range a.app.devices() {
		body.Devices = append(body.Devices, deviceOf(d))
	}
	return a.json(body)
}

func deviceOf(d gatewayclient.DeviceView) deviceJSON {
	return deviceJSON{
		ID: d.ID, SIM: d.SIM, State: string(d.State), LastContact: unix(d.LastContact),
		Limit: d.Limit, Per: seconds(d.LimitPer), Left: d.Remaining, Waiting: d.Waiting,
		Failures: d.Failures, RestsFor: seconds(d.Rest),
	}
}

// userJSON is how a user stands. It names nobody: the pseudonym is what the log calls the user.
type userJSON struct {
	Pseudonym   string       `json:"pseudonym"`
	InPhonebook bool         `json:"in_phonebook"`
	Phones      []phoneJSON  `json:"phones"`
	attemptJSON              // behind a first factor
	Asked       *attemptJSON `json:"without_first_factor,omitempty"` // left out where nothing was tried
	RevokedAt   int64        `json:"revoked_at,omitempty"`
	PassUntil   int64        `json:"pass_until,omitempty"`
}

type attemptJSON struct {
	Locked       bool  `json:"locked"`                 // no code is accepted now
	LockedUntil  int64 `json:"locked_until,omitempty"` // left out where only unlock ends it
	WrongCodes   int   `json:"wrong_codes"`
	AttemptsLeft int   `json:"attempts_left"`
	Consecutive  int   `json:"consecutive_wrong_codes"`
}

type phoneJSON struct {
	Phone         string `json:"phone"` // masked
	MessagesSent  int    `json:"messages_sent"`
	MessagesLeft  int    `json:"messages_left"`
	NextMessageAt int64  `json:"next_message_at,omitempty"` // left out: now
}

func (u *userAdmin) inspect() error {
	state, err := u.svc.Inspect(u.r.Context(), u.user, u.numbers...)
	if err != nil {
		return err
	}
	body := userJSON{
		Pseudonym: pseudonym(u.svc.Keys, u.user), InPhonebook: u.listed, Phones: []phoneJSON{},
		attemptJSON: attemptsOf(state.Attempts), RevokedAt: unix(state.RevokedAt), PassUntil: unix(state.PassUntil),
	}
	if state.Asked.Wrong > 0 || state.Asked.Consecutive > 0 {
		asked := attemptsOf(state.Asked)
		body.Asked = &asked
	}
	for _, n := range state.Numbers {
		body.Phones = append(body.Phones, phoneJSON{n.Number.Mask(), n.Sent, n.Left, unix(n.FreeAt)})
	}
	return u.json(body)
}

func attemptsOf(a otpcore.AttemptState) attemptJSON {
	body := attemptJSON{
		Locked: a.Locked || !a.FreeAt.IsZero(), WrongCodes: a.Wrong,
		AttemptsLeft: a.Left, Consecutive: a.Consecutive,
	}
	if a.Locked {
		body.AttemptsLeft = 0
	} else {
		body.LockedUntil = unix(a.FreeAt)
	}
	return body
}

func (u *userAdmin) unlock() error {
	if err := u.svc.Unlock(u.r.Context(), u.user, u.numbers...); err != nil {
		return err
	}
	u.audit("an administrator unlocked a user")
	return u.inspect()
}

func (u *userAdmin) revoke() error {
	u.svc.Revoke(u.user)
	u.audit("an administrator revoked a user's verifications")
	return u.inspect()
}

// passJSON is the one answer that holds a code: it is for the help desk to read out.
type passJSON struct {
	Code        string `json:"code"`
	ExpiresAt   int64  `json:"expires_at"`
	InPhonebook bool   `json:"in_phonebook"`
	Locked      bool   `json:"locked"` // unlock first: while nothing is accepted from the user, the code is not either
}

func (u *userAdmin) pass() error {
	state, err := u.svc.Inspect(u.r.Context(), u.user)
	if err != nil {
		return err
	}
	code, until, err := u.svc.IssuePass(u.r.Context(), u.user)
	if err != nil {
		return err
	}
	u.audit("an administrator issued a code of the help desk", zap.Time("until", until))
	return u.json(passJSON{code, until.Unix(), u.listed, attemptsOf(state.Attempts).Locked})
}

// audit notes who did it as far as Caddy knows: the address that asked.
func (u *userAdmin) audit(what string, fields ...zap.Field) {
	u.app.log.Info(what, append(fields, zap.String("user", pseudonym(u.svc.Keys, u.user)), zap.String("remote", u.r.RemoteAddr))...)
}

// unix is 0 for a time that is not known.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return ceilUnix(t)
}

func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

var _ caddy.AdminRouter = (*Admin)(nil)
