package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/caddymodule/web"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// problem is a refusal: an RFC 9457 document for programs, a state of the page for people.
type problem struct {
	name   string
	status int
	title  string
	detail string
	state  web.State
}

// The problems that are not outcomes of the rules.
var (
	problemStepUp      = problem{"step-up-required", 403, "Verification needed", "This needs a code that is sent to your phone. POST to ?sms_otp=send, then the code to ?sms_otp=verify.", web.Offer}
	problemConfirm     = problem{"step-up-required", 403, "Confirmation needed", "This request needs a code of its own. POST the field request to ?sms_otp=send, then with the code to ?sms_otp=verify, and repeat the request with the header Sms-Otp-Confirm.", web.Offer}
	problemDetail      = problem{"bad-action", 422, "Unclear request", "A field that the message names must stand in the request exactly once.", web.BadAction}
	problemKeptLarge   = problem{"too-large", 413, "Too large", "A request that is to be confirmed has at most 64 KiB.", web.TooLarge}
	problemCutOff      = problem{"bad-action", 400, "Unreadable request", "The body of the request did not come whole.", web.BadAction}
	problemBadAction   = problem{"bad-action", 400, "Unknown action", "The query parameter sms_otp is reserved: send, verify, status or logout, once.", web.BadAction}
	problemMethod      = problem{"bad-action", 405, "Wrong method", "This action changes something: use POST.", web.BadAction}
	problemBadBody     = problem{"bad-action", 422, "Unreadable body", "The body must be an urlencoded form or a flat JSON object, with each field once.", web.BadAction}
	problemPhone       = problem{"phone-refused", 422, "Number refused", "That is not the number of a mobile phone that may be texted from here.", web.AskPhone}
	problemTooLarge    = problem{"too-large", 413, "Too large", "The body of the action is too large.", web.TooLarge}
	problemNoUser      = problem{"no-user", 403, "No user", "It is not known who you are, so no code can be sent.", web.NoUser}
	problemNoPhone     = problem{"no-phone", 403, "No phone number", "No phone number is on file for you, so no code can be sent.", web.NoPhone}
	problemCrossSite   = problem{"cross-site", 403, "Sent from another site", "The request came from another site and changed nothing.", web.CrossSite}
	problemUnavailable = problem{"unavailable", 503, "Not available", "No code can be sent or checked at the moment. Try again later.", web.Unavailable}
)

// outcomeProblems is the one table from what the rules decided to what the
// visitor is told. An outcome that is missing here is a success, or refused as unavailable.
var outcomeProblems = map[otpcore.Outcome]problem{
	otpcore.NoChallenge:   {"no-challenge", 403, "No code to answer", "There is no code for this browser any more. Ask for a new one.", web.Offer},
	otpcore.WrongCode:     {"code-wrong", 403, "Wrong code", "That is not the code of the message.", web.Waiting},
	otpcore.Malformed:     {"code-malformed", 422, "Not a code", "That cannot be the code: it has another length. No attempt was lost.", web.Waiting},
	otpcore.CodeExpired:   {"code-expired", 403, "Code expired", "The code is no longer valid. Ask for a new one.", web.Expired},
	otpcore.AttemptsSpent: {"locked", 429, "Too many wrong codes", "Too many wrong codes. Ask for a new code when the time has come.", web.Locked},
	otpcore.NumberMissing: {"phone-refused", 422, "Number needed", "Send the number in the field phone, with + and the country's calling code.", web.AskPhone},
	otpcore.SendLimited:   {"send-limited", 429, "Too many messages", "No further message is sent yet.", web.SendLimited},
	otpcore.BudgetSpent:   {"unavailable", 503, "Not available", "No more messages are sent for the time being.", web.Unavailable},
	otpcore.CannotSend:    {"delivery-failed", 503, "Cannot send", "No phone can send messages at the moment.", web.DeliveryFailed},
}

func problemOf(o otpcore.Outcome) problem {
	if p, ok := outcomeProblems[o]; ok {
		return p
	}
	return problemUnavailable
}

// challengeJSON is the challenge as API clients see it. Times are Unix seconds. Text and
// InputMode are for whoever shows it to a person: how it stands, and HTML's attribute of the field.
type challengeJSON struct {
	Verified     bool   `json:"verified,omitempty"`
	State        string `json:"state"`
	Delivery     string `json:"delivery"`
	Device       int    `json:"device"`
	PhoneHint    string `json:"phone_hint"`
	CodeLength   int    `json:"code_length"`
	CodeAlphabet string `json:"code_alphabet"`
	ExpiresAt    int64  `json:"expires_at"`
	ResendAt     int64  `json:"resend_at"`
	AttemptsLeft int    `json:"attempts_left"`
	SendsLeft    int    `json:"sends_left"`
	Text         string `json:"text"`
	InputMode    string `json:"input_mode"`
}

func (v *visit) challengeOf(res otpcore.Result) *challengeJSON {
	view := res.View
	if view == nil {
		return nil
	}
	mode := "numeric"
	if view.Alphabet == otpcore.Alphanumeric {
		mode = "text"
	}
	return &challengeJSON{
		Verified: view.State == otpcore.Verified, State: view.State.String(),
		Delivery: view.Delivery.String(), Device: view.Device,
		PhoneHint: view.PhoneHint, CodeLength: view.Length, CodeAlphabet: view.Alphabet.String(),
		ExpiresAt: view.ExpiresAt.Unix(), ResendAt: ceilUnix(view.ResendAt),
		AttemptsLeft: view.AttemptsLeft, SendsLeft: view.SendsLeft,
		Text: v.h.pages.News(v.words(stateOf(view.State), "", res)), InputMode: mode,
	}
}

// ceilUnix rounds up: who comes back at that second must not be too early.
func ceilUnix(t time.Time) int64 { return t.Add(time.Second - 1).Unix() }

type problemJSON struct {
	Type         string         `json:"type"`
	Title        string         `json:"title"`
	Status       int            `json:"status"`
	Detail       string         `json:"detail"`
	Help         string         `json:"help,omitempty"`
	AttemptsLeft *int           `json:"attempts_left,omitempty"`
	Request      string         `json:"request,omitempty"`
	Challenge    *challengeJSON `json:"challenge,omitempty"`
}

// refuse answers with a problem, as a page or as JSON.
func (v *visit) refuse(p problem, res otpcore.Result) error {
	if p.state == web.Waiting && res.View == nil {
		p.state = web.Offer
	}
	if p.status == http.StatusTooManyRequests || p.status == http.StatusServiceUnavailable {
		v.w.Header().Set("Retry-After", v.retryAfter(res.RetryAt, p.status))
	}
	if p.status == http.StatusMethodNotAllowed {
		v.w.Header().Set("Allow", http.MethodPost)
	}
	if wantsPage(v.r) {
		return v.page(p.status, p.state, p.name, res)
	}
	body := problemJSON{Type: "urn:sms-otp:" + p.name, Title: p.title, Status: p.status, Detail: p.detail}
	v.translate(&body, p, res)
	if p.state == web.NoPhone || p.state == web.NoUser || p.state == web.Unavailable {
		body.Help = v.h.Help
	}
	if res.View != nil {
		body.AttemptsLeft = &res.View.AttemptsLeft
	}
	if p == problemConfirm && v.kept != nil {
		var err error
		if body.Request, err = v.seal(*v.kept, requestField); err != nil {
			return caddyhttp.Error(http.StatusInternalServerError, err)
		}
	}
	return v.json(p.status, "application/problem+json", body)
}

// translate puts what the page would say in place of what is said to programmers alone.
func (v *visit) translate(body *problemJSON, p problem, res otpcore.Result) {
	if p.name == problemStepUp.name {
		// The most frequent refusal: a program that names no language is nobody's browser, and pays nothing for one.
		if v.r.Header.Get("Accept-Language") != "" {
			body.Title = v.h.pages.Title(web.Page{Lang: v.tongue(), State: p.state})
		}
		if res.View == nil {
			return
		}
	}
	body.Challenge = v.challengeOf(res)
	if said := v.h.pages.Problem(v.words(p.state, p.name, res)); said != "" {
		body.Detail = said
	}
}

// retryAfter is in whole seconds, rounded up. A fault of ours names no time: half a minute is a guess.
func (v *visit) retryAfter(at time.Time, status int) string {
	if at.IsZero() && status == http.StatusServiceUnavailable {
		return "30"
	}
	// By the time of the answer: the rules have looked at the clock after v.now.
	return strconv.FormatInt(max(0, int64((time.Until(at)+time.Second-1)/time.Second)), 10)
}

func (v *visit) json(status int, media string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return caddyhttp.Error(http.StatusInternalServerError, fmt.Errorf("writing answer: %w", err))
	}
	h := v.w.Header()
	h.Set("Content-Type", media)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	v.w.WriteHeader(status)
	v.w.Write(append(text, '\n')) //nolint:errcheck // the client is gone
	return nil
}

// redirect sends the browser to the protected page itself.
func (v *visit) redirect() error {
	v.w.Header().Set("Location", cleanURL(v.url))
	v.w.Header().Set("Cache-Control", "no-store")
	v.w.WriteHeader(http.StatusSeeOther)
	return nil
}

// stateOf is the page that a challenge is shown on. One that is verified, while the visitor
// is not, was made for another route or is over: another code is offered.
func stateOf(s otpcore.State) web.State {
	switch s {
	case otpcore.Pending:
		return web.Waiting
	case otpcore.Locked:
		return web.Locked
	case otpcore.Expired:
		return web.Expired
	default:
		return web.Offer
	}
}

// tongue is the language that the visitor is spoken to in.
func (v *visit) tongue() string {
	if v.spoken == "" {
		v.spoken = v.h.pages.Match(v.language, v.r.Header.Get("Accept-Language"))
	}
	return v.spoken
}

// words is as much of the page as its sentences are made from.
func (v *visit) words(state web.State, problem string, res otpcore.Result) web.Page {
	p := web.Page{
		Lang: v.tongue(), State: state, Error: problem,
		Site: v.shownName(), Help: v.h.Help, PhoneHint: v.subject.Number.Mask(),
		CodeLength: v.h.Code.Length, Alphanumeric: v.h.alphabet == otpcore.Alphanumeric,
		// To the second, or a code that was sent a moment ago would be "valid for 4 minutes".
		Now: time.Now().Round(time.Second), RetryAt: res.RetryAt.Round(time.Second),
		SendURL: actionURL(cleanURL(v.url), sendAction),
	}
	if state == web.Locked && v.barred() {
		p.SendURL, p.RetryAt = "", time.Time{}
	}
	if v.h.AskPhone != nil {
		p.AskPhone, p.Phone, p.PhoneHint = true, v.typed, ""
		if state == web.Offer {
			p.State = web.AskPhone
		}
	}
	if view := res.View; view != nil {
		p.PhoneHint = view.PhoneHint
		p.CodeLength, p.Alphanumeric = view.Length, view.Alphabet == otpcore.Alphanumeric
		p.AttemptsLeft, p.SendsLeft, p.Sent = view.AttemptsLeft, view.SendsLeft, view.Sends
		p.Delivery, p.Device = view.Delivery.String(), view.Device
		p.ExpiresAt, p.ResendAt = view.ExpiresAt.Round(time.Second), view.ResendAt.Round(time.Second)
	}
	return p
}

// page answers with the challenge page in the given state.
func (v *visit) page(status int, state web.State, problem string, res otpcore.Result) error {
	clean := cleanURL(v.url)
	p := v.words(state, problem, res)
	p.VerifyURL, p.StatusURL, p.ContinueURL = actionURL(clean, verifyAction), actionURL(clean, statusAction), clean
	p.PlainHTTP, p.NoCookies = !v.keepsCookies(), v.blocked
	if v.held != nil && !v.open() {
		p.Reason = "step-up"
	}
	p.TrustDays = v.h.trustDays()
	if v.kept != nil {
		kept, err := v.seal(*v.kept, keptField)
		if err != nil {
			return caddyhttp.Error(http.StatusInternalServerError, err)
		}
		p.Kept = kept
	}
	if v.h.Confirm && v.kept != nil {
		p.Action = v.kept.action()
		p.StatusURL += "&" + transactionParam + "=" + v.transactionName().String()
	}
	html, err := v.h.pages.Render(p)
	if err != nil {
		return caddyhttp.Error(http.StatusInternalServerError, fmt.Errorf("rendering page: %w", err))
	}
	for name, values := range v.h.pages.Header() {
		v.w.Header()[name] = values
	}
	v.w.Header().Set("Content-Length", strconv.Itoa(len(html))) // or it would go out in chunks, one write more
	v.w.WriteHeader(status)
	v.w.Write(html) //nolint:errcheck // the client is gone
	return nil
}

// barred tells that waiting does not help: only an administrator does.
func (v *visit) barred() bool {
	barred, err := v.svc.Barred(v.r.Context(), v.subject)
	return err == nil && barred
}

// keepsCookies tells whether a browser keeps Secure cookies that come this way:
// over TLS, or from the machine itself. One that sends Sec-Fetch headers says so itself: they
// go to trustworthy addresses only (W3C Fetch Metadata 2), whatever stands in front of us.
func (v *visit) keepsCookies() bool {
	h := v.r.Header
	if v.r.TLS != nil || strings.EqualFold(h.Get("X-Forwarded-Proto"), "https") || h.Get("Sec-Fetch-Site") != "" {
		return true
	}
	host := hostname(v.r.Host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || host == "127.0.0.1" || host == "::1"
}

// siteName is what the site is called: by its operator, else by the name that
// TLS vouches for. Never by a Host header, which whoever sends the request chooses.
func (v *visit) siteName() string {
	if v.h.Site != "" {
		return v.h.Site
	}
	return v.domain()
}

// shownName is what the page calls the site. It may be the Host: whoever reads the
// page has asked for it himself.
func (v *visit) shownName() string {
	if name := v.siteName(); name != "" {
		return name
	}
	return hostname(v.r.Host)
}

// domain is the name in the message's last line.
func (v *visit) domain() string {
	if v.h.Domain != "" {
		return v.h.Domain
	}
	if host := hostname(strings.ToLower(v.r.Host)); v.r.TLS != nil && strings.EqualFold(v.r.TLS.ServerName, host) {
		return host
	}
	return ""
}
