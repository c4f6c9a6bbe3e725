package caddymodule_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient/gatewaytest"
	"github.com/caddy-sms-otp/caddy-sms-otp/test/harness"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// sample is a series of the running configuration's registry. Histograms stand for their count.
type sample struct {
	labels map[string]string
	value  float64
}

func gather(t *testing.T) map[string][]sample {
	t.Helper()
	ctx := caddy.ActiveContext()
	families, err := ctx.GetMetricsRegistry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]sample{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "caddy_sms_otp_") {
			continue
		}
		for _, m := range f.GetMetric() {
			s := sample{labels: map[string]string{}}
			for _, l := range m.GetLabel() {
				s.labels[l.GetName()] = l.GetValue()
			}
			s.value = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			all[f.GetName()] = append(all[f.GetName()], s)
		}
	}
	return all
}

// metric is the value of the one series that has these labels, name and value in turn; 0 where there is none.
func metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	for _, s := range gather(t)[name] {
		same := len(s.labels)*2 == len(labels)
		for i := 0; i+1 < len(labels); i += 2 {
			same = same && s.labels[labels[i]] == labels[i+1]
		}
		if same {
			return s.value
		}
	}
	return 0
}

// visitEverything makes whatever can be counted happen.
func visitEverything(t *testing.T, s *harness.Site) {
	t.Helper()
	c := s.Client("alice")
	c.Open("/")
	c.Call("send", nil) // too soon
	code := s.Code(1)
	for range 5 {
		c.Verify(harness.Wrong(code))
	}
	again := s.Client("alice")
	guessAndEnter := guessWrong(t, s, again, 1)
	again.Verify(guessAndEnter)
	again.Open("/inside")
	again.Do(http.MethodGet, "/", "", http.Header{"Accept": {"application/json"}})
	again.Do(http.MethodGet, "/?sms_otp=nonsense", "", nil)
	s.Client("nobody").Open("/")
	bob := s.Client("bob")
	bob.Do(http.MethodGet, "/", "", http.Header{"Accept": {"application/json"}})
	bob.Verify(mustAdmin(t, s, "POST", "users/bob/pass").json(t)["code"].(string))
	carol := s.Client("carol")
	s.Gateway.Break(gatewaytest.Fault{Name: "refuse"})
	carol.Open("/")
	s.Messages()
	s.Gateway.Mend(gatewaytest.Fault{Name: "refuse"})
	s.Client("bob").Call("send", nil) // the budget is spent
}

func TestMetricsHaveTheirNamesAndTheirLabelsAreClosed(t *testing.T) {
	s := startWithAdmin(t, "total_sends 3 24h")
	visitEverything(t, s)
	states := []string{"sending", "queued", "on_device", "sent", "delivered", "failed", "unknown"}
	closed := map[string]map[string][]string{
		"caddy_sms_otp_challenges_total": {"outcome": {"begun", "verified", "pass", "wrong", "locked", "limited", "budget_exhausted", "store_full"}},
		"caddy_sms_otp_messages_total": {
			"gateway": {"smsgateway24"}, "device": {"10403", "none"}, "state": states,
		},
		"caddy_sms_otp_delivery_seconds": {"state": {"sent", "delivered"}},
		"caddy_sms_otp_pending":          {}, "caddy_sms_otp_budget_remaining": {},
		"caddy_sms_otp_device_up":  {"device": {"10403"}},
		"caddy_sms_otp_gate_total": {"result": {"passed", "page", "step_up", "action", "refused"}},
	}
	seen := gather(t)
	if got, want := slices.Sorted(maps.Keys(seen)), slices.Sorted(maps.Keys(closed)); !slices.Equal(got, want) {
		t.Errorf("metrics %v\nwant    %v", got, want)
	}
	for name, samples := range seen {
		for _, sample := range samples {
			if len(sample.labels) != len(closed[name]) {
				t.Errorf("%s has the labels %v", name, sample.labels)
			}
			for label, value := range sample.labels {
				if !slices.Contains(closed[name][label], value) {
					t.Errorf("%s{%s=%q} is not one of %v", name, label, value, closed[name][label])
				}
			}
		}
	}
}

func TestMetricsCountWhatHappens(t *testing.T) {
	s := startWithAdmin(t, "total_sends 3 24h")
	before := gather(t)
	visitEverything(t, s)
	grown := func(name string, labels ...string) float64 {
		old := 0.0
		for _, o := range before[name] {
			if len(labels) == 0 || o.labels[labels[0]] == labels[1] {
				old += o.value
			}
		}
		return metric(t, name, labels...) - old
	}
	for range 1000 { // the gateway is asked every half second
		if grown("caddy_sms_otp_delivery_seconds", "state", "delivered") == 2 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	for _, c := range []struct {
		metric, label, value string
		want                 float64
	}{
		{"challenges_total", "outcome", "begun", 3},
		{"challenges_total", "outcome", "verified", 1},
		{"challenges_total", "outcome", "pass", 1},
		{"challenges_total", "outcome", "wrong", 6},
		{"challenges_total", "outcome", "locked", 1},
		{"gate_total", "result", "passed", 2},
		{"gate_total", "result", "step_up", 1},
		{"gate_total", "result", "refused", 2},
		{"gate_total", "result", "page", 2},
		{"challenges_total", "outcome", "budget_exhausted", 1},
		{"delivery_seconds", "state", "sent", 2},
		{"delivery_seconds", "state", "delivered", 2},
	} {
		if got := grown("caddy_sms_otp_"+c.metric, c.label, c.value); got != c.want {
			t.Errorf("%s{%s=%q} grew by %v, want %v", c.metric, c.label, c.value, got, c.want)
		}
	}
	if grown("caddy_sms_otp_challenges_total", "outcome", "limited") == 0 {
		t.Error("a message that came too soon was not counted")
	}
	if got := metric(t, "caddy_sms_otp_budget_remaining"); got != 0 {
		t.Errorf("budget_remaining %v with the budget spent", got)
	}
	if metric(t, "caddy_sms_otp_device_up", "device", "10403") != 1 {
		t.Error("the device is well, and not up")
	}
}

func TestVerifiedRequestIsCountedOnce(t *testing.T) {
	s := startWithAdmin(t, "")
	c := s.Client("alice")
	c.Enter()
	before := gather(t)
	for range 10 {
		c.Open("/")
	}
	after := gather(t)
	for name, samples := range after {
		for i, now := range samples {
			grew := now.value - before[name][i].value
			want := 0.0
			if now.labels["result"] == "passed" {
				want = 10
			}
			if grew != want && (name == "caddy_sms_otp_gate_total" || name == "caddy_sms_otp_challenges_total") {
				t.Errorf("%s%v grew by %v, want %v", name, now.labels, grew, want)
			}
		}
	}
}

func TestMetricsGoOnThroughAReload(t *testing.T) {
	s := startWithAdmin(t, "")
	c := s.Client("alice")
	c.Enter()
	before := metric(t, "caddy_sms_otp_challenges_total", "outcome", "verified")
	if err := s.Load(s.Caddyfile()); err != nil {
		t.Fatal(err)
	}
	if after := metric(t, "caddy_sms_otp_challenges_total", "outcome", "verified"); after != before || after == 0 {
		t.Errorf("%v before the reload, %v after", before, after)
	}
	if metric(t, "caddy_sms_otp_pending")+metric(t, "caddy_sms_otp_budget_remaining") == 0 {
		t.Error("the gauges are gone")
	}
}

func TestMetricsEndpointServesThem(t *testing.T) {
	s := startWithAdmin(t, "")
	s.Client("alice").Enter()
	response, err := http.Get("http://" + s.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{`caddy_sms_otp_device_up{device="10403"} 1`, `caddy_sms_otp_budget_remaining 999`, "# TYPE caddy_sms_otp_delivery_seconds histogram"} {
		if !strings.Contains(string(text), line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
	for _, secret := range []string{"alice", harness.Numbers["alice"][1:], harness.Token} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%q is told", secret)
		}
	}
}

// asJSON is how values are searched for what must not be in them.
func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
