package restart

import (
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

// runCaddy names the Caddyfile that this program, started anew by a test, serves until it is killed.
const runCaddy = "RESTART_TEST_CADDYFILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(runCaddy); path != "" {
		serve(path)
	}
	data, err := os.MkdirTemp("", "restart") // what Caddy keeps of itself, such as the name of this server
	if err != nil {
		panic(err)
	}
	os.Setenv("XDG_DATA_HOME", data)
	code := m.Run()
	os.RemoveAll(data)
	os.Exit(code)
}

func serve(path string) {
	caddy.TrapSignals()
	again := make(chan os.Signal, 1)
	signal.Notify(again, reloadSignal)
	for ; ; <-again {
		content, err := os.ReadFile(path)
		if err != nil {
			panic(err)
		}
		config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(content, map[string]any{"filename": path})
		if err == nil {
			err = caddy.Load(config, true)
		}
		if err != nil {
			panic(err)
		}
	}
}

// reloadSignal makes the program load its Caddyfile again.
const reloadSignal = syscall.SIGUSR2

// startTime is how long a Caddy may take to come up on a busy machine.
const startTime = 20 * time.Second

// process is a Caddy of its own.
type process struct {
	t          *testing.T
	s          *harness.Site
	cmd        *exec.Cmd
	generation string // of its configuration, which its answers carry
}

func (p *process) write() (path string) {
	p.t.Helper()
	path = filepath.Join(p.s.Dir, "Caddyfile")
	p.generation += "i"
	content := strings.Replace(p.s.Caddyfile(), "encode", "encode\nheader X-Generation "+p.generation, 1)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

func (p *process) start() {
	p.t.Helper()
	path := p.write()
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), runCaddy+"="+path)
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.await()
}

// reload puts another configuration in force while the process runs.
func (p *process) reload() {
	p.t.Helper()
	p.write()
	if err := p.cmd.Process.Signal(reloadSignal); err != nil {
		p.t.Fatal(err)
	}
	p.await()
}

// await waits until the configuration that was written last answers.
func (p *process) await() {
	p.t.Helper()
	for began := time.Now(); time.Since(began) < startTime; time.Sleep(5 * time.Millisecond) {
		visitor := p.s.Client("")
		if a, err := visitor.Try(http.MethodHead, "/", "", nil); err == nil && a.Header.Get("X-Generation") == p.generation {
			return
		}
	}
	p.t.Fatal("the configuration did not come in force")
}

// end sends a signal and waits for the process to be gone.
func (p *process) end(signal os.Signal) {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(signal)
	_ = p.cmd.Wait()
	p.cmd = nil
}

// outside stops the site's Caddy and starts one that can be killed in its place.
func outside(t *testing.T, s *harness.Site) *process {
	t.Helper()
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, s: s}
	t.Cleanup(func() { p.end(os.Kill) })
	p.start()
	return p
}

// guess is one wrong code: when its answer came, and what was left then.
type guess struct {
	at   time.Time
	left int
}

// guessing makes wrong guesses for a while, or until the user is locked.
func guessing(t *testing.T, c *harness.Client, wrong string, end time.Time) (made []guess, locked bool) {
	t.Helper()
	for ; time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		a := c.Verify(wrong)
		if a.Status == http.StatusTooManyRequests {
			return made, true
		}
		left := number(t, want(t, a, 403, "code-wrong"), "attempts_left")
		made = append(made, guess{time.Now(), left})
	}
	return made, false
}

// forgivable tells how many guesses a kill at the given time may undo: those of
// the second before. Where this machine stood still for a while, it was late by that while.
func forgivable(made []guess, killed time.Time) (n int) {
	late := time.Second
	for i, g := range made[1:] {
		late = max(late, time.Second+g.at.Sub(made[i].at))
	}
	for _, g := range made {
		if killed.Sub(g.at) <= late {
			n++
		}
	}
	return n
}

// Guesses go on without a pause against a server that is killed at random
// moments. None whose answer is older than a second may be forgotten, so that all
// the killing wins no more guesses than were made in those seconds.
func TestKillSetsBackByASecondAtMost(t *testing.T) {
	// In the time between two kills at most 420 guesses are made: there are two kills at least.
	const attempts, unlimited = 900, 100_000
	s := harness.Start(t, harness.Options{Global: "limits {\nattempts 100000\nlock_after 100000\nuser_attempts 900 24h\n}"})
	p := outside(t, s)
	c := browser(s, "alice")
	c.Open("/")
	code := s.Code(1)
	time.Sleep(time.Second) // or else the challenge itself may be what a kill takes
	total, forgiven, left := 0, 0, unlimited
	for locked := false; !locked; {
		var made []guess
		made, locked = guessing(t, c, harness.Wrong(code), time.Now().Add(1100*time.Millisecond+rand.N(time.Second)))
		if total += len(made); total > 10*attempts {
			t.Fatalf("not locked after %d guesses", total)
		}
		if locked {
			time.Sleep(time.Second) // or else the lock itself may be what a kill takes
		}
		p.end(os.Kill)
		lost := 0
		if !locked && len(made) > 0 {
			lost = forgivable(made, time.Now())
		}
		p.start()
		must := left - len(made) + lost
		if left = number(t, want(t, c.Status(), 200, ""), "attempts_left"); left > must {
			t.Fatalf("%d attempts are left, a second before the kill it were %d", left, must)
		}
		forgiven += lost
	}
	if total > attempts+forgiven {
		t.Errorf("%d guesses were compared; the limit is %d, and %d were made in the seconds before a kill", total, attempts, forgiven)
	}
	for range 2 {
		want(t, c.Verify(code), 429, "locked")
		want(t, browser(s, "alice").Call("send", nil), 429, "locked")
		p.end(os.Kill)
		p.start()
	}
	if n := s.Messages(); n != 1 {
		t.Errorf("%d messages were sent over all the restarts, want 1", n)
	}
	t.Logf("%d guesses, %d of them in a second before a kill", total, forgiven)
}

func TestSignalToStopSetsNothingBack(t *testing.T) {
	s := harness.Start(t, harness.Options{Global: "limits {\nattempts 100000\nlock_after 100000\nuser_attempts 100000 24h\n}"})
	p := outside(t, s)
	c := browser(s, "alice")
	c.Open("/")
	code := s.Code(1)
	for range 5 {
		made := number(t, c.Status(), "attempts_left")
		for range 20 {
			made = number(t, want(t, c.Verify(harness.Wrong(code)), 403, "code-wrong"), "attempts_left")
		}
		p.end(syscall.SIGTERM)
		p.start()
		if left := number(t, want(t, c.Status(), 200, ""), "attempts_left"); left != made {
			t.Fatalf("%d attempts are left after a stop, %d before", left, made)
		}
	}
	want(t, c.Verify(code), 200, "")
}
