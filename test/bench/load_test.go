package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/bench/routes"
)

// BenchmarkLoad starts Caddy from nothing, in turns without the module, with it, and with
// it and a hundred thousand lines in its phonebook. The metrics are what the latter two take longer.
func BenchmarkLoad(b *testing.B) {
	without := routes.Site{Dir: b.TempDir(), Ports: map[string]int{routes.Bare: freePort(b)}}
	with := routes.Site{Dir: b.TempDir(), Ports: map[string]int{routes.Gate: freePort(b)}}
	full := routes.Site{Dir: b.TempDir(), Ports: with.Ports}
	var module, phonebook []float64
	for b.Loop() {
		plain := load(b, without, 0)
		module = append(module, load(b, with, 0)-plain)
		phonebook = append(phonebook, load(b, full, 100_000)-plain)
	}
	b.ReportMetric(median(module), "ms-module")
	b.ReportMetric(median(phonebook), "ms-phonebook")
}

// load is how long Caddy takes to start, in milliseconds.
func load(b *testing.B, site routes.Site, users int) float64 {
	if err := os.WriteFile(filepath.Join(site.Dir, "phones.csv"), []byte(routes.Phonebook(users)), 0o600); err != nil {
		b.Fatal(err)
	}
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(site.Caddyfile()), nil)
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if err := caddy.Load(config, true); err != nil {
		b.Fatal(fmt.Errorf("loading %s: %w", config, err))
	}
	took := time.Since(began)
	if err := caddy.Stop(); err != nil {
		b.Fatal(err)
	}
	return float64(took.Microseconds()) / 1000
}
