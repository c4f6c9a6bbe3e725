package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"time"
)

// testLimit ends a package whose tests hang, with the stacks of all goroutines.
const testLimit = 15 * time.Minute

// goTest runs the tests of the module in dir and reports each as it ends. Vet
// is left out because it is a check of its own, cached results because a test
// that has not run has shown nothing.
func goTest(ctx context.Context, report *report, dir string) {
	command := exec.CommandContext(ctx, "go", "test", "-race", "-json", "-count=1", "-vet=off", "-timeout="+testLimit.String(), "./...")
	command.Dir = dir
	command.Stderr = os.Stderr
	name := "go test in " + dir
	events, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		report.fail(name, err.Error())
		return
	}
	run := newModuleRun(report)
	readErr := run.read(events)
	if readErr != nil {
		// go test must not wait for somebody to take its output.
		_, _ = io.Copy(io.Discard, events)
	}
	run.finish(name, errors.Join(readErr, command.Wait()))
}

// An event is one line of `go test -json`; `go doc test2json` describes them.
type event struct {
	Action      string
	Package     string
	Test        string  // "" for what is about the package
	Elapsed     float64 // seconds
	Output      string
	ImportPath  string // of what was compiled, in build-output
	FailedBuild string // the ImportPath that kept the package from running
}

// A moduleRun follows the events of one `go test`, whose packages run, and
// report, side by side.
type moduleRun struct {
	report   *report
	ended    int // tests that passed, failed or were skipped
	failed   int // tests and packages
	packages map[string]*packageRun
	builds   map[string]string // what the compiler said, by import path
}

// A packageRun holds the output of what has not ended yet.
type packageRun struct {
	tests  map[string]string // by test
	output string            // of no test
	ended  int
	failed int
}

func newModuleRun(report *report) *moduleRun {
	return &moduleRun{report: report, packages: map[string]*packageRun{}, builds: map[string]string{}}
}

func (m *moduleRun) read(events io.Reader) error {
	decoder := json.NewDecoder(events)
	for {
		var e event
		if err := decoder.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read the events of go test: %w", err)
		}
		m.handle(e)
	}
}

func (m *moduleRun) handle(e event) {
	switch {
	case e.Action == "build-output":
		m.builds[e.ImportPath] += e.Output
	case e.Package == "":
	case e.Test == "":
		m.handlePackage(m.packageOf(e), e)
	default:
		m.handleTest(m.packageOf(e), e)
	}
}

func (m *moduleRun) packageOf(e event) *packageRun {
	if m.packages[e.Package] == nil {
		m.packages[e.Package] = &packageRun{tests: map[string]string{}}
	}
	return m.packages[e.Package]
}

func (m *moduleRun) handleTest(p *packageRun, e event) {
	name := e.Package + "." + e.Test
	switch e.Action {
	case "run", "output":
		p.tests[e.Test] += e.Output
		return
	case "pass":
		m.report.passed++
	case "skip":
		m.report.skip(name, p.tests[e.Test])
	case "fail":
		p.failed++
		m.report.fail(name, p.tests[e.Test])
	default: // pause, cont: nothing has ended
		return
	}
	p.ended++
	delete(p.tests, e.Test)
}

func (m *moduleRun) handlePackage(p *packageRun, e event) {
	switch e.Action {
	case "output":
		p.output += e.Output
	case "pass", "skip", "fail": // skip: it has no test files
		m.endPackage(p, e)
	}
}

func (m *moduleRun) endPackage(p *packageRun, e event) {
	// A test that never ended took the whole process with it.
	for _, test := range slices.Sorted(maps.Keys(p.tests)) {
		p.failed++
		m.report.fail(e.Package+"."+test+" (did not end)", p.tests[test])
	}
	if e.Action == "fail" && p.failed == 0 {
		p.failed++
		m.report.fail(e.Package, m.builds[e.FailedBuild]+p.output)
	}
	if p.failed == 0 && p.ended > 0 {
		fmt.Fprintf(m.report.out, "ok   %s (%.1fs, %d tests)\n", e.Package, e.Elapsed, p.ended)
	}
	m.ended += p.ended
	m.failed += p.failed
	delete(m.packages, e.Package)
}

// finish reports what went wrong outside of every package, so that a run which
// showed nothing never counts as one that passed.
func (m *moduleRun) finish(name string, err error) {
	for _, pkg := range slices.Sorted(maps.Keys(m.packages)) {
		m.handle(event{Action: "fail", Package: pkg})
	}
	switch {
	case err != nil && m.failed == 0:
		m.report.fail(name, err.Error())
	case m.ended == 0 && m.failed == 0:
		m.report.fail(name, "no test ran")
	}
}
