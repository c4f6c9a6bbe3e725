package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"time"
)

// checkLimit is what one check may take, cold caches and a slow network included.
const checkLimit = 30 * time.Minute

// A check is a command that passes when it exits with status 0.
type check struct {
	name   string
	dir    string // where it runs; "" is the root of the repository
	argv   []string
	race   bool   // compile as `go test -race` does
	silent bool   // whatever it prints on its standard output is a complaint
	remedy string // printed after its output when it fails
}

// A result is what became of a check. The output is that of both streams.
type result struct {
	output string
	err    error // nil: it passed
	took   time.Duration
}

var errComplains = errors.New("it has complaints")

func (c check) run(ctx context.Context) result {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	var stdout, stderr bytes.Buffer
	command := c.command(ctx)
	command.Stdout, command.Stderr = &stdout, &stderr
	started := time.Now()
	err := command.Run()
	if err == nil && c.silent && stdout.Len() > 0 {
		err = errComplains
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return result{output: stderr.String() + stdout.String(), err: err, took: time.Since(started)}
}

func (c check) command(ctx context.Context) *exec.Cmd {
	command := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	command.Dir = c.dir
	command.WaitDelay = 10 * time.Second
	if c.race {
		command.Env = append(os.Environ(), "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -race"))
	}
	return command
}
