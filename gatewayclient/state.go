package gatewayclient

import (
	"fmt"
	"strconv"
)

// State is how far a message has come.
type State uint8

const (
	Unknown   State = iota // nobody can say; it may have been sent
	Sending                // being handed to the gateway
	Queued                 // the gateway has it
	OnDevice               // the phone has it
	Sent                   // the phone gave it to the carrier: success
	Delivered              // the carrier confirmed it
	Failed                 // the phone could not send it
)

var stateNames = [...]string{"unknown", "sending", "queued", "on_device", "sent", "delivered", "failed"}

func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "state " + strconv.Itoa(int(s))
}

// stateOf translates the numbers of the wire. They are stable; the texts beside
// them are not, and are never looked at.
func stateOf(code int) State {
	switch code {
	case 1, 3:
		return Queued
	case 2:
		return OnDevice
	case 6:
		return Sent
	case 7:
		return Delivered
	case 8, 9, 10, 11, 12, 100, 101:
		return Failed
	}
	return Unknown
}

// undelivered explains a state in which a phone gave up.
func undelivered(code int) *Error {
	why := "the phone could not send it; look at its screen and its signal"
	switch code {
	case 8:
		why = "the SIM is blocked or has no credit; top it up"
	case 9:
		why = "the phone reports a generic failure, most often no credit or a blocked SIM"
	case 10:
		why = "the phone has no service; move it or look at its SIM"
	case 12:
		why = "the phone's radio is off; end flight mode"
	case 100, 101:
		why = "the app may not send SMS; grant it the permission in the phone's settings"
	}
	return &Error{Class: Undelivered, Code: code, detail: fmt.Sprintf("not sent (state %d): %s", code, why)}
}

var simNames = [...]string{"0", "1", "whatsapp_business", "whatsapp", "rcs0", "rcs1"}

// ParseSIM reads the slot that a device sends through: 0, 1, whatsapp_business,
// whatsapp, rcs0 or rcs1. Empty is 0.
func ParseSIM(name string) (int, error) {
	if name == "" {
		return 0, nil
	}
	for slot, n := range simNames {
		if n == name {
			return slot, nil
		}
	}
	return 0, fmt.Errorf("sim %q is not known: write 0, 1, whatsapp_business, whatsapp, rcs0 or rcs1", name)
}

// isSMS tells the slots that Android limits and that are paid by the segment.
func isSMS(sim int) bool { return sim <= 1 }
