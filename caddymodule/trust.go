package caddymodule

import (
	"slices"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"go.uber.org/zap"
)

// trustField is the box that a visitor ticks.
const trustField = "trust"

// trust makes this browser one that is not asked again for a while, if the visitor wants that.
func (v *visit) trust(form fields, of *otpcore.Verification) error {
	life := time.Duration(v.h.TrustDevice)
	if life == 0 || !slices.Contains([]string{"1", "on", "true"}, form[trustField]) {
		return nil
	}
	token, err := v.svc.TrustDevice(v.r.Context(), of, life)
	if err != nil {
		return err
	}
	v.h.log.Info("browser trusted", zap.String("phone", of.Number.Mask()), zap.Duration("for", life))
	setCookie(v.w, v.h.deviceCookie(), token, "", int(life.Seconds()))
	return nil
}

// readDevice opens the gate to a browser that is trusted. Its token counts on
// routes with trust_device alone, and makes no session that others would accept.
func (v *visit) readDevice() error {
	if v.h.TrustDevice == 0 || v.open() {
		return nil
	}
	for _, token := range cookieValues(v.received, v.h.deviceCookie()) {
		held, renewed, err := v.svc.Device(v.r.Context(), token, v.site, v.subject.User)
		if err != nil {
			return err
		}
		if held == nil || held.Source != v.subject.Source || !v.accepts(held.Number) {
			continue
		}
		v.subject.Known = held
		if v.now.Sub(held.VerifiedAt) >= time.Duration(v.h.TrustDevice) {
			return nil // trusted by a route that trusts for longer
		}
		if renewed != "" {
			setCookie(v.w, v.h.deviceCookie(), renewed, "", int(held.ExpiresAt.Sub(v.now).Seconds()))
		}
		v.held, v.trusted = held, true
		return nil
	}
	return nil
}

// forgetDevices ends the trust in this browser.
func (v *visit) forgetDevices() error {
	for _, token := range cookieValues(v.received, v.h.deviceCookie()) {
		if err := v.svc.ForgetDevice(v.r.Context(), token, v.site, v.subject.User); err != nil {
			return err
		}
		setCookie(v.w, v.h.deviceCookie(), "", "", -1)
	}
	return nil
}

// trustDays is what the box on the page says.
func (h *Handler) trustDays() int {
	return int(time.Duration(h.TrustDevice) / (24 * time.Hour))
}
