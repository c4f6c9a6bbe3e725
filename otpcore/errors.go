package otpcore

import "errors"

// What a visitor did or met is an [Outcome]; these errors mean that something
// of ours is broken or full, and the caller answers 503.
var (
	// ErrNotFound: no challenge with this id, because it never was, is long over or was lost.
	ErrNotFound = errors.New("challenge not found")
	// ErrStoreFull: the store refuses newcomers rather than push out what is live.
	ErrStoreFull = errors.New("store full")
	// ErrTalliesLost: what was used up is not known, since the state that was written down is
	// damaged. Nothing is handed out until what was lost would not count any more.
	ErrTalliesLost = errors.New("counters lost")
	// ErrBusy: as many messages are on their way as may be.
	ErrBusy = errors.New("sending queue full")
	// ErrNoDevice: it is known beforehand that no device of the gateway can send.
	ErrNoDevice = errors.New("no device can send")
	// ErrSuperseded: a message need not be sent again, since its challenge was answered, replaced or has a newer message.
	ErrSuperseded = errors.New("message superseded")
	// ErrBudget: a message may not be sent again, since the budget or the number's allowance is spent.
	ErrBudget = errors.New("message allowance spent")
	// ErrToken: a token that opens nothing, for whatever reason.
	ErrToken = errors.New("token not valid")
)
