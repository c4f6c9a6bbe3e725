// Package layout holds the conventions of the repository as tests: who may
// import whom, that packages are documented, that what is written down twice
// agrees, and that nothing of the machine it was written on is left in it.
package layout

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"golang.org/x/crypto/bcrypt"
)

const root = "../.."

func TestEveryPackageIsDocumented(t *testing.T) {
	files := map[string][]string{}
	walk(t, func(path string) {
		if strings.HasSuffix(path, ".go") && !strings.Contains(path, "testdata") {
			files[filepath.Dir(path)] = append(files[filepath.Dir(path)], path)
		}
	})
	for dir, files := range files {
		name, doc := packageDoc(t, files)
		switch {
		case doc == "":
			t.Errorf("%s has no package comment: say in one what it is for", dir)
		case name != "main" && !strings.HasPrefix(doc, "Package "+name+" "):
			t.Errorf("%s: its package comment begins %.40q, want %q", dir, doc, "Package "+name+" …")
		}
	}
}

// packageDoc reads the comment of a package from the files that end up in it,
// or from its tests where it has nothing else.
func packageDoc(t *testing.T, files []string) (name, doc string) {
	t.Helper()
	isTest := func(path string) bool { return strings.HasSuffix(path, "_test.go") }
	if slices.ContainsFunc(files, func(path string) bool { return !isTest(path) }) {
		files = slices.DeleteFunc(files, isTest)
	}
	for _, path := range files {
		file := parseHead(t, path)
		name = file.Name.Name
		if doc = file.Doc.Text(); doc != "" {
			return name, doc
		}
	}
	return name, ""
}

func parseHead(t *testing.T, path string) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestBenchmarksKeepWhatWasTakenByHand(t *testing.T) {
	if !strings.Contains(read(t, "docs/BENCHMARKS.md"), read(t, "test/bench/compare/page.md")) {
		t.Error("docs/BENCHMARKS.md lacks test/bench/compare/page.md as it is: whoever writes it anew would change what it says of the page")
	}
}

var fencedCaddyfile = regexp.MustCompile("(?ms)^```caddyfile\n(.*?)^```$")

func TestReadmeShowsCaddyfileExample(t *testing.T) {
	example := read(t, "Caddyfile.example")
	var shown []string
	for _, block := range fencedCaddyfile.FindAllStringSubmatch(read(t, "README.md"), -1) {
		if block[1] == example {
			return
		}
		shown = append(shown, block[1])
	}
	if len(shown) == 0 {
		t.Fatal("README.md has no block fenced with ```caddyfile; it must show the whole of Caddyfile.example in one")
	}
	nearest := slices.MaxFunc(shown, func(a, b string) int { return commonLines(a, example) - commonLines(b, example) })
	line := commonLines(nearest, example)
	t.Errorf("no block of README.md is Caddyfile.example; the nearest differs from line %d on:\nREADME.md:         %q\nCaddyfile.example: %q\ncopy the file into the block", line+1, lineAt(nearest, line), lineAt(example, line))
}

// Caddy warns at each start of a file that is not.
func TestCaddyfileExampleIsFormatted(t *testing.T) {
	example := []byte(read(t, "Caddyfile.example"))
	if !bytes.Equal(caddyfile.Format(example), example) {
		t.Error("Caddyfile.example is not formatted: caddy fmt --overwrite Caddyfile.example, and copy it into README.md")
	}
}

// commonLines counts the lines that two texts have in common at their start.
func commonLines(a, b string) int {
	x, y := strings.SplitAfter(a, "\n"), strings.SplitAfter(b, "\n")
	n := 0
	for n < len(x) && n < len(y) && x[n] == y[n] {
		n++
	}
	return n
}

func lineAt(text string, n int) string {
	if lines := strings.Split(text, "\n"); n < len(lines) {
		return lines[n]
	}
	return "(the end)"
}

func TestDemoTellsWhatCaddyfileExampleHolds(t *testing.T) {
	script, example := read(t, "xcaddy.sh"), read(t, "Caddyfile.example")
	for _, want := range []string{
		"localhost:" + setting(t, script, "site_port"),
		"127.0.0.1:" + setting(t, script, "emulator_port"),
	} {
		if !strings.Contains(example, want) {
			t.Errorf("xcaddy.sh expects %s in Caddyfile.example, which does not mention it", want)
		}
	}
	user, password := setting(t, script, "demo_user"), setting(t, script, "demo_password")
	hash := regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(user) + `\s+(\$2\S+)`).FindStringSubmatch(example)
	if hash == nil {
		t.Fatalf("xcaddy.sh tells people to come in as %s, for whom Caddyfile.example has no bcrypt hash", user)
	}
	if err := bcrypt.CompareHashAndPassword([]byte(hash[1]), []byte(password)); err != nil {
		t.Errorf("the password that xcaddy.sh tells people does not open Caddyfile.example: %v", err)
	}
}

// setting reads a variable that a shell script sets at the start of a line.
func setting(t *testing.T, script, name string) string {
	t.Helper()
	value := regexp.MustCompile(`(?m)^` + name + `=(\S+)$`).FindStringSubmatch(script)
	if value == nil {
		t.Fatalf("xcaddy.sh does not set %s", name)
	}
	return value[1]
}

// Brackets keep this file from finding itself.
var foreign = regexp.MustCompile(
	`(?m)(^|[^A-Za-z0-9_.-])/(wor[k]|far[m]|roo[t])/` +
		`|https?://(proxy|registry|deb|sum)\.[a-z]` +
		`|(prox[y]|su[m])\.golang\.org|registry\.npm[j]s\.org|de[b]\.debian\.org`)

func TestNothingOfTheMachineItWasWrittenOnIsLeft(t *testing.T) {
	walk(t, func(path string) {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			return
		}
		if isBinary(content) {
			return
		}
		for _, at := range foreign.FindAllIndex(content, -1) {
			line := 1 + bytes.Count(content[:at[0]], []byte("\n"))
			t.Errorf("%s:%d holds %q: paths and registries of one machine help nobody elsewhere", path, line, content[at[0]:at[1]])
		}
	})
}

func isBinary(content []byte) bool {
	return bytes.IndexByte(content[:min(len(content), 8000)], 0) >= 0
}

// walk visits the files of the repository, without what is built or installed
// into it.
func walk(t *testing.T, visit func(path string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && slices.Contains([]string{".git", ".build", "node_modules"}, entry.Name()) {
			return filepath.SkipDir
		}
		if entry.Type().IsRegular() {
			visit(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
