// Command compare measures what the gate costs a whole Caddy, beside other ways
// of protecting a route, and writes docs/BENCHMARKS.md to its standard output:
//
//	go run ./test/bench/compare > docs/BENCHMARKS.md
//
// The server is a process of its own, whose CPU time alone is counted. The routes
// take turns in slices of some milliseconds, so that a machine which is busy with
// something else slows them all.
// With -quick it takes seconds and its figures mean little.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/caddy-sms-otp/caddy-sms-otp/test/bench/routes"
)

// plan is how much is measured.
type plan struct {
	rounds   int // of slices, for each server
	requests int // in a slice
	users    int // who come in from the page to the first request
	crowd    int // of browsers that are in
	benches  string
	binaries bool
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		exit(serve(os.Stdin, os.Stdout))
	}
	p := plan{rounds: 160, requests: 400, users: 1000, crowd: 100_000, benches: "2s", binaries: true}
	quick := flag.Bool("quick", false, "measure little, to see that it works")
	flag.Parse()
	if *quick {
		p = plan{rounds: 5, requests: 80, users: 20, crowd: 100, benches: "5x"}
	}
	exit(compare(p))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func compare(p plan) error {
	signed, err := routes.SignJWT()
	if err != nil {
		return err
	}
	r := report{tables: []table{
		{"HTTP/1.1", plainHTTP, 12, 0, rows(signed)},
		{"HTTP/1.1 over TLS", overTLS, 1, 0, rows(signed)},
		{"HTTP/2", http2, 1, 0, rows(signed)},
		{"HTTP/1.1, with many browsers", plainHTTP, 2, p.crowd, crowdRows(p.crowd)},
	}}
	for _, t := range r.tables {
		fmt.Fprintln(os.Stderr, "measuring", t.name)
		for i := range t.servers {
			all := t.rows
			if i > 0 {
				all = all[:min(targetRows, len(all))]
			}
			if err := p.measure(t.transport, t.users, all); err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
		}
	}
	fmt.Fprintln(os.Stderr, "measuring whole users")
	if r.user, err = p.wholeUsers(); err != nil {
		return fmt.Errorf("whole users: %w", err)
	}
	fmt.Fprintln(os.Stderr, "measuring the first byte of the page")
	if r.firstByte, err = p.firstByte(); err != nil {
		return fmt.Errorf("first byte: %w", err)
	}
	fmt.Fprintln(os.Stderr, "measuring in process")
	if r.inProcess, err = inProcess(p.benches); err != nil {
		return err
	}
	if p.binaries {
		if r.binary, err = binarySize(); err != nil {
			return err
		}
	}
	return r.write(os.Stdout)
}
