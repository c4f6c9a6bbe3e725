package caddymodule

import (
	"encoding/json"
	"os"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"go.uber.org/zap"
)

// rewriting are the directives after which a path matcher sees another path than the visitor asked for.
var rewriting = []string{"rewrite", "uri", "try_files"}

// warnOfRewrites warns of a gate whose matcher goes by a path that was rewritten before: some
// spelling of the address may then lead around the gate.
func warnOfRewrites(h httpcaddyfile.Helper, gate caddyfile.Token, matcher caddy.ModuleMap) {
	if !matchesPath(matcher) {
		return
	}
	if by, found := rewrittenIn(h.Caddyfiles(), gate); found {
		caddy.Log().Named("config.adapter.caddyfile").Warn(
			"sms_otp goes by the path as it is after "+by.Text+", so addresses may lead around it; gate the whole site, or put both into a route block, sms_otp first",
			zap.String("file", gate.File), zap.Int("line", gate.Line), zap.Int("rewritten_in_line", by.Line))
	}
}

// rewrittenIn looks for what rewrites paths before the gate. A directive is not shown its
// neighbours, so the files are read once more; where there are none, nothing is found.
func rewrittenIn(files []string, gate caddyfile.Token) (by caddyfile.Token, found bool) {
	for _, file := range files {
		input, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		blocks, err := caddyfile.Parse(file, input)
		if err != nil {
			continue // a part that others import
		}
		for _, block := range blocks {
			if by, found = rewrittenBefore(block, gate); found {
				return by, true
			}
		}
	}
	return by, false
}

// rewrittenBefore finds what rewrites paths before the gate: Caddy puts such directives of a
// site, or of a block, first, but in route everything stays where it stands.
func rewrittenBefore(block caddyfile.ServerBlock, gate caddyfile.Token) (by caddyfile.Token, found bool) {
	isGate := func(t caddyfile.Token) bool {
		return t.File == gate.File && t.Line == gate.Line && t.Text == gate.Text
	}
	holds := slices.IndexFunc(block.Segments, func(s caddyfile.Segment) bool { return slices.ContainsFunc(s, isGate) })
	if holds < 0 {
		return by, false
	}
	for i, segment := range block.Segments {
		directive := segment.Directive()
		if slices.Contains(rewriting, directive) || i == holds && directive == "handle_path" {
			return segment[0], true
		}
	}
	around := block.Segments[holds]
	if around.Directive() == "route" {
		around = around[:slices.IndexFunc(around, isGate)]
	}
	return rewrite(around)
}

// rewrite finds the first token of a line that is a directive which rewrites paths.
func rewrite(segment caddyfile.Segment) (caddyfile.Token, bool) {
	for i, t := range segment {
		if (i == 0 || segment[i-1].Line != t.Line) && slices.Contains(rewriting, t.Text) {
			return t, true
		}
	}
	return caddyfile.Token{}, false
}

// matchesPath tells whether a matcher looks at the path.
func matchesPath(matchers caddy.ModuleMap) bool {
	for name, raw := range matchers {
		switch name {
		case "path", "path_regexp":
			return true
		case "not":
			var sets []caddy.ModuleMap
			if json.Unmarshal(raw, &sets) == nil && slices.ContainsFunc(sets, matchesPath) {
				return true
			}
		}
	}
	return false
}
