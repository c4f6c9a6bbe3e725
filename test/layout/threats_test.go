package layout

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testName = regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Fuzz)\\w+)`")
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
)

// A promise is worth what its test is, so that each row names one, and none
// is named that is gone.
func TestEveryThreatAndTransactionNamesATestThatExists(t *testing.T) {
	for page, least := range map[string]int{"docs/THREATS.md": 40, "docs/ARCHITECTURE.md": 8} {
		if rows := checkTests(t, page); rows < least {
			t.Errorf("%d rows with tests were found in %s", rows, page)
		}
	}
}

// checkTests checks that each row of the page's tables names tests that exist, and returns how many there are.
func checkTests(t *testing.T, page string) (rows int) {
	const shown = "shown by"
	column := -1
	tests := map[string]map[string]bool{}
	for line := range strings.Lines(read(t, page)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 3 {
			column = -1
			continue
		}
		if column < 0 {
			column = len(cells) - 2
			if head := strings.TrimSpace(cells[column]); head != shown {
				t.Errorf("the last column of a table is %q, want %q", head, shown)
			}
			continue
		}
		if strings.Trim(line, "|-: \n") == "" {
			continue
		}
		rows++
		if len(cells)-2 != column {
			t.Errorf("%d columns, want %d: %s", len(cells)-2, column, line)
			continue
		}
		names := testName.FindAllStringSubmatch(cells[column], -1)
		if len(names) == 0 {
			t.Errorf("no test shows how this is met: %s", cells[1])
		}
		for _, name := range names {
			if tests[name[1]] == nil {
				tests[name[1]] = testsIn(t, name[1])
			}
			if !tests[name[1]][name[2]] {
				t.Errorf("there is no test %s in %s: name the one that shows it now", name[2], name[1])
			}
		}
	}
	return rows
}

func testsIn(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(dir), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range testFunc.FindAllStringSubmatch(string(content), -1) {
			found[name[1]] = true
		}
	}
	return found
}
