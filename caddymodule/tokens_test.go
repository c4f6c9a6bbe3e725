package caddymodule

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

func testRing(t *testing.T) *otpcore.Keyring {
	t.Helper()
	ring, err := otpcore.NewKeyring(bytes.Repeat([]byte{7}, otpcore.MinKeyLength))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func testToken(t *testing.T, ring *otpcore.Keyring) string {
	t.Helper()
	now := time.Now()
	token, err := ring.Issue(&otpcore.Verification{
		ID: otpcore.NewID(), Site: "site.example.com", User: "alice", Number: "+447700900123",
		VerifiedAt: now, ActiveAt: now, ExpiresAt: now.Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (t *tokens) len() (n int) {
	for i := range t.shards {
		n += len(t.shards[i].young) + len(t.shards[i].old)
	}
	return n
}

func TestRememberedTokenIsStillOneUsersOfOneSite(t *testing.T) {
	ring, seen, now := testRing(t), new(tokens), time.Now()
	token := testToken(t, ring)
	first, err := seen.read(ring, token, "site.example.com", "alice", now)
	if err != nil {
		t.Fatal(err)
	}
	again, err := seen.read(ring, token, "site.example.com", "alice", now)
	if err != nil || *again != *first {
		t.Errorf("read again: %v, %v; want %v", again, err, first)
	}
	if third, err := seen.read(ring, token, "site.example.com", "alice", now); err != nil || third != again {
		t.Errorf("read a third time: %p, %v; want %p from memory", third, err, again)
	}
	for _, other := range [][2]string{{"site.example.com", "bob"}, {"other.example.com", "alice"}, {"", ""}} {
		if _, err := seen.read(ring, token, other[0], other[1], now); !errors.Is(err, otpcore.ErrToken) {
			t.Errorf("as %q: %v, want ErrToken", other, err)
		}
	}
}

func TestOnlyTokensThatWereReadAreRemembered(t *testing.T) {
	ring, seen, now := testRing(t), new(tokens), time.Now()
	token := []byte(testToken(t, ring))
	for i := range token {
		forged := bytes.Clone(token)
		forged[i] ^= 1
		if _, err := seen.read(ring, string(forged), "site.example.com", "alice", now); err == nil {
			t.Errorf("a token with byte %d changed was read", i)
		}
	}
	for _, short := range []string{"", "x", "xy"} {
		if _, err := seen.read(ring, short, "site.example.com", "alice", now); err == nil {
			t.Errorf("%q was read", short)
		}
	}
	if _, err := seen.read(ring, string(token), "site.example.com", "bob", now); err == nil || seen.len() != 0 {
		t.Errorf("%d tokens are remembered (%v), want none", seen.len(), err)
	}
}

func TestTokensThatNobodyShowsAreForgotten(t *testing.T) {
	ring, seen, now := testRing(t), new(tokens), time.Now()
	used, unused := testToken(t, ring), testToken(t, ring)
	read := func(token string) {
		if _, err := seen.read(ring, token, "site.example.com", "alice", now); err != nil {
			t.Fatal(err)
		}
	}
	read(unused)
	for range 3 {
		read(used)
		now = now.Add(tokenGeneration + time.Second)
		for range 1000 { // some for each shard
			read(testToken(t, ring))
		}
	}
	if held, _ := seen.shardOf(used).find(used); held == nil {
		t.Error("a token in use was forgotten")
	}
	if held, _ := seen.shardOf(unused).find(unused); held != nil {
		t.Error("a token that nobody showed for three generations is remembered")
	}
}

func TestShardIsBounded(t *testing.T) {
	shard, now := new(tokenShard), time.Now()
	for i := range 5 * maxTokens {
		shard.keep(string(rune(i)), new(otpcore.Verification), now)
	}
	if n := len(shard.young) + len(shard.old); n > 2*maxTokens {
		t.Errorf("%d tokens are remembered, want at most %d", n, 2*maxTokens)
	}
}

func TestOwnCookiesAreTakenOutAndOthersLeftAsTheyWere(t *testing.T) {
	for _, test := range []struct {
		sent, want []string
	}{
		{[]string{"t=1"}, nil},
		{[]string{"t=1; t-challenge=2"}, nil},
		{[]string{" t = 1 ;t-challenge=2;"}, nil},
		{[]string{"a=1; t=x; b=\"2\""}, []string{"a=1; b=\"2\""}},
		{[]string{"t=x; a=1"}, []string{"a=1"}},
		{[]string{"a=1; t=x"}, []string{"a=1"}},
		{[]string{"t=1; a=1; t=2; b=2; t=3; t-challenge=4; c=3; t"}, []string{"a=1; b=2; c=3"}},
		{[]string{"tt=1; at=2; t-=3; T=4; t-challenges=5"}, []string{"tt=1; at=2; t-=3; T=4; t-challenges=5"}},
		{[]string{"a=1;b=2", "t=x", "c=t=1"}, []string{"a=1;b=2", "c=t=1"}},
		{[]string{"", ";;"}, nil},
		{nil, nil},
	} {
		r := &http.Request{Header: http.Header{}}
		if test.sent != nil {
			r.Header["Cookie"] = test.sent
		}
		stripCookies(r, nil, []string{"t", "t-challenge"})
		if got, kept := r.Header["Cookie"]; kept != (test.want != nil) || !slices.Equal(got, test.want) {
			t.Errorf("%q: left %q, want %q", test.sent, got, test.want)
		}
	}
}

func FuzzNoCookieOfOursIsLeft(f *testing.F) {
	f.Add("a=1; t=2; b=3")
	f.Add(";t;t=;=t; t")
	f.Fuzz(func(t *testing.T, line string) {
		r := &http.Request{Header: http.Header{"Cookie": {line}}}
		stripCookies(r, nil, []string{"t"})
		if left := cookieValues(r.Header["Cookie"], "t"); len(left) > 0 {
			t.Errorf("%q: %q is left", line, left)
		}
		for _, c := range r.CookiesNamed("t") {
			t.Errorf("%q: net/http still finds %v", line, c)
		}
	})
}
