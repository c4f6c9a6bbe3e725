package gatewaytest

import (
	"cmp"
	"container/heap"
	"slices"
	"strconv"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient"
)

// Message is one text that the gateway took. Its JSON is what /messages shows.
type Message struct {
	ID       int64  `json:"id"`
	DeviceID int    `json:"device_id"`
	To       string `json:"to"`
	Body     string `json:"body"`
	State    int    `json:"state"` // as a number of the wire

	CustomerID int64     `json:"-"`
	SIM        int       `json:"-"`
	Urgent     bool      `json:"-"`
	At         time.Time `json:"-"` // when the gateway took it
	NotBefore  time.Time `json:"-"`
	SentAt     time.Time `json:"-"` // when a phone sent it; zero: never
	Segments   int       `json:"-"`
}

// The states that phones bring about themselves.
const (
	stateNew       = 1
	stateOnPhone   = 2
	stateQueued    = 3
	stateSent      = 6
	stateDelivered = 7
	stateGeneric   = 9
)

// phone is simulated by events: nothing runs while nobody asks, and whoever
// asks sees what the clock says must have happened.
type phone struct {
	s        *Server
	id       int
	since    time.Time // visits happen at since + n × Poll
	lastSeen time.Time // set while offline
	queue    []*Message
	carrying []*Message
	visit    bool // one is among the events
	sending  bool
	sent     []*Message
}

func (p *phone) strikes(fault, about string) bool {
	return p.s.strikesLocked(fault, occasion{device: p.name(), about: about})
}

func (p *phone) name() string { return strconv.Itoa(p.id) }

// event is something that happens at a moment, in order of moments, then of origin.
type event struct {
	at  time.Time
	seq int
	do  func(now time.Time)
}

type events []event

func (e events) Len() int { return len(e) }

func (e events) Less(i, j int) bool {
	return cmp.Or(e[i].at.Compare(e[j].at), e[i].seq-e[j].seq) < 0
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }

func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func (s *Server) at(when time.Time, do func(now time.Time)) {
	s.seq++
	heap.Push(&s.events, event{when, s.seq, do})
}

// catchUpLocked lets everything happen that was due by now.
func (s *Server) catchUpLocked() time.Time {
	now := s.o.Now()
	for len(s.events) > 0 && !s.events[0].at.After(now) {
		e := heap.Pop(&s.events).(event)
		e.do(e.at)
	}
	return now
}

func (p *phone) enqueue(m *Message, now time.Time) {
	p.queue = append(p.queue, m)
	p.s.at(now.Add(p.s.o.Poll/4), func(now time.Time) {
		if m.State == stateNew {
			p.s.turn(m, stateQueued, now)
		}
	})
	p.expect(now)
}

// expect puts the next visit among the events.
func (p *phone) expect(now time.Time) {
	if p.visit || len(p.queue) == 0 {
		return
	}
	p.visit = true
	n := now.Sub(p.since)/p.s.o.Poll + 1
	p.s.at(p.since.Add(n*p.s.o.Poll), p.ask)
}

// ask is the phone asking for messages.
func (p *phone) ask(now time.Time) {
	p.visit = false
	if p.strikes("offline", "") || p.strikes("no-pickup", "") {
		p.expect(now)
		return
	}
	slices.SortStableFunc(p.queue, func(a, b *Message) int {
		switch {
		case a.Urgent == b.Urgent:
			return 0
		case a.Urgent:
			return -1
		}
		return 1
	})
	var later []*Message
	taken := 0
	for _, m := range p.queue {
		if taken == p.s.o.Pack || m.NotBefore.After(now) {
			later = append(later, m)
			continue
		}
		taken++
		p.carrying = append(p.carrying, m)
		p.s.turn(m, stateOnPhone, now)
	}
	p.queue = later
	p.goOn(now)
	p.expect(now)
}

func (p *phone) goOn(now time.Time) {
	if p.sending || len(p.carrying) == 0 {
		return
	}
	p.sending = true
	p.s.at(now.Add(p.s.o.Pace), p.send)
}

func (p *phone) send(now time.Time) {
	p.sending = false
	m := p.carrying[0]
	p.carrying = p.carrying[1:]
	defer p.goOn(now)
	if p.strikes("stuck-on-phone", m.Body) {
		return
	}
	for _, state := range []int{8, 9, 10, 11, 12, 100, 101} {
		if p.strikes("fail-"+strconv.Itoa(state), m.Body) {
			p.s.turn(m, state, now)
			return
		}
	}
	// Which state Android's own limit ends in is not known; invented.
	if p.s.o.Limit > 0 && p.sentIn(now, p.s.o.LimitPer)+m.Segments > p.s.o.Limit {
		p.s.turn(m, stateGeneric, now)
		return
	}
	m.SentAt = now
	p.sent = append(p.sent, m)
	p.s.turn(m, stateSent, now)
	if p.strikes("stuck-sent", m.Body) {
		return
	}
	p.s.at(now.Add(p.s.o.Report), func(now time.Time) { p.s.turn(m, stateDelivered, now) })
}

func (p *phone) sentIn(now time.Time, per time.Duration) (segments int) {
	for i := len(p.sent) - 1; i >= 0 && now.Sub(p.sent[i].SentAt) < per; i-- {
		segments += p.sent[i].Segments
	}
	return segments
}

// seen is when the phone last asked.
func (p *phone) seen(now time.Time) time.Time {
	if !p.lastSeen.IsZero() {
		return p.lastSeen
	}
	return p.since.Add(now.Sub(p.since) / p.s.o.Poll * p.s.o.Poll)
}

func (s *Server) turn(m *Message, state int, now time.Time) {
	m.State = state
	s.hookState(m, now)
}

func (s *Server) phone(id string) *phone {
	for _, p := range s.phones {
		if p.name() == id {
			return p
		}
	}
	return nil
}

// take is the gateway accepting a message.
func (s *Server) take(p *phone, m Message, now time.Time) *Message {
	m.ID = firstID + int64(len(s.messages))
	m.DeviceID, m.State, m.At = p.id, stateNew, now
	m.Segments, _ = gatewayclient.Segments(m.Body)
	s.messages = append(s.messages, &m)
	s.byID[m.ID] = &m
	if m.CustomerID != 0 {
		s.byMark[m.CustomerID] = append(s.byMark[m.CustomerID], &m)
	}
	p.enqueue(&m, now)
	return &m
}

// Messages are all that the gateway ever took, in order of arrival.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.catchUpLocked()
	all := make([]Message, len(s.messages))
	for i, m := range s.messages {
		all[i] = *m
	}
	return all
}
