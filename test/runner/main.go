// Command runner checks everything that must hold before a change lands:
// formatting, go vet and staticcheck in every module of the repository, one
// build with xcaddy, and all tests with the race detector. It runs in the root
// of the repository, as `./xcaddy.sh test` starts it.
//
// A skipped test fails the run. The last line it prints counts checks and tests
// together, "N passed, N failed, N skipped"; the exit status is 1 unless all
// passed. The tools of .ci/tools.mod are expected in $PATH.
package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	modules, err := findModules(".")
	if err != nil {
		fmt.Fprintln(os.Stderr, "runner:", err)
		os.Exit(1)
	}
	ctx := context.Background()
	report := &report{out: os.Stdout}
	for _, check := range checks(modules) {
		report.addCheck(check, check.run(ctx))
	}
	for _, dir := range modules {
		goTest(ctx, report, dir)
	}
	if !report.finish() {
		os.Exit(1)
	}
}

// checks compiles the modules' dependencies, Caddy among them, as the tests
// need them: with the race detector. That takes minutes once instead of twice.
func checks(modules []string) []check {
	list := []check{{
		name: "gofumpt", silent: true,
		argv:   []string{"gofumpt", "-l", "."},
		remedy: "format these files: go tool -modfile=.ci/tools.mod gofumpt -w .",
	}}
	for _, dir := range modules {
		list = append(
			list,
			check{name: "go vet in " + dir, dir: dir, race: true, argv: []string{"go", "vet", "./..."}},
			check{name: "staticcheck in " + dir, dir: dir, race: true, argv: []string{"staticcheck", "./..."}},
		)
	}
	return append(list, check{name: "xcaddy build", argv: []string{"./xcaddy.sh", "build"}})
}

// findModules returns the directories below root that hold a go.mod, root first.
func findModules(root string) ([]string, error) {
	var modules []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root && holdsNoModule(entry.Name()) {
			return filepath.SkipDir
		}
		if entry.Name() == "go.mod" {
			modules = append(modules, filepath.Dir(path))
		}
		return nil
	})
	slices.Sort(modules)
	return modules, err
}

func holdsNoModule(dir string) bool {
	return strings.HasPrefix(dir, ".") || dir == "testdata" || dir == "node_modules" || dir == "vendor"
}
