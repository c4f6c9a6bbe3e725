package web

import (
	"html"
	"html/template"
	"strings"
	"time"
)

// Title is the page's heading as plain text. It, Problem and News are for programs that
// show them to a person.
func (r *Renderer) Title(p Page) string {
	p.language = r.language(p.Lang)
	return plain(p.Title())
}

// Problem is what Error means and, where waiting helps, when to try again, as plain text:
// nothing where only whoever wrote the program can help.
func (r *Renderer) Problem(p Page) string {
	p.language = r.language(p.Lang)
	switch p.Error {
	case "code-wrong", "code-malformed":
		return plain(p.Problem())
	case "code-expired", "no-challenge", "phone-refused":
		return plain(p.T("error." + p.Error))
	case "send-limited", "delivery-failed":
		return plain(p.T("error."+p.Error)) + p.retry()
	case "locked", "unavailable":
		return plain(p.Intro()) + p.retry()
	case "no-phone", "no-user":
		return plain(p.Intro())
	}
	return ""
}

func (p *Page) retry() string {
	if !p.RetryAt.After(p.Now) {
		return ""
	}
	p.ResendAt = time.Time{} // for Wait to mean RetryAt
	return " " + plain(p.T("retry-at"))
}

// News is how the challenge stands, as plain text: for a code on its way, where to and how far.
func (r *Renderer) News(p Page) string {
	p.language = r.language(p.Lang)
	switch p.State {
	case Waiting:
		return plain(isolate(` dir="ltr"`, p.PhoneHint), nil) + ": " + plain(p.DeliveryText(p.Delivery))
	case Expired:
		return plain(p.T("error.code-expired"))
	case Locked:
		return plain(p.Intro())
	}
	return ""
}

// isolates are what keeps a name or a number together in a sentence of the other
// direction: elements in HTML, characters in plain text.
var isolates = strings.NewReplacer("<bdi>", "\u2068", `<bdi dir="ltr">`, "\u2066", "</bdi>", "\u2069")

// plain takes no error: a test finds messages that are missing.
func plain(message template.HTML, _ error) string {
	return html.UnescapeString(isolates.Replace(string(message)))
}
