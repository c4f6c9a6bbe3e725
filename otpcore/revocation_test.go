package otpcore_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

func TestRevocationsComeBack(t *testing.T) {
	now := time.Now().Truncate(time.Millisecond)
	var before, after otpcore.Revocations
	gone, kept := otpcore.NewID(), otpcore.NewID()
	count := before.Changes()
	before.End(gone, now.Add(time.Hour), now)
	before.EndUser("alice", now.Add(300*time.Microsecond))
	if before.Changes() == count {
		t.Error("changes are not counted")
	}
	b, err := before.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if err := after.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		v       otpcore.Verification
		revoked bool
	}{
		{otpcore.Verification{ID: gone, User: "bob", VerifiedAt: now}, true},
		{otpcore.Verification{ID: kept, User: "bob", VerifiedAt: now}, false},
		{otpcore.Verification{ID: kept, User: "alice", VerifiedAt: now}, true},
		{otpcore.Verification{ID: kept, User: "alice", VerifiedAt: now.Add(time.Millisecond)}, false},
	} {
		if after.Revoked(&test.v) != test.revoked {
			t.Errorf("%+v: revoked is %v", test.v, !test.revoked)
		}
	}
}

func TestEndAllEndsWhatWasVerifiedBefore(t *testing.T) {
	now := time.Now().Truncate(time.Millisecond)
	var before, after otpcore.Revocations
	before.EndAll(now)
	b, err := before.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if err := after.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*otpcore.Revocations{&before, &after} {
		if !r.Revoked(&otpcore.Verification{VerifiedAt: now}) {
			t.Error("an old verification is still good")
		}
		if r.Revoked(&otpcore.Verification{VerifiedAt: now.Add(time.Millisecond)}) {
			t.Error("a new verification was ended")
		}
	}
}

func TestDamagedRevocationsAreRefused(t *testing.T) {
	for _, s := range []string{"", "{", `{"ids":{"short":1}}`} {
		if err := new(otpcore.Revocations).UnmarshalBinary([]byte(s)); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
}

// Revocations that were written down, or damaged since, are refused or read as something that is written as it was
// read. Being refused they may have ended more than before, never less.
func FuzzRevocations(f *testing.F) {
	for _, seed := range []string{
		``, `null`, `{}`, `{"ids":{"AAAAAAAAAAAAAAAAAAAAAA":1}}`, `{"ids":{"AAAAAAAAAAAAAAAAAAAAAB":1}}`, `{"ids":{"":1}}`,
		`{"users":{"alice":1793534400000,"":-1},"all":1793534400000}`, `{"all":-9223372036854775808}`, `{"all":1e30}`,
	} {
		f.Add([]byte(seed))
	}
	ended := &otpcore.Verification{ID: otpcore.NewID(), User: "alice", VerifiedAt: time.Now()}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := new(otpcore.Revocations)
		r.End(ended.ID, time.Now().Add(time.Hour), time.Now())
		err := r.UnmarshalBinary(data)
		if !r.Revoked(ended) {
			t.Errorf("%q undid a revocation", data)
		}
		if err != nil {
			return
		}
		written, err := r.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		again := new(otpcore.Revocations)
		if err := again.UnmarshalBinary(written); err != nil {
			t.Fatalf("%s does not read back: %v", written, err)
		}
		if twice, err := again.MarshalBinary(); err != nil || !bytes.Equal(twice, written) {
			t.Errorf("written as\n%s\nand, read back, as\n%s", written, twice)
		}
	})
}
