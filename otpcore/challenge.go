package otpcore

import (
	"crypto/rand"
	"time"
)

const (
	// RepeatGrace is how long the browser that gave the right code may give it
	// again and gets the same verification: a double click must not end in an error page.
	RepeatGrace = 10 * time.Second
	// VerifiedGrace is how long a verified challenge still tells other tabs so.
	VerifiedGrace = time.Minute
	// renewBelow is the remaining life under which sending again begins a new
	// challenge: nobody should be texted a code that dies on the way.
	renewBelow = time.Minute
	// ExpiredGrace is how long an expired challenge is remembered, so that its
	// visitor reads "expired", and a reload of that page sends nothing.
	ExpiredGrace = 10 * time.Minute
)

// ID names a challenge. It is random, lives in the browser's cookie and is never used twice.
type ID [16]byte

// NewID draws an id from crypto/rand.
func NewID() (id ID) {
	rand.Read(id[:])
	return id
}

// ParseID reads what [ID.String] wrote, and nothing else.
func ParseID(s string) (ID, bool) {
	p, ok := ParsePseudonym(s)
	return ID(p), ok
}

func (id ID) String() string { return Pseudonym(id).String() }

// State is where a challenge stands. Whether it has expired depends on the time: see [Challenge.StateAt].
type State uint8

// The states of a challenge.
const (
	Pending State = iota
	Verified
	Locked
	Expired
)

func (s State) String() string {
	return [...]string{"pending", "verified", "locked", "expired"}[s]
}

// Delivery is how far the newest message of a challenge is known to have come.
type Delivery uint8

// The states of a message, as visitors are told.
const (
	Unknown Delivery = iota
	Sending
	Queued
	OnDevice
	Sent
	Delivered
	Failed
)

func (d Delivery) String() string {
	return [...]string{"unknown", "sending", "queued", "on_device", "sent", "delivered", "failed"}[d]
}

// Source tells where a number came from. A verification of one kind opens nothing of the other.
type Source uint8

const (
	// Directory numbers are the operator's: the phonebook or a trusted placeholder.
	Directory Source = iota
	// Asked numbers were typed by the visitor.
	Asked
)

func (s Source) String() string {
	if s == Asked {
		return "asked"
	}
	return "directory"
}

// Challenge is one code that somebody was sent, and what has become of it.
// Times are Unix milliseconds. It is plain data: a store copies it by assignment.
type Challenge struct {
	ID      ID
	Subject Pseudonym // the user
	Number  Pseudonym
	Site    Pseudonym
	Source  Source
	Binding Pseudonym // what exactly is confirmed; zero for a challenge that opens a session
	Typed   []byte    // a number that the visitor typed, sealed; nil where the directory has it

	Code     []byte // sealed, see sealCode; never changed once made
	Length   uint8
	Alphabet Alphabet

	State        State // Pending, Verified or Locked
	AttemptsLeft int
	SendsLeft    int
	Sends        int // messages sent to this browser, counted on through Generation; tells late reports
	Generation   int // Sends of the challenge that this one replaced

	Delivery Delivery
	Device   uint8 // 1-based position in the configuration

	Created, Expires, ResendAt int64

	VerifiedAt     int64
	VerificationID ID

	Blind bool // delivery is not told, so that a number which is not texted looks like any other
	Spent bool // the confirmed request was passed on
}

// Outcome is what became of something that a visitor did. Only Accepted leads to
// a token; whatever is not listed refuses.
type Outcome uint8

// The outcomes. NoChallenge is the zero value, so that forgetting to set one refuses.
const (
	NoChallenge   Outcome = iota // nothing here to answer: unknown, over, another number's
	Accepted                     // the right code
	WrongCode                    // compared and charged
	Malformed                    // cannot be a code: not compared, not charged
	CodeExpired                  // too late
	AttemptsSpent                // the challenge or its user has no attempts left
	MessageSent                  // a message is on its way
	AlreadySent                  // the form was sent before: nothing new is on its way
	SendLimited                  // this visitor has to wait
	BudgetSpent                  // the server's own budget is used up
	NumberMissing                // the visitor has not said which number
	CannotSend                   // no device can send
	outcomes                     // how many there are
)

// StateAt is the challenge's state at now, expiry included.
func (c *Challenge) StateAt(now time.Time) State {
	// A clock that was set back must not make a code last.
	if c.State == Pending && (now.UnixMilli() >= c.Expires || now.Add(clockSkew).UnixMilli() < c.Created) {
		return Expired
	}
	return c.State
}

// Keep is until when a store must hold the challenge.
func (c *Challenge) Keep() time.Time { return time.UnixMilli(c.Expires).Add(ExpiredGrace) }

// answer is one submitted code. Belongs tells whether user and site are the
// challenge's own; matches compares the code.
type answer struct {
	belongs bool
	matches func(*Challenge) (bool, error)
	// verification and verifiedAt are of the verification that a right answer makes.
	verification ID
	verifiedAt   time.Time
	// charge takes one attempt from the user's own allowance; it reports false where that is spent.
	charge func() (bool, error)
}

// submit applies an answer. An error means that nothing was decided.
func (c *Challenge) submit(now time.Time, a answer) (Outcome, error) {
	if c.State == Verified {
		return c.repeat(now, a)
	}
	switch c.StateAt(now) {
	case Expired:
		return CodeExpired, nil
	case Locked:
		return AttemptsSpent, nil
	}
	if ok, err := a.charge(); err != nil || !ok {
		return AttemptsSpent, err
	}
	// Charged before the comparison, so that a crash or a cancelled request
	// between the two can cost an attempt but never win one.
	c.AttemptsLeft--
	if c.AttemptsLeft <= 0 {
		c.State = Locked
	}
	right, err := a.matches(c)
	if err != nil {
		return NoChallenge, err
	}
	// Another user's right answer costs what a wrong one costs (CVE-2024-28197).
	if !right || !a.belongs {
		return WrongCode, nil
	}
	c.State = Verified
	c.VerifiedAt = a.verifiedAt.UnixMilli()
	c.VerificationID = a.verification
	return Accepted, nil
}

// repeat answers a code for a challenge that was already answered. Wrong ones
// are charged here too, or the grace would be an oracle for free.
func (c *Challenge) repeat(now time.Time, a answer) (Outcome, error) {
	age := now.Sub(time.UnixMilli(c.VerifiedAt))
	if age > RepeatGrace || age < -RepeatGrace || c.AttemptsLeft < 0 {
		return NoChallenge, nil
	}
	right, err := a.matches(c)
	if err != nil {
		return NoChallenge, err
	}
	if right && a.belongs {
		return Accepted, nil
	}
	c.AttemptsLeft--
	return NoChallenge, nil
}

// resend charges one more message of the same code. The code's life and the
// attempts stay as they are.
func (c *Challenge) resend(now time.Time, after time.Duration) Outcome {
	if c.SendsLeft <= 0 || now.UnixMilli() < c.ResendAt {
		return SendLimited
	}
	c.SendsLeft--
	c.messageSent(now, after)
	return MessageSent
}

// messageSent notes that a message begins its way. The wait for the next one
// doubles with each, so that a visitor's impatience costs less and less.
func (c *Challenge) messageSent(now time.Time, after time.Duration) {
	c.Sends = max(c.Sends, c.Generation) + 1
	c.ResendAt = now.Add(after << (c.Sends - c.Generation - 1)).UnixMilli()
	if c.Device = 0; !c.Blind {
		c.Delivery = Sending
	}
}

// report notes how far a message has come. What is told of an older message
// than the newest is dropped: it would overwrite the truth with the past.
func (c *Challenge) report(send int, r Report) {
	if send != c.Sends || c.Blind {
		return
	}
	c.Delivery = r.Delivery
	if r.Device > 0 {
		c.Device = uint8(min(r.Device, 255))
	}
}

// Interrupted notes that nobody follows the newest message any more. Whether it
// went out is not known, so that its visitor may ask for it again; by itself it is not sent twice.
func (c *Challenge) Interrupted() {
	if c.Delivery == Sending || c.Delivery == Queued || c.Delivery == OnDevice {
		c.Delivery = Unknown
	}
}

// View is what a visitor may know of a challenge. It has no field for the code.
type View struct {
	State        State
	Delivery     Delivery
	Device       int
	PhoneHint    string
	Length       int
	Alphabet     Alphabet
	ExpiresAt    time.Time
	ResendAt     time.Time
	AttemptsLeft int
	SendsLeft    int
	Sends        int
}

func (c *Challenge) view(now time.Time, n Number) View {
	return View{
		State: c.StateAt(now), Delivery: c.Delivery, Device: int(c.Device), PhoneHint: n.Mask(),
		Length: int(c.Length), Alphabet: c.Alphabet,
		ExpiresAt: time.UnixMilli(c.Expires), ResendAt: time.UnixMilli(c.ResendAt),
		AttemptsLeft: max(0, c.AttemptsLeft), SendsLeft: c.SendsLeft, Sends: c.Sends,
	}
}
