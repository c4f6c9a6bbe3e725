package otpcore

import (
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Revocations are the verifications that were ended before their time. Every
// request of a protected site asks them, so reading takes no lock. They are few:
// each logout was paid for with a message. Safe for concurrent use; the zero value is empty.
type Revocations struct {
	ids   sync.Map     // ID -> time.Time, from when on it has expired by itself
	users sync.Map     // canonical user -> time.Time, of the revocation
	all   atomic.Int64 // Unix milliseconds; what was verified by then is ended, see EndAll

	changes atomic.Uint64
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
	r.changes.Add(1)
}

// EndAll revokes every verification that was made by then. It is for the case
// that revocations were lost: whose they were nobody can tell.
func (r *Revocations) EndAll(at time.Time) {
	r.all.Store(max(at.UnixMilli(), r.all.Load()))
	r.changes.Add(1)
}

// EndUser revokes every verification that the user has at now. Each call counts as later than
// the one before, or it would not reach what was verified in between: see after.
func (r *Revocations) EndUser(user string, now time.Time) {
	defer r.changes.Add(1)
	at := now.Truncate(time.Millisecond)
	for {
		last, known := r.users.LoadOrStore(user, at)
		if !known || r.users.CompareAndSwap(user, last, later(at, last.(time.Time).Add(time.Millisecond))) {
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
	if all := r.all.Load(); all > 0 && v.VerifiedAt.UnixMilli() <= all {
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

// revoked is [Revocations] as they are written down, in Unix milliseconds.
type revoked struct {
	IDs   map[string]int64 `json:"ids,omitempty"`
	Users map[string]int64 `json:"users,omitempty"`
	All   int64            `json:"all,omitempty"`
}

// Changes grows whenever there is something new to be written down.
func (r *Revocations) Changes() uint64 { return r.changes.Load() }

// MarshalBinary writes everything down. It holds names of users.
func (r *Revocations) MarshalBinary() ([]byte, error) {
	w := revoked{IDs: map[string]int64{}, Users: map[string]int64{}, All: r.all.Load()}
	r.ids.Range(func(id, until any) bool {
		w.IDs[id.(ID).String()] = until.(time.Time).UnixMilli()
		return true
	})
	r.users.Range(func(user, at any) bool {
		w.Users[user.(string)] = at.(time.Time).UnixMilli()
		return true
	})
	return json.Marshal(w)
}

// UnmarshalBinary adds what MarshalBinary wrote.
func (r *Revocations) UnmarshalBinary(b []byte) error {
	var w revoked
	if err := json.Unmarshal(b, &w); err != nil {
		return fmt.Errorf("read revocations: %w", err)
	}
	for s, until := range w.IDs {
		id, ok := ParseID(s)
		if !ok {
			return fmt.Errorf("read revocations: %q is not an id", s)
		}
		r.ids.Store(id, time.UnixMilli(until))
	}
	for user, at := range w.Users {
		r.users.Store(user, time.UnixMilli(at))
	}
	r.EndAll(time.UnixMilli(w.All))
	return nil
}
