package main

import (
	_ "embed"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// peers are figures that were taken elsewhere: those modules are no part of this repository.
//
//go:embed peers.md
var peers string

// page is what was taken by hand and in a browser.
//
//go:embed page.md
var page string

// why says what profiles show of the targets that are not reached.
//
//go:embed why.md
var why string

type table struct {
	name      string
	transport transport
	servers   int // one after another: how code and data happen to lie in memory moves a ratio by a hundredth. See targetRows
	users     int // in the phonebook, beside alice
	rows      []*row
}

type report struct {
	tables    []table
	user      whole
	firstByte float64 // of the page over that of a file
	inProcess metrics
	binary    int64
}

func (r report) write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmarks\n\nWritten by `go run ./test/bench/compare` on %s: %s, %s, %d cores, Caddy %s.\n", time.Now().Format(time.DateOnly), runtime.Version(), processor(), runtime.NumCPU(), caddyVersion())
	b.WriteString("Ratios are to a bare `respond`. The routes take turns in slices of some milliseconds; twenty rounds of them are compared as one, and\nwhat is told is the median of all such ratios, in brackets from the tenth to the ninetieth percentile. The server has one core; where the\ntargets are, twelve servers have their turn one after another. Absolute figures move with the machine and with what else it does; ratios less so.\n")
	r.writeTargets(&b)
	b.WriteString(why)
	for _, t := range r.tables {
		t.write(&b)
	}
	r.writeInProcess(&b)
	b.WriteString(page)
	b.WriteString(peers)
	_, err := io.WriteString(w, b.String())
	return err
}

func (t table) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n## Whole Caddy, %s\n\n| request | CPU | requests per second | CPU, µs |\n|---|---|---|---|\n", t.name)
	bare := t.rows[0]
	for _, r := range t.rows {
		cpu, rate := ratios(r.cpu, bare.cpu), ratios(bare.took, r.took)
		fmt.Fprintf(b, "| %s | %.2f (%.2f–%.2f) | %.2f (%.2f–%.2f) | %.1f |\n", r.name,
			quantile(cpu, 0.5), quantile(cpu, 0.1), quantile(cpu, 0.9),
			quantile(rate, 0.5), quantile(rate, 0.1), quantile(rate, 0.9), sum(r.cpu)/float64(len(r.cpu)))
	}
}

// cpu is the median of one row's CPU over another's of the first table that has both.
func (r report) cpu(of, to string) float64 {
	for _, t := range r.tables {
		a, b := t.row(of), t.row(to)
		if a != nil && b != nil {
			return quantile(ratios(a.cpu, b.cpu), 0.5)
		}
	}
	panic("no table with " + of + " and " + to)
}

func (t table) row(name string) *row {
	i := slices.IndexFunc(t.rows, func(r *row) bool { return r.name == name })
	if i < 0 {
		return nil
	}
	return t.rows[i]
}

func (r report) writeInProcess(b *strings.Builder) {
	b.WriteString("\n## In process\n\n| request through Caddy's handlers, no network | CPU, µs | allocations | over the no-op handler, µs |\n|---|---|---|---|\n")
	for _, name := range []string{"bare", "no-op", "verified", "verified-of-several", "refused", "forged", "another-users", "page", "basic_auth", "basic_auth-verified", "golang-jwt"} {
		over := "–"
		if ns, ok := r.inProcess["OverNoOp/"+name+" ns-over-no-op"]; ok {
			over = fmt.Sprintf("%.2f", ns/1000)
		}
		fmt.Fprintf(b, "| %s | %.1f | %.0f | %s |\n", name, r.inProcess["Request/"+name+" cpu-ns/op"]/1000, r.inProcess["Request/"+name+" allocs/op"], over)
	}
}

func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(info)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func caddyVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "of unknown version"
	}
	for _, dep := range info.Deps {
		if dep.Path == "github.com/caddyserver/caddy/v2" {
			return dep.Version
		}
	}
	return "of unknown version"
}
