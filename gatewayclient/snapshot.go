package gatewayclient

import (
	"encoding/json"
	"fmt"
	"time"
)

// snapshot is a [Ledger] as it is kept over a restart.
type snapshot struct {
	Version int                      `json:"version"`
	Phones  map[string]phoneSnapshot `json:"phones"`
}

type phoneSnapshot struct {
	Spent    []charge        `json:"spent,omitempty"`
	Open     map[int64]claim `json:"open,omitempty"`
	Breakers []breakerOnFile `json:"breakers,omitempty"`
	Contact  time.Time       `json:"contact,omitzero"`
	Offline  bool            `json:"offline,omitempty"`
	Poll     time.Duration   `json:"poll,omitempty"`
	Touched  time.Time       `json:"touched,omitzero"`
}

type breakerOnFile struct {
	SIM      int       `json:"sim"`
	Failures int       `json:"failures"`
	Until    time.Time `json:"until,omitzero"`
	Silent   bool      `json:"silent,omitempty"`
}

const snapshotVersion = 1

// MarshalBinary writes everything that should outlive a restart. It holds no
// number, text or token. Its size is bounded by 256 phones and what each may have open.
func (l *Ledger) MarshalBinary() ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := snapshot{snapshotVersion, make(map[string]phoneSnapshot, len(l.phones))}
	for id, p := range l.phones {
		s.Phones[id] = p.snapshot()
	}
	return json.Marshal(s)
}

func (p *phone) snapshot() phoneSnapshot {
	s := phoneSnapshot{
		Spent: p.spent, Contact: p.contact, Offline: p.offline, Poll: p.poll, Touched: p.touched,
		Open: make(map[int64]claim, len(p.open)),
	}
	for mark, c := range p.open {
		s.Open[mark] = *c
	}
	for sim, b := range p.breakers {
		if b.failures > 0 {
			s.Breakers = append(s.Breakers, breakerOnFile{sim, b.failures, b.until, b.silent})
		}
	}
	return s
}

// UnmarshalBinary puts what MarshalBinary wrote in place of what l knows.
// Nothing changes where that cannot be read.
func (l *Ledger) UnmarshalBinary(data []byte) error {
	var s snapshot
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("read device ledger: %w", err)
	}
	if s.Version != snapshotVersion {
		return fmt.Errorf("read device ledger: version %d is not known", s.Version)
	}
	now := time.Now()
	phones := make(map[string]*phone, len(s.Phones))
	for id, p := range s.Phones {
		if len(phones) < maxPhones {
			phones[id] = p.phone(now)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.phones = phones
	l.changes++
	return nil
}

// phone restores a phone. Moments that lie ahead come from a clock that was
// wrong; they would count for ever.
func (s phoneSnapshot) phone(now time.Time) *phone {
	p := &phone{
		spent: s.Spent, open: make(map[int64]*claim, len(s.Open)),
		contact: earlier(s.Contact, now), offline: s.Offline, poll: s.Poll, touched: earlier(s.Touched, now),
	}
	for i := range p.spent {
		p.spent[i].From, p.spent[i].At = earlier(p.spent[i].From, now), earlier(p.spent[i].At, now)
	}
	for mark, c := range s.Open {
		c.At = earlier(c.At, now)
		p.open[mark] = &c
	}
	for _, b := range s.Breakers {
		if b.SIM >= 0 && b.SIM < len(p.breakers) {
			p.breakers[b.SIM] = breaker{b.Failures, earlier(b.Until, now.Add(longRest)), b.Silent}
		}
	}
	return p
}

func earlier(a, b time.Time) time.Time {
	if a.After(b) {
		return b
	}
	return a
}

// Changes grows whenever there is something new to be written.
func (l *Ledger) Changes() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changes
}
