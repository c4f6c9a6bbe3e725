package caddymodule

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

const rewriteSite = `(gate) {
	sms_otp @inside
}
site.example.com {
	%s
}
`

// gateIn finds the gate's directive as the parser hands it over.
func gateIn(t *testing.T, file, text string) caddyfile.Token {
	t.Helper()
	blocks, err := caddyfile.Parse(file, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range blocks {
		for _, segment := range block.Segments {
			for _, token := range segment {
				if token.Text == "sms_otp" {
					return token
				}
			}
		}
	}
	t.Fatal("there is no gate")
	return caddyfile.Token{}
}

func TestGateByPathBesideARewriteIsFound(t *testing.T) {
	for lines, want := range map[string]string{
		"rewrite /old/* /admin{uri}\nsms_otp @inside":                   "rewrite",
		"sms_otp @inside\nrewrite /old/* /admin{uri}":                   "rewrite",
		"sms_otp /admin/*\nuri strip_prefix /x":                         "uri",
		"try_files {path} /index.html\nsms_otp @inside":                 "try_files",
		"route {\nuri strip_prefix /x\nsms_otp @inside\n}":              "uri",
		"route {\nsms_otp @inside\nuri strip_prefix /x\n}":              "",
		"rewrite /a /b\nroute {\nsms_otp @inside\n}":                    "rewrite",
		"handle_path /x/* {\nsms_otp @inside\n}":                        "handle_path",
		"handle /x/* {\nrewrite /a /b\n}\nhandle {\nsms_otp @inside\n}": "",
		"handle {\nrewrite /a /b\nsms_otp @inside\n}":                   "rewrite",
		"sms_otp @inside {\nhelp \"do not rewrite\"\n}\nrespond uri":    "",
		"rewrite /a /b\nimport gate":                                    "rewrite",
	} {
		t.Run(lines, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "Caddyfile")
			text := fmt.Sprintf(rewriteSite, lines)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			by, found := rewrittenIn([]string{"none", file}, gateIn(t, file, text))
			if found != (want != "") || by.Text != want {
				t.Errorf("found %q, want %q", by.Text, want)
			}
		})
	}
}

func TestMatchersByPathAreFound(t *testing.T) {
	for matcher, want := range map[string]bool{
		`{"path":["/a"]}`: true, `{"path_regexp":{}}`: true, `{"not":[{"path":["/a"]}]}`: true,
		`{"host":["a"]}`: false, `{"not":[{"host":["a"]}]}`: false, `{}`: false,
	} {
		var m caddy.ModuleMap
		if err := json.Unmarshal([]byte(matcher), &m); err != nil {
			t.Fatal(err)
		}
		if got := matchesPath(m); got != want {
			t.Errorf("%s: %v", matcher, got)
		}
	}
}
