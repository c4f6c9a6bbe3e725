// Package otpcore holds the rules of one-time codes: who may be sent one, how
// often it may be guessed, what a right answer is worth and for how long.
//
//	         Send                    right code
//	(none) ───────► Pending ───────────────────────► Verified ──► forgotten
//	                 │  ▲ │                             ▲
//	    Send: same   └──┘ │ last attempt spent          │ same browser, same code,
//	    code, same life   ▼                             │ within RepeatGrace
//	                    Locked                          └─ same verification again
//
// Expiry is not a state that anything moves into: it is read off the clock, so
// no timer can be late. Every rule is a pure function of (state, event, now) in
// challenge.go and tally.go; a [Store] only keeps and swaps.
//
// What stays true whatever the store, the gateway or the visitor does:
//
//   - An attempt is charged before the comparison, in the same atomic step.
//   - One right code leads to one verification with one id.
//   - A new code, a new challenge or a new browser never gives guesses back.
//   - Losing state never gives anything away: a lost challenge ends in "ask for
//     a new code", and a table of counters that is full refuses.
//   - Neither a code nor a number nor a user name stands anywhere in clear: codes
//     are sealed, the others are keyed pseudonyms.
//
// The package knows no HTTP, no Caddy and no logging. It reports what happened
// through [Observer] and sends through [Sender].
package otpcore
