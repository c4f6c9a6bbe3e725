package caddymodule

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// visit is one request to a protected route.
type visit struct {
	h    *Handler
	w    http.ResponseWriter
	r    *http.Request
	next caddyhttp.Handler
	url  *url.URL // as the visitor asked for it
	now  time.Time

	repl     *caddy.Replacer
	vars     map[string]any // Caddy's, of this request
	svc      *otpcore.Service
	user     string // as the first factor names it
	site     string
	language string // as the phonebook says
	spoken   string // see tongue
	subject  otpcore.Subject
	typed    string                // the number as typed, where one is asked for
	kept     *keptRequest          // what waits for the code, if anything does
	browser  otpcore.ID            // of confirm: the browser that all of its transactions belong to
	newID    otpcore.ID            // of confirm: what the next challenge is called
	held     *otpcore.Verification // the best that the browser holds for this user; may be stale
	live     bool                  // held is not
	due      bool                  // held is to be issued again, as it is in use
	version  version               // read before the rules look: what changes while they do is a change
	trusted  bool                  // held is the trust in this browser, and no session
	received []string              // the header lines with the browser's cookies, ours included
	blocked  bool                  // it has answered a code of ours, and kept no cookie of the site
	outer    *passage              // through a gate before this one, if there was one
}

// look finds out what is asked for, by whom, and what he holds.
func (v *visit) look() (act action, refusal *problem, err error) {
	v.atOuterGate()
	if act, err = actionOf(v.url.RawQuery); err != nil {
		return noAction, &problemBadAction, nil
	}
	if refusal = v.identify(); refusal != nil {
		return act, refusal, nil
	}
	v.version = v.h.version()
	if act == noAction && v.admitted() {
		return act, nil, nil
	}
	if refusal = v.findSubject(); refusal != nil {
		return act, refusal, nil
	}
	v.readTokens()
	return act, nil, v.readDevice()
}

// answer is for whoever does not simply pass.
func (v *visit) answer(act action, refusal *problem, err error) error {
	switch {
	case refusal != nil:
		gate.refused.Inc()
		return v.refuse(*refusal, otpcore.Result{})
	case err != nil:
		gate.refused.Inc()
		return v.unavailable(err)
	case act != noAction:
		gate.action.Inc()
		return v.act(act)
	case v.h.Confirm:
		return v.confirm()
	case !wantsPage(v.r):
		gate.stepUp.Inc()
		return v.stepUp()
	default:
		gate.page.Inc()
		return v.challenge()
	}
}

// atOuterGate takes over what a gate before this one has taken out of the request. A site
// and a stricter part of it may each have their gate.
func (v *visit) atOuterGate() {
	v.received = v.r.Header["Cookie"]
	v.vars = v.r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	if v.outer, _ = v.vars[outerGate].(*passage); v.outer != nil {
		v.received = v.outer.received
	}
}

// identify finds out who comes.
func (v *visit) identify() *problem {
	svc, err := v.h.app.service()
	if err != nil {
		v.h.complain("the key is not available; nobody gets in", "key", zap.Error(err))
		return &problemUnavailable
	}
	v.svc = svc
	v.repl = v.r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	v.user = v.h.userOf(v.repl)
	if v.user == "" && v.h.AskPhone == nil {
		v.h.complain("there is no user to ask for a code: "+v.h.User+" is empty. Put a first factor such as basic_auth before sms_otp, or name with user the placeholder that it sets", "no user")
		return &problemNoUser
	}
	return nil
}

// shown is what the request shows with one of its tokens.
func (v *visit) shown(token string) shown {
	return shown{token: token, host: v.r.Host, user: v.user, tls: v.r.TLS != nil}
}

// admitted tells whether the gate was open to one of the request's tokens and nothing has
// changed since that could close it.
func (v *visit) admitted() bool {
	if v.h.Confirm {
		return false
	}
	for _, token := range cookieValues(v.received, v.h.Cookie.Name) {
		key, ok := v.h.admissions.key(v.shown(token))
		if !ok {
			continue
		}
		if known, young := v.h.admissions.find(key); young && known.opens(v.now, v.version) {
			v.held, v.live = known.held, true
			return true
		}
	}
	return false
}

// version is that of what the rules look at now.
func (h *Handler) version() version {
	now := version{revocations: h.app.engine.revocations.Changes()}
	if h.Phonebook != nil {
		now.phonebook = h.Phonebook.current.Load()
	}
	return now
}

// findSubject finds out who must prove to hold which phone. Whatever is missing refuses.
func (v *visit) findSubject() *problem {
	v.site = v.h.Cookie.Domain
	if v.site == "" {
		v.site = siteOf(v.r)
	}
	if v.h.AskPhone != nil {
		v.subject = v.asked()
		return nil
	}
	v.subject = otpcore.Subject{User: otpcore.CanonicalUser(v.user), Source: otpcore.Directory, FirstFactor: true}
	return v.findNumber()
}

func (v *visit) findNumber() *problem {
	if v.h.Phone != "" {
		written, err := v.repl.ReplaceOrErr(v.h.Phone, true, true)
		if err == nil {
			v.subject.Number, err = otpcore.ParseNumber(written)
		}
		if err != nil {
			if v.h.app.engine.complaints.due("no phone", v.now) {
				v.h.log.Warn("no phone number for a user", zap.String("placeholder", v.h.Phone))
			}
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
		held, opens := v.readToken(token)
		if opens || held != nil && v.held == nil {
			v.held, v.live = held, opens
		}
		if opens {
			v.due = v.now.Sub(held.ActiveAt) >= v.h.renewal()
			break
		}
	}
	if v.held != nil {
		v.subject.Known = v.held
	}
}

// readToken returns the verification that a token holds for this user, nil if it holds none or was
// revoked, and whether it opens the gate.
func (v *visit) readToken(token string) (held *otpcore.Verification, opens bool) {
	key, ok := v.h.admissions.key(v.shown(token))
	if !ok {
		return nil, false
	}
	known, young := v.h.admissions.find(key)
	now := admission{held: known.held}
	if now.held == nil {
		read, err := v.svc.Keys.Read(token, v.site, v.subject.User)
		if err != nil {
			return nil, false
		}
		now.held = detached(read)
	}
	revoked := v.svc.Revocations.Revoked(now.held)
	opens = !revoked && v.fresh(now.held)
	if opens && v.h.Phone == "" { // a number that each request names is compared with each
		now.version = v.version
		now.from, now.until = now.held.Window(time.Duration(v.h.MaxAge), v.h.renewal())
	}
	if !young || now != known {
		v.h.admissions.keep(key, now, v.now)
	}
	if revoked {
		return nil, false
	}
	return now.held, opens
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
	if v.due {
		if err := v.issue(*v.held, v.now); err != nil {
			return caddyhttp.Error(http.StatusInternalServerError, err)
		}
	}
	return v.hand()
}

// hand gives the request to the next handler, without our cookies and with what
// the upstream may want to know.
func (v *visit) hand() error {
	p := &passage{user: v.user, held: v.held, received: v.received}
	stripCookies(v.r, p.cookies[:0], v.h.own)
	v.vars[outerGate] = p
	delete(v.r.Header, confirmHeader)
	p.provide(v.repl, v.outer != nil)
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
		r.Binding, r.ID = v.transactionName(), v.newID
	}
	return r
}

// current returns this visitor's challenge. One of another user or site, or that was lost, is none.
func (v *visit) current() (res otpcore.Result, err error) {
	if v.h.Confirm {
		return v.transaction()
	}
	for _, id := range v.challengeIDs() {
		res, err = v.svc.Status(v.r.Context(), id, v.request())
		if err != nil || res.ID != (otpcore.ID{}) {
			return res, err
		}
	}
	return otpcore.Result{}, nil
}
