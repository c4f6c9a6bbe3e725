package web

import (
	"html"
	"html/template"
	"strconv"
	"strings"
	"time"
)

// Context is what page.html is executed with: the fields of Page, those below, and the methods.
type Context struct {
	Page
	// Dir is the direction of the language, ltr or rtl.
	Dir string
	// Style and Script belong, unchanged, into the only <style> and <script> of
	// the page: the Content-Security-Policy admits exactly these bytes.
	Style  template.CSS
	Script template.JS

	language *language
}

// T is the message with this key, with the placeholders {site}, {phone},
// {help}, {action}, {wait} and {n} filled in from the page. An unknown key is
// an error.
func (c *Context) T(key string) (template.HTML, error) { return c.N(key, 0) }

// N is the message with this key in the plural form for n.
func (c *Context) N(key string, n int) (template.HTML, error) {
	w, err := c.language.wording(key, n)
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
		value, err := c.value(s.name, n)
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
func (c *Context) value(name string, n int) (template.HTML, error) {
	switch name {
	case "n":
		return template.HTML(strconv.Itoa(n)), nil
	case "site":
		return isolate("", c.Site), nil
	case "help":
		return isolate("", c.Help), nil
	case "action":
		return isolate(` dir="ltr"`, c.Action), nil
	case "phone":
		return c.phone()
	case "digits":
		return template.HTML(html.EscapeString(lastDigits(c.PhoneHint))), nil
	case "example":
		return isolate(` dir="ltr" class="number"`, exampleNumber), nil
	case "https":
		return isolate(` dir="ltr"`, "https://"), nil
	case "wait":
		return c.Wait()
	}
	// A placeholder of the script, such as {time}, is left to it.
	return template.HTML("{" + html.EscapeString(name) + "}"), nil
}

func isolate(attribute, text string) template.HTML {
	return template.HTML("<bdi" + attribute + ">" + html.EscapeString(text) + "</bdi>")
}

// phone is the masked number for the eye and, without a row of bullets, for
// the ear.
func (c *Context) phone() (template.HTML, error) {
	spoken, err := c.T("phone-spoken")
	if err != nil {
		return "", err
	}
	return `<bdi dir="ltr" class="number masked" aria-hidden="true">` + template.HTML(html.EscapeString(c.PhoneHint)) +
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
func (c *Context) Title() (template.HTML, error) {
	switch {
	case c.PlainHTTP:
		return c.T("title.plain-http")
	case c.NoCookies:
		return c.T("title.no-cookies")
	case c.State == Waiting && c.Action != "":
		return c.T("title.confirm")
	}
	return c.T("title." + string(c.State))
}

// Intro says why the visitor sees this page and what happens now.
func (c *Context) Intro() (template.HTML, error) {
	key := "text." + string(c.State)
	switch {
	case c.State == Waiting && c.AskPhone && c.PhoneHint != "":
		key += "-asked"
	case (c.State == Waiting || c.State == Offer) && c.PhoneHint == "":
		key += "-unnamed"
	case c.State == Locked && c.MustWait():
		key += "-for-now"
	case c.State == Locked && c.SendURL == "":
		key += "-for-good"
	}
	return c.T(key)
}

// Problem says what Error means, or nothing where the heading says it already.
func (c *Context) Problem() (template.HTML, error) {
	switch c.Error {
	case "", string(c.State), "code-" + string(c.State):
		return "", nil
	case "code-wrong":
		if c.State == Offer { // what the help desk reads out has no count of its own
			return c.T("error.code-wrong-helpdesk")
		}
		if c.AttemptsLeft == 0 {
			return c.T("error.code-wrong-last")
		}
		return c.N("error.code-wrong", c.AttemptsLeft)
	case "code-malformed":
		return c.N("error.code-malformed"+c.alphabet(), c.CodeLength)
	case "code-expired", "no-challenge", "send-limited", "phone-refused", "delivery-failed":
		return c.T("error." + c.Error)
	}
	return c.T("error.other")
}

// CodeRefused says whether Error is about what stood in the field for the code.
func (c *Context) CodeRefused() bool { return strings.HasPrefix(c.Error, "code-") }

// PhoneRefused says whether Error is about the number that was typed.
func (c *Context) PhoneRefused() bool { return c.Error == "phone-refused" }

// CodeLabel names the field for the code.
func (c *Context) CodeLabel() (template.HTML, error) {
	return c.N("label.code"+c.alphabet(), c.CodeLength)
}

func (c *Context) alphabet() string {
	if c.Alphanumeric {
		return "-alphanumeric"
	}
	return ""
}

// Valid says how much longer the code is good for.
func (c *Context) Valid() (template.HTML, error) {
	left := c.ExpiresAt.Sub(c.Now)
	if left < 2*time.Minute {
		return c.N("valid.seconds", wholeUnits(left, time.Second))
	}
	return c.N("valid.minutes", int(left/time.Minute))
}

// Wait says when something refused now may be tried again, such as "in 30
// seconds": RetryAt, or ResendAt while a code is on its way.
func (c *Context) Wait() (template.HTML, error) {
	switch left := c.waitUntil().Sub(c.Now); {
	case left <= 100*time.Second:
		return c.N("wait.seconds", wholeUnits(left, time.Second))
	case left <= 100*time.Minute:
		return c.N("wait.minutes", wholeUnits(left, time.Minute))
	default:
		return c.N("wait.hours", wholeUnits(left, time.Hour))
	}
}

// MustWait says whether Wait lies ahead.
func (c *Context) MustWait() bool { return c.waitUntil().After(c.Now) }

func (c *Context) waitUntil() time.Time {
	if c.State == Waiting && c.ResendAt.After(c.RetryAt) {
		return c.ResendAt
	}
	return c.RetryAt
}

// wholeUnits rounds up: a promise of "in 1 minute" must not be kept too late.
func wholeUnits(d, unit time.Duration) int {
	return max(1, int((d+unit-1)/unit))
}

// HelpdeskField says whether a code from the help desk may be typed although
// nothing can be sent. Such a code proves no number that was typed, and confirms no transaction.
func (c *Context) HelpdeskField() bool {
	if c.AskPhone || c.Action != "" {
		return false
	}
	switch c.State {
	case SendLimited, DeliveryFailed, Unavailable:
		return c.VerifyURL != ""
	case Offer: // it was tried without a challenge, and was wrong
		return c.Error == "code-wrong" || c.Error == "no-challenge"
	}
	return false
}

// DeliveryText says how far the message has got.
func (c *Context) DeliveryText(delivery string) (template.HTML, error) {
	switch {
	case delivery == "unknown" && c.AskPhone:
		return c.T("delivery.asked")
	case delivery == "failed" && c.SendsLeft > 0:
		return c.T("delivery.failed-again")
	}
	return c.T("delivery." + delivery)
}

// Moved says whether another phone sends, after one that could not.
func (c *Context) Moved() bool { return c.Device > 1 && c.Delivery != "failed" }

// Deliveries lists every value of Delivery, in order.
func (c *Context) Deliveries() []string { return deliveries }

var deliveries = []string{"sending", "queued", "on_device", "sent", "delivered", "failed", "unknown"}
