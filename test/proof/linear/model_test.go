package linear

import (
	"fmt"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

// The limits are small, so that a short history meets all of them.
const (
	attempts    = 3
	sends       = 3
	resendAfter = 10 * time.Second
	phoneSends  = 6
	ttl         = 2 * time.Minute
	renewBelow  = time.Minute
)

type kind uint8

const (
	submit kind = iota
	settle      // of an accepted answer: the attempt that it was charged comes back
	send
	status
	report
)

// none stands for a challenge that a browser does not have.
const none = -1

// input is what somebody did. Each deed has its own time, so that one that
// arrived before a code expired and one that arrived after can overlap.
type input struct {
	kind     kind
	now      int64 // Unix milliseconds
	c        int   // the challenge, by order of creation
	right    bool
	sends    int // which message of c is reported
	delivery otpcore.Delivery
	settles  int // which answer is settled
}

// output is what he was told.
type output struct {
	outcome           otpcore.Outcome
	c                 int
	shown             bool // the rest of it
	state             otpcore.State
	delivery          otpcore.Delivery
	left, more, sends int
	verification      int
	verifiedAt        int64
	number            int // of the answer, for its settling
}

// challenge is what the model knows of one.
type challenge struct {
	state                         otpcore.State
	expires, resendAt, verified   int64
	left, more, sends, generation int
	delivery                      otpcore.Delivery
	verification                  int
}

// world is the state of the model: one user with one number, and what was made for them.
type world struct {
	challenges  [phoneSends]challenge
	made        int
	limit       int // attempts that the user has
	spent       int // and those that are used up
	texts       int // messages to the number
	pausedUntil int64
	owed, free  uint64 // accepted answers that will give an attempt back, and those that were charged none
}

// model is the sequential world in which the user has limit attempts.
func model(limit int) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return world{limit: limit} },
		Step: func(state, in, out any) (bool, any) {
			w := state.(world)
			ok := w.step(in.(input), out.(output))
			return ok, w
		},
		DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v → %+v", in, out) },
	}
}

func (w *world) step(in input, out output) bool {
	if in.c >= w.made {
		return false // it is not there yet
	}
	switch in.kind {
	case submit:
		return w.submit(in, out)
	case settle:
		return w.settle(in.settles)
	case send:
		return w.send(in, out)
	case status:
		return w.status(in, out)
	default:
		if c := &w.challenges[in.c]; c.sends == in.sends {
			c.delivery = in.delivery
		}
		return true
	}
}

func (c *challenge) at(now int64) otpcore.State {
	if c.state == otpcore.Pending && now >= c.expires {
		return otpcore.Expired
	}
	return c.state
}

func (w *world) submit(in input, out output) bool {
	if in.c == none {
		return out.outcome == otpcore.NoChallenge
	}
	c := &w.challenges[in.c]
	if c.state == otpcore.Verified {
		return w.repeat(c, in, out)
	}
	want := otpcore.WrongCode
	switch state := c.at(in.now); {
	case state == otpcore.Expired:
		want = otpcore.CodeExpired
	case state == otpcore.Locked || w.spent >= w.limit:
		locked := *c // for this user, even where the challenge has attempts of its own
		locked.state = otpcore.Locked
		return out.outcome == otpcore.AttemptsSpent && locked.shows(in.now, out)
	default:
		w.spent++
		c.left--
		if c.left == 0 {
			c.state = otpcore.Locked
		}
		if in.right {
			want = otpcore.Accepted
			c.state, c.verification, c.verified = otpcore.Verified, out.verification, out.verifiedAt
			w.owed |= 1 << out.number
		}
	}
	if want == otpcore.WrongCode {
		return out.outcome == want && c.narrowed(in.now, w.limit-w.spent).shows(in.now, out)
	}
	return out.outcome == want && c.shows(in.now, out)
}

// narrowed is the challenge to whom left wrong codes are all that he has.
func (c *challenge) narrowed(now int64, left int) *challenge {
	shown := *c
	if c.at(now) == otpcore.Pending {
		if shown.left = min(c.left, left); left == 0 {
			shown.state = otpcore.Locked
		}
	}
	return &shown
}

// repeat is an answer after the right one.
func (w *world) repeat(c *challenge, in input, out output) bool {
	want := otpcore.NoChallenge
	if in.now-c.verified <= otpcore.RepeatGrace.Milliseconds() && c.left >= 0 {
		if in.right {
			want = otpcore.Accepted
			w.free |= 1 << out.number
		} else {
			c.left--
		}
	}
	if want == otpcore.Accepted && (out.verification != c.verification || out.verifiedAt != c.verified) {
		return false
	}
	return out.outcome == want && c.shows(in.now, out)
}

func (w *world) settle(number int) bool {
	bit := uint64(1) << number
	switch {
	case w.owed&bit != 0:
		w.owed &^= bit
		w.spent--
	case w.free&bit != 0:
		w.free &^= bit
	default:
		return false
	}
	return true
}

func (w *world) send(in input, out output) bool {
	switch out.outcome {
	case otpcore.MessageSent:
	case otpcore.AttemptsSpent:
		return w.spent >= w.limit
	case otpcore.SendLimited:
		// Somebody else's message that will not be sent after all may hold the number
		// for a moment. What counts is that none is sent that must not be.
		return true
	default:
		return false
	}
	if in.now < w.pausedUntil || w.texts == phoneSends {
		return false
	}
	w.texts++
	w.pausedUntil = in.now + resendAfter.Milliseconds()
	var old *challenge
	if in.c != none {
		old = &w.challenges[in.c]
	}
	again := old != nil && old.at(in.now) == otpcore.Pending && old.expires-in.now >= renewBelow.Milliseconds()
	switch {
	case again && out.c != in.c, !again && out.c != w.made:
		return false
	case again:
		return old.again(in.now, out)
	}
	return w.start(old, in.now, out)
}

func (c *challenge) again(now int64, out output) bool {
	if c.more == 0 || now < c.resendAt {
		return false
	}
	c.more--
	c.text(now)
	return c.shows(now, out)
}

func (c *challenge) text(now int64) {
	c.sends++
	c.resendAt = now + resendAfter.Milliseconds()<<(c.sends-c.generation-1)
	c.delivery = otpcore.Sending
}

func (w *world) start(old *challenge, now int64, out output) bool {
	c := &w.challenges[w.made]
	*c = challenge{left: attempts, more: sends - 1, expires: now + ttl.Milliseconds()}
	w.made++
	if old != nil {
		c.sends, c.generation = old.sends, old.sends
		if old.at(now) == otpcore.Pending {
			c.left = min(c.left, old.left)
			old.state = otpcore.Locked
		}
	}
	c.text(now)
	return c.shows(now, out)
}

func (w *world) status(in input, out output) bool {
	if in.c == none {
		return !out.shown
	}
	c := &w.challenges[in.c]
	if c.state == otpcore.Verified && in.now-c.verified > otpcore.VerifiedGrace.Milliseconds() {
		return !out.shown
	}
	// The user's own allowance is read after the challenge, when it may have become smaller.
	left := min(max(0, c.left), out.left)
	return c.narrowed(in.now, left).shows(in.now, out) && out.delivery == c.delivery
}

// shows tells whether a visitor was shown the challenge as it stands.
func (c *challenge) shows(now int64, out output) bool {
	return out.shown && out.state == c.at(now) && out.left == max(0, c.left) && out.more == c.more && out.sends == c.sends
}
