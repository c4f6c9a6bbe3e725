// Package storybook shows the challenge page in every state, language and
// theme, without a gateway, a phone or a Caddy.
package storybook

import (
	"strings"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/caddymodule/web"
)

// A Story is one thing that a visitor can be shown.
type Story struct {
	Name string
	Page web.Page
}

// now is the same in every story, so that pictures of them can be compared.
var now = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)

// Stories lists all stories, the usual way of a visitor first.
func Stories() []Story {
	stories := []Story{
		{"offer", state(web.Offer)},
		{"ask-phone", asked(state(web.AskPhone))},
	}
	for _, delivery := range []string{"sending", "queued", "on_device", "sent", "delivered", "failed", "unknown"} {
		page := state(web.Waiting)
		page.Delivery = delivery
		stories = append(stories, Story{"waiting-" + strings.ReplaceAll(delivery, "_", "-"), page})
	}
	stories = append(stories, waitingStories()...)
	stories = append(stories, refusedStories()...)
	return append(stories, endStories()...)
}

func waitingStories() []Story {
	with := func(change func(*web.Page)) web.Page {
		page := state(web.Waiting)
		change(&page)
		return page
	}
	return []Story{
		{"waiting-moved", with(func(p *web.Page) { p.Device, p.Delivery = 2, "on_device" })},
		{"waiting-asked", asked(with(func(p *web.Page) { p.Delivery = "unknown" }))},
		{"waiting-step-up", with(func(p *web.Page) { p.Reason = "step-up" })},
		{"waiting-kept", with(func(p *web.Page) { p.Kept = "c2VhbGVk" })},
		{"waiting-trust", with(func(p *web.Page) { p.TrustDays = 30 })},
		{"waiting-alphanumeric", with(func(p *web.Page) { p.CodeLength, p.Alphanumeric = 8, true })},
		{"waiting-without-help", with(func(p *web.Page) { p.Help, p.Delivery = "", "failed" })},
		{"waiting-last-message", with(func(p *web.Page) { p.SendsLeft, p.Sent, p.Delivery = 0, 3, "delivered" })},
		{"waiting-last-failed", with(func(p *web.Page) { p.SendsLeft, p.Sent, p.Delivery = 0, 3, "failed" })},
		{"waiting-nearly-over", with(func(p *web.Page) { p.ExpiresAt, p.ResendAt, p.Delivery = now.Add(45*time.Second), now, "sent" })},
		{"waiting-confirm", with(func(p *web.Page) { p.Action, p.Kept = "POST /transfers", "c2VhbGVk" })},
		{"waiting-long", with(func(p *web.Page) {
			p.Site = "Society for the Promotion of Exceedingly Long Names"
			p.Help = "first floor, room 123, weekdays from nine to five, or write to helpdesk@very-long-subdomain.of.some.example.com"
			p.Device, p.Delivery, p.TrustDays, p.Kept = 2, "failed", 30, "c2VhbGVk"
		})},
	}
}

func refusedStories() []Story {
	with := func(s web.State, problem string, change func(*web.Page)) web.Page {
		page := state(s)
		page.Error = problem
		change(&page)
		return page
	}
	same := func(*web.Page) {}
	return []Story{
		{"wrong", with(web.Waiting, "code-wrong", func(p *web.Page) { p.AttemptsLeft, p.Delivery = 4, "sent" })},
		{"wrong-one-left", with(web.Waiting, "code-wrong", func(p *web.Page) { p.AttemptsLeft, p.Delivery = 1, "delivered" })},
		{"wrong-none-left", with(web.Locked, "code-wrong", func(p *web.Page) { p.AttemptsLeft = 0 })},
		{"wrong-confirm", with(web.Waiting, "code-wrong", func(p *web.Page) {
			p.AttemptsLeft, p.Delivery, p.Action, p.Kept = 4, "sent", "POST /transfers", "c2VhbGVk"
		})},
		{"helpdesk-wrong", with(web.Offer, "code-wrong", same)},
		{"malformed", with(web.Waiting, "code-malformed", func(p *web.Page) { p.Delivery = "sent" })},
		{"malformed-alphanumeric", with(web.Waiting, "code-malformed", func(p *web.Page) { p.CodeLength, p.Alphanumeric = 8, true })},
		{"resent-too-soon", with(web.Waiting, "send-limited", same)},
		{"expired-code", with(web.Expired, "code-expired", same)},
		{"no-challenge", with(web.Offer, "no-challenge", same)},
		{"no-challenge-asked", asked(with(web.AskPhone, "no-challenge", same))},
		{"no-challenge-confirm", with(web.Offer, "no-challenge", func(p *web.Page) { p.Action, p.Kept = "POST /transfers", "c2VhbGVk" })},
		{"phone-refused", asked(with(web.AskPhone, "phone-refused", func(p *web.Page) { p.Phone = "12345" }))},
	}
}

func endStories() []Story {
	with := func(s web.State, change func(*web.Page)) web.Page {
		page := state(s)
		change(&page)
		return page
	}
	later := func(d time.Duration) func(*web.Page) {
		return func(p *web.Page) { p.RetryAt = now.Add(d) }
	}
	return []Story{
		{"offer-step-up", with(web.Offer, func(p *web.Page) { p.Reason = "step-up" })},
		{"offer-kept", with(web.Offer, func(p *web.Page) { p.Kept = "c2VhbGVk" })},
		{"offer-confirm", with(web.Offer, func(p *web.Page) { p.Action, p.Kept = "POST /transfers", "c2VhbGVk" })},
		{"expired", state(web.Expired)},
		{"expired-asked", asked(state(web.Expired))},
		{"expired-kept", with(web.Expired, func(p *web.Page) { p.Kept = "c2VhbGVk" })},
		{"locked", with(web.Locked, later(14*time.Minute))},
		{"locked-kept", with(web.Locked, func(p *web.Page) { p.RetryAt, p.Kept = now.Add(14*time.Minute), "c2VhbGVk" })},
		{"locked-retry-now", state(web.Locked)},
		{"locked-for-good", with(web.Locked, func(p *web.Page) { p.SendURL = "" })},
		{"send-limited", with(web.SendLimited, later(5*time.Hour))},
		{"send-limited-asked", asked(with(web.SendLimited, later(50*time.Second)))},
		{"send-limited-confirm", with(web.SendLimited, func(p *web.Page) { p.RetryAt, p.Action, p.Kept = now.Add(2*time.Minute), "POST /transfers", "c2VhbGVk" })},
		{"delivery-failed", state(web.DeliveryFailed)},
		{"delivery-failed-asked", asked(state(web.DeliveryFailed))},
		{"unavailable", state(web.Unavailable)},
		{"budget-spent", with(web.Unavailable, later(21*time.Hour))},
		{"verified", state(web.Verified)},
		{"no-phone", state(web.NoPhone)},
		{"no-phone-without-help", with(web.NoPhone, func(p *web.Page) { p.Help = "" })},
		{"no-user", state(web.NoUser)},
		{"not-submitted", state(web.NotSubmitted)},
		{"too-large", state(web.TooLarge)},
		{"cross-site", state(web.CrossSite)},
		{"bad-action", state(web.BadAction)},
		{"plain-http", with(web.Offer, func(p *web.Page) { p.PlainHTTP = true })},
		{"no-cookies", with(web.Waiting, func(p *web.Page) { p.NoCookies = true })},
	}
}

// state is a page in this state with everything a route with a phonebook fills in.
func state(s web.State) web.Page {
	page := web.Page{
		State: s, Site: "Example Co", Help: "IT desk, extension 123", PhoneHint: "+49•••••78",
		CodeLength: 6, Now: now,
		VerifyURL: "/intranet?sms_otp=verify", SendURL: "/intranet?sms_otp=send",
		StatusURL: "/intranet?sms_otp=status", ContinueURL: "/intranet",
	}
	if s == web.Waiting {
		page.AttemptsLeft, page.SendsLeft, page.Sent, page.Delivery, page.Device = 5, 2, 1, "queued", 1
		page.ExpiresAt, page.ResendAt = now.Add(5*time.Minute), now.Add(28*time.Second)
	}
	return page
}

// asked makes it the page of a route on which the visitor types the number.
func asked(page web.Page) web.Page {
	page.AskPhone = true
	if page.State == web.Waiting {
		page.Phone, page.PhoneHint = "+44 7700 900178", "+44•••••78"
	}
	return page
}
