package page

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/caddymodule/web"
)

// A site answers as the plugin does, as far as the page can tell, from a page
// that the test sets. It knows no rules: every code but 123456 is wrong.
type site struct {
	URL      string
	renderer *web.Renderer

	mu       sync.Mutex
	page     web.Page
	state    string // of the challenge
	requests []string
	forms    []url.Values
	polls    int
	next     string        // where the protected page leads to, "" for nowhere
	hold     chan struct{} // what a form waits for before it is answered, nil for nothing
}

func newSite(t *testing.T, change func(*web.Page)) *site {
	t.Helper()
	r, err := web.New(web.Options{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	s := &site{renderer: r, state: "pending", page: web.Page{
		State: web.Waiting, Lang: "en", Site: "Example Co", PhoneHint: "+49•••••78", CodeLength: 6,
		AttemptsLeft: 5, SendsLeft: 2, Sent: 1, Delivery: "queued", Device: 1,
		ExpiresAt: now.Add(5 * time.Minute), ResendAt: now.Add(30 * time.Second),
		VerifyURL: "/in?sms_otp=verify", SendURL: "/in?sms_otp=send", StatusURL: "/in?sms_otp=status", ContinueURL: "/in",
	}}
	if change != nil {
		change(&s.page)
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL + "/in"
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.Method+" "+r.URL.String())
	switch action := r.URL.Query().Get("sms_otp"); {
	case action == "status":
		s.polls++
		s.status(w)
	case r.Method == http.MethodPost && action != "":
		r.ParseForm()
		s.forms = append(s.forms, r.PostForm)
		if s.hold != nil {
			s.mu.Unlock()
			<-s.hold
			s.mu.Lock()
		}
		s.submit(w, r, action)
	case s.state == "verified" && s.next != "":
		http.Redirect(w, r, s.next, http.StatusFound)
	case s.state == "verified":
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>Upstream</title><h1>Upstream</h1>")
	default:
		s.serve(w, s.page)
	}
}

func (s *site) submit(w http.ResponseWriter, r *http.Request, action string) {
	page := s.page
	switch {
	case action == "send":
		page.Sent++
	case r.PostForm.Get("code") == "123456":
		s.state = "verified"
		http.Redirect(w, r, "/in", http.StatusSeeOther)
		return
	default:
		page.Error, page.AttemptsLeft = "code-wrong", 4
	}
	s.serve(w, page)
}

func (s *site) serve(w http.ResponseWriter, page web.Page) {
	page.Now = time.Now()
	document, err := s.renderer.Render(page)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	for name, values := range s.renderer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(http.StatusForbidden)
	w.Write(document)
}

func (s *site) status(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	if s.state == "" {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"type":"urn:sms-otp:no-challenge","status":403}`)
		return
	}
	fmt.Fprintf(w, `{"state":%q,"delivery":%q,"device":%d,"phone_hint":%q,"code_length":6,"code_alphabet":"digits","expires_at":%d,"resend_at":%d,"attempts_left":5,"sends_left":2}`,
		s.state, s.page.Delivery, s.page.Device, s.page.PhoneHint, s.page.ExpiresAt.Unix(), s.page.ResendAt.Unix())
}

// set changes what the site answers from now on.
func (s *site) set(change func(*site)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// saw reads what has happened so far.
func (s *site) saw(read func(*site)) { s.set(read) }

// posts counts the forms that came in.
func (s *site) posts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.forms)
}

// polled counts how often the status was asked for.
func (s *site) polled() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.polls
}

// requested says whether a request such as "GET /in" came in.
func (s *site) requested(line string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.requests, line)
}
