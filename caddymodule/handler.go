package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/caddymodule/web"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

func init() { caddy.RegisterModule(new(Handler)) }

// Handler asks for a code that was texted to the visitor's phone before it
// passes a request on. It stands after a first factor such as basic_auth.
type Handler struct {
	// Who must prove to hold the phone. If a placeholder in it is empty there is no
	// user, and the request is refused. Default: {http.auth.user.id}
	User string `json:"user,omitempty"`
	// The user's number, in place of the phonebook; must come from a trusted source.
	Phone string `json:"phone,omitempty"`
	// Lets the visitor type the number, which is then what is proven.
	AskPhone *AskPhone `json:"ask_phone,omitempty"`
	// Lets a visitor have this browser not asked again for so long. Default: off
	TrustDevice caddy.Duration `json:"trust_device,omitempty"`
	// Asks for a code for each single request, which then passes once.
	Confirm bool `json:"confirm,omitempty"`
	// This route's own phonebook. Default: the app's.
	Phonebook *Phonebook `json:"phonebook,omitempty"`
	// How old a verification may be. Default: 12h
	MaxAge caddy.Duration `json:"max_age,omitempty"`
	// How long a verification lasts without a request. Default: 1h
	Idle caddy.Duration `json:"idle,omitempty"`
	// What codes look like. Default: 6 digits
	Code Code `json:"code,omitzero"`
	// How long a code is valid, 30s to 10m. Default: 5m
	TTL caddy.Duration `json:"ttl,omitempty"`
	// The site's name in the page and the message. Default: its domain.
	Site string `json:"site,omitempty"`
	// The name in the message's last line, by which phones offer the code only to
	// this site. Default: the request's host where TLS vouches for it.
	Domain string `json:"domain,omitempty"`
	// What a visitor who is stuck is told. Default: nothing
	Help string `json:"help,omitempty"`
	// The message, with the placeholders {code}, {site}, {minutes} and {domain}. Default: one in the visitor's language.
	Message string `json:"message,omitempty"`
	// A directory whose page.html and style.css replace the built-in ones.
	Templates string `json:"templates,omitempty"`
	// The language of page and message. Default: the phonebook's, else the browser's, else en.
	Language string `json:"language,omitempty"`
	// The cookie that holds the verification.
	Cookie Cookie `json:"cookie,omitzero"`

	app        *App
	log        *zap.Logger
	pages      *web.Renderer
	alphabet   otpcore.Alphabet
	admissions *admissions
	own        []string // names of our cookies
	userKey    string   // the placeholder that user is, where it is nothing else
}

// AskPhone says which numbers a visitor may prove.
type AskPhone struct {
	// Any mobile number of the allowed countries. Default: those of the phonebook,
	// and only his own where a first factor names the visitor.
	Any bool `json:"any,omitempty"`
}

// Code says what codes look like.
type Code struct {
	// Number of characters, 4 to 10. Default: 6
	Length int `json:"length,omitempty"`
	// digits or alphanumeric. Default: digits
	Alphabet string `json:"alphabet,omitempty"`
}

// Cookie names the cookie that holds a verification.
type Cookie struct {
	// Default: __Host-Http-sms-otp
	Name string `json:"name,omitempty"`
	// Shares the verification over the sub-domains of this domain. Default: none
	Domain string `json:"domain,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.sms_otp", New: func() caddy.Module { return new(Handler) }}
}

// Provision fills in the defaults and checks the settings.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.log = ctx.Logger()
	app, err := ctx.App("sms_otp")
	if err != nil {
		return fmt.Errorf("getting the sms_otp app: %w", err)
	}
	h.app = app.(*App)
	if err := errors.Join(h.checks().all(), h.checkMessage()); err != nil {
		return fmt.Errorf("sms_otp: %w", err)
	}
	h.setDefaults()
	if err := h.app.addPhonebook(h.Phonebook); err != nil {
		return fmt.Errorf("sms_otp: %w", err)
	}
	if h.Phonebook == nil {
		h.Phonebook = h.app.Phonebook
	}
	if err := h.checkNumbers(); err != nil {
		return fmt.Errorf("sms_otp: %w", err)
	}
	if h.pages, err = web.New(web.Options{Templates: h.Templates, Language: h.Language}); err != nil {
		return fmt.Errorf("sms_otp: %w", err)
	}
	h.userKey = onlyPlaceholder(h.User)
	h.own = []string{h.Cookie.Name, h.challengeCookie(), h.deviceCookie()}
	h.admissions = newAdmissions()
	h.app.enroll(time.Duration(h.MaxAge), time.Duration(h.Idle))
	h.warn()
	return nil
}

func (h *Handler) setDefaults() {
	if h.User == "" {
		h.User = "{http.auth.user.id}"
	}
	if h.MaxAge == 0 {
		h.MaxAge = caddy.Duration(12 * time.Hour)
	}
	if h.Idle == 0 {
		h.Idle = caddy.Duration(time.Hour)
	}
	if h.TTL == 0 {
		h.TTL = caddy.Duration(5 * time.Minute)
	}
	if h.Code.Length == 0 {
		h.Code.Length = 6
	}
	if h.Code.Alphabet == "" {
		h.Code.Alphabet = otpcore.Digits.String()
	}
	if h.Code.Alphabet == otpcore.Alphanumeric.String() {
		h.alphabet = otpcore.Alphanumeric
	}
	if h.Cookie.Name == "" {
		h.Cookie.Name = defaultCookie
	}
}

// ServeHTTP is the gate. What opens it is one thing: a token of this site, for this
// user, whose number came from this route's own kind of source, fresh and not revoked.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	v := visit{h: h, w: w, r: r, next: next, url: originalURL(r), now: time.Now()}
	act, refusal, err := v.look()
	if refusal == nil && err == nil && act == noAction && !h.Confirm && v.open() {
		gate.passed.Inc()
		return v.pass()
	}
	stays := v // on the heap; a visit that goes through never leaves the stack
	return stays.answer(act, refusal, err)
}

// renewal is how old a token gets before one that is in use is issued again.
func (h *Handler) renewal() time.Duration { return time.Duration(h.Idle) / 10 }

func (h *Handler) complain(what, cause string, fields ...zap.Field) {
	if h.app.engine.complaints.due(cause, time.Now()) {
		h.log.Error(what, fields...)
	}
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
