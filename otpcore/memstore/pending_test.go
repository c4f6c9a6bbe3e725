package memstore

import (
	"testing"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

func TestPendingCountsWhatWaitsForItsCode(t *testing.T) {
	s, err := New(1000)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Now()
	var last otpcore.ID
	for i := range 300 {
		last = otpcore.NewID()
		life := time.Hour
		if i < 100 {
			life = time.Minute
		}
		if err := s.Create(t.Context(), &otpcore.Challenge{ID: last, Expires: now.Add(life).UnixMilli()}); err != nil {
			t.Fatal(err)
		}
	}
	err = s.Update(t.Context(), last, func(c *otpcore.Challenge) error { c.State = otpcore.Verified; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if n := s.Pending(now); n != 299 {
		t.Errorf("%d pending, want all but the one that was answered", n)
	}
	if n := s.Pending(now.Add(2 * time.Minute)); n != 199 {
		t.Errorf("%d pending, want those that have not expired", n)
	}
}
