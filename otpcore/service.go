package otpcore

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Limits are what one visitor, one number, one address and the whole server may use up.
type Limits struct {
	Attempts     int           // wrong codes in one challenge. Default: 5
	UserAttempts Limit         // wrong codes of one user. Default: 15 in 24h
	LockAfter    int           // consecutive wrong codes of one user. Default: 100 (NIST SP 800-63B-4 3.2.2)
	Sends        int           // messages in one challenge. Default: 3
	ResendAfter  time.Duration // between two messages to one number. Default: 30s
	PhoneSends   Limit         // messages to one number. Default: 15 in 24h
	IPStarts     Limit         // challenges begun from one address without a first factor. Default: 20 in 1h
	TotalSends   Limit         // messages of the whole server. Default: 1000 in 24h
}

// DefaultLimits are the limits of a configuration that names none.
func DefaultLimits() Limits {
	const day = 24 * time.Hour
	return Limits{
		Attempts: 5, UserAttempts: Limit{15, day}, LockAfter: 100, Sends: 3, ResendAfter: 30 * time.Second,
		PhoneSends: Limit{15, day}, IPStarts: Limit{20, time.Hour}, TotalSends: Limit{1000, day},
	}
}

// CanonicalUser is the form in which users are compared: two spellings of one
// name must not have two allowances. It returns "" for a name that is all space.
func CanonicalUser(name string) string {
	name = strings.TrimSpace(name)
	if isPlain(name) {
		return name
	}
	return strings.ToLower(norm.NFC.String(name))
}

// isPlain tells whether a name is ASCII without capitals, as nearly all are: every request asks.
func isPlain(name string) bool {
	for _, b := range []byte(name) {
		if b >= utf8.RuneSelf || 'A' <= b && b <= 'Z' {
			return false
		}
	}
	return true
}

// Subject is who must prove to hold which phone.
type Subject struct {
	User        string // canonical, see [CanonicalUser]
	Number      Number
	Source      Source
	FirstFactor bool   // the user is known from another factor before this one
	Address     string // the client's address as counted; counts only without a first factor
	// Known is the verification that this browser once had of this user, if any. It
	// counts only for the number that was verified.
	Known *Verification

	known string // the name of Known's allowance, see recall
}

// Request is what a challenge is made for.
type Request struct {
	Subject  Subject
	Site     string
	Length   int
	Alphabet Alphabet
	TTL      time.Duration
	// Seen is the number of messages that the visitor's form knows of, or less
	// than 0 where it says nothing. A form that knows of fewer was sent before.
	Seen int
	// Binding stands for what exactly a code confirms, such as a digest of a request; zero
	// where a code opens a session.
	Binding Pseudonym
	// ID is what a new challenge is called, where it must be found again without
	// the browser naming it. Default: random
	ID ID
	// Provable tells whether a typed number may be proven here. One that may not is
	// sent nothing and has no right code, and looks like any other. Default: all may.
	Provable func(Number) bool
	// Blind keeps to ourselves how delivery goes, which would tell the one from the other.
	Blind bool
	// Pass tells that a code of the help desk is good here, see [Service.IssuePass].
	Pass bool
	// Compose writes the message. Remaining is what is left of the code's life.
	Compose func(code string, remaining time.Duration) string
}

// Result is what became of a visitor's action.
type Result struct {
	Outcome      Outcome
	ID           ID    // the challenge that now holds; may be another one than before
	View         *View // nil where there is no challenge
	RetryAt      time.Time
	Verification *Verification // with Accepted only
}

// Event is something that an operator may want to know of. It names nobody.
type Event struct {
	Kind    EventKind
	Subject Subject
	Report  Report
	Err     error
	After   time.Duration // from hand-over to this report
	Waited  time.Duration // from when the gateway took the message to this report; 0 before that
	Pass    bool          // a code of the help desk was tried, not one that was sent
}

// EventKind tells events apart.
type EventKind uint8

// The events.
const (
	EventChallenged EventKind = iota
	EventMessage              // a message moved on: see Report
	EventVerified
	EventWrong
	EventLocked
	EventLimited
	EventBudget
	EventStoreFull
)

// Service ties the rules to a store, a sender and the limits of one
// configuration. Store, workers and revocations outlive it. Safe for concurrent use.
type Service struct {
	Store       Store
	Keys        *Keyring
	Workers     *Workers
	Revocations *Revocations
	Sender      Sender
	Limits      Limits
	Observe     func(Event)
	Now         func() time.Time // default: time.Now
}

func (r *Request) provable() bool { return r.Provable == nil || r.Provable(r.Subject.Number) }

func (s *Service) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func (s *Service) observe(e Event) {
	if s.Observe != nil {
		s.Observe(e)
	}
}

// Status returns what the browser that holds id may know, or NoChallenge: without
// an id for a challenge that is unknown, with it for one that was answered a while ago.
func (s *Service) Status(ctx context.Context, id ID, r Request) (Result, error) {
	now := s.now()
	c, err := s.own(ctx, id, &r)
	if err != nil || c == nil {
		return Result{}, err
	}
	if c.State == Verified && now.Sub(time.UnixMilli(c.VerifiedAt)) > VerifiedGrace {
		return Result{ID: c.ID}, nil
	}
	res := s.result(now, AlreadySent, c, r)
	if err := s.recall(ctx, &r.Subject); err != nil {
		return Result{}, err
	}
	left, at, err := s.attemptsOf(r.Subject).left(ctx, now)
	if err != nil {
		return Result{}, err
	}
	res.narrow(left, at)
	return res, nil
}

// narrow shows a challenge as the user's own allowance leaves it: with left attempts, or locked until at.
func (r *Result) narrow(left int, at time.Time) {
	if r.View.State != Pending {
		return
	}
	if r.View.AttemptsLeft = min(r.View.AttemptsLeft, left); left == 0 {
		r.View.State, r.RetryAt = Locked, at
	}
}

// own returns the challenge if it is this user's, for this number and site; nil if not.
// A number that was changed or removed in the directory ends the challenge here.
func (s *Service) own(ctx context.Context, id ID, r *Request) (*Challenge, error) {
	c, err := s.find(ctx, id)
	if c == nil || err != nil {
		return nil, err
	}
	if err := s.adopt(c, r); err != nil {
		return nil, err
	}
	if !s.sameNumber(c, *r) || !s.belongs(c, *r) {
		return nil, nil
	}
	return c, nil
}

// adopt takes the number that the visitor typed from the challenge, where the request does not say it again.
func (s *Service) adopt(c *Challenge, r *Request) error {
	if r.Subject.Source != Asked || r.Subject.Number != "" || c.Source != Asked {
		return nil
	}
	number, err := s.Keys.Open(c.Typed, c.ID[:])
	if err != nil {
		return err
	}
	r.Subject.Number = Number(number)
	return nil
}

func (s *Service) find(ctx context.Context, id ID) (*Challenge, error) {
	if id == (ID{}) {
		return nil, nil
	}
	c, err := s.Store.Get(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get challenge: %w", err)
	}
	return &c, nil
}

func (s *Service) belongs(c *Challenge, r Request) bool {
	return c.Subject == s.subject(r.Subject) && c.Site == s.Keys.Pseudonym("site", r.Site) && c.Binding == r.Binding
}

func (s *Service) sameNumber(c *Challenge, r Request) bool {
	return c.Source == r.Subject.Source && c.Number == s.Keys.Pseudonym("number", string(r.Subject.Number))
}

// ended tells whether the challenge is over because its number is not the user's
// any more. Another user, whose number it never was, is compared and charged instead.
func (s *Service) ended(c *Challenge, r Request) bool {
	return !s.sameNumber(c, r) && (c.Source != r.Subject.Source || c.Subject == s.subject(r.Subject))
}

func (s *Service) subject(u Subject) Pseudonym { return s.Keys.namer().subject(u.User, u.Number) }

func (s *Service) result(now time.Time, o Outcome, c *Challenge, r Request) Result {
	v := c.view(now, r.Subject.Number)
	return Result{Outcome: o, ID: c.ID, View: &v, RetryAt: v.ResendAt}
}

// Submit answers the challenge with what was typed. Only the outcome Accepted
// carries a verification; an error means that ours is the fault and nothing was decided.
func (s *Service) Submit(ctx context.Context, id ID, r Request, typed string) (Result, error) {
	c, err := s.find(ctx, id)
	if err != nil {
		return Result{}, err
	}
	if c != nil {
		if err := s.adopt(c, &r); err != nil {
			return Result{}, err
		}
	}
	if err := s.recall(ctx, &r.Subject); err != nil {
		return Result{}, err
	}
	if res, done, err := s.submitPass(ctx, c, r, typed); done || err != nil {
		return res, err
	}
	if c == nil || s.ended(c, r) {
		return Result{}, nil
	}
	now := s.now()
	code, ok := c.Alphabet.Normalize(typed, int(c.Length))
	if !ok {
		return s.result(now, Malformed, c, r), nil
	}
	allowance := s.attemptsOf(r.Subject)
	a := answer{belongs: s.belongs(c, r) && r.provable(), verification: NewID(), matches: s.matcher(code)}
	a.verifiedAt = s.Revocations.after(r.Subject.User, now)
	var retryAt time.Time
	var left int
	charged := false // a store may run the step again: the user pays once
	a.charge = func() (bool, error) {
		if !charged {
			var err error
			if charged, left, retryAt, err = allowance.charge(ctx, now); err != nil {
				return false, err
			}
		}
		return charged, nil
	}
	var outcome Outcome
	err = s.Store.Update(ctx, id, func(stored *Challenge) (err error) {
		outcome, err = stored.submit(now, a)
		*c = *stored
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return Result{}, nil
	}
	if err != nil {
		return Result{}, fmt.Errorf("submit code: %w", err)
	}
	if charged && outcome != WrongCode {
		if err := allowance.settle(ctx, now, outcome == Accepted); err != nil {
			return Result{}, err
		}
	}
	res := s.result(now, outcome, c, r)
	if outcome == AttemptsSpent {
		if res.RetryAt, err = s.nextChallenge(ctx, now, r); err != nil {
			return Result{}, err
		}
		res.RetryAt = later(res.RetryAt, retryAt)
		res.View.State = Locked // for this user, even where the challenge has attempts of its own
	}
	if outcome == WrongCode {
		if res.narrow(left, now); left == 0 {
			if _, res.RetryAt, err = allowance.left(ctx, now); err != nil {
				return Result{}, err
			}
		}
	}
	if outcome == Accepted {
		res.Verification = s.verification(c, r)
	}
	s.observeSubmit(res.View, outcome, r.Subject)
	return res, nil
}

func (s *Service) observeSubmit(shown *View, o Outcome, u Subject) {
	switch {
	case o == Accepted:
		s.observe(Event{Kind: EventVerified, Subject: u})
	case o == WrongCode && shown.State == Locked:
		s.observe(Event{Kind: EventWrong, Subject: u})
		s.observe(Event{Kind: EventLocked, Subject: u})
	case o == WrongCode:
		s.observe(Event{Kind: EventWrong, Subject: u})
	}
}

func (s *Service) matcher(code string) func(*Challenge) (bool, error) {
	return func(c *Challenge) (bool, error) {
		sent, err := s.openCode(c)
		if err != nil {
			return false, err
		}
		return subtle.ConstantTimeCompare(sent, []byte(code)) == 1, nil
	}
}

func (s *Service) sealCode(c *Challenge, code string) {
	c.Code = s.Keys.Seal([]byte(code), codeContext(c))
}

func (s *Service) openCode(c *Challenge) ([]byte, error) { return s.Keys.Open(c.Code, codeContext(c)) }

// codeContext binds a sealed code to its challenge, so that none can be moved to another.
func codeContext(c *Challenge) []byte {
	return slices.Concat([]byte("code "), c.ID[:], c.Subject[:], c.Site[:])
}

func (s *Service) verification(c *Challenge, r Request) *Verification {
	at := time.UnixMilli(c.VerifiedAt)
	return &Verification{
		ID: c.VerificationID, Site: r.Site, User: r.Subject.User, Number: r.Subject.Number,
		Source: r.Subject.Source, FirstFactor: r.Subject.FirstFactor, VerifiedAt: at, ActiveAt: at,
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
