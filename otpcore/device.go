package otpcore

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
)

const (
	// deviceRenewal is how often the cookie of a trusted browser is replaced while it is in use.
	deviceRenewal = 12 * time.Hour
	// deviceGrace is how long a replaced cookie still counts: requests that were
	// under way when it was replaced carry it rightly.
	deviceGrace = time.Minute
)

// Device is a browser that is not asked again. What the browser holds of it is
// sealed; what the store holds is when the newest copy was made, so that a copy
// which was replaced, and so was stolen or restored, tells of itself when it comes back.
type Device struct {
	ID     ID     `json:"id"`
	Number Number `json:"n"`
	Source Source `json:"s"`
	Since  int64  `json:"t"` // Unix milliseconds, of the code that it began with
	Until  int64  `json:"u"`
	At     int64  `json:"a"` // when this copy was made
}

func deviceContext(site, user string) []byte { return []byte("device\x00" + site + "\x00" + user) }

func (s *Service) deviceKey(id ID) Pseudonym { return s.Keys.Pseudonym("device", id.String()) }

// TrustDevice begins the trust in a browser in which v was just made, and returns what the browser keeps.
func (s *Service) TrustDevice(ctx context.Context, v *Verification, life time.Duration) (token string, err error) {
	now := s.now().UnixMilli()
	d := &Device{
		ID: v.ID, Number: v.Number, Source: v.Source,
		Since: v.VerifiedAt.UnixMilli(), Until: now + life.Milliseconds(), At: now,
	}
	err = s.Store.Tally(ctx, s.deviceKey(d.ID), func(t *Tally) error {
		d.note(t)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("trust device: %w", err)
	}
	return s.sealDevice(d, v.Site, v.User)
}

// note makes d the newest copy.
func (d *Device) note(t *Tally) { *t = Tally{Times: []int64{d.At}, Window: d.Until - d.At} }

func (s *Service) sealDevice(d *Device, site, user string) (string, error) {
	plain, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("write device: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(s.Keys.Seal(plain, deviceContext(site, user))), nil
}

func (s *Service) openDevice(token, site, user string) *Device {
	if len(token) > maxTokenLength {
		return nil
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil {
		return nil
	}
	plain, err := s.Keys.Open(sealed, deviceContext(site, user))
	if err != nil {
		return nil
	}
	d := new(Device)
	if json.Unmarshal(plain, d) != nil {
		return nil
	}
	return d
}

// Device returns what a trusted browser's token is worth: the verification that it
// began with, and a new token where the old one is due to be replaced. Nil means no trust: it ran
// out, was ended, was lost by the store, or its token was replaced and has come back.
func (s *Service) Device(ctx context.Context, token, site, user string) (v *Verification, renewed string, err error) {
	d := s.openDevice(token, site, user)
	if d == nil {
		return nil, "", nil
	}
	now := s.now()
	v = &Verification{
		ID: d.ID, Site: site, User: user, Number: d.Number, Source: d.Source, FirstFactor: user != "",
		VerifiedAt: time.UnixMilli(d.Since), ActiveAt: now, ExpiresAt: time.UnixMilli(d.Until),
	}
	if !now.Before(v.ExpiresAt) || s.Revocations.Revoked(v) {
		return nil, "", nil
	}
	trusted, due := false, false
	err = s.Store.Tally(ctx, s.deviceKey(d.ID), func(t *Tally) error {
		if trusted, due = d.standing(t, now); !trusted {
			*t = Tally{} // for every copy: which of two is the owner's nobody can tell
		} else if due {
			copied := *d
			copied.At = now.UnixMilli()
			copied.note(t)
		}
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("look up device: %w", err)
	}
	if !trusted {
		return nil, "", nil
	}
	if due {
		d.At = now.UnixMilli()
		renewed, err = s.sealDevice(d, site, user)
	}
	return v, renewed, err
}

// standing tells whether this copy is trusted, and whether it is due to be replaced.
func (d *Device) standing(t *Tally, now time.Time) (trusted, due bool) {
	if len(t.Times) == 0 {
		return false, false
	}
	newest := t.Times[len(t.Times)-1]
	if d.At != newest {
		return d.At < newest && now.Sub(time.UnixMilli(newest)) < deviceGrace, false
	}
	return true, now.Sub(time.UnixMilli(d.At)) >= deviceRenewal
}

// ForgetDevice ends the trust that a token stands for.
func (s *Service) ForgetDevice(ctx context.Context, token, site, user string) error {
	d := s.openDevice(token, site, user)
	if d == nil {
		return nil
	}
	if err := s.clear(ctx, s.deviceKey(d.ID)); err != nil {
		return fmt.Errorf("forget device: %w", err)
	}
	return nil
}
