package otpcore

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	issuer    = "sms-otp"
	tokenType = "sms-otp+jwt"
	// maxTokenLength bounds what a stranger can make us look at.
	maxTokenLength = 1024
	// clockSkew is how far a token of another server may lie in the future.
	clockSkew = time.Minute
	// signatureLength is that of 32 bytes in base64url.
	signatureLength = 43
)

// tokenPrefix is the one header that is accepted, to the letter, with its dot. Comparing it
// whole leaves no room for "none", another algorithm, kid, jku, jwk or crit (RFC 8725 3.1).
var tokenPrefix = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"`+tokenType+`"}`)) + "."

var tokenHeader = map[string]any{"alg": jwt.SigningMethodHS256.Alg(), "typ": tokenType}

// Verification is the proof that somebody held a phone: the one thing that opens a route.
type Verification struct {
	ID          ID // the token's jti; stays through reissues
	Site        string
	User        string // canonical; the token itself holds a pseudonym
	Number      Number
	Source      Source
	FirstFactor bool // a first factor was seen too
	VerifiedAt  time.Time
	ActiveAt    time.Time // when the token was issued, that is last seen in use
	ExpiresAt   time.Time
}

// Fresh tells whether the verification still counts where it may be maxAge old and
// idle without a request. MaxAge counts from the code and never slides.
func (v *Verification) Fresh(now time.Time, maxAge, idle time.Duration) bool {
	age, unused := now.Sub(v.VerifiedAt), now.Sub(v.ActiveAt)
	return now.Before(v.ExpiresAt) && age < maxAge && unused < idle && age > -clockSkew && unused > -clockSkew
}

// Window returns from when, and until before when, the verification is [Verification.Fresh], in Unix
// milliseconds. The leeway for clocks that differ comes on top.
func (v *Verification) Window(maxAge, idle time.Duration) (from, until int64) {
	from = max(v.VerifiedAt.UnixMilli(), v.ActiveAt.UnixMilli())
	until = min(v.VerifiedAt.Add(maxAge).UnixMilli(), v.ActiveAt.Add(idle).UnixMilli(), v.ExpiresAt.UnixMilli())
	return from, until
}

// claims is the payload. Its fields stand in the order in which they are
// written: a token whose payload is spelled in any other way is refused.
type claims struct {
	Issuer   string   `json:"iss"`
	Audience string   `json:"aud"`
	Subject  string   `json:"sub"`
	AuthTime int64    `json:"auth_time"`
	IssuedAt int64    `json:"iat"`
	Expires  int64    `json:"exp"`
	ID       string   `json:"jti"`
	Methods  []string `json:"amr"`
	Number   string   `json:"num"` // pseudonym
	Source   string   `json:"src"`
	Sealed   string   `json:"tel"` // the number itself
	// Milliseconds of auth_time and iat, without which the shortest max_age and idle (1 s) would come out as anything from 0 to 2 s.
	Millis [2]int64 `json:"ms"`
}

func date(unix int64) (*jwt.NumericDate, error) { return jwt.NewNumericDate(time.Unix(unix, 0)), nil }

func (c *claims) GetExpirationTime() (*jwt.NumericDate, error) { return date(c.Expires) }
func (c *claims) GetIssuedAt() (*jwt.NumericDate, error)       { return date(c.IssuedAt) }
func (c *claims) GetNotBefore() (*jwt.NumericDate, error)      { return nil, nil }
func (c *claims) GetIssuer() (string, error)                   { return c.Issuer, nil }
func (c *claims) GetSubject() (string, error)                  { return c.Subject, nil }
func (c *claims) GetAudience() (jwt.ClaimStrings, error)       { return jwt.ClaimStrings{c.Audience}, nil }

// Issue signs v. The same verification may be signed again while it is in use: ActiveAt tells how recently.
func (k *Keyring) Issue(v *Verification) (string, error) {
	set := k.sets[0]
	methods := []string{"sms"}
	if v.FirstFactor {
		methods = append(methods, "mfa")
	}
	id := v.ID.String()
	token := jwt.Token{Method: set.method, Header: tokenHeader, Claims: &claims{
		Issuer: issuer, Audience: v.Site, Subject: set.subject(v.User, v.Number).String(),
		AuthTime: v.VerifiedAt.Unix(), IssuedAt: v.ActiveAt.Unix(), Expires: v.ExpiresAt.Unix(),
		ID: id, Methods: methods,
		Number: set.pseudonymOf("number", string(v.Number)).String(), Source: v.Source.String(),
		Sealed: base64.RawURLEncoding.EncodeToString(k.Seal([]byte(v.Number), []byte("number "+id))),
		Millis: [2]int64{v.VerifiedAt.UnixMilli() % 1000, v.ActiveAt.UnixMilli() % 1000},
	}}
	signed, err := token.SignedString(nil)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	if len(signed) > maxTokenLength {
		return "", fmt.Errorf("token of %d bytes is longer than the %d that would be read back", len(signed), maxTokenLength)
	}
	return signed, nil
}

// Read returns the verification that token carries for this user on this site, or [ErrToken].
// It says nothing about time: an expired token opens nothing, see [Verification.Fresh], but
// still tells a browser that the user was seen in before.
//
// The MAC is checked before anything is parsed: a forged cookie costs us a hash, not a JSON document.
func (k *Keyring) Read(token, site, user string) (*Verification, error) {
	signed, signature, ok := splitToken(token)
	if !ok {
		return nil, ErrToken
	}
	set := k.signer(signed, signature)
	if set == nil {
		return nil, ErrToken
	}
	var c claims
	parsed, err := tokenParser(site).ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return set.tokenKey, nil })
	if err != nil && !errors.Is(err, jwt.ErrTokenExpired) {
		return nil, ErrToken
	}
	if !canonical(parsed.Raw, &c) {
		return nil, ErrToken
	}
	v, err := k.verification(&c)
	if err != nil || c.Subject != set.subject(user, v.Number).String() {
		return nil, ErrToken
	}
	v.Site, v.User = site, user
	return v, nil
}

func tokenParser(site string) *jwt.Parser {
	return jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired(),
		jwt.WithIssuer(issuer), jwt.WithAudience(site), jwt.WithStrictDecoding())
}

// splitToken checks the outer form and returns what was signed and the signature.
func splitToken(token string) (signed, signature string, ok bool) {
	if len(token) > maxTokenLength || !strings.HasPrefix(token, tokenPrefix) {
		return "", "", false
	}
	dot := strings.LastIndexByte(token, '.')
	return token[:dot], token[dot+1:], dot >= len(tokenPrefix)
}

// signer returns the keys that signed made the signature. It compares the
// signature as it is written, not what a decoder makes of it: one that is spelled in
// another way is refused, and nothing of a forged one is decoded.
func (k *Keyring) signer(signed, signature string) *keySet {
	var got, want [signatureLength]byte
	if copy(got[:], signature) < len(got) || len(signature) > len(got) {
		return nil
	}
	for _, set := range k.sets {
		sum := set.token.sum(signed)
		base64.RawURLEncoding.Encode(want[:], sum[:])
		if subtle.ConstantTimeCompare(want[:], got[:]) == 1 {
			return set
		}
	}
	return nil
}

// canonical tells whether the payload is exactly what Issue writes for these
// claims: no claim twice, none unknown, no number as a string or a fraction.
func canonical(token string, c *claims) bool {
	payload, err := base64.RawURLEncoding.Strict().DecodeString(token[len(tokenPrefix):strings.LastIndexByte(token, '.')])
	if err != nil {
		return false
	}
	again, err := json.Marshal(c)
	return err == nil && bytes.Equal(again, payload)
}

func (k *Keyring) verification(c *claims) (*Verification, error) {
	id, ok := ParseID(c.ID)
	if !ok || len(c.Methods) == 0 {
		return nil, ErrToken
	}
	source := Directory
	if c.Source == Asked.String() {
		source = Asked
	}
	sealed, err := base64.RawURLEncoding.DecodeString(c.Sealed)
	if err != nil {
		return nil, fmt.Errorf("decode number: %w", err)
	}
	number, err := k.Open(sealed, []byte("number "+c.ID))
	if err != nil {
		return nil, err
	}
	return &Verification{
		ID: id, Number: Number(number), Source: source, FirstFactor: len(c.Methods) > 1,
		VerifiedAt: time.UnixMilli(c.AuthTime*1000 + c.Millis[0]), ActiveAt: time.UnixMilli(c.IssuedAt*1000 + c.Millis[1]),
		ExpiresAt: time.Unix(c.Expires, 0),
	}, nil
}
