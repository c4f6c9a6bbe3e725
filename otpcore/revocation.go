package otpcore

import (
	"sync"
	"time"
)

// Revocations are the verifications that were ended before their time. Every
// request of a protected site asks them, so reading takes no lock. They are few:
// each logout was paid for with a message. Safe for concurrent use; the zero value is empty.
type Revocations struct {
	ids   sync.Map // ID -> time.Time, from when on it has expired by itself
	users sync.Map // canonical user -> time.Time, of the revocation
}

// End revokes one verification with all of its reissues. After until, when no route would
// accept it anyway, that is forgotten.
func (r *Revocations) End(id ID, until, now time.Time) {
	r.ids.Range(func(id, until any) bool {
		if now.After(until.(time.Time)) {
			r.ids.Delete(id)
		}
		return true
	})
	r.ids.Store(id, until)
}

// EndUser revokes every verification that the user has at now.
func (r *Revocations) EndUser(user string, now time.Time) {
	for {
		last, known := r.users.LoadOrStore(user, now)
		// A clock that was set back must not bring old verifications to life.
		if !known || last.(time.Time).After(now) || r.users.CompareAndSwap(user, last, now) {
			return
		}
	}
}

// after is when a verification that is made at now counts as made, to the
// millisecond: later than any revocation before it, even in the same one.
func (r *Revocations) after(user string, now time.Time) time.Time {
	at := now.Truncate(time.Millisecond)
	if revoked := r.userRevokedAt(user); !at.After(revoked) {
		return revoked.Truncate(time.Millisecond).Add(time.Millisecond)
	}
	return at
}

// Revoked tells whether v was ended.
func (r *Revocations) Revoked(v *Verification) bool {
	if _, ended := r.ids.Load(v.ID); ended {
		return true
	}
	at := r.userRevokedAt(v.User)
	return !at.IsZero() && !v.VerifiedAt.After(at)
}

func (r *Revocations) userRevokedAt(user string) time.Time {
	if at, ok := r.users.Load(user); ok {
		return at.(time.Time)
	}
	return time.Time{}
}
