// Package caddymodule puts an SMS one-time code in front of routes of a Caddy
// server: the sms_otp app (what all sites share), the http.handlers.sms_otp
// middleware (one protected route), their Caddyfile and everything that speaks HTTP.
//
// The rules are not here: see otpcore. The pages are in web.
package caddymodule
