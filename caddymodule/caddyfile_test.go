package caddymodule

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

var update = flag.Bool("update", false, "write what is seen into the golden files")

const fixtureSeparator = "----------\n"

// adapt turns a Caddyfile into JSON.
func adapt(caddyfile string) ([]byte, error) {
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	return config, err
}

// validate provisions a configuration without starting it.
func validate(config []byte) error {
	var c caddy.Config
	if err := caddy.StrictUnmarshalJSON(config, &c); err != nil {
		return err
	}
	return caddy.Validate(&c)
}

// outcome is what an operator meets with a Caddyfile: an error of the adapter,
// an error on loading, or the JSON of a configuration that loads.
func outcome(caddyfile string) string {
	config, err := adapt(caddyfile)
	if err != nil {
		return fmt.Sprintf("adapting: %v\n", err)
	}
	if err := validate(config); err != nil {
		return "loading: " + withoutPath(err.Error()) + "\n"
	}
	var ours struct {
		Apps struct {
			App json.RawMessage `json:"sms_otp"`
		} `json:"apps"`
	}
	var pretty strings.Builder
	if err := json.Unmarshal(config, &ours); err != nil {
		return err.Error()
	}
	for _, part := range append([]any{ours.Apps.App}, handlersIn(config)...) {
		text, _ := json.MarshalIndent(part, "", "  ")
		pretty.Write(append(text, '\n'))
	}
	return pretty.String()
}

// withoutPath cuts off the modules that led to ours: Caddy loads apps in any order,
// so it is the handler that loads the app, or the other way round.
func withoutPath(message string) string {
	const ours = "provision sms_otp: "
	if i := strings.LastIndex(message, ours); i >= 0 {
		return message[i:]
	}
	if i := strings.LastIndex(message, "provision http.handlers.sms_otp: "); i >= 0 {
		return message[i:]
	}
	return message
}

// handlersIn finds the sms_otp handlers anywhere in a configuration.
func handlersIn(config []byte) (found []any) {
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if v["handler"] == "sms_otp" {
				found = append(found, v)
			}
			for _, inner := range v {
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	var all any
	if json.Unmarshal(config, &all) == nil {
		walk(all)
	}
	return found
}

// Each fixture holds a Caddyfile and what comes of it: JSON, or the error with its remedy.
func TestCaddyfiles(t *testing.T) {
	t.Setenv("SMSGATEWAY24_TOKEN", "canary-token-4f1c")
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	files, err := filepath.Glob("testdata/caddyfile/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			caddyfile, want, _ := strings.Cut(string(content), fixtureSeparator)
			got := outcome(caddyfile)
			if strings.Contains(got, "canary-token") {
				t.Errorf("the resolved token shows: %s", got)
			}
			if *update {
				if err := os.WriteFile(file, []byte(caddyfile+fixtureSeparator+got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestOnlyBadConfigurationsFail(t *testing.T) {
	files, _ := filepath.Glob("testdata/caddyfile/*.txt")
	for _, file := range files {
		content, _ := os.ReadFile(file)
		_, want, _ := strings.Cut(string(content), fixtureSeparator)
		bad := strings.HasPrefix(filepath.Base(file), "bad_")
		if failed := strings.HasPrefix(want, "adapting:") || strings.HasPrefix(want, "loading:"); failed != bad {
			t.Errorf("%s: %q", file, want)
		}
	}
}

// An error that an operator reads names the place: the adapter's with file and line, the
// others with the directive and the option.
func TestErrorsNameTheirPlace(t *testing.T) {
	place := regexp.MustCompile(`^adapting: .*Caddyfile:\d+|^loading: .*(sms_otp|gateway|phonebook|store)`)
	files, _ := filepath.Glob("testdata/caddyfile/bad_*.txt")
	if len(files) < 30 {
		t.Fatalf("only %d bad configurations", len(files))
	}
	for _, file := range files {
		content, _ := os.ReadFile(file)
		_, want, _ := strings.Cut(string(content), fixtureSeparator)
		if !place.MatchString(want) {
			t.Errorf("%s: no place in %q", file, want)
		}
	}
}
