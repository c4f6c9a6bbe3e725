package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// metrics are what go test's benchmarks report, by benchmark and unit, such as "Request/bare allocs/op".
type metrics map[string]float64

// inProcess runs the benchmarks that need no network.
func inProcess(benchtime string) (metrics, error) {
	m := metrics{}
	for _, run := range [][]string{
		{"-bench=Request|OverNoOp|Live|Scaling|Load|Read", "./test/bench", "./otpcore"},
		{"-bench=Challenge|Primitives|Pending|Heap", "-cpu=1", "./test/bench"},
	} {
		command := exec.Command("go", append([]string{"test", "-run=^$", "-benchtime=" + benchtime, "-timeout=30m"}, run...)...)
		command.Stderr = os.Stderr
		out, err := command.Output()
		if err != nil {
			return nil, fmt.Errorf("go test -bench, in the root of the repository: %w\n%s", err, out)
		}
		m.read(out)
	}
	return m, nil
}

// read takes lines such as "BenchmarkRequest/bare-2  46268  7769 ns/op  70 allocs/op".
func (m metrics) read(out []byte) {
	for line := range bytes.Lines(out) {
		fields := strings.Fields(string(line))
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(fields[0], "Benchmark")
		if dash := strings.LastIndexByte(name, '-'); dash > 0 && strings.Trim(name[dash:], "-0123456789") == "" {
			name = name[:dash]
		}
		for i := 2; i+1 < len(fields); i += 2 {
			if value, err := strconv.ParseFloat(fields[i], 64); err == nil {
				m[name+" "+fields[i+1]] = value
			}
		}
	}
}

// binarySize is what the module adds to Caddy, in bytes, built as xcaddy does.
func binarySize() (int64, error) {
	dir, err := os.MkdirTemp("", "compare")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	size := func(pkg string) (int64, error) {
		to := filepath.Join(dir, "caddy")
		build := exec.Command("go", "build", "-ldflags=-s -w", "-o", to, pkg)
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return 0, fmt.Errorf("go build %s: %w", pkg, err)
		}
		info, err := os.Stat(to)
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
	with, err := size("./test/caddy")
	plain, plainErr := size("github.com/caddyserver/caddy/v2/cmd/caddy")
	return with - plain, errors.Join(err, plainErr)
}
