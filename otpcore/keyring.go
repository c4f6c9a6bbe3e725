package otpcore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"sync"

	"github.com/golang-jwt/jwt/v5"
)

// MinKeyLength is the least a key may have, in bytes (RFC 7518 3.2 for HS256).
const MinKeyLength = 32

// Pseudonym stands for a user, a number, an address or a site wherever
// something is stored or signed. Without the key it says nothing and cannot be
// made, so a dump of the store cannot be searched for a known number.
type Pseudonym [16]byte

func (p Pseudonym) String() string {
	var s [22]byte // what 16 bytes are in base64url
	base64.RawURLEncoding.Encode(s[:], p[:])
	return string(s[:])
}

// ParsePseudonym reads what [Pseudonym.String] wrote, and nothing else.
func ParsePseudonym(s string) (p Pseudonym, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(p) {
		return p, false
	}
	return Pseudonym(b), true
}

// Keyring holds the secrets of a server: the first signs and seals, all of
// them verify and open, and the last names what is stored, so that a key can be replaced
// without sending everybody a new code, or forgetting a lock: put the new one in front, and
// take the old one away when the longest limit has passed. It is safe for concurrent use.
type Keyring struct {
	sets        []*keySet
	seal, state Box
}

// Box seals with the first of its ciphers, and opens with whichever fits. It is
// safe for concurrent use.
type Box []cipher.AEAD

// Seal encrypts plain so that it opens only with the same context (which is
// authenticated, not stored).
func (b Box) Seal(plain, context []byte) []byte { return b[0].Seal(nil, nil, plain, context) }

// Open reverses Seal.
func (b Box) Open(sealed, context []byte) ([]byte, error) {
	var err error
	for _, aead := range b {
		var plain []byte
		if plain, err = aead.Open(nil, nil, sealed, context); err == nil {
			return plain, nil
		}
	}
	return nil, fmt.Errorf("open sealed value: %w", err)
}

// keySet holds what is derived from one secret. One key per purpose: the cookie's
// key can never check a code, nor the other way round.
type keySet struct {
	tokenKey  []byte
	token     macPool
	method    jwt.SigningMethod
	pseudonym macPool
	pass      macPool
	seal      cipher.AEAD
	state     cipher.AEAD
}

// NewKeyring derives the keys. Each secret must have at least [MinKeyLength] bytes.
func NewKeyring(secrets ...[]byte) (*Keyring, error) {
	if len(secrets) == 0 {
		return nil, errors.New("no key")
	}
	ring := new(Keyring)
	for i, secret := range secrets {
		if len(secret) < MinKeyLength {
			return nil, fmt.Errorf("key %d has %d bytes, at least %d are needed", i+1, len(secret), MinKeyLength)
		}
		set, err := newKeySet(secret)
		if err != nil {
			return nil, err
		}
		ring.sets = append(ring.sets, set)
		ring.seal, ring.state = append(ring.seal, set.seal), append(ring.state, set.state)
	}
	return ring, nil
}

func newKeySet(secret []byte) (*keySet, error) {
	derive := func(purpose string) ([]byte, error) {
		return hkdf.Key(sha256.New, secret, nil, "caddy-sms-otp v1 "+purpose, sha256.Size)
	}
	token, err := derive("token")
	if err != nil {
		return nil, fmt.Errorf("derive token key: %w", err)
	}
	pseudonym, err := derive("pseudonym")
	if err != nil {
		return nil, fmt.Errorf("derive pseudonym key: %w", err)
	}
	pass, err := derive("pass")
	if err != nil {
		return nil, fmt.Errorf("derive pass key: %w", err)
	}
	set := &keySet{tokenKey: token, token: newMACPool(token), pseudonym: newMACPool(pseudonym), pass: newMACPool(pass)}
	set.method = pooledHS256{jwt.SigningMethodHS256, set.token}
	for purpose, aead := range map[string]*cipher.AEAD{"seal": &set.seal, "state": &set.state} {
		key, err := derive(purpose)
		if err != nil {
			return nil, fmt.Errorf("derive %s key: %w", purpose, err)
		}
		if *aead, err = newAEAD(key); err != nil {
			return nil, err
		}
	}
	return set, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	return aead, nil
}

// Pseudonym returns the keyed name of value. Kind keeps a user and a number
// that are spelled alike apart.
func (k *Keyring) Pseudonym(kind, value string) Pseudonym { return k.namer().pseudonymOf(kind, value) }

// namer is the oldest key: with a new one in front, locks, counters and live challenges keep
// their names, and go on.
func (k *Keyring) namer() *keySet { return k.sets[len(k.sets)-1] }

// ID names the key that seals.
func (k *Keyring) ID() string { return k.sets[0].pseudonymOf("key", "").String() }

func (s *keySet) pseudonymOf(kind, value string) (p Pseudonym) {
	sum := s.pseudonym.sum(kind, "\x00", value)
	copy(p[:], sum[:])
	return p
}

// subject is what tokens and challenges call somebody: the user, or the number
// where no user is known and the number itself is the subject.
func (s *keySet) subject(user string, n Number) Pseudonym {
	if user == "" {
		return s.pseudonymOf("subject number", string(n))
	}
	return s.pseudonymOf("user", user)
}

// Seal encrypts plain so that it opens only with the same context (which is
// authenticated, not stored).
func (k *Keyring) Seal(plain, context []byte) []byte { return k.seal.Seal(plain, context) }

// Open reverses [Keyring.Seal] with whichever key sealed it.
func (k *Keyring) Open(sealed, context []byte) ([]byte, error) { return k.seal.Open(sealed, context) }

// State is for what a server writes down of its state. Nothing that was sealed
// for another purpose opens with it, nor the other way round.
func (k *Keyring) State() Box { return k.state }

// macPool keeps HMAC states for reuse: setting one up costs as much as a short
// message's MAC, and every request of a protected site needs one.
type macPool struct{ pool *sync.Pool }

func newMACPool(key []byte) macPool {
	return macPool{&sync.Pool{New: func() any { return &mac{h: hmac.New(sha256.New, key)} }}}
}

type mac struct {
	h   hash.Hash
	in  []byte // what is given to h would escape, and be copied for each MAC
	out [sha256.Size]byte
}

func (p macPool) sum(parts ...string) [sha256.Size]byte {
	m := p.pool.Get().(*mac)
	m.h.Reset()
	m.in = m.in[:0]
	for _, part := range parts {
		m.in = append(m.in, part...)
	}
	m.h.Write(m.in)
	m.h.Sum(m.out[:0])
	sum := m.out
	p.pool.Put(m)
	return sum
}

// pooledHS256 is HS256 that signs with a state of the pool, whatever key it is given.
type pooledHS256 struct {
	jwt.SigningMethod
	macs macPool
}

func (p pooledHS256) Sign(signed string, _ any) ([]byte, error) {
	sum := p.macs.sum(signed)
	return sum[:], nil
}
