package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // the Caddyfile adapter and the peers

	_ "github.com/caddy-sms-otp/caddy-sms-otp/caddymodule"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddy-sms-otp/caddy-sms-otp/test/bench/routes"
)

// serve is the server's process. It reads its site from the first line, then answers each further
// line with the microseconds of CPU that it has used so far. Messages are lines too: "to NUMBER TEXT".
func serve(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Scan()
	var site routes.Site
	if err := json.Unmarshal(lines.Bytes(), &site); err != nil {
		return err
	}
	var mu sync.Mutex
	say := func(words ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(out, words...)
	}
	routes.Texts = func(m otpcore.Message) { say("to", m.To, strings.ReplaceAll(m.Text, "\n", " ")) }
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(site.Caddyfile()), nil)
	if err == nil {
		err = caddy.Load(config, true)
	}
	if err != nil {
		return err
	}
	say("ready")
	for lines.Scan() {
		var use syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
			return err
		}
		say("cpu", (use.Utime.Nano()+use.Stime.Nano())/1000)
	}
	return caddy.Stop()
}

// server is that process as seen from here.
type server struct {
	cmd   *exec.Cmd
	dir   string
	in    io.WriteCloser
	cpus  chan float64
	texts chan string
	ready chan struct{}
}

func startServer(site routes.Site) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &server{
		cmd: exec.Command(self, "serve"), dir: site.Dir, cpus: make(chan float64), texts: make(chan string, 1000), ready: make(chan struct{}),
	}
	s.cmd.Stderr = os.Stderr
	// On one core it is never idle; on two, what it burns while it looks for work is most of what tells slices apart.
	s.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go s.listen(out)
	if err := json.NewEncoder(s.in).Encode(site); err != nil {
		return nil, err
	}
	if _, ok := <-s.ready; !ok {
		return nil, fmt.Errorf("the server did not start: %w", s.cmd.Wait())
	}
	return s, nil
}

func (s *server) listen(out io.Reader) {
	ready := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		kind, rest, _ := strings.Cut(lines.Text(), " ")
		switch kind {
		case "ready":
			ready = true
			s.ready <- struct{}{}
		case "cpu":
			used, _ := strconv.ParseFloat(rest, 64)
			s.cpus <- used
		case "to":
			s.texts <- rest
		}
	}
	if !ready {
		close(s.ready)
	}
	close(s.cpus)
}

// cpu is what the server has used so far, in microseconds.
func (s *server) cpu() float64 {
	fmt.Fprintln(s.in, "cpu")
	return <-s.cpus
}

func (s *server) stop() {
	s.in.Close()
	s.cmd.Wait() //nolint:errcheck // it was measured; how it ends is no matter
	os.RemoveAll(s.dir)
}
