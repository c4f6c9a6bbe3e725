package gatewayclient

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Class says what a sender may do after a failed call.
type Class uint8

const (
	Protocol    Class = iota // not an answer of this API (a web page, a redirect, 404): the configuration is wrong
	Auth                     // the token is wrong: stop and alert
	Invalid                  // the request itself was refused: no retry, no other device
	Quota                    // this device may not send more for now: next device
	RateLimited              // too many calls: wait for RetryAfter, or next device
	Unavailable              // nothing was queued, for certain: retry, or next device
	Ambiguous                // the message may have been queued: never repeat it blindly
	Refused                  // this device will not send it: next device
	Undelivered              // the device tried and failed: next device
	Silent                   // the device did not pick the message up in time: next device
	Expired                  // the text was no longer of use to anybody
)

var classNames = [...]string{
	"protocol", "auth", "invalid", "quota", "rate limited", "unavailable",
	"ambiguous", "refused", "undelivered", "silent", "expired",
}

func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return fmt.Sprintf("class %d", c)
}

// Error is a call or a delivery that failed. Its text never holds the token, the
// message or a telephone number, whatever the gateway put into its answer.
type Error struct {
	Class      Class
	Call       string        // which call, such as "addsms"; empty where there was none
	Status     int           // the HTTP status; 0 if no answer came
	Code       int           // the message state that failed (8 to 12, 100, 101), for Undelivered
	RetryAfter time.Duration // how long to wait, for RateLimited and Quota; 0 where unknown
	detail     string
}

func (e *Error) Error() string {
	if e.Call == "" {
		return "gateway: " + e.detail
	}
	return "gateway: " + e.Call + ": " + e.detail
}

// MayBeQueued reports whether the message may be sent although the call failed.
func (e *Error) MayBeQueued() bool { return e.Class == Ambiguous }

// ClassOf is the class of err, and false where err is not of this package.
func ClassOf(err error) (Class, bool) {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class, true
	}
	return 0, false
}

// quote adds the gateway's own words, which help an operator. Some servers echo
// what they were sent, so whatever shares four characters with a secret, or a
// number with one, is left out.
func quote(said string, secrets ...string) string {
	words := strings.FieldsFunc(said, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	kept := words[:0]
	for _, w := range words {
		if len(w) > 24 || echoes(w, secrets) {
			w = "…"
		}
		if len(kept) == 12 {
			break
		}
		kept = append(kept, w)
	}
	if len(kept) == 0 {
		return ""
	}
	return " (it says: " + strings.Join(kept, " ") + ")"
}

// echoes reports whether w could have come out of one of the secrets.
func echoes(w string, secrets []string) bool {
	w = strings.ToLower(w)
	for _, s := range secrets {
		s = strings.ToLower(s)
		if s == "" {
			continue
		}
		if strings.Contains(w, s) || (strings.ContainsFunc(w, unicode.IsDigit) && strings.Contains(s, w)) {
			return true
		}
		for i := 0; i+4 <= len(w); i++ {
			if strings.Contains(s, w[i:i+4]) {
				return true
			}
		}
	}
	return false
}
