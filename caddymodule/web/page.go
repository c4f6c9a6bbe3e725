package web

import (
	"html/template"
	"time"
)

// State says which of the page's forms is shown. Its value is also the ending
// of the keys of its heading and its explanation in the language files.
type State string

// The states of the page.
const (
	AskPhone       State = "ask-phone"       // a field for the number; a button sends
	Offer          State = "offer"           // nothing sent yet; a button sends
	Waiting        State = "waiting"         // a code is on its way; the field shows
	Verified       State = "verified"        // already through; a link goes on
	Locked         State = "locked"          // too many wrong codes
	Expired        State = "expired"         // the code ran out; a button sends a new one
	SendLimited    State = "send-limited"    // no message may be sent now
	NoPhone        State = "no-phone"        // the phonebook has no number for this user
	NoUser         State = "no-user"         // the first factor named nobody
	DeliveryFailed State = "delivery-failed" // no device can send; a button tries again
	Unavailable    State = "unavailable"     // store, key or budget is missing
	CrossSite      State = "cross-site"      // the request came from another site
	NotSubmitted   State = "not-submitted"   // a form was not passed on and is lost
	TooLarge       State = "too-large"       // a request too large to be kept
	BadAction      State = "bad-action"      // the reserved query parameter is wrong
)

// States lists every state, in the order in which they are explained above.
func States() []State {
	return []State{
		AskPhone, Offer, Waiting, Verified, Locked, Expired, SendLimited, NoPhone, NoUser,
		DeliveryFailed, Unavailable, CrossSite, NotSubmitted, TooLarge, BadAction,
	}
}

// Page is what one answer says. With its methods it is the template context of
// page.html, and so the public contract of `templates DIR`.
// The zero value of every field but State means "leave this out". The methods are for
// templates: they need the language that Render has put in.
type Page struct {
	// Lang is the BCP 47 tag of one of the page's languages, as Match returns
	// it. Default: the language of Options, else en.
	Lang string
	// State says which form is shown.
	State State
	// Error is the name of the problem that this answer reports, such as
	// code-wrong, code-malformed, code-expired, no-challenge, send-limited or
	// phone-refused. It is said once, at the field.
	Error string
	// Site is the name of the protected site.
	Site string
	// Help is what a visitor who is stuck is told.
	Help string
	// Reason says why the code is asked for again: "step-up" or nothing.
	Reason string
	// PhoneHint is the masked number, such as +49•••••78.
	PhoneHint string
	// CodeLength is the number of characters in the code.
	CodeLength int
	// Alphanumeric says that the code has letters too.
	Alphanumeric bool
	// AttemptsLeft is how many wrong codes this challenge still takes.
	AttemptsLeft int
	// SendsLeft is how many more messages this challenge may send.
	SendsLeft int
	// Sent is how many messages were sent already; the form carries it in the
	// hidden field "sent".
	Sent int
	// Delivery is how far the message has got: sending, queued, on_device,
	// sent, delivered, failed or unknown.
	Delivery string
	// Device is the place of the sending phone in the configured order, from 1.
	// Above 1 the message has moved on from a phone that could not send it.
	Device int

	// Now is the server's time when the page was made.
	Now time.Time
	// ExpiresAt is when the code stops working.
	ExpiresAt time.Time
	// ResendAt is when another message may be asked for.
	ResendAt time.Time
	// RetryAt is when something refused now may be tried again.
	RetryAt time.Time

	// VerifyURL takes the form with the field "code" and, once a message went
	// out, "sent": by it a browser that keeps no cookies is found out. Like the
	// other three it is a path with a query, on the same site.
	VerifyURL string
	// SendURL takes the form with the fields "sent" and, with AskPhone, "phone".
	SendURL string
	// StatusURL answers with the challenge object as JSON.
	StatusURL string
	// ContinueURL is the protected page itself.
	ContinueURL string

	// AskPhone says that the visitor types the number. While a code is on its
	// way the field is for correcting it; left empty it means the same number.
	AskPhone bool
	// Phone is the number as typed.
	Phone string
	// TrustDays above 0 shows the unticked box "trust this browser for so many
	// days": the field "trust" with the value "1", in the form with the code.
	TrustDays int
	// Action is what the code confirms, such as "POST /pay".
	Action string
	// Kept is the sealed request that goes on with the right code, carried in
	// the hidden field "kept".
	Kept string
	// PlainHTTP says that the page came over a connection on which a browser
	// keeps no Secure cookie.
	PlainHTTP bool
	// NoCookies says that the browser did not send back the challenge cookie.
	NoCookies bool

	// Dir is the direction of the language, ltr or rtl. This and what follows are for Render to fill in.
	Dir string
	// Style and Script belong, unchanged, into the only <style> and <script> of
	// the page: the Content-Security-Policy admits exactly these bytes.
	Style  template.CSS
	Script template.JS

	language *language
}
