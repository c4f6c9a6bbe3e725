package examples

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

var (
	fenced     = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")
	runs       = regexp.MustCompile(`caddy run --config docs/examples/(\S+)/Caddyfile`)
	relative   = regexp.MustCompile(`\]\(([^)#:]+)\)`)
	shellWords = regexp.MustCompile(`'[^']*'|"[^"]*"|\S+`)
)

// section is a part of the README, and the example that it is about.
type section struct{ title, text, example string }

func sections(t *testing.T) (all []section) {
	t.Helper()
	for _, text := range strings.Split(read(t, filepath.Join(root, "docs/examples/README.md")), "\n## ")[1:] {
		s := section{text: text}
		s.title, _, _ = strings.Cut(text, "\n")
		if run := runs.FindStringSubmatch(text); run != nil {
			s.example = run[1]
		}
		if s.title == "When the phone is gone" {
			s.example = "second-factor"
		}
		all = append(all, s)
	}
	return all
}

func TestReadmeTellsOfEveryExample(t *testing.T) {
	told := map[string]string{}
	for _, s := range sections(t) {
		told[s.title] = s.example
	}
	front := read(t, filepath.Join(root, "README.md"))
	for name := range examples(t) {
		if told[name] != name {
			t.Errorf("docs/examples/README.md has no section %s that says how to run it", name)
		}
		if !strings.Contains(front, "](docs/examples/"+name+"/Caddyfile)") {
			t.Errorf("README.md does not link docs/examples/%s/Caddyfile", name)
		}
	}
	for _, link := range relative.FindAllStringSubmatch(read(t, filepath.Join(root, "docs/examples/README.md")), -1) {
		if _, err := os.Stat(filepath.Join(root, "docs/examples", link[1])); err != nil {
			t.Errorf("docs/examples/README.md links what is not there: %v", err)
		}
	}
}

func TestReadmeShowsWhatTheExamplesHold(t *testing.T) {
	all := examples(t)
	for _, s := range sections(t) {
		for _, block := range fenced.FindAllStringSubmatch(s.text, -1) {
			if block[1] != "sh" && !strings.Contains(all[s.example], block[2]) && !strings.Contains(all[s.example], strings.TrimSpace(block[2])) {
				t.Errorf("%s: its Caddyfile does not hold\n%s", s.title, block[2])
			}
		}
	}
}

func TestAProgramGetsTheAnswersThatTheReadmeTells(t *testing.T) {
	all := examples(t)
	told := map[string]bool{}
	for _, s := range sections(t) {
		for _, block := range fenced.FindAllStringSubmatch(s.text, -1) {
			if block[1] != "sh" {
				continue
			}
			told[s.example] = true
			t.Run(s.title, func(t *testing.T) {
				p := newProgram(harness.StartCaddyfile(t, all[s.example]))
				for line := range strings.Lines(block[2]) {
					p.do(t, strings.TrimSpace(line))
				}
				complaints(t, p.site)
			})
		}
	}
	for name := range all {
		if !told[name] {
			t.Errorf("docs/examples/README.md does not tell what a program does with %s", name)
		}
	}
}

// program follows a shell session of the README.
type program struct {
	site   *harness.Site
	client *harness.Client
	vars   map[string]string // what is to be put where it says name=…
	sent   int               // messages so far
	last   map[string]any    // the last answer
}

func newProgram(s *harness.Site) *program {
	return &program{site: s, client: browser(s), vars: map[string]string{}}
}

func (p *program) do(t *testing.T, line string) {
	t.Helper()
	command, want, _ := strings.Cut(line, "  # ")
	words := shellWords.FindAllString(strings.TrimSpace(command), -1)
	switch {
	case len(words) == 0:
	case words[0] == "call":
		p.call(t, words[1:], strings.TrimSpace(want))
	case words[0] == "sleep":
		seconds, err := strconv.Atoi(words[1])
		if err != nil {
			t.Fatal(err)
		}
		wait(t, p.site, p.client, time.Duration(seconds)*time.Second)
	case command == "./caddy sms-otp pass alice":
		p.last = administer(t, p.site, "pass")
	case strings.HasSuffix(command, "=…"):
		p.set(t, strings.TrimSuffix(command, "=…"))
	default:
		t.Fatalf("what does %q do?", line)
	}
}

// set takes a value from the last answer, or from the phone where that has none.
func (p *program) set(t *testing.T, name string) {
	t.Helper()
	value, ok := p.last[name].(string)
	if !ok && name == "code" {
		p.sent++
		value = p.site.Code(p.sent)
	}
	if value == "" {
		t.Fatalf("nothing to put into %s: %v", name, p.last)
	}
	p.vars[name] = value
}

// call does what curl does with these arguments, and checks the answer: its status
// and a part of its body.
func (p *program) call(t *testing.T, words []string, want string) {
	t.Helper()
	method, body, address, header := http.MethodGet, "", "", http.Header{"Accept": {"*/*"}}
	for i := 0; i < len(words); i++ {
		switch word := p.expand(words[i]); word {
		case "-d":
			i++
			method, body = http.MethodPost, p.expand(words[i])
			header.Set("Content-Type", "application/x-www-form-urlencoded")
		case "-H":
			i++
			name, value, _ := strings.Cut(p.expand(words[i]), ": ")
			header.Set(name, value)
		case "-j":
			reopen(p.client)
		default:
			address = word
		}
	}
	path, ok := strings.CutPrefix(address, "http://localhost:8080")
	if !ok {
		t.Fatalf("%q is not the site", address)
	}
	a := p.client.Do(method, path, body, header)
	p.last = a.JSON()
	status, text, _ := strings.Cut(want, " ")
	if strconv.Itoa(a.Status) != status || !strings.Contains(a.Body, text) {
		t.Fatalf("%s: %d %s, the README tells %s", strings.Join(words, " "), a.Status, a.Body, want)
	}
}

// expand takes the quotes off a word and puts the variables in.
func (p *program) expand(word string) string {
	if strings.HasPrefix(word, "'") {
		return strings.Trim(word, "'")
	}
	return os.Expand(strings.Trim(word, `"`), func(name string) string { return p.vars[name] })
}
