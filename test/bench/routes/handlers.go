package routes

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

func init() {
	register(new(noOp))
	register(new(user))
	register(new(parse))
	caddy.RegisterModule(new(gateway))
}

// register makes a handler known by the last part of its id, as a directive without arguments.
func register(m caddy.Module) {
	caddy.RegisterModule(m)
	info := m.CaddyModule()
	httpcaddyfile.RegisterHandlerDirective(info.ID.Name(), func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		return info.New().(caddyhttp.MiddlewareHandler), nil
	})
}

// noOp is the least that a handler can do.
type noOp struct{}

func (*noOp) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.bench_noop", New: func() caddy.Module { return new(noOp) }}
}

func (*noOp) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	return next.ServeHTTP(w, r)
}

// user stands in for a first factor that costs nothing: it believes the header X-User.
type user struct{}

func (*user) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.bench_user", New: func() caddy.Module { return new(user) }}
}

func (*user) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	repl.Set("http.auth.user.id", r.Header.Get("X-User"))
	return next.ServeHTTP(w, r)
}

// parse reads a token from the gate's cookie with golang-jwt, every time: what a gate of the usual make does.
type parse struct{}

var jwtKey = []byte("a key of the benchmarks, 32 bytes")

func (*parse) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.bench_jwt", New: func() caddy.Module { return new(parse) }}
}

var errNoToken = errors.New("no token")

func (*parse) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	cookie, err := r.Cookie(Cookie)
	if err != nil {
		return caddyhttp.Error(http.StatusForbidden, errNoToken)
	}
	_, err = jwt.ParseWithClaims(cookie.Value, new(jwt.RegisteredClaims),
		func(*jwt.Token) (any, error) { return jwtKey, nil }, jwt.WithValidMethods([]string{"HS256"}))
	if err != nil {
		return caddyhttp.Error(http.StatusForbidden, err)
	}
	return next.ServeHTTP(w, r)
}

// Cookie is the gate's cookie.
const Cookie = "__Host-Http-sms-otp"

// SignJWT makes a token for the route [JWT].
func SignJWT() (string, error) {
	now := time.Now()
	return jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Issuer: "bench", Subject: "alice", Audience: jwt.ClaimStrings{"localhost"}, ID: "c2l4dGVlbiBieXRlcyE",
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Hour)),
	}).SignedString(jwtKey)
}

// Texts is called with every message that the bench gateway is given.
var Texts = func(otpcore.Message) {}

// gateway delivers at once and to nobody: what is measured is the gate, not a phone.
type gateway struct{}

func (*gateway) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sms_otp.gateways.bench", New: func() caddy.Module { return new(gateway) }}
}

func (*gateway) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { d.Next(); return nil }

func (*gateway) Sender(*gatewayclient.Ledger) (otpcore.Sender, error) { return sender{}, nil }

type sender struct{}

func (sender) Ready() error { return nil }

func (sender) Deliver(_ context.Context, m otpcore.Message, _ func() error, report func(otpcore.Report)) error {
	Texts(m)
	report(otpcore.Report{Delivery: otpcore.Delivered, Device: 1, Attempt: 1})
	return nil
}
