package caddymodule_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

// command runs `caddy sms-otp …` as it is registered.
func command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := &cobra.Command{Use: "sms-otp", SilenceErrors: true}
	caddycmd.Commands()["sms-otp"].CobraFunc(cmd)
	var out strings.Builder
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func mustCommand(t *testing.T, s *harness.Site, args ...string) string {
	t.Helper()
	out, err := command(t, append(args, "--address", s.Admin)...)
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return out
}

// mustSay demands that each pattern is found in a line of its own.
func mustSay(t *testing.T, out string, patterns ...string) {
	t.Helper()
	for _, p := range patterns {
		if !regexp.MustCompile("(?m)^" + p + "$").MatchString(out) {
			t.Errorf("no line like %q in:\n%s", p, out)
		}
	}
}

const clock = `\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`

func TestStatusCommandShowsTheServer(t *testing.T) {
	s := startWithAdmin(t, "total_sends 40 2h")
	guessWrong(t, s, s.Client("alice"), 0)
	waitForContact(t, s)
	mustSay(t, mustCommand(t, s, "status"),
		`Challenges +1 of 100000`, `Messages on their way +\d+`,
		`Budget +39 of 40 messages left in 2h, 10 of them for numbers that visitors type`,
		`DEVICE +SIM +STATE +LAST CONTACT +MAY STILL SEND +WAITING`, `10403 +0 +up +\d+s ago +\d+ of \d+ in .*`)
}

func TestUserCommandsTellHowTheUserStands(t *testing.T) {
	s := startWithAdmin(t, "lock_after 4")
	c := s.Client("alice")
	guessWrong(t, s, c, 4)
	mustSay(t, mustCommand(t, s, "user", "alice"), `User +alice, in the log \S{10}`,
		`Phone +\+44•••••23, messages: 1 sent, 14 left, the next one (now|at `+clock+`)`, `Wrong codes +4, 4 in a row, locked until an administrator unlocks`)
	mustSay(t, mustCommand(t, s, "unlock", "alice"), `Wrong codes +0, 0 in a row, 15 left`, `Phone +\+44•••••23, messages: 0 sent, 15 left, the next one now`)
	mustSay(t, mustCommand(t, s, "revoke", "alice"), `Revoked +what was verified before `+clock)
	mustSay(t, mustCommand(t, s, "user", "Zoë/ops"), `User +Zoë/ops, in the log \S{10}`, `Phone +none in the phonebooks; look at the spelling`)
}

func TestPassCommandMakesACodeThatWorks(t *testing.T) {
	s := startWithAdmin(t, "")
	out := mustCommand(t, s, "pass", "alice")
	mustSay(t, out, `\d{4} \d{4} \d{4}`, `Good once, until `+clock+`, .* talking to alice\.`)
	code, _, _ := strings.Cut(out, "\n")
	if a := s.Client("alice").Verify(code); a.Status != http.StatusOK {
		t.Errorf("the code as it is read out: %d %s", a.Status, a.Body)
	}
	mustSay(t, mustCommand(t, s, "pass", "alcie"), `No phonebook has a number of alcie: look at the spelling\.`)
}

func TestCommandsSpeakJSON(t *testing.T) {
	s := startWithAdmin(t, "")
	for _, args := range [][]string{{"status"}, {"user", "alice"}, {"unlock", "alice"}, {"revoke", "alice"}, {"pass", "alice"}} {
		var answer map[string]any
		if err := json.Unmarshal([]byte(mustCommand(t, s, append(args, "--json")...)), &answer); err != nil || len(answer) < 3 {
			t.Errorf("%v: %v, %v", args, answer, err)
		}
	}
}

func TestCommandsFindTheAddressInTheConfiguration(t *testing.T) {
	s := startWithAdmin(t, "")
	path := filepath.Join(s.Dir, "Caddyfile")
	write(t, path, s.Caddyfile())
	out, err := command(t, "status", "--config", path, "--adapter", "caddyfile")
	if err != nil || !strings.Contains(out, "10403") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestCommandsSayWhatIsWrong(t *testing.T) {
	s := startWithAdmin(t, "")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"status", "--address", "localhost:1"}, "is it running"},
		{[]string{"user", " ", "--address", s.Admin}, "the user is missing"},
		{[]string{"user", "--address", s.Admin}, "accepts 1 arg"},
		{[]string{"status", "alice", "--address", s.Admin}, "unknown command"},
		{[]string{"status", "--config", "missing.json"}, "missing.json"},
	} {
		if out, err := command(t, c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q\n%s", c.args, err, c.want, out)
		}
	}
}
