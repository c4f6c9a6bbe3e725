package restart

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

func each(t *testing.T, suffix string, change func(content []byte) []byte) func([]string) {
	return func(files []string) {
		for _, file := range files {
			if !strings.HasSuffix(file, suffix) {
				continue
			}
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, change(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

var damages = map[string]func(content []byte) []byte{
	"flipped":   func(b []byte) []byte { b[len(b)/2] ^= 4; return b },
	"truncated": func(b []byte) []byte { return b[:len(b)/2] },
	"empty":     func([]byte) []byte { return nil },
	"garbage":   func([]byte) []byte { return []byte("not a state at all") },
}

// locked is a site on which alice used up her attempts, and bob is verified.
func locked(t *testing.T) (s *harness.Site, alice, bob *harness.Client, code string) {
	s = harness.Start(t, harness.Options{Global: "limits {\nattempts 1\nuser_attempts 1 24h\n}"})
	alice, bob = browser(s, "alice"), browser(s, "bob")
	bob.Enter()
	alice.Open("/")
	code = s.Code(2)
	want(t, alice.Verify(harness.Wrong(code)), 403, "code-wrong")
	return s, alice, bob, code
}

func linesWith(s *harness.Site, text string) int { return strings.Count(s.Log(), text) }

func TestDamagedStateKeepsTheLockedLockedAndSaysSoOnce(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			s, alice, bob, code := locked(t)
			restart(t, s, each(t, "", damage))
			stillClosed := func() {
				t.Helper()
				for _, c := range []*harness.Client{alice, browser(s, "alice")} {
					if a := c.Verify(code); a.Status == 200 {
						t.Error("a locked user got in")
					}
					want(t, c.Call("send", nil), 503, "unavailable")
				}
				// Whether bob had logged out is not known any more.
				if a := bob.Open("/"); a.Status == 200 {
					t.Error("a verification counts that may have been ended")
				}
			}
			stillClosed()
			if n := linesWith(s, "is damaged, or sealed with another key"); n != 1 {
				t.Errorf("%d lines in the log, want 1", n)
			}
			restart(t, s) // the doubt is part of the state
			stillClosed()
			if n := s.Messages(); n != 2 {
				t.Errorf("%d messages, want 2", n)
			}
		})
	}
}

func TestForeignStateIsRefused(t *testing.T) {
	s, alice, _, code := locked(t)
	restart(t, s, func([]string) {
		if err := os.Remove(filepath.Join(s.Dir, "storage", "sms_otp", "key")); err != nil {
			t.Fatal(err)
		}
	})
	if a := alice.Verify(code); a.Status == 200 {
		t.Error("a locked user got in")
	}
	want(t, browser(s, "alice").Call("send", nil), 503, "unavailable")
	if n := linesWith(s, "is damaged, or sealed with another key"); n != 1 {
		t.Errorf("%d lines in the log, want 1", n)
	}
}

func TestDeletingADamagedStateOpensAgain(t *testing.T) {
	s, _, _, _ := locked(t)
	restart(t, s, each(t, "", damages["garbage"]))
	want(t, browser(s, "carol").Call("send", nil), 503, "unavailable")
	restart(t, s, func(files []string) {
		if err := os.RemoveAll(filepath.Dir(files[0])); err != nil {
			t.Fatal(err)
		}
	})
	want(t, browser(s, "carol").Call("send", nil), 202, "")
}

func TestOneDamagedCopyCostsNothing(t *testing.T) {
	for _, name := range []string{"flipped", "empty"} {
		for _, suffix := range []string{".a", ".b"} {
			t.Run(name+suffix, func(t *testing.T) {
				s, alice, bob, code := locked(t)
				restart(t, s, each(t, suffix, damages[name]))
				want(t, alice.Verify(code), 429, "locked")
				want(t, browser(s, "alice").Call("send", nil), 429, "locked")
				want(t, browser(s, "carol").Call("send", nil), 202, "")
				if a := bob.Open("/"); a.Status != 200 {
					t.Errorf("bob: %d", a.Status)
				}
				if n := linesWith(s, "nothing is lost"); suffix == ".a" && n != 1 {
					t.Errorf("%d lines in the log, want 1", n)
				}
			})
		}
	}
}

// A key that cannot be had is not made anew: nobody would notice, and every lock would be forgotten.
func TestWithoutItsKeyNoServerStarts(t *testing.T) {
	const remedy = "restore it from a backup"
	for name, test := range map[string]struct {
		spoil func(t *testing.T, s *harness.Site) (caddyfile string)
		says  string
	}{
		"damaged": {func(t *testing.T, s *harness.Site) string {
			if err := os.WriteFile(filepath.Join(s.Dir, "storage", "sms_otp", "key"), []byte("short"), 0o600); err != nil {
				t.Fatal(err)
			}
			return s.Caddyfile()
		}, remedy},
		"storage that cannot be used": {func(_ *testing.T, s *harness.Site) string {
			return strings.Replace(s.Caddyfile(), "/storage", "/phones.csv/storage", 1)
		}, "the key in Caddy's storage"},
	} {
		t.Run(name, func(t *testing.T) {
			s := harness.Start(t, harness.Options{})
			c := browser(s, "alice")
			c.Open("/")
			code := s.Code(1)
			refused := func(caddyfile string) {
				t.Helper()
				if err := s.Load(caddyfile); err == nil || !strings.Contains(err.Error(), test.says) {
					t.Fatalf("it loads, or does not say what to do: %v", err)
				}
			}
			caddyfile := test.spoil(t, s)
			refused(strings.Replace(caddyfile, "encode", "encode\nheader X-Changed yes", 1))
			// The running configuration has its key, and goes on.
			want(t, browser(s, "alice").Do("GET", "/", "", nil), 403, "step-up-required")
			want(t, c.Verify(code), 200, "")
			if err := caddy.Stop(); err != nil {
				t.Fatal(err)
			}
			refused(caddyfile)
			if _, err := c.Try("GET", "/", "", nil); err == nil {
				t.Error("the site answers without a key")
			}
		})
	}
}
