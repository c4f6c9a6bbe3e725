// Package routes is what the benchmarks compare: one site for each way of
// answering a request, the gate's and those of its peers, on ports of their own.
package routes

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

// The routes.
const (
	Bare          = "respond"
	NoOp          = "no-op handler"
	Gate          = "sms_otp"
	BasicAuth     = "basic_auth"
	BasicAuthGate = "basic_auth + sms_otp"
	ForwardAuth   = "forward_auth"
	JWT           = "golang-jwt each time"
	Proxy         = "reverse_proxy"
	ProxyGate     = "sms_otp + reverse_proxy"
	File          = "file_server"
)

// Password is that of everybody on the routes with basic_auth.
const Password = "bench-password"

// passwordHash is bcrypt of Password, at the lowest cost: Caddy remembers the answer.
const passwordHash = "$2a$04$7VjGKIFlbwyPoB8D01UzxeJDIHsfK53vqbHJe2vkjhDsOpoiYQdZS"

// Site says what runs behind and beside the routes.
type Site struct {
	Dir      string         // Caddy's storage, phones.csv and index.html
	Upstream string         // host:port of a server that says 200
	Ports    map[string]int // by route; a route without one is left out
	TLS      bool
	// Header has the gate itself take the user from X-User, so that nothing stands beside it that a
	// bare route has not.
	Header bool
}

// blocks are the routes. Where no first factor is measured, bench_user stands in for one, or the gate reads the header.
func (s Site) blocks() map[string]string {
	basic := "basic_auth {\n alice " + passwordHash + "\n}\n"
	const respond = "respond ok\n"
	first, gate := "bench_user\n", "bench_user\nsms_otp\n"
	if s.Header {
		first, gate = "", "sms_otp {\nuser {http.request.header.X-User}\n}\n"
	}
	return map[string]string{
		Bare: respond, NoOp: first + "bench_noop\n" + respond, Gate: gate + respond,
		BasicAuth: basic + respond, BasicAuthGate: basic + "sms_otp\n" + respond,
		ForwardAuth: "forward_auth " + s.Upstream + " {\nuri /\n}\n" + respond, JWT: "bench_jwt\n" + respond,
		Proxy: "reverse_proxy " + s.Upstream + "\n", ProxyGate: gate + "reverse_proxy " + s.Upstream + "\n",
		File: "file_server {\nroot " + s.Dir + "\n}\n",
	}
}

// Caddyfile configures the routes.
func (s Site) Caddyfile() string {
	var b strings.Builder
	fmt.Fprintf(&b, `{
	admin off
	auto_https disable_redirects
	skip_install_trust
	local_certs
	persist_config off
	default_bind 127.0.0.1
	storage file_system %[1]s/storage
	log {
		level WARN
		output discard
	}
	%[2]s
}
`, s.Dir, s.app())
	blocks := s.blocks()
	for name, port := range s.Ports {
		if s.TLS {
			fmt.Fprintf(&b, "https://localhost:%d {\ntls internal\n", port)
		} else {
			fmt.Fprintf(&b, "http://localhost:%d {\n", port)
		}
		fmt.Fprintf(&b, "route {\n%s}\n}\n", blocks[name])
	}
	return b.String()
}

// app is the global option, left out where no route has a gate.
func (s Site) app() string {
	if s.Ports[Gate] == 0 {
		return ""
	}
	return fmt.Sprintf(`sms_otp {
		gateway bench
		key %s
		phonebook file %s/phones.csv
		limits {
			total_sends 1000000 24h
		}
	}`, base64.StdEncoding.EncodeToString(key), s.Dir)
}

// key signs the gate's tokens, so that a hundred thousand of them can be had without as many messages.
var key = []byte("the key of all benchmarks, 32 bytes")

// Keys are those of the routes.
func Keys() (*otpcore.Keyring, error) { return otpcore.NewKeyring(key) }

// Token is the cookie, name and value, of a user who has just proven his number at the site.
func Token(keys *otpcore.Keyring, site, user string, number otpcore.Number) (string, error) {
	now := time.Now()
	token, err := keys.Issue(&otpcore.Verification{
		ID: otpcore.NewID(), Site: site, User: user, Number: number, FirstFactor: true,
		VerifiedAt: now, ActiveAt: now, ExpiresAt: now.Add(time.Hour),
	})
	return Cookie + "=" + token, err
}

// Forge changes one letter of a cookie's signature.
func Forge(cookie string) string {
	at := len(cookie) - 20
	other := "A"
	if cookie[at] == 'A' {
		other = "B"
	}
	return cookie[:at] + other + cookie[at+1:]
}

// Alice is alice's number.
const Alice otpcore.Number = "+447700900123"

// Number is that of user i, see [Phonebook].
func Number(i int) otpcore.Number { return otpcore.Number(fmt.Sprintf("+4477009%06d", i)) }

// Phonebook gives alice and n users, u0, u1 and so on, a number each. The range that is
// reserved for examples is too small for them: the others are one digit too long to be anybody's.
func Phonebook(n int) string {
	var b strings.Builder
	b.WriteString("user,phone\nalice," + string(Alice) + "\n")
	for i := range n {
		fmt.Fprintf(&b, "u%d,%s\n", i, Number(i))
	}
	return b.String()
}
