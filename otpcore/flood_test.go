package otpcore_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

// A gateway that only counts, so that what is measured is not the messages.
type counter struct{ sent atomic.Int64 }

func (c *counter) Ready() error { return nil }

func (c *counter) Deliver(_ context.Context, _ otpcore.Message, _ func() error, report func(otpcore.Report)) error {
	c.sent.Add(1)
	report(otpcore.Report{Delivery: otpcore.Sent, Device: 1, Attempt: 1})
	return nil
}

// stranger is one of very many, with a number and an address that nobody else has.
func stranger(i int, firstFactor bool) otpcore.Request {
	r := request(fmt.Sprintf("user%d", i))
	r.Subject.Number = otpcore.Number(fmt.Sprintf("+99%09d", i))
	r.Subject.Address = fmt.Sprintf("2001:db8:%x:%x::/64", i>>16, i&0xffff)
	if !firstFactor {
		r.Subject.User, r.Subject.Source, r.Subject.FirstFactor = "", otpcore.Asked, false
	}
	return r
}

// flood starts n challenges from two sides at once and counts what becomes of them.
func (d *desk) flood(n int) (outcomes map[otpcore.Outcome]int, full int) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	outcomes = map[otpcore.Outcome]int{}
	for side := range 2 {
		wg.Go(func() {
			for i := side; i < n; i += 2 {
				r := stranger(i, side == 0)
				res, err := d.Send(d.t.Context(), otpcore.ID{}, r)
				for errors.Is(err, otpcore.ErrBusy) {
					runtime.Gosched() // and come again
					res, err = d.Send(d.t.Context(), otpcore.ID{}, r)
				}
				mu.Lock()
				switch {
				case errors.Is(err, otpcore.ErrStoreFull):
					full++
				case err != nil:
					d.t.Errorf("send: %v", err)
				default:
					outcomes[res.Outcome]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for d.Workers.Pending() > 0 {
		runtime.Gosched()
	}
	return outcomes, full
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func (d *desk) sender() *counter {
	c := new(counter)
	d.Sender = c
	return c
}

// 200,000 people who never were here before must cost neither money nor memory.
func TestFloodIsRefusedWithinTheBudgetAndWithinBoundedMemory(t *testing.T) {
	const bound = 8 << 20
	d := newDesk(t, 100_000)
	id, code := d.start(request("alice"))
	gateway := d.sender()
	before := heap()
	outcomes, full := d.flood(200_000)
	if grown := heap() - before; grown > bound {
		t.Errorf("the heap has grown by %d MiB, want at most %d", grown>>20, bound>>20)
	}
	if sent := gateway.sent.Load(); sent != 999 || outcomes[otpcore.MessageSent] != 999 || full != 0 {
		t.Errorf("%d messages, %v, store full for %d; want what was left of the budget of 1000", sent, outcomes, full)
	}
	if n := outcomes[otpcore.BudgetSpent]; n != 200_000-999 {
		t.Errorf("%d were told that the budget is spent, want all others: %v", n, outcomes)
	}
	d.must(otpcore.Accepted)(d.submit(id, request("alice"), code))
}

func TestFloodOfAFullStorePushesNobodyOut(t *testing.T) {
	const bound, capacity, budget = 8 << 20, 2000, 20_000
	d := newDesk(t, capacity)
	d.Limits.TotalSends.N = budget
	id, code := d.start(request("alice"))
	gateway := d.sender()
	before := heap()
	outcomes, full := d.flood(20_000)
	if grown := heap() - before; grown > bound {
		t.Errorf("the heap has grown by %d MiB, want at most %d", grown>>20, bound>>20)
	}
	if sent := gateway.sent.Load(); sent != capacity-1 || outcomes[otpcore.MessageSent] != capacity-1 {
		t.Errorf("%d messages, %v; want one for each challenge that there was room for", sent, outcomes)
	}
	if full == 0 {
		t.Error("the store was never full")
	}
	d.must(otpcore.Accepted)(d.submit(id, request("alice"), code))
}
