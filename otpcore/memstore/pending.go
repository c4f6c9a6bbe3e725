package memstore

import (
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

// Pending is how many challenges wait for their code at now. It looks at each,
// a part of the store at a time: for people and scrapes, not for requests.
func (s *Store) Pending(now time.Time) (n int) {
	for i := range s.slices {
		n += s.slices[i].pending(now)
	}
	return n
}

func (l *slice) pending(now time.Time) (n int) {
	l.mu.Lock()
	entries := append([]*entry(nil), l.entries...)
	l.mu.Unlock() // an entry's own lock is never waited for under this one
	for _, e := range entries {
		e.mu.Lock()
		if e.c.StateAt(now) == otpcore.Pending {
			n++
		}
		e.mu.Unlock()
	}
	return n
}
