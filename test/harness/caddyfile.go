package harness

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient/gatewaytest"
)

// StartCaddyfile runs a Caddyfile that was written for people until the test ends.
// It finds the gateway as Caddyfile.example does. What differs is where it serves, on
// 8080 and, for a site that stands in for another service, 8081, and where Caddy keeps
// what it keeps.
func StartCaddyfile(t testing.TB, caddyfile string) *Site {
	t.Helper()
	s := newSite(t, gatewaytest.Options{})
	s.Admin = fmt.Sprintf("localhost:%d", freePort(t))
	t.Setenv("SMSGATEWAY24_URL", s.gateway)
	t.Setenv("SMSGATEWAY24_TOKEN", Token)
	s.run(s.moved(caddyfile))
	return s
}

// moved puts the test's own addresses and folders into a Caddyfile.
func (s *Site) moved(caddyfile string) string {
	s.t.Helper()
	const global = "\n{\n"
	if !strings.Contains(caddyfile, global) {
		s.t.Fatal("the Caddyfile has no global options")
	}
	return strings.NewReplacer(
		":8080", fmt.Sprintf(":%d", s.port),
		":8081", fmt.Sprintf(":%d", freePort(s.t)),
		global, fmt.Sprintf(`
{
	admin %[2]s
	persist_config off
	storage file_system %[1]s/storage
	log {
		output file %[1]s/log.json
		level DEBUG
	}
`, s.Dir, s.Admin)).Replace(caddyfile)
}
