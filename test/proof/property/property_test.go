package property

import (
	"context"
	"flag"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore/memstore"
)

const shared = otpcore.Number("+447700900123")

// visitors are users with numbers, two of whom share theirs, and people who type one.
var visitors = []otpcore.Subject{
	{User: "alice", Number: shared, FirstFactor: true},
	{User: "bob", Number: shared, FirstFactor: true},
	{User: "carol", Number: "+447700900456", FirstFactor: true},
	{Number: shared, Source: otpcore.Asked, Address: "192.0.2.1"},
	{Number: "+447700900789", Source: otpcore.Asked, Address: "192.0.2.2"},
	{User: "alice", Number: "+447700900789", Source: otpcore.Asked, FirstFactor: true},
}

func init() {
	// More than the defaults, which the command line still overrides.
	for name, value := range map[string]string{"rapid.checks": "300", "rapid.steps": "60", "rapid.nofailfile": "true"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
}

func TestNoSequenceOfEventsGetsMoreThanTheLimitsGive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clean, err := memstore.New(1000)
		if err != nil {
			t.Fatal(err)
		}
		defer clean.Close()
		b := newBank(t, clean)
		defer b.service.Workers.Close(context.Background())
		for _, v := range visitors {
			b.browsers = append(b.browsers, &browser{subject: v})
		}
		t.Repeat(map[string]func(*rapid.T){
			"":                b.check,
			"come":            b.come,
			"come back":       b.comeBack,
			"ask":             b.ask,
			"guess":           b.guess,
			"spend it all":    b.spendItAll,
			"wait a little":   b.waitALittle,
			"give the code":   b.giveTheCode,
			"give an old one": b.giveAnOldCode,
			"as another":      b.asAnother,
			"wait":            b.wait,
			"fail over":       func(t *rapid.T) { b.again = rapid.IntRange(0, 2).Draw(t, "times") },
			"revoke":          func(t *rapid.T) { b.service.Revoke(rapid.SampledFrom(visitors).Draw(t, "user").User) },
		})
	})
}

// come is a visitor with a new browser.
func (b *bank) come(t *rapid.T) {
	b.browsers = append(b.browsers, &browser{subject: rapid.SampledFrom(visitors).Draw(t, "visitor")})
}

// comeBack is a visitor whose browser was in before, as whoever its cookie says.
func (b *bank) comeBack(t *rapid.T) {
	of := b.any(t)
	if v := of.subject.Known; v != nil {
		subject := rapid.SampledFrom(visitors).Draw(t, "visitor")
		if subject.User == v.User {
			subject.Known = v
			b.browsers = append(b.browsers, &browser{subject: subject})
		}
	}
}

func (b *bank) any(t *rapid.T) *browser {
	return rapid.SampledFrom(b.browsers).Draw(t, "browser")
}

func (b *bank) ask(t *rapid.T) { b.send(t, b.any(t)) }

func (b *bank) send(t *rapid.T, of *browser) {
	before := of.id
	res, err := b.service.Send(context.Background(), of.id, b.request(of))
	if err != nil {
		t.Fatal(err)
	}
	for b.service.Workers.Pending() > 0 {
		time.Sleep(time.Microsecond)
	}
	if res.Outcome != otpcore.MessageSent {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	code := b.newest.Text[len(b.newest.Text)-6:]
	if res.ID == before && code != of.code {
		t.Fatal("sending again changed the code")
	}
	if res.ID != before {
		of.made = b.now
	}
	of.id, of.code = res.ID, code
	b.codes = append(b.codes, code)
	if b.texts[of.id]++; b.texts[of.id] > limits.Sends {
		t.Fatalf("%d messages of one challenge", b.texts[of.id])
	}
}

func (b *bank) guess(t *rapid.T) { b.wrong(t, b.any(t)) }

func (b *bank) wrong(t *rapid.T, of *browser) {
	code := []byte(of.code)
	if len(code) == 0 {
		code = []byte("000000")
	}
	code[5] = '0' + (code[5]-'0'+1)%10
	if b.submit(t, of, of.subject, string(code)) == otpcore.Accepted {
		t.Fatal("a wrong code was accepted")
	}
}

func (b *bank) giveTheCode(t *rapid.T) {
	of := b.any(t)
	late := !b.now.Before(of.made.Add(ttl))
	_, before := b.accepted[of.id]
	if b.submit(t, of, of.subject, of.code) == otpcore.Accepted && late && !before {
		t.Fatal("a code was accepted after it had expired")
	}
}

func (b *bank) giveAnOldCode(t *rapid.T) {
	of := b.any(t)
	if len(b.codes) == 0 {
		t.Skip("no code was sent yet")
	}
	code := rapid.SampledFrom(b.codes).Draw(t, "code")
	if b.submit(t, of, of.subject, code) == otpcore.Accepted && code != of.code {
		t.Fatal("the code of another challenge was accepted")
	}
}

func (b *bank) asAnother(t *rapid.T) {
	of := b.any(t)
	other := rapid.SampledFrom(visitors).Draw(t, "another")
	if other.User == of.subject.User && other.Number == of.subject.Number && other.Source == of.subject.Source {
		t.Skip("the same")
	}
	if b.submit(t, of, other, of.code) == otpcore.Accepted {
		t.Fatal("a code was accepted from somebody else")
	}
}

func (b *bank) wait(t *rapid.T) {
	spans := []time.Duration{ttl, limits.IPStarts.Per - time.Millisecond, time.Millisecond, 8 * time.Hour, limits.TotalSends.Per - time.Millisecond}
	b.now = b.now.Add(rapid.SampledFrom(spans).Draw(t, "span"))
}

func (b *bank) waitALittle(t *rapid.T) {
	spans := []time.Duration{time.Millisecond, limits.ResendAfter - time.Millisecond, limits.ResendAfter, time.Minute, ttl - time.Millisecond}
	b.now = b.now.Add(rapid.SampledFrom(spans).Draw(t, "span"))
}

// spendItAll asks and guesses as long as anything is answered.
func (b *bank) spendItAll(t *rapid.T) {
	of := b.any(t)
	for range rapid.IntRange(1, 6).Draw(t, "rounds") {
		b.send(t, of)
		for range limits.Attempts + 1 {
			b.wrong(t, of)
		}
		b.now = b.now.Add(limits.ResendAfter)
		if rapid.Bool().Draw(t, "with a new browser") {
			of.id, of.code = otpcore.ID{}, ""
		}
	}
}

// submit gives a code in a browser as a visitor, and notes what came of it.
func (b *bank) submit(t *rapid.T, of *browser, as otpcore.Subject, code string) otpcore.Outcome {
	r := b.request(of)
	r.Subject = as
	res, err := b.service.Submit(context.Background(), of.id, r, code)
	if err != nil {
		t.Fatal(err)
	}
	name := allowance(as)
	switch res.Outcome {
	case otpcore.WrongCode:
		b.guesses[name] = append(b.guesses[name], b.now)
		b.compared[of.id]++
		b.streak[name]++
	case otpcore.Accepted:
		b.streak[name] = 0
		first, again := b.accepted[of.id]
		switch {
		case !again:
			b.accepted[of.id] = acceptance{res.Verification.ID, b.now}
		case first.id != res.Verification.ID:
			t.Fatal("one code gave two verifications")
		case b.now.Sub(first.at) > otpcore.RepeatGrace:
			t.Fatal("a code was accepted twice, and it was no double click")
		}
		of.subject.Known = res.Verification
	}
	return res.Outcome
}

// check holds the ledger against the limits.
func (b *bank) check(t *rapid.T) {
	for id, n := range b.compared {
		if n > limits.Attempts {
			t.Fatalf("%d wrong codes were compared with challenge %v, %d are allowed", n, id, limits.Attempts)
		}
	}
	for name, times := range b.guesses {
		within(t, "wrong codes of "+name, times, limits.UserAttempts)
	}
	for name, n := range b.streak {
		if n > limits.LockAfter {
			t.Fatalf("%d consecutive wrong codes of %s", n, name)
		}
	}
	for name, times := range b.sent {
		switch name {
		case "total":
			within(t, name, times, limits.TotalSends)
		case "asked":
			within(t, name, times, otpcore.Limit{N: limits.TotalSends.N / 4, Per: limits.TotalSends.Per})
		default:
			within(t, "messages to "+name, times, limits.PhoneSends)
		}
	}
}

// within checks every span of the limit's length, not only the last.
func within(t *rapid.T, what string, times []time.Time, l otpcore.Limit) {
	for i := range times {
		if i >= l.N && times[i].Sub(times[i-l.N]) < l.Per {
			t.Fatalf("%s: %d within %s, %d are allowed", what, l.N+1, times[i].Sub(times[i-l.N]), l.N)
		}
	}
}
