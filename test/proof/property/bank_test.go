package property

import (
	"context"
	"strings"
	"sync"
	"time"

	"pgregory.net/rapid"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore/memstore"
)

// The limits are small, so that a short sequence meets all of them.
var limits = otpcore.Limits{
	Attempts: 3, UserAttempts: otpcore.Limit{N: 5, Per: 24 * time.Hour}, LockAfter: 8, Sends: 2, ResendAfter: 30 * time.Second,
	PhoneSends: otpcore.Limit{N: 6, Per: 24 * time.Hour}, IPStarts: otpcore.Limit{N: 4, Per: time.Hour}, TotalSends: otpcore.Limit{N: 16, Per: 24 * time.Hour},
}

const ttl = 3 * time.Minute

// ledger is kept by what is seen from outside: what phones got and what visitors were told.
type ledger struct {
	sent     map[string][]time.Time // by budget
	guesses  map[string][]time.Time // wrong codes that were compared, by allowance
	streak   map[string]int
	accepted map[otpcore.ID]acceptance // by challenge
	compared map[otpcore.ID]int        // by challenge
	texts    map[otpcore.ID]int        // by challenge
}

// acceptance is the verification that a code gave.
type acceptance struct {
	id otpcore.ID
	at time.Time
}

// browser is one jar of one visitor.
type browser struct {
	subject otpcore.Subject
	id      otpcore.ID
	made    time.Time // when id was
	code    string
}

// bank is the service with all who come to it.
type bank struct {
	t        *rapid.T
	service  otpcore.Service
	now      time.Time
	again    int // how often the gateway will ask for a failover
	mu       sync.Mutex
	newest   otpcore.Message
	browsers []*browser
	codes    []string // all that were ever sent
	ledger
}

func newBank(t *rapid.T, store *memstore.Store) *bank {
	keys, err := otpcore.NewKeyring([]byte(strings.Repeat("k", otpcore.MinKeyLength)))
	if err != nil {
		t.Fatal(err)
	}
	b := &bank{t: t, now: time.Now().Truncate(time.Millisecond), ledger: ledger{
		sent: map[string][]time.Time{}, guesses: map[string][]time.Time{}, streak: map[string]int{},
		accepted: map[otpcore.ID]acceptance{}, compared: map[otpcore.ID]int{}, texts: map[otpcore.ID]int{},
	}}
	b.service = otpcore.Service{
		Store: store, Keys: keys, Workers: otpcore.NewWorkers(4), Revocations: new(otpcore.Revocations),
		Sender: b, Limits: limits, Now: func() time.Time { return b.now },
	}
	return b
}

// Ready and Deliver make the bank its own gateway.
func (b *bank) Ready() error { return nil }

func (b *bank) Deliver(_ context.Context, m otpcore.Message, again func() error, report func(otpcore.Report)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.newest = m
	b.pay(m)
	for range b.again {
		if again() != nil {
			break
		}
		b.pay(m)
	}
	report(otpcore.Report{Delivery: otpcore.Sent, Device: 1, Attempt: 1})
	return nil
}

// pay notes a message where it counts. Whoever it is for stands in its text.
func (b *bank) pay(m otpcore.Message) {
	class, _, _ := strings.Cut(m.Text, " ")
	b.sent["total"] = append(b.sent["total"], b.now)
	b.sent["number "+string(m.To)+" "+class] = append(b.sent["number "+string(m.To)+" "+class], b.now)
	if strings.HasPrefix(class, "asked") {
		b.sent["asked"] = append(b.sent["asked"], b.now)
	}
}

// class is whose allowance a visitor uses.
func class(u otpcore.Subject) string {
	switch {
	case u.Known != nil && u.Known.Number == u.Number:
		return "known:" + u.Known.ID.String()
	case !u.FirstFactor:
		return "asked"
	}
	return "stranger"
}

// payer is whose allowance of messages a visitor uses.
func payer(u otpcore.Subject) string {
	if c := class(u); c != "stranger" || u.Source != otpcore.Asked {
		return c
	}
	return "asked"
}

func (b *bank) request(of *browser) otpcore.Request {
	class := payer(of.subject)
	return otpcore.Request{
		Subject: of.subject, Site: "site.example.com", Length: 6, TTL: ttl, Seen: -1,
		Compose: func(code string, _ time.Duration) string { return class + " " + code },
	}
}

// allowance is under which name a visitor's wrong codes count.
func allowance(u otpcore.Subject) string {
	who := u.User
	if who == "" {
		who = string(u.Number)
	}
	return class(u) + " " + who
}
