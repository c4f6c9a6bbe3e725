package main

import (
	"fmt"
	"strings"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/bench/routes"
)

// target is something that was promised, and what became of it.
type target struct {
	what     string
	limit    float64
	measured float64
	unit     string
	atLeast  bool
}

// none is the limit of what is told to judge the row before it by.
const none = 0

func (t target) reached() string {
	if t.limit == none {
		return "–"
	}
	if t.atLeast && t.measured < t.limit || !t.atLeast && t.measured > t.limit {
		return "**no**"
	}
	return "yes"
}

func (t target) bound() string {
	switch {
	case t.limit == none:
		return "–"
	case t.atLeast:
		return "≥ " + number(t.limit, t.unit)
	}
	return "≤ " + number(t.limit, t.unit)
}

func (r report) targets() []target {
	in := r.inProcess
	over := func(name string) float64 {
		return in["Request/"+name+" allocs/op"] - in["Request/no-op allocs/op"]
	}
	scaling := in["Scaling/"+routes.Gate+" scaling"]
	crowd := r.tables[len(r.tables)-1]
	list := []target{
		{"verified request, CPU over a bare `respond`", 1.05, r.cpu(verified, routes.Bare), "×", false},
		{"verified request, CPU over `basic_auth`", 1, r.cpu(verified, routes.BasicAuth), "×", false},
		{"verified request over a no-op handler, in process", 1, in["OverNoOp/verified ns-over-no-op"] / 1000, "µs", false},
		{"verified request over a no-op handler, allocations", 2, over("verified"), "", false},
		{"100,000 live cookies over one, in process", 1.15, in["Live request-ratio"], "×", false},
		{"no target: the same behind a no-op handler that finds the cookie in a map", none, in["Live map-ratio"], "×", false},
		{"100,000 live cookies over one, CPU of a whole Caddy", 1.15, r.cpu(crowd.rows[3].name, verified), "×", false},
		{"verified requests on two cores over one", 1.8, scaling, "×", true},
		{"no target: bare requests on two cores over one", none, in["Scaling/"+routes.Bare+" scaling"], "×", true},
		{"no target: arithmetic on two cores over one", none, in["Scaling/arithmetic scaling"], "×", true},
		{"refused request (no cookie), CPU over bare", 1.3, r.cpu(refused, routes.Bare), "×", false},
		{"refused request (forged cookie), CPU over bare", 1.3, r.cpu(forged, routes.Bare), "×", false},
		{"forged cookies over missing ones, CPU", 1.05, r.cpu(forged, refused), "×", false},
		{"rejecting a forged token over its MAC", 1.5, in["Read/forged ns/op"] / in["Read/MAC ns/op"], "×", false},
		{"three bare requests and a signature over a whole user", 0.5, (r.user.bare + r.user.sign) / r.user.user, "×", true},
		{"start and verify, per core and second", 80_000, 1e9 / in["Challenge cpu-ns/op"], "", true},
		{"no target: what it takes over its primitives alone", none, in["Challenge cpu-ns/op"] / in["Primitives cpu-ns/op"], "×", false},
		{"start with 10^5 pending over 10^3", 1.3, in["Pending start-ratio"], "×", false},
		{"verify with 10^5 pending over 10^3", 1.3, in["Pending verify-ratio"], "×", false},
		{"live heap per pending challenge at 10^5", 700, in["Heap B/challenge"], "B", false},
		{"load time with 10^5 phonebook lines, over plain Caddy", 150, in["Load ms-phonebook"], "ms", false},
		{"load time without them, over plain Caddy", 5, in["Load ms-module"], "ms", false},
		{"first byte of the challenge page over that of a static file as long", 2, r.firstByte, "×", false},
		{"the same, CPU", 2, r.cpu(asked, routes.File), "×", false},
	}
	if r.binary > 0 {
		list = append(list, target{"binary size over plain Caddy", 6, float64(r.binary) / 1e6, "MB", false})
	}
	return list
}

func (r report) writeTargets(b *strings.Builder) {
	b.WriteString("\n## Targets\n\n| | target | measured | reached |\n|---|---|---|---|\n")
	for _, t := range r.targets() {
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", t.what, t.bound(), number(t.measured, t.unit), t.reached())
	}
}

func number(n float64, unit string) string {
	switch {
	case n >= 1000:
		return fmt.Sprintf("%.0f %s", n, unit)
	case n == float64(int(n)):
		return strings.TrimSpace(fmt.Sprintf("%.0f %s", n, unit))
	default:
		return strings.TrimSpace(fmt.Sprintf("%.2f %s", n, unit))
	}
}
