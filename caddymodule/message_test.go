package caddymodule

import (
	"strings"
	"testing"

	"github.com/caddy-sms-otp/caddy-sms-otp/caddymodule/web"
	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestMessagesOfSeveralSegmentsAreWarnedOfAtLoad(t *testing.T) {
	pages, err := web.New(web.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, message string
		segments      int64
		character     string
	}{
		{"the default", "", 0, ""},
		{"short", "{code} is your code for {site}", 0, ""},
		{"long", "{code} " + strings.Repeat("and on ", 25), 2, ""},
		{"one curly quote", "{code} is the code – valid for {minutes} minutes, for “{site}” and nobody else at all", 2, "–"},
	} {
		core, logs := observer.New(zap.WarnLevel)
		h := &Handler{
			Message: c.message, Site: "Example Co", Domain: "site.example.com", Code: Code{Length: 6}, TTL: caddy.Duration(5 * 60e9),
			log: zap.New(core), pages: pages,
		}
		h.warnOfSegments()
		if got := logs.Len(); (got == 1) != (c.segments > 0) {
			t.Fatalf("%s: %d warnings", c.name, got)
		}
		if c.segments == 0 {
			continue
		}
		said := logs.All()[0].ContextMap()
		character, _ := said["character"].(string)
		if said["segments"] != c.segments || character != c.character {
			t.Errorf("%s: %v", c.name, said)
		}
	}
}

func TestMessageEndsWithItsOriginBoundLine(t *testing.T) {
	got := write("{code} for {site}, {minutes} min", "Example", "site.example.com", "012345", 5)
	if got != "012345 for Example, 5 min\n\n@site.example.com #012345" {
		t.Errorf("message %q", got)
	}
	if got := write("{code} {action}", "", "", "012345", 5, "{action}", "{code} {site}"); got != "012345 {code} {site}" {
		t.Errorf("what a visitor typed was read as a placeholder: %q", got)
	}
}
