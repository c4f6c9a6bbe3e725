package caddymodule

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/prometheus/client_golang/prometheus"
)

// Every configuration has a registry of its own, while what is counted goes on
// through reloads: so the collectors belong to the package. Their labels come from closed sets:
// words of ours, and devices of the configuration.

var (
	challengesTotal = prometheus.NewCounterVec(counter("challenges_total", "What became of challenges."), []string{"outcome"})
	messagesTotal   = prometheus.NewCounterVec(counter("messages_total", "States that messages reached."), []string{"gateway", "device", "state"})
	gateTotal       = prometheus.NewCounterVec(counter("gate_total", "What requests to protected routes met."), []string{"result"})
	deliverySeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: metricPrefix + "delivery_seconds", Help: "From when the gateway accepted a message until it was sent, and delivered.",
		Buckets: []float64{0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300},
	}, []string{"state"})
)

const metricPrefix = "caddy_sms_otp_"

func counter(name, help string) prometheus.CounterOpts {
	return prometheus.CounterOpts{Name: metricPrefix + name, Help: help}
}

// gate counts requests. Its counters are found once: a verified request pays for one addition.
var gate = struct{ passed, page, stepUp, action, refused prometheus.Counter }{
	passed:  gateTotal.WithLabelValues("passed"),
	page:    gateTotal.WithLabelValues("page"),
	stepUp:  gateTotal.WithLabelValues("step_up"),
	action:  gateTotal.WithLabelValues("action"),
	refused: gateTotal.WithLabelValues("refused"),
}

// challenges counts what became of challenges.
var challenges = struct {
	begun, verified, pass, wrong, locked, limited, budget, full prometheus.Counter
}{
	begun:    challengesTotal.WithLabelValues("begun"),
	verified: challengesTotal.WithLabelValues("verified"),
	pass:     challengesTotal.WithLabelValues("pass"),
	wrong:    challengesTotal.WithLabelValues("wrong"),
	locked:   challengesTotal.WithLabelValues("locked"),
	limited:  challengesTotal.WithLabelValues("limited"),
	budget:   challengesTotal.WithLabelValues("budget_exhausted"),
	full:     challengesTotal.WithLabelValues("store_full"),
}

// countMessage counts a state of a message, which is told once for each.
func (app *App) countMessage(r otpcore.Report, waited time.Duration) {
	messagesTotal.WithLabelValues(app.gateway, app.deviceLabel(r.Device), r.Delivery.String()).Inc()
	if r.Delivery == otpcore.Sent || r.Delivery == otpcore.Delivered {
		deliverySeconds.WithLabelValues(r.Delivery.String()).Observe(waited.Seconds())
	}
}

// deviceLabel names the device at a place of the configuration, counted from 1.
func (app *App) deviceLabel(place int) string {
	if devices := app.devices(); place > 0 && place <= len(devices) {
		return labelOf(devices[place-1])
	}
	return "none"
}

func labelOf(d gatewayclient.DeviceView) string {
	if d.SIM == "0" {
		return d.ID
	}
	return d.ID + "/" + d.SIM
}

// gauges reads what is true at the moment from the running configuration.
type gauges struct{ pending, budget, up *prometheus.Desc }

var live = gauges{
	pending: prometheus.NewDesc(metricPrefix+"pending", "Challenges that wait for their code.", nil, nil),
	budget:  prometheus.NewDesc(metricPrefix+"budget_remaining", "Messages that total_sends still allows.", nil, nil),
	up:      prometheus.NewDesc(metricPrefix+"device_up", "Whether a device is well: 1, or 0 while it is silent, failing or refused.", []string{"device"}, nil),
}

// Describe implements [prometheus.Collector].
func (g gauges) Describe(to chan<- *prometheus.Desc) {
	to <- g.pending
	to <- g.budget
	to <- g.up
}

// budgetWait is how long a scrape waits for a store on another machine.
const budgetWait = 2 * time.Second

// Collect implements [prometheus.Collector].
func (g gauges) Collect(to chan<- prometheus.Metric) {
	app := activeApp()
	if app == nil {
		return
	}
	to <- prometheus.MustNewConstMetric(g.pending, prometheus.GaugeValue, float64(app.engine.pending()))
	for _, d := range app.devices() {
		up := 0.0
		if isUp(d) {
			up = 1
		}
		to <- prometheus.MustNewConstMetric(g.up, prometheus.GaugeValue, up, labelOf(d))
	}
	ctx, cancel := context.WithTimeout(app.ctx, budgetWait)
	defer cancel()
	svc, err := app.service()
	if err != nil {
		return
	}
	if left, _, err := svc.Budget(ctx); err == nil {
		to <- prometheus.MustNewConstMetric(g.budget, prometheus.GaugeValue, float64(left))
	}
}

// registerMetrics makes the collectors known to a configuration's registry.
func registerMetrics(registry *prometheus.Registry) error {
	for _, c := range []prometheus.Collector{challengesTotal, messagesTotal, gateTotal, deliverySeconds, live} {
		if err := registry.Register(c); err != nil && !errors.As(err, new(prometheus.AlreadyRegisteredError)) {
			return err
		}
	}
	return nil
}
