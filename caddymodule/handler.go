package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
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

	app      *App
	log      *zap.Logger
	pages    *web.Renderer
	alphabet otpcore.Alphabet
	own      []string // names of our cookies
	userKey  string   // the placeholder that user is, where it is nothing else
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
	v.atOuterGate()
	act, err := actionOf(v.url.RawQuery)
	if err != nil {
		gate.refused.Inc()
		return v.refuse(problemBadAction, otpcore.Result{})
	}
	if refusal := v.identify(); refusal != nil {
		gate.refused.Inc()
		return v.refuse(*refusal, otpcore.Result{})
	}
	v.readTokens()
	if err := v.readDevice(); err != nil {
		gate.refused.Inc()
		return v.unavailable(err)
	}
	switch {
	case act != noAction:
		gate.action.Inc()
		return v.act(act)
	case h.Confirm:
		return v.confirm()
	case v.open():
		gate.passed.Inc()
		return v.pass()
	case !wantsPage(r):
		gate.stepUp.Inc()
		return v.stepUp()
	default:
		gate.page.Inc()
		return v.challenge()
	}
}

// outerGate is the variable of a request by which a gate behind another one knows of that.
const outerGate = "sms_otp_gate"

// atOuterGate takes over what a gate before this one has taken out of the request. A site
// and a stricter part of it may each have their gate.
func (v *visit) atOuterGate() {
	v.received = v.r.Header["Cookie"]
	if v.outer, _ = caddyhttp.GetVar(v.r.Context(), outerGate).(*visit); v.outer != nil {
		v.received = v.outer.received
	}
}

// String says nothing: as a variable of the request a visit could be put into a log.
func (*visit) String() string { return "" }

// visit is one request to a protected route.
type visit struct {
	h    *Handler
	w    http.ResponseWriter
	r    *http.Request
	next caddyhttp.Handler
	url  *url.URL // as the visitor asked for it
	now  time.Time

	svc      *otpcore.Service
	user     string // as the first factor names it
	site     string
	language string // as the phonebook says
	subject  otpcore.Subject
	typed    string                // the number as typed, where one is asked for
	kept     *keptRequest          // what waits for the code, if anything does
	browser  otpcore.ID            // of confirm: the browser that all of its transactions belong to
	newID    otpcore.ID            // of confirm: what the next challenge is called
	trusted  bool                  // held is the trust in this browser, and no session
	held     *otpcore.Verification // the best that the browser holds for this user; may be stale
	live     bool                  // held is not
	received []string              // the header lines with the browser's cookies, ours included
	outer    *visit                // the same request at a gate before this one, if there was one
	cookies  [1]string             // what is left of the browser's for the upstream
}

// identify finds out who must prove to hold which phone. Whatever is missing refuses.
func (v *visit) identify() *problem {
	svc, err := v.h.app.service()
	if err != nil {
		v.h.complain("the key is not available; nobody gets in", "key", zap.Error(err))
		return &problemUnavailable
	}
	v.svc = svc
	v.site = v.h.Cookie.Domain
	if v.site == "" {
		v.site = siteOf(v.r)
	}
	repl := v.r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	v.user = v.h.userOf(repl)
	if v.h.AskPhone != nil {
		v.subject = v.asked()
		return nil
	}
	if v.user == "" {
		v.h.complain("there is no user to ask for a code: "+v.h.User+" is empty. Put a first factor such as basic_auth before sms_otp, or name with user the placeholder that it sets", "no user")
		return &problemNoUser
	}
	v.subject = otpcore.Subject{User: otpcore.CanonicalUser(v.user), Source: otpcore.Directory, FirstFactor: true}
	return v.findNumber(repl)
}

func (v *visit) findNumber(repl *caddy.Replacer) *problem {
	if v.h.Phone != "" {
		written, err := repl.ReplaceOrErr(v.h.Phone, true, true)
		if err == nil {
			v.subject.Number, err = otpcore.ParseNumber(written)
		}
		if err != nil {
			v.h.log.Warn("no phone number for a user", zap.String("placeholder", v.h.Phone))
			return &problemNoPhone
		}
	} else {
		entry, ok := v.h.Phonebook.lookup(v.subject.User)
		if !ok {
			return &problemNoPhone
		}
		v.subject.Number, v.language = entry.number, entry.language
	}
	if !v.h.app.mayText(v.subject.Number, v.h.Phonebook) {
		v.h.complain("a number is outside the allowed countries; add its calling code to countries", "country", zap.Int("calling_code", v.subject.Number.CallingCode()))
		return &problemNoPhone
	}
	return nil
}

// readTokens looks for a verification of this user among the cookies. One that is
// no longer fresh opens nothing, but tells a browser that the owner used before
// from one that never was in.
func (v *visit) readTokens() {
	for _, token := range cookieValues(v.received, v.h.Cookie.Name) {
		held, err := v.h.app.tokens.read(v.svc.Keys, token, v.site, v.subject.User, v.now)
		if err != nil || v.svc.Revocations.Revoked(held) {
			continue
		}
		if v.live = v.fresh(held); v.live || v.held == nil {
			v.held = held
		}
		if v.live {
			break
		}
	}
	if v.held != nil {
		v.subject.Known = v.held
	}
}

func (v *visit) fresh(held *otpcore.Verification) bool {
	return held.Source == v.subject.Source && v.accepts(held.Number) &&
		held.Fresh(v.now, time.Duration(v.h.MaxAge), time.Duration(v.h.Idle))
}

// accepts tells whether a number that was proven counts here and now.
func (v *visit) accepts(n otpcore.Number) bool {
	if v.h.AskPhone != nil {
		return v.provable(n)
	}
	return n == v.subject.Number
}

func (v *visit) open() bool { return v.trusted || v.live }

// pass hands the request of a verified visitor on.
func (v *visit) pass() error {
	if since := v.now.Sub(v.held.ActiveAt); !v.trusted && since >= time.Duration(v.h.Idle)/10 {
		if err := v.issue(*v.held, v.now); err != nil {
			return caddyhttp.Error(http.StatusInternalServerError, err)
		}
	}
	return v.hand()
}

// hand gives the request to the next handler, without our cookies and with what
// the upstream may want to know.
func (v *visit) hand() error {
	stripCookies(v.r, v.cookies[:0], v.h.own)
	caddyhttp.SetVar(v.r.Context(), outerGate, v)
	v.r.Header.Del(confirmHeader)
	v.provide()
	return v.next.ServeHTTP(v.w, v.r)
}

// issue gives the browser a token of the verification, in use at active.
func (v *visit) issue(of otpcore.Verification, active time.Time) error {
	of.ActiveAt = active
	of.ExpiresAt = v.h.app.expiry(of.VerifiedAt, active)
	token, err := v.svc.Keys.Issue(&of)
	if err != nil {
		return fmt.Errorf("issuing token: %w", err)
	}
	setCookie(v.w, v.h.Cookie.Name, token, v.h.Cookie.Domain, 0)
	return nil
}

// request is what the rules are asked about.
func (v *visit) request() otpcore.Request {
	r := otpcore.Request{
		Subject: v.subject, Site: v.site, Seen: -1, Pass: true,
		Length: v.h.Code.Length, Alphabet: v.h.alphabet, TTL: time.Duration(v.h.TTL),
		Compose: v.compose(),
	}
	if v.h.AskPhone != nil {
		r.Provable, r.Blind = v.provable, !v.h.AskPhone.Any
	}
	if v.h.Confirm {
		r.Pass = false
		if v.kept != nil {
			r.Binding, r.ID = v.kept.binding(), v.newID
		}
	}
	return r
}

// current returns this browser's challenge. Held tells whether it has one at all, be it over or lost.
func (v *visit) current() (res otpcore.Result, held bool, err error) {
	if v.h.Confirm {
		return v.transaction()
	}
	ids := v.challengeIDs()
	for _, id := range ids {
		res, err = v.svc.Status(v.r.Context(), id, v.request())
		if err != nil || res.ID != (otpcore.ID{}) {
			return res, true, err
		}
	}
	return otpcore.Result{}, len(ids) > 0, nil
}

// stepUp refuses a client that cannot fill in a page.
func (v *visit) stepUp() error {
	res, _, err := v.current()
	if err != nil {
		return v.unavailable(err)
	}
	if v.h.Confirm {
		return v.refuse(problemConfirm, res)
	}
	p := problemStepUp
	if strings.HasPrefix(v.r.Header.Get("Authorization"), "Bearer ") {
		p.status = http.StatusUnauthorized
		v.w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer error="insufficient_user_authentication", max_age=%d`, int(time.Duration(v.h.MaxAge).Seconds())))
	}
	return v.refuse(p, res)
}

// challenge shows the page, and sends the first message if this is a real visit.
func (v *visit) challenge() error {
	if !v.h.Confirm && !isSafe(v.r.Method) {
		if err := v.keepForm(); err != nil {
			return v.page(http.StatusForbidden, web.NotSubmitted, "", otpcore.Result{})
		}
	}
	res, held, err := v.current()
	if err != nil {
		return v.unavailable(err)
	}
	// A transaction that is done says nothing of the next one that looks the same.
	done := v.h.Confirm && res.View != nil && res.View.State == otpcore.Verified
	if res.View != nil && !done {
		return v.page(http.StatusForbidden, stateOf(res.View.State), "", res)
	}
	// A challenge that the store does not know was lost, or the visitor has just
	// logged out: he asks for a code himself.
	lost := held && res.ID == (otpcore.ID{})
	real := maySendUnasked(v.r) || v.h.Confirm && isFormOfThisSite(v.r)
	if lost || v.h.AskPhone != nil || !real {
		return v.page(http.StatusForbidden, web.Offer, "", res)
	}
	res, err = v.svc.Send(v.r.Context(), res.ID, v.request())
	if err != nil {
		return v.unavailable(err)
	}
	if res.Outcome != otpcore.MessageSent && res.Outcome != otpcore.AlreadySent {
		return v.refuseUnasked(res)
	}
	v.keepChallenge(res)
	return v.page(http.StatusForbidden, web.Waiting, "", res)
}

// refuseUnasked shows why no message went out by itself. A limit that will pass
// is no error of the visitor's: the page is the challenge page, and says when to ask.
func (v *visit) refuseUnasked(res otpcore.Result) error {
	p := problemOf(res.Outcome)
	if p.status == http.StatusTooManyRequests {
		p.status = http.StatusForbidden
	}
	return v.refuse(p, res)
}

// keepChallenge ties the challenge to this browser.
func (v *visit) keepChallenge(res otpcore.Result) {
	id := res.ID
	if v.h.Confirm {
		id = v.browser
	}
	v.h.setChallenge(v.w, id, time.Until(res.View.ExpiresAt)+otpcore.ExpiredGrace)
}

func (v *visit) unavailable(err error) error {
	if !errors.Is(err, v.r.Context().Err()) {
		v.h.complain("visitors who need a code are refused: "+err.Error(), "store")
	}
	return v.refuse(problemUnavailable, otpcore.Result{})
}

func (h *Handler) complain(what, cause string, fields ...zap.Field) {
	if h.app.engine.complaints.due(cause, time.Now()) {
		h.log.Error(what, fields...)
	}
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
