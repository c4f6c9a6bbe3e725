package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// A report prints what happens as it happens, and counts it.
type report struct {
	out     io.Writer
	passed  int
	failed  []string // names
	skipped []string // names, with the reason the test gave
}

func (r *report) fail(name, output string) {
	r.failed = append(r.failed, name)
	fmt.Fprintf(r.out, "FAIL %s\n%s\n", name, indent(output))
}

func (r *report) skip(name, output string) {
	r.skipped = append(r.skipped, name+": "+reason(output))
}

func (r *report) addCheck(c check, got result) {
	if got.err != nil {
		r.fail(c.name, fmt.Sprintf("%s%v\n%s", got.output, got.err, c.remedy))
		return
	}
	r.passed++
	fmt.Fprintf(r.out, "ok   %s (%s)\n", c.name, got.took.Round(100*time.Millisecond))
}

// finish prints the summary and says whether all is well.
func (r *report) finish() bool {
	r.list("Failed:", r.failed)
	r.list("Skipped, which fails the run (make what the test needs available, or remove it):", r.skipped)
	fmt.Fprintf(r.out, "\n%d passed, %d failed, %d skipped\n", r.passed, len(r.failed), len(r.skipped))
	return len(r.failed) == 0 && len(r.skipped) == 0
}

func (r *report) list(title string, names []string) {
	if len(names) > 0 {
		fmt.Fprintf(r.out, "\n%s\n%s\n", title, indent(strings.Join(names, "\n")))
	}
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
}

// reason finds what a test said when it skipped itself, among the lines that
// the testing package wrote about it.
func reason(output string) string {
	var said []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	return strings.Join(said, " ")
}
