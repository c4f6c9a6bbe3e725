package caddymodule

import (
	"sync"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

const (
	// tokenShards has one for each letter that base64url knows, by its code.
	tokenShards = 128
	// maxTokens is how many tokens are remembered in each shard and generation: 131,072 in all 64 that are used.
	maxTokens = 2048
	// tokenGeneration is how long a token is remembered that nobody shows any more, at least.
	tokenGeneration = 10 * time.Minute
)

// tokens remembers what tokens say, so that a browser's is read once and not with
// every request. It remembers nothing that can change: time, number and revocation
// are for its caller to look at, each time. Only a token that was read gets in, so a
// flood of forged ones pushes nothing out. The zero value is empty; it is safe for
// concurrent use.
//
// It is not kept in ristretto, which panics when it is closed while somebody reads:
// the lock against that would be one that all cores share.
type tokens struct{ shards [tokenShards]tokenShard }

// tokenShard forgets what was not asked for during a whole generation: a browser
// that gets a new token never shows the one before again.
type tokenShard struct {
	mu         sync.RWMutex
	young, old map[string]*otpcore.Verification
	since      time.Time // when young began
}

// read is [otpcore.Keyring.Read], from memory where it can. What it returns is shared and must not be changed.
func (t *tokens) read(keys *otpcore.Keyring, token, site, user string, now time.Time) (*otpcore.Verification, error) {
	shard := t.shardOf(token)
	held, young := shard.find(token)
	if held == nil {
		var err error
		if held, err = keys.Read(token, site, user); err != nil {
			return nil, err
		}
	}
	if held.Site != site || held.User != user {
		return nil, otpcore.ErrToken
	}
	if !young {
		shard.keep(token, held, now)
	}
	return held, nil
}

// shardOf spreads tokens by a letter of their signature.
func (t *tokens) shardOf(token string) *tokenShard {
	if len(token) < 2 {
		return &t.shards[0]
	}
	return &t.shards[token[len(token)-2]%tokenShards]
}

func (s *tokenShard) find(token string) (held *otpcore.Verification, young bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if held, young = s.young[token]; young {
		return held, true
	}
	return s.old[token], false
}

func (s *tokenShard) keep(token string, held *otpcore.Verification, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.young) >= maxTokens || now.Sub(s.since) > tokenGeneration {
		s.young, s.old, s.since = make(map[string]*otpcore.Verification), s.young, now
	}
	token, held = inOnePiece(token, held)
	s.young[token] = held
}

// inOnePiece copies what is remembered of a token into one string. The parts would keep the
// request's header and its credentials in memory, and a request waits for memory once instead of five times.
func inOnePiece(token string, read *otpcore.Verification) (string, *otpcore.Verification) {
	held := *read
	rest := token + held.Site + held.User + string(held.Number)
	cut := func(length int) (part string) {
		part, rest = rest[:length], rest[length:]
		return part
	}
	token = cut(len(token))
	held.Site, held.User, held.Number = cut(len(held.Site)), cut(len(held.User)), otpcore.Number(rest)
	return token, &held
}
