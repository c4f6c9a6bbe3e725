package linear

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore/memstore"
)

const (
	clients = 4
	phases  = 8
	deeds   = 3 // of each client in a phase
	jars    = 2
	user    = "alice"
	number  = otpcore.Number("+447700900123")
)

// gateway is a phone that says of each message what the history wants it to say.
type gateway struct {
	mu     sync.Mutex
	taken  map[string]chan order // by the tag of the message
	codes  map[string]string
	coming *sync.Cond
}

// order is what a gateway shall report, and done once it has.
type order struct {
	report otpcore.Report
	done   chan struct{}
}

func newGateway() *gateway {
	g := &gateway{taken: map[string]chan order{}, codes: map[string]string{}}
	g.coming = sync.NewCond(&g.mu)
	return g
}

func (*gateway) Ready() error { return nil }

func (g *gateway) Deliver(ctx context.Context, m otpcore.Message, _ func() error, report func(otpcore.Report)) error {
	tag, code, _ := strings.Cut(m.Text, " ")
	orders := make(chan order)
	g.mu.Lock()
	g.taken[tag], g.codes[tag] = orders, code
	g.coming.Broadcast()
	g.mu.Unlock()
	for {
		select {
		case o := <-orders:
			report(o.report)
			close(o.done)
		case <-ctx.Done():
			return nil
		}
	}
}

func (g *gateway) await(tag string) (code string, orders chan order) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.taken[tag] == nil {
		g.coming.Wait()
	}
	return g.codes[tag], g.taken[tag]
}

// jar is what one browser holds, which may have several tabs.
type jar struct {
	id   otpcore.ID
	code string
}

// text is a message that was sent.
type text struct {
	id     otpcore.ID
	sends  int
	orders chan order
}

// deed is one thing that was done, as it was done.
type deed struct {
	client       int
	in           input
	call, end    int64
	id           otpcore.ID // of the challenge it is about
	result       otpcore.Result
	verification *otpcore.Verification
	revoke       bool
	check        bool
	revoked      bool
}

// run is one history in the making.
type run struct {
	service     otpcore.Service
	gateway     *gateway
	ticks       atomic.Int64 // tells what came before what
	clock       atomic.Int64 // Unix milliseconds
	mu          sync.Mutex
	jars        [jars]jar
	texts       []text
	challenges  []otpcore.View
	verified    []*otpcore.Verification
	deeds       []deed
	revocations *otpcore.Revocations
}

// newStore makes the store that is under test, out of one that is right.
type newStore func(*memstore.Store) otpcore.Store

// record plays one history: phases in which clients act at once, with the clock
// ticking meanwhile, and jumps to the moments at which something ends in between.
func record(t *testing.T, seed uint64, limit int, wrap newStore) *run {
	t.Helper()
	right, err := memstore.New(100)
	if err != nil {
		t.Fatal(err)
	}
	defer right.Close()
	keys, err := otpcore.NewKeyring([]byte(strings.Repeat("k", otpcore.MinKeyLength)))
	if err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(context.Background())
	workers := otpcore.NewWorkers(phoneSends + clients)
	r := &run{gateway: newGateway(), revocations: new(otpcore.Revocations)}
	r.clock.Store(time.Now().UnixMilli())
	limits := otpcore.DefaultLimits()
	limits.Attempts, limits.Sends, limits.ResendAfter = attempts, sends, resendAfter
	limits.UserAttempts.N, limits.PhoneSends.N = limit, phoneSends
	r.service = otpcore.Service{
		Store: wrap(right), Keys: keys, Workers: workers, Revocations: r.revocations, Sender: r.gateway, Limits: limits,
	}
	random := rand.New(rand.NewPCG(seed, 0))
	for range phases {
		var wg sync.WaitGroup
		for client := range clients {
			own := rand.New(rand.NewPCG(random.Uint64(), uint64(client)))
			wg.Go(func() {
				for range deeds {
					r.act(t, client, own)
				}
			})
		}
		wg.Wait()
		r.jump(random)
	}
	end()
	workers.Close(ended)
	return r
}

// jump moves the clock to about when something becomes possible or ends.
func (r *run) jump(random *rand.Rand) {
	now := r.clock.Load()
	next := now + random.Int64N(15_000)
	if len(r.challenges) > 0 && random.IntN(3) > 0 {
		view := r.challenges[random.IntN(len(r.challenges))]
		moments := []time.Time{view.ExpiresAt, view.ExpiresAt.Add(-renewBelow), view.ResendAt}
		next = moments[random.IntN(len(moments))].UnixMilli() - 1 - random.Int64N(2)
	}
	r.clock.Store(max(now, next))
}

func (r *run) act(t *testing.T, client int, random *rand.Rand) {
	which := random.IntN(jars)
	r.mu.Lock()
	held := r.jars[which]
	r.mu.Unlock()
	d := deed{client: client, id: held.id, in: input{now: r.clock.Load()}}
	switch dice := random.IntN(100); {
	case dice < 20, held == jar{} && dice < 80:
		r.send(t, d, which)
	case dice < 65:
		r.submit(t, d, held.code, random.IntN(5) == 0)
	case dice < 78:
		r.status(t, d)
	case dice < 88:
		r.report(d, random)
	case dice < 91:
		r.revoke(d)
	case dice < 97:
		r.check(d, random)
	case dice < 98:
		r.mu.Lock()
		r.jars[which] = jar{} // a new browser
		r.mu.Unlock()
	}
	if random.IntN(4) == 0 {
		r.clock.Add(1)
	}
}

// at is the service at the moment of a deed.
func (r *run) at(d deed) *otpcore.Service {
	s := r.service
	s.Now = func() time.Time { return time.UnixMilli(d.in.now) }
	return &s
}

func request(tag string) otpcore.Request {
	return otpcore.Request{
		Subject: otpcore.Subject{User: user, Number: number, FirstFactor: true},
		Site:    "site.example.com", Length: 6, TTL: ttl, Seen: -1,
		Compose: func(code string, _ time.Duration) string { return tag + " " + code },
	}
}

func (r *run) add(d deed, do func(*deed)) deed {
	d.call = r.ticks.Add(1)
	do(&d)
	d.end = r.ticks.Add(1)
	r.mu.Lock()
	r.deeds = append(r.deeds, d)
	r.mu.Unlock()
	return d
}

func (r *run) submit(t *testing.T, d deed, code string, right bool) {
	d.in.kind, d.in.right = submit, right && code != ""
	if !d.in.right {
		code = wrong(code)
	}
	d = r.add(d, func(d *deed) {
		var err error
		if d.result, err = r.at(*d).Submit(t.Context(), d.id, request(""), code); err != nil {
			t.Errorf("submit: %v", err)
		}
		d.verification = d.result.Verification
	})
	if d.verification != nil {
		r.mu.Lock()
		r.verified = append(r.verified, d.verification)
		r.mu.Unlock()
	}
}

func wrong(code string) string {
	if code == "" {
		return "000000"
	}
	return string('0'+(code[0]-'0'+1)%10) + code[1:]
}

func (r *run) send(t *testing.T, d deed, which int) {
	d.in.kind = send
	tag := otpcore.NewID().String()
	d = r.add(d, func(d *deed) {
		var err error
		if d.result, err = r.at(*d).Send(t.Context(), d.id, request(tag)); err != nil {
			t.Errorf("send: %v", err)
		}
	})
	if d.result.Outcome != otpcore.MessageSent {
		return
	}
	code, orders := r.gateway.await(tag)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.jars[which] = jar{d.result.ID, code}
	r.texts = append(r.texts, text{d.result.ID, d.result.View.Sends, orders})
	r.challenges = append(r.challenges, *d.result.View)
}

func (r *run) status(t *testing.T, d deed) {
	d.in.kind = status
	r.add(d, func(d *deed) {
		var err error
		if d.result, err = r.at(*d).Status(t.Context(), d.id, request("")); err != nil {
			t.Errorf("status: %v", err)
		}
	})
}

func (r *run) report(d deed, random *rand.Rand) {
	r.mu.Lock()
	var of text
	if len(r.texts) > 0 {
		of = r.texts[random.IntN(len(r.texts))]
	}
	r.mu.Unlock()
	if of.orders == nil {
		return
	}
	d.in.kind, d.id, d.in.sends = report, of.id, of.sends
	d.in.delivery = otpcore.Queued + otpcore.Delivery(random.IntN(int(otpcore.Failed-otpcore.Queued)+1))
	r.add(d, func(d *deed) {
		o := order{otpcore.Report{Delivery: d.in.delivery}, make(chan struct{})}
		of.orders <- o
		<-o.done
	})
}

func (r *run) revoke(d deed) {
	d.revoke = true
	r.add(d, func(d *deed) { r.at(*d).Revoke(user) })
}

func (r *run) check(d deed, random *rand.Rand) {
	r.mu.Lock()
	if len(r.verified) > 0 {
		d.verification = r.verified[random.IntN(len(r.verified))]
	}
	r.mu.Unlock()
	if d.verification == nil {
		return
	}
	d.check = true
	r.add(d, func(d *deed) { d.revoked = r.revocations.Revoked(d.verification) })
}

// history is what the model is asked about.
func (r *run) history() (ops []porcupine.Operation) {
	names := r.names()
	verifications := map[otpcore.ID]int{}
	accepted := 0
	for _, d := range r.deeds {
		if d.revoke || d.check {
			continue
		}
		d.in.c = names[d.id]
		out := output{outcome: d.result.Outcome, c: names[d.result.ID]}
		if v := d.result.View; v != nil {
			out.shown, out.state, out.delivery = true, v.State, v.Delivery
			out.left, out.more, out.sends = v.AttemptsLeft, v.SendsLeft, v.Sends
		}
		if d.result.Outcome == otpcore.Accepted {
			if _, known := verifications[d.verification.ID]; !known {
				verifications[d.verification.ID] = len(verifications)
			}
			out.verification, out.verifiedAt = verifications[d.verification.ID], d.verification.VerifiedAt.UnixMilli()
			out.number = accepted
			ops = append(ops, porcupine.Operation{
				ClientId: clients + d.client, Call: d.call, Return: d.end, Input: input{kind: settle, c: none, settles: accepted}, Output: output{},
			})
			accepted++
		}
		ops = append(ops, porcupine.Operation{ClientId: d.client, Call: d.call, Return: d.end, Input: d.in, Output: out})
	}
	return ops
}

// names counts the challenges in the order in which they came. Since a number is
// texted once at a time, that is the order of their messages.
func (r *run) names() map[otpcore.ID]int {
	names := map[otpcore.ID]int{{}: none}
	for _, of := range r.texts {
		if _, known := names[of.id]; !known {
			names[of.id] = len(names) - 1
		}
	}
	return names
}
