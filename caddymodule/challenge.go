package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/caddymodule/web"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

// stepUp refuses a client that cannot fill in a page.
func (v *visit) stepUp() error {
	res, err := v.current()
	if err != nil {
		return v.unavailable(err)
	}
	if v.h.Confirm {
		return v.refuse(problemConfirm, res)
	}
	p := problemStepUp
	if scheme, _, _ := strings.Cut(v.r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
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
	res, err := v.current()
	if err != nil {
		return v.unavailable(err)
	}
	// One that was answered says nothing of what is asked for now: a transaction that looks
	// the same, or a route that wants a fresher verification.
	done := res.View != nil && res.View.State == otpcore.Verified
	if res.View != nil && !done {
		return v.page(http.StatusForbidden, stateOf(res.View.State), "", res)
	}
	left, err := v.justLeft()
	if err != nil {
		return v.unavailable(err)
	}
	real := maySendUnasked(v.r) || v.h.Confirm && isFormOfThisSite(v.r)
	if left || v.h.AskPhone != nil || !real {
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
