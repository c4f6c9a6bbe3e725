package caddymodule

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddyserver/caddy/v2"
)

func shownToken(i int) shown {
	return shown{token: fmt.Sprintf("header.payload-%d.a-signature-of-43-characters-in-base64url", i), host: "site.example.com", user: "alice"}
}

func mustKey(t *testing.T, a *admissions, s shown) admissionKey {
	t.Helper()
	key, ok := a.key(s)
	if !ok {
		t.Fatalf("no key for %+v", s)
	}
	return key
}

func TestWhatIsKnownOfATokenIsFoundByAllThatWasShownAlone(t *testing.T) {
	seen, now, good := newAdmissions(), time.Now(), shownToken(1)
	good.tls = true
	want := admission{held: new(otpcore.Verification), from: 1, until: 2, version: version{revocations: 3}}
	seen.keep(mustKey(t, seen, good), want, now)
	if got, young := seen.find(mustKey(t, seen, good)); got != want || !young {
		t.Errorf("found %+v, young %v; want %+v", got, young, want)
	}
	others := map[string]shown{
		"another user": {good.token, good.host, "bob", true}, "another host": {good.token, "other.example.com", good.user, true},
		"without TLS": {good.token, good.host, good.user, false}, "user and host moved": {good.token, good.host + good.user, "", true},
	}
	for i := range good.token {
		changed := []byte(good.token)
		changed[i] ^= 1
		others[fmt.Sprint("byte ", i, " changed")] = shown{string(changed), good.host, good.user, true}
	}
	for name, other := range others {
		if got, _ := seen.find(mustKey(t, seen, other)); got != (admission{}) {
			t.Errorf("%s: found %+v", name, got)
		}
	}
	for _, short := range []string{"", "x", "fifteen letters"} {
		if _, ok := seen.key(shown{token: short}); ok {
			t.Errorf("%q counts as a token", short)
		}
	}
}

func TestAdmissionHoldsInItsWindowWhileNothingElseChanges(t *testing.T) {
	at := version{phonebook: newDirectory(), revocations: 7}
	known := admission{held: new(otpcore.Verification), from: 1000, until: 2000, version: at}
	for _, c := range []struct {
		name string
		ms   int64
		at   version
		want bool
	}{
		{"from", 1000, at, true},
		{"last", 1999, at, true},
		{"before", 999, at, false}, // a clock that was set back
		{"after", 2000, at, false},
		{"a revocation", 1500, version{at.phonebook, 8}, false},
		{"another phonebook", 1500, version{newDirectory(), 7}, false},
	} {
		if got := known.opens(time.UnixMilli(c.ms), c.at); got != c.want {
			t.Errorf("%s: opens = %v", c.name, got)
		}
	}
	if shut := (&admission{held: known.held}); shut.opens(time.UnixMilli(0), version{}) {
		t.Error("what never opened the gate opens it")
	}
}

func TestTokensThatNobodyShowsAreForgotten(t *testing.T) {
	seen, now := newAdmissions(), time.Now()
	used, unused := mustKey(t, seen, shownToken(1)), mustKey(t, seen, shownToken(2))
	known := admission{held: new(otpcore.Verification)}
	seen.keep(unused, known, now)
	for generation := range 3 {
		seen.keep(used, known, now)
		now = now.Add(admissionGeneration + time.Second)
		for i := range 1000 { // some for each shard
			seen.keep(mustKey(t, seen, shownToken(1000*(generation+1)+i)), known, now)
		}
	}
	if got, young := seen.find(used); got.held == nil || young {
		t.Errorf("a token in use: found %v, young %v; want it old", got, young)
	}
	if got, _ := seen.find(unused); got.held != nil {
		t.Error("a token that nobody showed for three generations is remembered")
	}
}

func TestAdmissionsAreBounded(t *testing.T) {
	seen, now := newAdmissions(), time.Now()
	known := admission{held: new(otpcore.Verification)}
	for i := range 5 * admissionShards * maxAdmissions {
		seen.keep(admissionKey{hash: uint64(i)}, known, now)
	}
	for i := range seen.shards {
		s := &seen.shards[i]
		if n := s.young.used + s.old.used; n > 2*maxAdmissions || len(s.young.slots) > 2*maxAdmissions {
			t.Fatalf("a shard remembers %d tokens in %d places, want at most %d", n, len(s.young.slots), 2*maxAdmissions)
		}
	}
}

// The table against a map, with hashes that meet as often as not.
func TestAdmissionTableIsAMap(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		var table admissionTable
		model := map[admissionKey]admission{}
		for range random.IntN(300) {
			key := admissionKey{hash: admissionShards * random.Uint64N(30), signature: [16]byte{byte(random.IntN(4))}}
			if got := table.find(key); got != model[key] {
				t.Fatalf("seed %d: %v: found %+v, want %+v", seed, key, got, model[key])
			}
			model[key] = admission{held: new(otpcore.Verification), from: random.Int64()}
			table.put(key, model[key])
		}
		for key, want := range model {
			if got := table.find(key); got != want {
				t.Fatalf("seed %d: %v: found %+v, want %+v", seed, key, got, want)
			}
		}
		if table.used != len(model) || 2*table.used > len(table.slots)+2 {
			t.Fatalf("seed %d: %d of %d places are used, want %d and half of them at most", seed, table.used, len(table.slots), len(model))
		}
	}
}

// testVisit is one of alice to a gate that has read nothing yet.
func testVisit(t *testing.T) *visit {
	t.Helper()
	keys, err := otpcore.NewKeyring(bytes.Repeat([]byte{7}, otpcore.MinKeyLength))
	if err != nil {
		t.Fatal(err)
	}
	revocations := new(otpcore.Revocations)
	h := &Handler{
		app: &App{engine: &engine{revocations: revocations}}, admissions: newAdmissions(),
		MaxAge: caddy.Duration(time.Hour), Idle: caddy.Duration(time.Hour),
	}
	return &visit{
		h: h, r: &http.Request{Host: "site.example.com"}, now: time.Now(), version: h.version(),
		svc:  &otpcore.Service{Keys: keys, Revocations: revocations},
		user: "alice", site: "site.example.com", subject: otpcore.Subject{User: "alice", Number: "+447700900123"},
	}
}

func (v *visit) testToken(t *testing.T) string {
	t.Helper()
	token, err := v.svc.Keys.Issue(&otpcore.Verification{
		ID: otpcore.NewID(), Site: v.site, User: v.user, Number: v.subject.Number,
		VerifiedAt: v.now, ActiveAt: v.now, ExpiresAt: v.now.Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestOnlyATokenThatWasReadIsRemembered(t *testing.T) {
	v := testVisit(t)
	token := v.testToken(t)
	refused := func(what, token string) {
		t.Helper()
		if held, opens := v.readToken(token); held != nil || opens {
			t.Errorf("%s: holds %v, opens %v", what, held, opens)
		}
	}
	for i := range token {
		forged := []byte(token)
		forged[i] ^= 1
		refused(fmt.Sprint("byte ", i, " changed"), string(forged))
	}
	refused("no token", "x")
	v.user, v.subject.User = "bob", "bob"
	refused("another user", token)
	v.user, v.subject.User = "alice", "alice"
	for i := range v.h.admissions.shards {
		if n := v.h.admissions.shards[i].young.used; n != 0 {
			t.Fatalf("%d tokens are remembered in shard %d, want none", n, i)
		}
	}
	first, opens := v.readToken(token)
	if first == nil || !opens {
		t.Fatalf("the good one: holds %v, opens %v", first, opens)
	}
	if again, opens := v.readToken(token); again != first || !opens {
		t.Errorf("again: holds %p, opens %v; want %p from memory", again, opens, first)
	}
}

// What changes while the rules look at a token must not pass for looked at.
func TestAChangeWhileTheRulesLookIsAChange(t *testing.T) {
	v := testVisit(t)
	token := v.testToken(t)
	v.svc.Revocations.EndUser("bob", v.now) // after v.version was taken
	if _, opens := v.readToken(token); !opens {
		t.Fatal("alice's token does not open the gate")
	}
	key, _ := v.h.admissions.key(v.shown(token))
	known, _ := v.h.admissions.find(key)
	if !known.opens(v.now, v.version) || known.opens(v.now, v.h.version()) {
		t.Errorf("%+v counts for another version than %+v", known, v.version)
	}
}
