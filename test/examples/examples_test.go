// Package examples runs the Caddyfiles of docs/examples and does with each what
// its README says: as a person, with the pages, and as a program, with the README's own calls.
package examples

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

const root = "../.."

// walks are what a person does with each example.
var walks = map[string]func(t *testing.T, s *harness.Site){
	"second-factor":            secondFactor,
	"forward-auth":             forwardAuth,
	"transaction-confirmation": transactionConfirmation,
	"account-recovery":         accountRecovery,
	"new-device":               newDevice,
	"freshness":                freshness,
}

func TestAPersonDoesWithEveryExampleWhatItIsFor(t *testing.T) {
	found := examples(t)
	for name, caddyfile := range found {
		t.Run(name, func(t *testing.T) {
			walk, ok := walks[name]
			if !ok {
				t.Fatal("nobody walks through this example: add to walks in this file what a person does with it")
			}
			s := harness.StartCaddyfile(t, caddyfile)
			walk(t, s)
			complaints(t, s)
		})
	}
	for name := range walks {
		if _, ok := found[name]; !ok {
			t.Errorf("there is no example %s to walk through", name)
		}
	}
}

// An example that warns teaches people to look away from warnings.
func TestExamplesAreReadWithoutAWarning(t *testing.T) {
	t.Setenv("SMSGATEWAY24_URL", "")
	os.Unsetenv("SMSGATEWAY24_URL")
	for name, caddyfile := range examples(t) {
		config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, w := range warnings {
			t.Errorf("%s, line %d: %s", name, w.Line, w.Message)
		}
		if !strings.Contains(string(config), `"url":"http://127.0.0.1:8024"`) {
			t.Errorf("%s does not find the emulator where ./xcaddy.sh emulator starts it", name)
		}
	}
}

// complaints are what the module has to say of the example itself, be it at its start or later.
func complaints(t *testing.T, s *harness.Site) {
	t.Helper()
	for line := range strings.Lines(s.Log()) {
		var entry struct{ Level, Logger, Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("a line of the log: %v", err)
		}
		if strings.Contains(entry.Logger, "sms_otp") && (entry.Level == "warn" || entry.Level == "error") {
			t.Errorf("the log complains: %s", entry.Msg)
		}
	}
}

// examples are all Caddyfiles of docs/examples, by the name of their folder.
func examples(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	dir := filepath.Join(root, "docs", "examples")
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.Contains(strings.ToLower(entry.Name()), "caddyfile") {
			return err
		}
		name, err := filepath.Rel(dir, filepath.Dir(path))
		if err != nil {
			return err
		}
		if _, twice := found[name]; twice || entry.Name() != "Caddyfile" {
			t.Errorf("%s: an example is a file called Caddyfile in a folder of its own", path)
		}
		found[name] = read(t, path)
		return nil
	})
	if err != nil || len(found) == 0 {
		t.Fatalf("no examples in %s (%v)", dir, err)
	}
	return found
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
