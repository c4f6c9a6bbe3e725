package leaks

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

const reloads = 50

// others are goroutines of Caddy's own that outlive what they were started for.
var others = []goleak.Option{
	goleak.IgnoreAnyFunction("github.com/DeRuina/timberjack.(*Logger).millRun"), // of each log file
}

// A lock file of Caddy's storage is looked at for the last time five seconds after it has gone.
const patience = 20 * time.Second

// load is what visitors do until it is stopped, and what they were wrongly told.
type load struct {
	stop             chan struct{}
	wg               sync.WaitGroup
	requests, resets atomic.Int64
	mu               sync.Mutex
	wrong            map[string]int
}

// run repeats a request, to which there is one right answer.
func (l *load) run(c *harness.Client, method, path, body string, status int, problem string) {
	header := http.Header{"Accept": {"application/json"}}
	if body != "" {
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	l.wg.Go(func() {
		for {
			select {
			case <-l.stop:
				return
			default:
			}
			l.judge(c, method, path, body, header, status, problem)
		}
	})
}

func (l *load) judge(c *harness.Client, method, path, body string, header http.Header, status int, problem string) {
	a, err := c.Try(method, path, body, header)
	// Who waits in the old configuration's queue when its socket closes has to dial again.
	if errors.Is(err, syscall.ECONNRESET) {
		l.resets.Add(1)
		return
	}
	l.requests.Add(1)
	if err == nil && a.Status == status && a.Problem() == problem {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong[fmt.Sprintf("%s %s: %d %q, %v", method, path, a.Status, a.Problem(), err)]++
}

func TestReloadsUnderLoadAnswerRightAndLeaveNothingRunning(t *testing.T) {
	options := append(others, goleak.IgnoreCurrent())
	t.Run("site", underLoad) // everything it uses has ended when it returns
	var left error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if left = goleak.Find(options...); left == nil {
			return
		}
	}
	t.Error(left)
}

func underLoad(t *testing.T) {
	s := harness.Start(t, harness.Options{TLS: true, Global: "limits {\nattempts 1000000\nuser_attempts 1000000 24h\nlock_after 1000000\n}"})
	in, waiting, stranger := s.Client("alice"), s.Client("bob"), s.Client("carol")
	in.Enter()
	if a := waiting.Call("send", nil); a.Status != http.StatusAccepted {
		t.Fatalf("send: %d %s", a.Status, a.Body)
	}
	code := s.Code(2)
	l := &load{stop: make(chan struct{}), wrong: map[string]int{}}
	l.run(in.Tab(), "GET", "/", "", 200, "")
	l.run(waiting.Tab(), "POST", "/?sms_otp=verify", "code="+harness.Wrong(code), 403, "code-wrong")
	l.run(waiting.Tab(), "GET", "/?sms_otp=status", "", 200, "")
	l.run(stranger, "GET", "/", "", 403, "step-up-required")
	for i := range reloads {
		if err := s.Load(fmt.Sprintf("%s# %d\n", s.Caddyfile(), i)); err != nil {
			t.Fatal(err)
		}
	}
	close(l.stop)
	l.wg.Wait()
	if len(l.wrong) > 0 {
		t.Errorf("of %d requests some were answered wrongly: %v", l.requests.Load(), l.wrong)
	}
	t.Logf("%d requests, %d connections to be made again", l.requests.Load(), l.resets.Load())
	if n := l.requests.Load(); n < 4*reloads {
		t.Errorf("%d requests during %d reloads are no load", n, reloads)
	}
	// What was promised before the reloads holds after them.
	if a := waiting.Verify(code); a.Status != http.StatusOK {
		t.Errorf("the right code: %d %s", a.Status, a.Body)
	}
	if n := len(s.Gateway.Messages()); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
}
