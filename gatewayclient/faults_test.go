package gatewayclient_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient"
	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient/gatewaytest"
)

// outcome is how a delivery ended under one fault: the last state, how many
// messages the gateway took, how many phones sent, and after how long it was
// final or, where it was sent, sent.
type outcome struct {
	state  string
	queued int
	sent   int
	within time.Duration
}

// Questions after messages are gathered for a moment.
const gathering = 50 * time.Millisecond

// Every fault, in both profiles, with one and with two devices. Faults of the
// gateway hit each sending call; those of a phone the first phone only.
func TestEveryFaultEndsInTheTruth(t *testing.T) {
	const s, m = time.Second, time.Minute
	none := outcome{}
	rows := map[string][4]outcome{
		// getdata, one device; getdata, two; v1, one; v1, two
		"":                  {{"delivered", 1, 1, 4 * s}, {"delivered", 1, 1, 4 * s}, {"queued", 1, 1, s}, {"queued", 1, 1, s}},
		"refuse-connection": {{"failed", 0, 0, 30 * s}, {"failed", 0, 0, 34 * s}, {"failed", 0, 0, 30 * s}, {"failed", 0, 0, 34 * s}},
		// Of a message that never turns up nobody can say that it will not.
		"lost-request":   {{"unknown", 0, 0, 5*m + 2*s}, {"unknown", 0, 0, 5*m + 2*s}, {"unknown", 0, 0, s}, {"unknown", 0, 0, s}},
		"lost-reply":     {{"delivered", 1, 1, 4 * s}, {"delivered", 1, 1, 4 * s}, {"unknown", 1, 1, s}, {"unknown", 2, 2, s}},
		"slow":           {{"delivered", 1, 1, 8 * s}, {"delivered", 1, 1, 8 * s}, {"queued", 1, 1, 4 * s}, {"queued", 1, 1, 4 * s}},
		"late":           {{"delivered", 1, 1, 8 * s}, {"delivered", 1, 1, 8 * s}, {"queued", 1, 1, 4 * s}, {"queued", 1, 1, 4 * s}},
		"http-500":       {{"unknown", 0, 0, 5*m + 2*s}, {"unknown", 0, 0, 5*m + 2*s}, {"unknown", 0, 0, s}, {"unknown", 0, 0, s}},
		"http-500-after": {{"delivered", 1, 1, 4 * s}, {"delivered", 1, 1, 4 * s}, {"unknown", 1, 1, s}, {"unknown", 2, 2, s}},
		"http-503":       {{"unknown", 0, 0, 5*m + 2*s}, {"unknown", 0, 0, 5*m + 2*s}, {"unknown", 0, 0, s}, {"unknown", 0, 0, s}},
		"http-429":       {{"failed", 0, 0, 30 * s}, {"failed", 0, 0, 34 * s}, {"failed", 0, 0, 30 * s}, {"failed", 0, 0, 34 * s}},
		"http-400":       {{"failed", 0, 0, s}, {"failed", 0, 0, s}, {"failed", 0, 0, s}, {"failed", 0, 0, s}},
		"http-401":       {{"failed", 0, 0, s}, {"failed", 0, 0, s}, {"failed", 0, 0, s}, {"failed", 0, 0, s}},
		"http-402":       {{"failed", 0, 0, s}, {"failed", 0, 0, s}, {"failed", 0, 0, s}, {"failed", 0, 0, s}},
		"http-404":       {{"failed", 0, 0, s}, {"failed", 0, 0, s}, {"failed", 0, 0, s}, {"failed", 0, 0, s}},
		"html":           {{"failed", 0, 0, s}, {"failed", 0, 0, s}, {"failed", 0, 0, s}, {"failed", 0, 0, s}},
		"redirect":       {{"failed", 0, 0, s}, {"failed", 0, 0, s}, {"failed", 0, 0, s}, {"failed", 0, 0, s}},
		"not-json":       {{"unknown", 0, 0, 5*m + 2*s}, {"unknown", 0, 0, 5*m + 2*s}, {"unknown", 0, 0, s}, {"unknown", 0, 0, s}},
		"truncated":      {{"delivered", 1, 1, 4 * s}, {"delivered", 1, 1, 4 * s}, {"unknown", 1, 1, s}, {"unknown", 2, 2, s}},
		"empty":          {{"unknown", 0, 0, 5*m + 2*s}, {"unknown", 0, 0, 5*m + 2*s}, {"unknown", 0, 0, s}, {"unknown", 0, 0, s}},
		"huge":           {{"unknown", 0, 0, 5*m + 2*s}, {"unknown", 0, 0, 5*m + 2*s}, {"unknown", 0, 0, s}, {"unknown", 0, 0, s}},
		// An accepted message without an id is found by its customer id; v1 needs none.
		"no-id":       {{"delivered", 1, 1, 4 * s}, {"delivered", 1, 1, 4 * s}, {"queued", 1, 1, s}, {"queued", 1, 1, s}},
		"odd-types":   {{"delivered", 1, 1, 4 * s}, {"delivered", 1, 1, 4 * s}, {"queued", 1, 1, s}, {"queued", 1, 1, s}},
		"wrong-token": {{"failed", 0, 0, s}, {"failed", 0, 0, s}, {"failed", 0, 0, s}, {"failed", 0, 0, s}},
		"refuse":      {{"failed", 0, 0, s}, {"failed", 0, 0, s}, {"failed", 0, 0, s}, {"failed", 0, 0, s}},
		// A message that waits may yet be sent, so it is followed until it is of no more use.
		"offline":        {{"unknown", 1, 0, 5*m + 2*s}, {"delivered", 2, 1, 16 * s}, {"queued", 1, 0, s}, {"queued", 1, 0, s}},
		"no-pickup":      {{"unknown", 1, 0, 5*m + 2*s}, {"delivered", 2, 1, 16 * s}, {"queued", 1, 0, s}, {"queued", 1, 0, s}},
		"stuck-on-phone": {{"unknown", 1, 0, 5*m + 2*s}, {"delivered", 2, 1, 36 * s}, {"queued", 1, 0, s}, {"queued", 1, 0, s}},
		"stuck-sent":     {{"sent", 1, 1, 4 * s}, {"sent", 1, 1, 4 * s}, {"queued", 1, 1, s}, {"queued", 1, 1, s}},
		"hook-duplicate": {none}, "hook-disorder": {none}, "hook-old-shape": {none}, // no webhook is used
	}
	for _, code := range []string{"8", "9", "10", "11", "12", "100", "101"} {
		rows["fail-"+code] = [4]outcome{{"failed", 1, 0, 4 * s}, {"delivered", 2, 1, 8 * s}, {"queued", 1, 0, s}, {"queued", 1, 0, s}}
	}
	for _, name := range slices.Concat([]string{""}, gatewaytest.GatewayFaults, gatewaytest.PhoneFaults, gatewaytest.HookFaults) {
		row, ok := rows[name]
		if !ok {
			t.Errorf("fault %q has no row", name)
		}
		for i, want := range row {
			if want == none {
				continue
			}
			label := name + "/" + []string{"getdata one", "getdata two", "v1 one", "v1 two"}[i]
			t.Run(label, func(t *testing.T) { deliverUnder(t, name, i >= 2, i%2 == 1, want) })
		}
	}
}

func deliverUnder(t *testing.T, fault string, v1, two bool, want outcome) {
	synctest.Test(t, func(t *testing.T) {
		api, call := "getdata", "addsms"
		if v1 {
			api, call = "v1", "send"
		}
		devices := []gatewayclient.DeviceConfig{{ID: "10403"}}
		if two {
			devices = append(devices, gatewayclient.DeviceConfig{ID: "10404"})
		}
		b := newBench(t, api, gatewaytest.Options{}, devices...)
		switch {
		case fault == "wrong-token", fault == "refuse-connection":
			b.Break(gatewaytest.Fault{Name: fault})
		case slices.Contains(gatewaytest.GatewayFaults, fault):
			b.Break(gatewaytest.Fault{Name: fault, Call: call})
		case fault != "":
			b.Break(gatewaytest.Fault{Name: fault, Device: "10403"})
		}
		err := b.deliver(5 * time.Minute)
		last := b.final(t)
		took := b.times[len(b.times)-1]
		if last.State == gatewayclient.Sent {
			took = b.times[slices.IndexFunc(b.seen, func(p gatewayclient.Progress) bool { return p.State == gatewayclient.Sent })]
		}
		time.Sleep(10 * time.Second) // phones end what they have begun
		got := outcome{state: last.State.String(), within: want.within}
		for _, m := range b.Messages() {
			got.queued++
			if !m.SentAt.IsZero() {
				got.sent++
			}
			if m.Body != text || m.To != number {
				t.Errorf("another text was sent: %+v", m)
			}
		}
		if got != want || took > want.within+gathering {
			t.Errorf("ended as %+v after %s (%s), want %+v", got, took, b.story(), want)
		}
		failed := last.State == gatewayclient.Failed
		if failed != (err != nil) || (failed || last.State == gatewayclient.Unknown) != (last.Err != nil) {
			t.Errorf("ended as %s because of %v, returning %v", last.State, last.Err, err)
		}
		for _, p := range b.seen {
			if p.Err != nil && (strings.Contains(p.Err.Error(), token) || strings.Contains(p.Err.Error(), "847291") || strings.Contains(p.Err.Error(), number)) {
				t.Errorf("a secret is in %q", p.Err)
			}
		}
	})
}
