package memstore

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

// What is written down is a sequence of records: a kind, a length, fields. A
// field is only ever added at the end. What a record of an older version lacks
// is zero, and what a newer one has more is skipped, so that neither an upgrade
// nor a step back loses counters.
const (
	challengeRecord = 'c'
	tallyRecord     = 't'
)

// appendRecord puts the length behind the fields first, and then moves it in
// front: it is not known before, and most records are short.
func appendRecord(b []byte, kind byte, fields func(*writer)) []byte {
	w := writer{append(b, kind)}
	start := len(w.b)
	fields(&w)
	end := len(w.b)
	w.b = binary.AppendUvarint(w.b, uint64(end-start))
	var length [binary.MaxVarintLen64]byte
	size := copy(length[:], w.b[end:])
	copy(w.b[start+size:], w.b[start:end])
	copy(w.b[start:], length[:size])
	return w.b
}

// nextRecord splits the first record off b.
func nextRecord(b []byte) (kind byte, fields, rest []byte, err error) {
	n, size := binary.Uvarint(b[1:])
	if size <= 0 || n > uint64(len(b)-1-size) {
		return 0, nil, nil, fmt.Errorf("record of kind %q is cut off", b[0])
	}
	end := 1 + size + int(n)
	return b[0], b[1+size : end], b[end:], nil
}

type writer struct{ b []byte }

func (w *writer) id(id [16]byte) { w.b = append(w.b, id[:]...) }

func (w *writer) ints(values ...int64) {
	for _, v := range values {
		w.b = binary.AppendVarint(w.b, v)
	}
}

func (w *writer) bytes(p []byte) {
	w.b = binary.AppendUvarint(w.b, uint64(len(p)))
	w.b = append(w.b, p...)
}

// reader reads fields. Where there are no more, they are zero.
type reader struct{ b []byte }

func (r *reader) take(n uint64) []byte {
	n = min(n, uint64(len(r.b)))
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) id() (id [16]byte) {
	copy(id[:], r.take(16))
	return id
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.b = nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bool() bool { return r.int() != 0 }

func (r *reader) bytes() []byte {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.b = nil
		return nil
	}
	r.b = r.b[size:]
	return append([]byte(nil), r.take(n)...)
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func appendChallenge(b []byte, c *otpcore.Challenge) []byte {
	return appendRecord(b, challengeRecord, func(w *writer) {
		w.id(c.ID)
		w.id(c.Subject)
		w.id(c.Number)
		w.id(c.Site)
		w.bytes(c.Code)
		w.ints(int64(c.Source), int64(c.Length), int64(c.Alphabet), int64(c.State),
			int64(c.AttemptsLeft), int64(c.SendsLeft), int64(c.Sends), int64(c.Generation),
			int64(c.Delivery), int64(c.Device), c.Created, c.Expires, c.ResendAt, c.VerifiedAt)
		w.id(c.VerificationID)
		w.id(c.Binding)
		w.bytes(c.Typed)
		w.ints(flag(c.Blind), flag(c.Spent))
	})
}

func readChallenge(fields []byte) (c otpcore.Challenge, err error) {
	r := reader{fields}
	c.ID, c.Subject, c.Number, c.Site = r.id(), r.id(), r.id(), r.id()
	c.Code = r.bytes()
	c.Source, c.Length, c.Alphabet = otpcore.Source(r.int()), uint8(r.int()), otpcore.Alphabet(r.int())
	c.State = otpcore.State(r.int())
	c.AttemptsLeft, c.SendsLeft, c.Sends, c.Generation = int(r.int()), int(r.int()), int(r.int()), int(r.int())
	c.Delivery, c.Device = otpcore.Delivery(r.int()), uint8(r.int())
	c.Created, c.Expires, c.ResendAt, c.VerifiedAt = r.int(), r.int(), r.int(), r.int()
	c.VerificationID, c.Binding, c.Typed = r.id(), r.id(), r.bytes()
	c.Blind, c.Spent = r.bool(), r.bool()
	if c.State > otpcore.Locked || c.Delivery > otpcore.Failed {
		return c, fmt.Errorf("challenge in a state that is not known (%d, %d)", c.State, c.Delivery)
	}
	return c, nil
}

func appendTally(b []byte, key otpcore.Pseudonym, t *otpcore.Tally) []byte {
	return appendRecord(b, tallyRecord, func(w *writer) {
		w.id(key)
		w.ints(t.Window, t.Until, int64(t.Streak), int64(len(t.Times)))
		last := int64(0)
		for _, at := range t.Times {
			w.ints(at - last) // a few bytes each, once the first is known
			last = at
		}
	})
}

func readTally(fields []byte) (key otpcore.Pseudonym, t otpcore.Tally, err error) {
	r := reader{fields}
	key = r.id()
	t.Window, t.Until, t.Streak = r.int(), r.int(), int(r.int())
	n := r.int()
	if n < 0 || n > int64(len(r.b)) { // each takes a byte at least
		return key, t, fmt.Errorf("tally of %d charges in %d bytes", n, len(r.b))
	}
	last := int64(0)
	for range n {
		last += r.int()
		t.Times = append(t.Times, last)
	}
	return key, t, nil
}

// over tells whether nobody will ask for c any more.
func over(c *otpcore.Challenge, now time.Time) bool { return !c.Keep().After(now) }
