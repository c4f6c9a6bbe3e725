package restart

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

// ownKey is a key that does not lie in Caddy's storage.
const ownKey = "key MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

func TestReloadWithAnotherStorageTakesTheStateAlong(t *testing.T) {
	s := harness.Start(t, harness.Options{Global: ownKey})
	c := browser(s, "alice")
	c.Open("/")
	code := s.Code(1)
	want(t, c.Verify(harness.Wrong(code)), 403, "code-wrong")
	moved := strings.Replace(s.Caddyfile(), "/storage", "/moved", 1)
	if err := s.Load(moved); err != nil {
		t.Fatal(err)
	}
	want(t, c.Verify(harness.Wrong(code)), 403, "code-wrong")
	restartWith(t, s, moved)
	if left := number(t, want(t, c.Status(), 200, ""), "attempts_left"); left != 3 {
		t.Errorf("%d attempts left, want 3", left)
	}
}

// A configuration may be refused after its app was started: apps start in any order.
func TestReloadThatFailsLeavesTheStateWhereItIs(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := harness.Start(t, harness.Options{Global: ownKey})
	c := browser(s, "alice")
	c.Open("/")
	code := s.Code(1)
	broken := strings.Replace(s.Caddyfile(), "/storage", "/moved", 1) + "http://" + taken.Addr().String() + " {\n}\n"
	for range 6 {
		if err := s.Load(broken); err == nil {
			t.Fatal("two servers listen on one port")
		}
	}
	want(t, c.Verify(harness.Wrong(code)), 403, "code-wrong")
	restart(t, s)
	if left := number(t, want(t, c.Status(), 200, ""), "attempts_left"); left != 4 {
		t.Errorf("%d attempts left, want 4", left)
	}
}

func TestKeyThatIsReplacedKeepsTheState(t *testing.T) {
	s := harness.Start(t, harness.Options{Global: ownKey})
	c := browser(s, "alice")
	c.Enter()
	c.Submit("/?sms_otp=logout", nil)
	newer := strings.Replace(s.Caddyfile(), "key ", "key YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY= ", 1)
	if err := s.Load(newer); err != nil {
		t.Fatal(err)
	}
	restartWith(t, s, newer)
	if n := linesWith(s, "is damaged"); n != 0 {
		t.Errorf("the log calls the state damaged %d times", n)
	}
}

func TestValidatingWritesNothing(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	elsewhere := filepath.Join(s.Dir, "elsewhere")
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(
		[]byte(strings.Replace(s.Caddyfile(), s.Dir+"/storage", elsewhere, 1)), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	var config caddy.Config
	if err := json.Unmarshal(adapted, &config); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(&config); err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(filepath.Join(elsewhere, "sms_otp")); err == nil {
		t.Errorf("%d files were written", len(files))
	}
}
