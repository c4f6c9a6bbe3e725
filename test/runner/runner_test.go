package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestEveryWayToFailIsCountedOnceAndExplained(t *testing.T) {
	var out strings.Builder
	report := &report{out: &out}
	goTest(t.Context(), report, "testdata/sample")

	explained := map[string]string{
		"example.com/sample/broken":                        "undefined: undefinedThing",
		"example.com/sample/exits.TestExits (did not end)": "=== RUN   TestExits",
		"example.com/sample/fails.TestFails":               "two is not three",
		"example.com/sample/panics.TestPanics":             "out of tea",
		"example.com/sample/refuses":                       "a goroutine is left",
	}
	for name, why := range explained {
		_, after, found := strings.Cut(out.String(), "FAIL "+name+"\n")
		section, _, _ := strings.Cut(after, "\nFAIL ")
		if !found || !strings.Contains(section, why) {
			t.Errorf("the output does not say %q under %q:\n%s", why, name, out.String())
		}
	}
	if len(report.failed) != len(explained) {
		t.Errorf("%d failures are listed, want %d: %q", len(report.failed), len(explained), report.failed)
	}
	if want := []string{"example.com/sample/skips.TestSkips: skips_test.go:5: no browser here"}; !slices.Equal(report.skipped, want) {
		t.Errorf("skipped %q, want %q", report.skipped, want)
	}
	if want := 4; report.passed != want { // TestPasses, its two parts, TestHolds
		t.Errorf("%d passed, want %d", report.passed, want)
	}
	if strings.Contains(out.String(), "not to be shown") {
		t.Error("the output of a test that passed is shown")
	}
	if strings.Contains(out.String(), "ok   example.com/sample/fails") {
		t.Error("a package with a failure is called ok")
	}
}

func TestModuleWithoutTestsFails(t *testing.T) {
	var out strings.Builder
	report := &report{out: &out}
	goTest(t.Context(), report, "testdata/untested")
	if len(report.failed) != 1 || !strings.Contains(out.String(), "no test ran") {
		t.Errorf("failed %q and said:\n%s", report.failed, out.String())
	}
}

func TestDirectoryWithoutModuleFails(t *testing.T) {
	report := &report{out: new(strings.Builder)}
	goTest(t.Context(), report, filepath.Join(t.TempDir(), "missing"))
	if len(report.failed) != 1 {
		t.Errorf("failed %q, want one failure", report.failed)
	}
}

func TestStreamThatBreaksOffFailsWhatWasRunning(t *testing.T) {
	report := &report{out: new(strings.Builder)}
	run := newModuleRun(report)
	err := run.read(strings.NewReader(`
		{"Action":"start","Package":"example.com/a"}
		{"Action":"run","Package":"example.com/a","Test":"TestEnds"}
		{"Action":"pass","Package":"example.com/a","Test":"TestEnds"}
		{"Action":"run","Package":"example.com/a","Test":"TestHangs"}
		{"Action":`))
	if err == nil {
		t.Fatal("half an event was read without an error")
	}
	run.finish("go test", err)
	if want := []string{"example.com/a.TestHangs (did not end)"}; !slices.Equal(report.failed, want) {
		t.Errorf("failed %q, want %q", report.failed, want)
	}
}

func TestStatusOfGoTestCountsEvenWhenEveryTestPassed(t *testing.T) {
	report := &report{out: new(strings.Builder)}
	run := newModuleRun(report)
	err := run.read(strings.NewReader(`
		{"Action":"run","Package":"example.com/a","Test":"TestEnds"}
		{"Action":"pass","Package":"example.com/a","Test":"TestEnds"}
		{"Action":"pass","Package":"example.com/a"}`))
	if err != nil {
		t.Fatal(err)
	}
	run.finish("go test", errors.New("exit status 1"))
	if want := []string{"go test"}; !slices.Equal(report.failed, want) {
		t.Errorf("failed %q, want %q", report.failed, want)
	}
}

func TestLastLineCountsAndDecides(t *testing.T) {
	for _, test := range []struct {
		failed, skipped []string
		want            string
		well            bool
	}{
		{nil, nil, "2 passed, 0 failed, 0 skipped", true},
		{[]string{"a"}, nil, "2 passed, 1 failed, 0 skipped", false},
		{nil, []string{"b: no browser"}, "2 passed, 0 failed, 1 skipped", false},
	} {
		var out strings.Builder
		report := &report{out: &out, passed: 2, failed: test.failed, skipped: test.skipped}
		well := report.finish()
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if last := lines[len(lines)-1]; last != test.want || well != test.well {
			t.Errorf("failed %q, skipped %q: last line %q and %t, want %q and %t", test.failed, test.skipped, last, well, test.want, test.well)
		}
		for _, name := range append(test.failed, test.skipped...) {
			if !strings.Contains(out.String(), "    "+name+"\n") {
				t.Errorf("the summary does not name %q:\n%s", name, out.String())
			}
		}
	}
}

func TestCheckFailsOnStatusAndSilentOneOnOutput(t *testing.T) {
	for _, test := range []struct {
		script string
		silent bool
		passes bool
	}{
		{"exit 0", false, true},
		{"echo fine", false, true},
		{"exit 1", false, false},
		{"echo unformatted.go", true, false},
		{"echo downloading >&2", true, true},
	} {
		got := check{argv: []string{"sh", "-c", test.script}, silent: test.silent}.run(t.Context())
		if passed := got.err == nil; passed != test.passes {
			t.Errorf("%q, silent %t: %v", test.script, test.silent, got.err)
		}
	}
}

func TestFailedCheckShowsOutputAndRemedy(t *testing.T) {
	var out strings.Builder
	report := &report{out: &out}
	report.addCheck(check{name: "gofumpt", remedy: "run it"}, result{output: "a.go\n", err: errors.New("complaints")})
	for _, want := range []string{"FAIL gofumpt", "a.go", "run it"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
}

func TestRaceCheckKeepsTheUsersFlags(t *testing.T) {
	t.Setenv("GOFLAGS", "-buildvcs=false")
	got := check{argv: []string{"sh", "-c", `printf %s "$GOFLAGS"`}, race: true}.run(t.Context())
	if want := "-buildvcs=false -race"; got.output != want {
		t.Errorf("GOFLAGS is %q, want %q", got.output, want)
	}
}

func TestModulesAreFoundRootFirst(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{".", "docs/example", "test/page", "test/page/node_modules/x", "test/runner/testdata/sample", ".build/x"} {
		file := filepath.Join(root, dir, "go.mod")
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("module example.com/m\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(root)
	got, err := findModules(".")
	if want := []string{".", "docs/example", "test/page"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("found %q, %v; want %q", got, err, want)
	}
}
