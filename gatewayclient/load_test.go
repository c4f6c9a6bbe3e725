package gatewayclient_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient"
	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient/gatewaytest"
)

// told is what one delivery reported.
type told struct {
	steps     []gatewayclient.Progress
	asked     int
	ambiguous bool
	err       error
}

const (
	crowd      = 10_000
	crowdLimit = 300
	crowdPer   = 10 * time.Minute
)

// Ten thousand messages, eight phones, and chance: seeded, so that a failure can be replayed.
func TestEveryOneOfManyMessagesEndsAsTheGatewayHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, devices := newCrowd(t)
		ctx, stop := context.WithCancel(context.Background())
		var health sync.WaitGroup
		health.Go(func() { b.fleet.Run(ctx) })
		health.Go(func() { sleepAndWake(ctx, b.Server, devices) })
		all := make([]told, crowd)
		var deliveries sync.WaitGroup
		for i := range all {
			time.Sleep(400 * time.Millisecond)
			deliveries.Go(func() { all[i].deliver(b.fleet, crowdText(i)) })
		}
		deliveries.Wait()
		stop()
		health.Wait()
		b.Mend(gatewaytest.Fault{})
		time.Sleep(time.Minute) // what still waits is sent late, and counts as well
		compare(t, all, b.Messages())
		checkLimits(t, b.Messages(), crowdLimit, crowdPer)
	})
}

func crowdText(i int) string {
	return fmt.Sprintf("Example Co: your code is %06d. Valid for 5 minutes.", i)
}

func newCrowd(t *testing.T) (*bench, []string) {
	var ids []string
	var devices []gatewayclient.DeviceConfig
	for i := range 8 {
		ids = append(ids, strconv.Itoa(10401+i))
		devices = append(devices, gatewayclient.DeviceConfig{ID: ids[i], LimitN: crowdLimit, LimitPer: crowdPer})
	}
	b := newBench(t, "getdata", gatewaytest.Options{Seed: 7}, devices...)
	for _, f := range []gatewaytest.Fault{
		{Name: "lost-reply", Rate: .02},
		{Name: "lost-request", Rate: .01},
		{Name: "http-500", Rate: .01},
		{Name: "http-500-after", Rate: .01},
		{Name: "slow", Rate: .01},
		{Name: "late", Rate: .01, Delay: 15_000, Call: "addsms"},
		{Name: "refuse", Rate: .02},
		{Name: "http-429", Rate: .005},
		{Name: "html", Rate: .005},
		{Name: "truncated", Rate: .01},
		{Name: "odd-types", Rate: .1},
		{Name: "refuse-connection", Rate: .01},
		{Name: "fail-9", Rate: .01},
		{Name: "fail-8", Device: ids[7], Rate: .2},
		{Name: "stuck-sent", Rate: .05},
		{Name: "stuck-on-phone", Rate: .005},
	} {
		b.Break(f)
	}
	return b, ids
}

// sleepAndWake sends one phone after the other to sleep for a while.
func sleepAndWake(ctx context.Context, s *gatewaytest.Server, devices []string) {
	random := rand.New(rand.NewPCG(7, 7))
	for ctx.Err() == nil {
		f := gatewaytest.Fault{Name: "offline", Device: devices[random.IntN(len(devices))]}
		s.Break(f)
		pause(ctx, time.Duration(random.IntN(300))*time.Second)
		s.Mend(f)
		pause(ctx, time.Duration(random.IntN(60))*time.Second)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func (d *told) deliver(f *gatewayclient.Fleet, body string) {
	d.err = f.Deliver(context.Background(), gatewayclient.Text{To: number, Body: body, Expires: time.Now().Add(5 * time.Minute)},
		func() error { d.asked++; return nil },
		func(p gatewayclient.Progress) {
			d.steps = append(d.steps, p)
			if class, ok := gatewayclient.ClassOf(p.Err); ok && class == gatewayclient.Ambiguous {
				d.ambiguous = true
			}
		})
}

// compare holds what was told against what the gateway knows.
func compare(t *testing.T, all []told, messages []gatewaytest.Message) {
	t.Helper()
	byBody := map[string][]gatewaytest.Message{}
	for _, m := range messages {
		byBody[m.Body] = append(byBody[m.Body], m)
	}
	ends, causes, twice := map[string]int{}, map[string]int{}, 0
	for i, d := range all {
		if len(d.steps) == 0 || !d.steps[len(d.steps)-1].Final {
			t.Fatalf("message %d has no end: %+v", i, d.steps)
		}
		last := d.steps[len(d.steps)-1]
		ends[last.State.String()]++
		if last.State == gatewayclient.Failed {
			causes[last.Err.Error()]++
		}
		if why := d.disagrees(last, byBody[crowdText(i)]); why != "" {
			t.Errorf("message %d %s: told %+v, the gateway has %+v", i, why, d.steps, byBody[crowdText(i)])
		}
		if sent(byBody[crowdText(i)]) > 1 {
			twice++
		}
		delete(byBody, crowdText(i))
	}
	if len(byBody) > 0 {
		t.Errorf("the gateway has %d texts that nobody sent", len(byBody))
	}
	t.Logf("ended %v; %d messages for %d texts; %d were sent more than once; failed because of %v", ends, len(messages), len(all), twice, causes)
	if ends["delivered"]+ends["sent"] < crowd*95/100 {
		t.Errorf("too few were sent: %v", ends)
	}
}

func sent(messages []gatewaytest.Message) (n int) {
	for _, m := range messages {
		if !m.SentAt.IsZero() {
			n++
		}
	}
	return n
}

// disagrees says what is wrong with a report, if anything.
func (d *told) disagrees(last gatewayclient.Progress, have []gatewaytest.Message) string {
	device := strconv.Itoa(10400 + last.Device)
	late := false
	reported := false
	for _, m := range have {
		late = late || m.SentAt.IsZero() || m.SentAt.Sub(m.At) > 3*time.Second
		if strconv.Itoa(m.DeviceID) == device && (m.State == 6 || m.State == 7) {
			reported = true
		}
		if last.State == gatewayclient.Delivered && strconv.Itoa(m.DeviceID) == device && m.State == 7 {
			return d.repeats(have, late)
		}
	}
	switch {
	case last.State == gatewayclient.Delivered, last.State == gatewayclient.Sent && !reported:
		return "was not sent as told"
	case last.State == gatewayclient.Failed && sent(have) > 0:
		return "was sent although it failed"
	case last.State != gatewayclient.Sent && last.State != gatewayclient.Failed && last.State != gatewayclient.Unknown:
		return "did not end"
	}
	return d.repeats(have, late)
}

// repeats allows a second message only where an answer was lost or a phone was late.
func (d *told) repeats(have []gatewaytest.Message, late bool) string {
	if sent(have) > 1 && !d.ambiguous && !late {
		return "was sent twice for no reason"
	}
	if len(have) > d.asked+1 {
		return "was handed over more often than was asked"
	}
	return ""
}

// checkLimits slides each phone's window over what it sent, and returns the
// most that any of them sent in one.
func checkLimits(t *testing.T, messages []gatewaytest.Message, limit int, per time.Duration) (peak int) {
	t.Helper()
	byDevice := map[int][]gatewaytest.Message{}
	for _, m := range messages {
		if !m.SentAt.IsZero() {
			byDevice[m.DeviceID] = append(byDevice[m.DeviceID], m)
		}
	}
	for id, all := range byDevice {
		// A phone's messages are in order of arrival; what matters is when they were sent.
		slices.SortFunc(all, func(a, b gatewaytest.Message) int { return a.SentAt.Compare(b.SentAt) })
		most, n, first := 0, 0, 0
		for i := range all {
			for n += all[i].Segments; all[i].SentAt.Sub(all[first].SentAt) >= per; first++ {
				n -= all[first].Segments
			}
			most = max(most, n)
		}
		if most > limit {
			t.Errorf("phone %d sent %d segments in %s, its limit is %d", id, most, per, limit)
		}
		t.Logf("phone %d sent %d, at most %d in %s", id, len(all), most, per)
		peak = max(peak, most)
	}
	return peak
}

func TestLimitHoldsAtThePhonesWhenMuchMoreIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, per = 20, 5 * time.Minute
		ids := []string{"10401", "10402", "10403"}
		var devices []gatewayclient.DeviceConfig
		for _, id := range ids {
			devices = append(devices, gatewayclient.DeviceConfig{ID: id, LimitN: limit, LimitPer: per})
		}
		b := newBench(t, "getdata", gatewaytest.Options{Seed: 3}, devices...)
		b.Break(gatewaytest.Fault{Name: "lost-reply", Call: "addsms", Rate: .1})
		b.Break(gatewaytest.Fault{Name: "late", Call: "addsms", Delay: 15_000, Rate: .05})
		ctx, stop := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { b.fleet.Run(ctx) })
		running.Go(func() { sleepAndWake(ctx, b.Server, ids) })
		all := make([]told, 600)
		for i := range all {
			time.Sleep(2 * time.Second)
			running.Go(func() { all[i].deliver(b.fleet, crowdText(i)) })
		}
		time.Sleep(10 * time.Minute)
		stop()
		running.Wait()
		b.Mend(gatewaytest.Fault{})
		time.Sleep(time.Minute)
		if peak := checkLimits(t, b.Messages(), limit, per); peak < limit-1 {
			t.Errorf("at most %d were sent in %s, so the limit of %d was not put to the test", peak, per, limit)
		}
	})
}
