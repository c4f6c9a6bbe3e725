package layout

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/caddy-sms-otp/caddy-sms-otp"

// What a package must not reach, however many steps away; a path stands for
// everything below it too.
var (
	caddy     = ban{"the server", []string{"github.com/caddyserver", "go.uber.org/zap"}}
	http      = ban{"HTTP", []string{"net/http"}}
	logging   = ban{"logging", []string{"log"}}
	ristretto = ban{"ristretto", []string{"github.com/dgraph-io/ristretto"}}
	redis     = ban{"Redis", []string{"github.com/redis", "github.com/valkey-io"}}
)

type ban struct {
	name  string
	paths []string
}

// A rule says which packages of this module one may import, and what of the
// outside it must do without. It holds for the packages below it that have
// none of their own.
type rule struct {
	only   []string
	never  []ban
	reason string
}

var rules = map[string]rule{
	"otpcore": {
		never:  []ban{caddy, http, logging, ristretto, redis},
		reason: "the rules are pure: they know neither who asks, nor where state is kept, nor how a message travels",
	},
	"otpcore/memstore": {
		only: []string{"otpcore"}, never: []ban{caddy, http, redis},
		reason: "a store keeps and swaps what otpcore decides, and is no server",
	},
	"otpcore/redisstore": {
		only: []string{"otpcore"}, never: []ban{caddy, ristretto},
		reason: "a store keeps and swaps what otpcore decides, and stands for itself",
	},
	"otpcore/statelog": {
		never:  []ban{caddy, http, logging, ristretto, redis},
		reason: "it writes down what it is given, wherever it is told to, and knows neither what it means nor who asks",
	},
	"otpcore/storetest": {
		only: []string{"otpcore"}, never: []ban{caddy, http, ristretto, redis},
		reason: "one suite holds for every store, so it knows none of them",
	},
	"gatewayclient": {
		never:  []ban{caddy, ristretto, redis},
		reason: "the gateway's client is useful without one-time codes and without Caddy",
	},
	"gatewayclient/gatewaytest": {
		only: []string{"gatewayclient"}, never: []ban{caddy, ristretto, redis},
		reason: "the emulator speaks the vendor's wire and knows nothing of its clients",
	},
	"caddymodule": {
		only:   []string{"otpcore", "otpcore/memstore", "otpcore/redisstore", "otpcore/statelog", "gatewayclient", "caddymodule/web"},
		reason: "what users build contains nothing made for tests",
	},
	"caddymodule/web": {
		never:  []ban{caddy, ristretto, redis},
		reason: "the page is rendered from plain values, so that every state of it can be shown without a backend",
	},
}

// Packages below test may import whatever they test; nothing imports them.
const unruled = "test"

func TestEveryPackageKeepsToTheImportRules(t *testing.T) {
	graph := imports(t)
	for pkg := range graph {
		own, ok := ownPath(pkg)
		if !ok || within(own, unruled) {
			continue
		}
		rule, ok := ruleFor(own)
		if !ok {
			t.Errorf("%s has no rule: add to the table in this file what it may import, and why", own)
			continue
		}
		checkOwnImports(t, graph, own, rule)
		checkBans(t, graph, own, rule)
	}
}

func checkOwnImports(t *testing.T, graph map[string][]string, own string, rule rule) {
	t.Helper()
	for _, imported := range graph[module+"/"+own] {
		if path, ok := ownPath(imported); ok && !slices.Contains(rule.only, path) {
			t.Errorf("%s imports %s; it may import %q of this module: %s", own, path, rule.only, rule.reason)
		}
	}
}

func checkBans(t *testing.T, graph map[string][]string, own string, rule rule) {
	t.Helper()
	for _, ban := range rule.never {
		if chain := shortestChain(graph, module+"/"+own, ban.paths); chain != nil {
			t.Errorf("%s must do without %s, but reaches it: %s\nreason: %s", own, ban.name, strings.Join(chain, " → "), rule.reason)
		}
	}
}

func TestGatewayClientServesNothing(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "gatewayclient", "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("gatewayclient has no Go files (%v)", err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range serverNames(parsed) {
			t.Errorf("%s uses http.%s: gatewayclient is a client, and only gatewaytest serves", file, name)
		}
	}
}

// serverNames lists the identifiers of net/http for servers that a file uses.
func serverNames(file *ast.File) []string {
	forServers := []string{
		"Handle", "HandleFunc", "Handler", "HandlerFunc", "ListenAndServe", "ListenAndServeTLS",
		"NewServeMux", "ResponseWriter", "Serve", "ServeMux", "ServeTLS", "Server",
	}
	var used []string
	ast.Inspect(file, func(node ast.Node) bool {
		selector, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if pkg, ok := selector.X.(*ast.Ident); ok && pkg.Name == "http" && slices.Contains(forServers, selector.Sel.Name) {
			used = append(used, selector.Sel.Name)
		}
		return true
	})
	return used
}

// imports maps every package of the root module, and all they depend on, to
// what each imports; tests are left out, as they end up in no binary.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	list := exec.Command("go", "list", "-e", "-deps", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	list.Dir = root
	output, err := list.Output()
	if err != nil {
		t.Fatalf("list the packages: %v", err)
	}
	graph := map[string][]string{}
	for line := range strings.Lines(string(output)) {
		fields := strings.Fields(line)
		graph[fields[0]] = fields[1:]
	}
	return graph
}

// shortestChain leads from a package to the nearest one within the paths, or
// is nil where there is none.
func shortestChain(graph map[string][]string, from string, paths []string) []string {
	cameFrom := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		if slices.ContainsFunc(paths, func(path string) bool { return within(queue[0], path) }) {
			return chainTo(queue[0], cameFrom)
		}
		for _, next := range graph[queue[0]] {
			if _, seen := cameFrom[next]; !seen {
				cameFrom[next] = queue[0]
				queue = append(queue, next)
			}
		}
	}
	return nil
}

func chainTo(end string, cameFrom map[string]string) []string {
	var chain []string
	for pkg := end; pkg != ""; pkg = cameFrom[pkg] {
		chain = append(chain, pkg)
	}
	slices.Reverse(chain)
	return chain
}

// ruleFor finds the rule of a package, or of the nearest one above it.
func ruleFor(own string) (rule, bool) {
	for path := own; path != "."; path = filepath.Dir(path) {
		if rule, ok := rules[path]; ok {
			return rule, true
		}
	}
	return rule{}, false
}

func ownPath(pkg string) (string, bool) { return strings.CutPrefix(pkg, module+"/") }

func within(path, parent string) bool {
	return path == parent || strings.HasPrefix(path, parent+"/")
}

func TestShortestChainFindsTheImportThatBreaksARule(t *testing.T) {
	graph := map[string][]string{
		"a": {"b", "c"}, "b": {"b/x"}, "b/x": {"net/http/cookiejar"}, "c": {"b/x"}, "net/httpx": nil,
	}
	for _, test := range []struct {
		from, banned, want string
	}{
		{"a", "net/http", "a → b → b/x → net/http/cookiejar"},
		{"a", "b", "a → b"},
		{"b", "c", ""},
		{"net/httpx", "net/http", ""},
	} {
		got := strings.Join(shortestChain(graph, test.from, []string{test.banned}), " → ")
		if got != test.want {
			t.Errorf("from %s to %s: %q, want %q", test.from, test.banned, got, test.want)
		}
	}
}
