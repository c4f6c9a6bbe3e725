package web

import (
	"html"
	"html/template"
	"strconv"
	"strings"
	"time"
)

// T is the message with this key, with the placeholders {site}, {phone},
// {help}, {action}, {wait} and {n} filled in from the page. An unknown key is
// an error.
func (p *Page) T(key string) (template.HTML, error) { return p.N(key, 0) }

// N is the message with this key in the plural form for n.
func (p *Page) N(key string, n int) (template.HTML, error) {
	w, err := p.language.wording(key, n)
	if err != nil {
		return "", err
	}
	if len(w) == 1 && w[0].name == "" {
		return template.HTML(w[0].html), nil
	}
	var b strings.Builder
	for _, s := range w {
		if s.name == "" {
			b.WriteString(s.html)
			continue
		}
		value, err := p.value(s.name, n)
		if err != nil {
			return "", err
		}
		b.WriteString(string(value))
	}
	return template.HTML(b.String()), nil
}

// exampleNumber is from a range that is kept for fiction.
const exampleNumber = "+44 7700 900123"

// value is what stands for a placeholder. Names and numbers are isolated, so
// that a Latin name in an Arabic sentence does not pull the words around it.
func (p *Page) value(name string, n int) (template.HTML, error) {
	switch name {
	case "n":
		return template.HTML(strconv.Itoa(n)), nil
	case "site":
		return isolate("", p.Site), nil
	case "help":
		return isolate("", p.Help), nil
	case "action":
		return isolate(` dir="ltr"`, p.Action), nil
	case "phone":
		return p.phone()
	case "digits":
		return template.HTML(html.EscapeString(lastDigits(p.PhoneHint))), nil
	case "example":
		return isolate(` dir="ltr" class="number"`, exampleNumber), nil
	case "https":
		return isolate(` dir="ltr"`, "https://"), nil
	case "wait":
		return p.Wait()
	}
	// A placeholder of the script, such as {time}, is left to it.
	return template.HTML("{" + html.EscapeString(name) + "}"), nil
}

func isolate(attribute, text string) template.HTML {
	return template.HTML("<bdi" + attribute + ">" + html.EscapeString(text) + "</bdi>")
}

// phone is the masked number for the eye and, without a row of bullets, for
// the ear.
func (p *Page) phone() (template.HTML, error) {
	spoken, err := p.T("phone-spoken")
	if err != nil {
		return "", err
	}
	return `<bdi dir="ltr" class="number masked" aria-hidden="true">` + template.HTML(html.EscapeString(p.PhoneHint)) +
		`</bdi><span class="unseen">` + spoken + `</span>`, nil
}

func lastDigits(hint string) string {
	start := len(hint)
	for start > 0 && '0' <= hint[start-1] && hint[start-1] <= '9' {
		start--
	}
	return hint[start:]
}

// Title is the heading of the page.
func (p *Page) Title() (template.HTML, error) {
	switch {
	case p.PlainHTTP:
		return p.T("title.plain-http")
	case p.NoCookies:
		return p.T("title.no-cookies")
	case p.State == Waiting && p.Action != "":
		return p.T("title.confirm")
	}
	return p.T("title." + string(p.State))
}

// Intro says why the visitor sees this page and what happens now.
func (p *Page) Intro() (template.HTML, error) {
	key := "text." + string(p.State)
	switch {
	case p.State == Waiting && p.AskPhone && p.PhoneHint != "":
		key += "-asked"
	case (p.State == Waiting || p.State == Offer) && p.PhoneHint == "":
		key += "-unnamed"
	case p.State == Locked && p.MustWait():
		key += "-for-now"
	case p.State == Locked && p.SendURL == "":
		key += "-for-good"
	}
	return p.T(key)
}

// Problem says what Error means, or nothing where the heading says it already.
func (p *Page) Problem() (template.HTML, error) {
	switch p.Error {
	case "", string(p.State), "code-" + string(p.State):
		return "", nil
	case "code-wrong":
		if p.State == Offer { // what the help desk reads out has no count of its own
			return p.T("error.code-wrong-helpdesk")
		}
		if p.AttemptsLeft == 0 {
			return p.T("error.code-wrong-last")
		}
		return p.N("error.code-wrong", p.AttemptsLeft)
	case "code-malformed":
		return p.N("error.code-malformed"+p.alphabet(), p.CodeLength)
	case "code-expired", "no-challenge", "send-limited", "phone-refused", "delivery-failed":
		return p.T("error." + p.Error)
	}
	return p.T("error.other")
}

// CodeRefused says whether Error is about what stood in the field for the code.
func (p *Page) CodeRefused() bool { return strings.HasPrefix(p.Error, "code-") }

// PhoneRefused says whether Error is about the number that was typed.
func (p *Page) PhoneRefused() bool { return p.Error == "phone-refused" }

// CodeLabel names the field for the code.
func (p *Page) CodeLabel() (template.HTML, error) {
	return p.N("label.code"+p.alphabet(), p.CodeLength)
}

func (p *Page) alphabet() string {
	if p.Alphanumeric {
		return "-alphanumeric"
	}
	return ""
}

// Valid says how much longer the code is good for.
func (p *Page) Valid() (template.HTML, error) {
	left := p.ExpiresAt.Sub(p.Now)
	if left < 2*time.Minute {
		return p.N("valid.seconds", wholeUnits(left, time.Second))
	}
	return p.N("valid.minutes", int(left/time.Minute))
}

// Wait says when something refused now may be tried again, such as "in 30
// seconds": RetryAt, or ResendAt while a code is on its way.
func (p *Page) Wait() (template.HTML, error) {
	switch left := p.waitUntil().Sub(p.Now); {
	case left <= 100*time.Second:
		return p.N("wait.seconds", wholeUnits(left, time.Second))
	case left <= 100*time.Minute:
		return p.N("wait.minutes", wholeUnits(left, time.Minute))
	default:
		return p.N("wait.hours", wholeUnits(left, time.Hour))
	}
}

// MustWait says whether Wait lies ahead.
func (p *Page) MustWait() bool { return p.waitUntil().After(p.Now) }

func (p *Page) waitUntil() time.Time {
	if p.State == Waiting && p.ResendAt.After(p.RetryAt) {
		return p.ResendAt
	}
	return p.RetryAt
}

// wholeUnits rounds up: a promise of "in 1 minute" must not be kept too late.
func wholeUnits(d, unit time.Duration) int {
	return max(1, int((d+unit-1)/unit))
}

// HelpdeskField says whether a code from the help desk may be typed although
// nothing can be sent. Such a code proves no number that was typed, and confirms no transaction.
func (p *Page) HelpdeskField() bool {
	if p.AskPhone || p.Action != "" {
		return false
	}
	switch p.State {
	case SendLimited, DeliveryFailed, Unavailable:
		return p.VerifyURL != ""
	case Offer: // it was tried without a challenge, and was wrong
		return p.Error == "code-wrong" || p.Error == "no-challenge"
	}
	return false
}

// DeliveryText says how far the message has got.
func (p *Page) DeliveryText(delivery string) (template.HTML, error) {
	switch {
	case delivery == "unknown" && p.AskPhone:
		return p.T("delivery.asked")
	case delivery == "failed" && p.SendsLeft > 0:
		return p.T("delivery.failed-again")
	}
	return p.T("delivery." + delivery)
}

// Moved says whether another phone sends, after one that could not.
func (p *Page) Moved() bool { return p.Device > 1 && p.Delivery != "failed" }
