package caddymodule

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddy-sms-otp/caddy-sms-otp/caddymodule/web"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

// confirmHeader carries what verify gave to a program: the right to one request.
const confirmHeader = "Sms-Otp-Confirm"

// maxTransactions is how many equal requests of one browser are told apart within the
// time that challenges are remembered.
const maxTransactions = 16

// confirm is the gate of a route on which each request needs its own code. Nothing
// opens it for longer than that one request: no session, no cookie.
func (v *visit) confirm() error {
	if err := crossOrigin.Check(v.r); err != nil {
		return v.refuse(problemCrossSite, otpcore.Result{})
	}
	var err error
	if v.kept, err = v.keep(); err != nil {
		// The server may allow less than we do.
		if errors.Is(err, errTooLargeToKeep) || errors.As(err, new(*http.MaxBytesError)) {
			return v.refuse(problemKeptLarge, otpcore.Result{})
		}
		return v.refuse(problemCutOff, otpcore.Result{})
	}
	if token := v.r.Header.Get(confirmHeader); token != "" {
		passed, err := v.redeem(token)
		if err != nil {
			return v.unavailable(err)
		}
		if passed != nil {
			gate.passed.Inc()
			v.held = passed
			return v.hand()
		}
	}
	if v.kept.Fields, err = v.h.details(v.kept); err != nil {
		return v.refuse(problemDetail, otpcore.Result{})
	}
	if wantsPage(v.r) {
		gate.page.Inc()
		return v.challenge()
	}
	gate.stepUp.Inc()
	return v.stepUp()
}

// redeem returns the verification that the header stands for, if it is for this very
// request and was not used before.
func (v *visit) redeem(token string) (*otpcore.Verification, error) {
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return nil, nil
	}
	plain, err := v.svc.Keys.Open(sealed, v.keptContext(confirmHeader))
	if err != nil {
		return nil, nil // made up, or another user's
	}
	id, ok := otpcore.ParseID(string(plain))
	if !ok {
		return nil, nil
	}
	return v.svc.Spend(v.r.Context(), id, v.request())
}

// keptIn reads what a form or a program's call carries of the request that waits.
func (v *visit) keptIn(form fields) *keptRequest {
	if handle := form[requestField]; handle != "" {
		return v.unseal(handle, requestField)
	}
	return v.unseal(form[keptField], keptField)
}

// action is what is confirmed, for the eye.
func (k *keptRequest) action() string {
	path, _, _ := strings.Cut(k.URL, "?")
	return cleanDetail(k.Method + " " + path)
}

// transactionName stands for the request that is confirmed. A page that asks for the status has
// only the name, which is good for nothing else.
func (v *visit) transactionName() otpcore.Pseudonym {
	if v.kept != nil {
		return v.svc.Keys.Pseudonym("binding", v.kept.binding())
	}
	name, _ := otpcore.ParsePseudonym(v.url.Query().Get(transactionParam))
	return name
}

// transaction returns the newest challenge of this browser for the kept request,
// and notes what the next one would be called. Its id follows from the browser, the request and
// a count, so that two transactions in two tabs have two challenges and a reload finds its own; from
// the user and the number as well, or a challenge that a new number has ended would stand in the way.
func (v *visit) transaction() (res otpcore.Result, err error) {
	if ids := v.challengeIDs(); len(ids) > 0 {
		v.browser = ids[0]
	} else {
		v.browser = otpcore.NewID()
	}
	r := v.request()
	whose := strings.Join([]string{v.browser.String(), v.site, v.subject.User, string(v.subject.Number), r.Binding.String()}, "\x00")
	for n := range maxTransactions {
		v.newID = otpcore.ID(v.svc.Keys.Pseudonym("transaction "+strconv.Itoa(n), whose))
		next, err := v.svc.Status(v.r.Context(), v.newID, r)
		if err != nil || next.ID == (otpcore.ID{}) {
			return res, err
		}
		res = next
	}
	v.newID = otpcore.NewID()
	return res, nil
}

// confirmed acts on the right code: the page's request runs at once, a program is given the right to it.
func (v *visit) confirmed(res otpcore.Result) error {
	if v.kept.whole {
		spent, err := v.svc.Spend(v.r.Context(), res.ID, v.request())
		if err != nil {
			return v.unavailable(err)
		}
		if spent == nil {
			return v.alreadyDone()
		}
		v.held = spent
		return v.replay()
	}
	token := v.svc.Keys.Seal([]byte(res.ID.String()), v.keptContext(confirmHeader))
	return v.json(http.StatusOK, "application/json", confirmedJSON{true, base64.RawURLEncoding.EncodeToString(token)})
}

type confirmedJSON struct {
	Verified bool   `json:"verified"`
	Confirm  string `json:"confirm"`
}

// alreadyDone tells who sends the right code again that it has had its effect.
func (v *visit) alreadyDone() error {
	v.kept = nil
	if wantsPage(v.r) {
		return v.page(http.StatusForbidden, web.Verified, "", otpcore.Result{})
	}
	return v.refuse(problemOf(otpcore.NoChallenge), otpcore.Result{})
}
