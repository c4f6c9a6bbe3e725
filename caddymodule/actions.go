package caddymodule

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/caddymodule/web"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

// crossOrigin refuses what a page of another site makes a browser send.
var crossOrigin = http.NewCrossOriginProtection()

// act runs an action. Only POST changes anything, and only from this very site.
func (v *visit) act(a action) error {
	if err := crossOrigin.Check(v.r); err != nil {
		return v.refuse(problemCrossSite, otpcore.Result{})
	}
	if v.r.Method != http.MethodPost {
		if a == statusAction && (v.r.Method == http.MethodGet || v.r.Method == http.MethodHead) {
			return v.status()
		}
		// The address bar of a page that a form led to: who enters it again wants the page.
		if wantsPage(v.r) {
			return v.redirect()
		}
		return v.refuse(problemMethod, otpcore.Result{})
	}
	switch a {
	case sendAction:
		return v.send()
	case verifyAction:
		return v.verify()
	case logoutAction:
		return v.logout()
	default:
		return v.status()
	}
}

// challengeID is the challenge that an action is about: of several cookies the first that is this visitor's.
func (v *visit) challengeID() (otpcore.ID, error) {
	res, err := v.current()
	if err != nil || res.ID != (otpcore.ID{}) {
		return res.ID, err
	}
	// Not this visitor's own: the rules decide, and may charge for it.
	if ids := v.challengeIDs(); len(ids) > 0 {
		return ids[0], nil
	}
	return otpcore.ID{}, nil
}

func (v *visit) send() error {
	form, err := readFields(v.w, v.r)
	if err != nil {
		return v.refuse(bodyProblem(err, problemBadBody), otpcore.Result{})
	}
	if v.open() && !v.h.Confirm {
		return v.alreadyVerified()
	}
	if v.kept = v.keptIn(form); v.nothingKept(form) {
		return v.notKept()
	}
	id, err := v.challengeID()
	if err != nil {
		return v.unavailable(err)
	}
	r := v.request()
	if v.h.AskPhone != nil {
		if r.Subject.Number, err = v.typedNumber(form["phone"]); err != nil {
			return v.refuse(problemPhone, otpcore.Result{})
		}
	}
	if sent, err := strconv.Atoi(form["sent"]); err == nil && sent >= 0 {
		r.Seen = sent
	}
	res, err := v.svc.Send(v.r.Context(), id, r)
	if err != nil {
		return v.unavailable(err)
	}
	switch res.Outcome {
	case otpcore.MessageSent, otpcore.AlreadySent:
	default:
		return v.refuse(problemOf(res.Outcome), res)
	}
	v.keepChallenge(res)
	if wantsPage(v.r) {
		return v.page(http.StatusAccepted, stateOf(res.View.State), "", res)
	}
	challenge := v.challengeOf(res)
	return v.json(http.StatusAccepted, "application/json", sentJSON{challenge, challenge})
}

// sentJSON is the challenge, and the challenge under that name too: a client may
// read the same member from every answer to send, be it a success or a problem.
type sentJSON struct {
	*challengeJSON
	Challenge *challengeJSON `json:"challenge"`
}

func (v *visit) alreadyVerified() error {
	if wantsPage(v.r) {
		return v.redirect()
	}
	return v.verifiedJSON(v.held)
}

type verifiedJSON struct {
	Verified  bool  `json:"verified"`
	ExpiresAt int64 `json:"expires_at"`
}

// verifiedJSON tells until when this route will not ask again, should nothing more be requested.
func (v *visit) verifiedJSON(held *otpcore.Verification) error {
	end := held.VerifiedAt.Add(time.Duration(v.h.MaxAge))
	if idle := held.ActiveAt.Add(time.Duration(v.h.Idle)); idle.Before(end) {
		end = idle
	}
	return v.json(http.StatusOK, "application/json", verifiedJSON{true, end.Unix()})
}

func (v *visit) verify() error {
	form, err := readFields(v.w, v.r)
	if err != nil {
		return v.refuseWithChallenge(bodyProblem(err, problemOf(otpcore.Malformed)))
	}
	if v.kept = v.keptIn(form); v.nothingKept(form) {
		return v.notKept()
	}
	if v.keepsForm() && v.open() {
		return v.goOn() // another tab has passed
	}
	id, err := v.challengeID()
	if err != nil {
		return v.unavailable(err)
	}
	res, err := v.svc.Submit(v.r.Context(), id, v.request(), form["code"])
	if err != nil {
		return v.unavailable(err)
	}
	if res.Outcome == otpcore.Accepted && res.Verification != nil {
		return v.accepted(form, res)
	}
	if res.Outcome == otpcore.NoChallenge && v.h.Confirm && res.View != nil && res.View.State == otpcore.Verified {
		return v.alreadyDone()
	}
	// Back to the form after it was answered: the visitor is in, and wants to go on.
	if res.Outcome == otpcore.NoChallenge && v.open() && wantsPage(v.r) {
		return v.redirect()
	}
	v.blocked = res.Outcome == otpcore.NoChallenge && form["sent"] != "" && len(v.received) == 0
	return v.refuse(problemOf(res.Outcome), res)
}

func (v *visit) accepted(form fields, res otpcore.Result) error {
	if v.h.Confirm {
		return v.confirmed(res)
	}
	if err := v.issue(*res.Verification, res.Verification.ActiveAt); err != nil {
		return v.unavailable(err)
	}
	if err := v.trust(form, res.Verification); err != nil {
		return v.unavailable(err)
	}
	if !wantsPage(v.r) {
		return v.verifiedJSON(res.Verification)
	}
	v.held = res.Verification
	return v.goOn()
}

// nothingKept tells that a request which waited for the code is lost: kept for too long, or changed on the way.
func (v *visit) nothingKept(form fields) bool {
	return v.kept == nil && (v.h.Confirm || form[keptField] != "")
}

// notKept says so before a code is asked for or taken that could not bring it back.
func (v *visit) notKept() error {
	v.kept = nil // or the page would say that it waits
	if wantsPage(v.r) {
		return v.page(http.StatusForbidden, web.NotSubmitted, "", otpcore.Result{})
	}
	return v.refuse(problemOf(otpcore.NoChallenge), otpcore.Result{})
}

// keepsForm tells whether a form waits whose verification had run out.
func (v *visit) keepsForm() bool { return v.kept != nil && v.kept.whole && !v.h.Confirm }

// goOn leads a visitor who is in to where he wanted: with the form that was kept, which
// goes on once however often it is sent, or to the page.
func (v *visit) goOn() error {
	if !v.keepsForm() {
		return v.redirect()
	}
	first, err := v.spendForm()
	switch {
	case errors.Is(err, errTooManyForms):
		return v.notKept()
	case err != nil:
		return v.unavailable(err)
	case !first:
		return v.redirect()
	}
	return v.replay()
}

// spendForm tells whether the kept form goes on now for the first time, and notes it. Each note
// takes a place in the store, so a visitor has maxForms of them.
func (v *visit) spendForm() (first bool, err error) {
	ctx, form := v.r.Context(), v.svc.Keys.Pseudonym("kept", v.kept.ID)
	if gone, err := v.svc.Noted(ctx, form); gone || err != nil {
		return false, err
	}
	visitor := v.svc.Keys.Pseudonym("keeper", v.subject.User+"\x00"+string(v.held.Number))
	within, err := v.svc.Within(ctx, visitor, otpcore.Limit{N: maxForms, Per: keptLife})
	if err != nil {
		return false, err
	}
	if !within {
		// Of a double click the first may have had the last place.
		if gone, err := v.svc.Noted(ctx, form); gone || err != nil {
			return false, err
		}
		return false, errTooManyForms
	}
	return v.svc.Once(ctx, form, keptLife)
}

// refuseWithChallenge refuses what could not even be read, and still shows how the challenge stands.
func (v *visit) refuseWithChallenge(p problem) error {
	res, err := v.current()
	if err != nil {
		return v.unavailable(err)
	}
	return v.refuse(p, res)
}

func (v *visit) status() error {
	if v.r.Method == http.MethodPost {
		// A program names the request that it confirms; without a body there is none.
		if form, err := readFields(v.w, v.r); err == nil {
			v.kept = v.keptIn(form)
		}
	}
	res, err := v.current()
	if err != nil {
		return v.unavailable(err)
	}
	if res.View == nil {
		return v.refuse(problemOf(otpcore.NoChallenge), otpcore.Result{})
	}
	return v.json(http.StatusOK, "application/json", v.challengeOf(res))
}

// logout ends every verification that the browser shows, at once and everywhere.
func (v *visit) logout() error {
	for _, token := range cookieValues(v.received, v.h.Cookie.Name) {
		if held, err := v.svc.Keys.Read(token, v.site, v.subject.User); err == nil {
			v.svc.Revocations.End(held.ID, v.h.app.lastExpiry(held), v.now)
		}
	}
	if err := v.forgetDevices(); err != nil {
		return v.unavailable(err)
	}
	setCookie(v.w, v.h.Cookie.Name, "", v.h.Cookie.Domain, -1)
	if wantsPage(v.r) {
		if err := v.leave(); err != nil {
			return v.unavailable(err)
		}
		return v.redirect()
	}
	v.h.setChallenge(v.w, otpcore.ID{}, -time.Second)
	v.w.Header().Set("Cache-Control", "no-store")
	v.w.WriteHeader(http.StatusNoContent)
	return nil
}

// leaving is how long who has logged out is not texted a code without asking for one: the
// redirect after it is a visit like any other.
const leaving = time.Minute

// leave gives a browser that was in an id that stands for no challenge, and notes it. Whoever
// was not must not fill the store with notes.
func (v *visit) leave() error {
	if v.held == nil {
		return nil
	}
	id := otpcore.NewID()
	v.h.setChallenge(v.w, id, leaving)
	_, err := v.svc.Once(v.r.Context(), v.left(id), leaving)
	return err
}

func (v *visit) left(id otpcore.ID) otpcore.Pseudonym {
	return v.svc.Keys.Pseudonym("left", id.String())
}

func (v *visit) justLeft() (bool, error) {
	for _, id := range v.challengeIDs() {
		if left, err := v.svc.Noted(v.r.Context(), v.left(id)); left || err != nil {
			return left, err
		}
	}
	return false, nil
}

func bodyProblem(err error, malformed problem) problem {
	if errors.Is(err, errTooLarge) {
		return problemTooLarge
	}
	return malformed
}
