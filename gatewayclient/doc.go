// Package gatewayclient sends texts through the phones of an SmsGateWay24 account.
//
//	Client   one call, one answer: says what happened and nothing else
//	Fleet    hands a text to the first healthy phone, follows it to its end, fails over with the same text
//	Ledger   what is known of each phone; outlives a configuration and, as a snapshot, a restart
//
// The service speaks two dialects, here called wire profiles. "getdata" is what
// the vendor documents; it can follow a message and tell how a phone is. "v1" is
// a single call known from one article; an accepted message is all it can report.
//
// The one thing that must not happen is a text that goes out twice because an
// answer was lost on the way. So every failed hand-over is put into a [Class],
// and [Error.MayBeQueued] divides what certainly did not reach the queue from
// what may have.
//
// The package was written from the vendor's documents and is checked against
// the emulator in gatewaytest.
package gatewayclient
