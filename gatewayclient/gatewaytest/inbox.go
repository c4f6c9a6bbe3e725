package gatewaytest

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"regexp"
	"strings"
)

//go:embed inbox.html
var inboxHTML string

//go:embed inbox.css
var inboxCSS string

//go:embed inbox.js
var inboxJS string

var inboxPage = template.Must(template.New("inbox").Funcs(template.FuncMap{
	"css": func() template.CSS { return template.CSS(inboxCSS) },
	"js":  func() template.JS { return template.JS(inboxJS) },
}).Parse(inboxHTML))

// What the page brings along is allowed by digest; nothing else is, from anywhere.
var inboxPolicy = "default-src 'none'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; " +
	"style-src '" + digest(inboxCSS) + "'; script-src '" + digest(inboxJS) + "'"

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

const (
	showMessages = 50 // on each phone
	// inboxTime is as short as a phone's own.
	inboxTime = "15:04"
)

// inboxView is what the page shows.
type inboxView struct {
	Time    string
	Phones  []phoneView
	Gateway []string // names of faults
	Phone   []string
	Hook    []string
	Faults  []Fault
	Part    bool
}

type phoneView struct {
	ID       int
	Away     bool
	Messages []messageView
	Waiting  int
}

// messageView is one bubble. Its text is in three parts, the code in the middle.
type messageView struct {
	ID                  int64
	To, Time            string
	Before, Code, After string
	State               int
	StateName           string
	Shown               bool // a text is shown once it was sent, not before
}

func (s *Server) serveInbox(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", inboxPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	v := s.inbox()
	v.Part = r.URL.Query().Has("part")
	_ = inboxPage.Execute(w, v) // only a reader that went away can make it fail
}

func (s *Server) inbox() inboxView {
	faults := s.Faults()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.catchUpLocked()
	v := inboxView{Time: now.Format(inboxTime), Gateway: GatewayFaults, Phone: PhoneFaults, Hook: HookFaults, Faults: faults}
	for _, p := range s.phones {
		v.Phones = append(v.Phones, phoneView{
			ID: p.id, Away: !p.lastSeen.IsZero(), Waiting: len(p.queue) + len(p.carrying), Messages: s.bubbles(p.id),
		})
	}
	return v
}

// bubbles are a phone's messages, newest first.
func (s *Server) bubbles(device int) (all []messageView) {
	for i := len(s.messages) - 1; i >= 0 && len(all) < showMessages; i-- {
		if m := s.messages[i]; m.DeviceID == device {
			all = append(all, newMessageView(m))
		}
	}
	return all
}

func newMessageView(m *Message) messageView {
	v := messageView{
		ID: m.ID, To: m.To, Time: m.At.Format(inboxTime), State: m.State, StateName: stateName(m.State),
		Shown: m.State == stateSent || m.State == stateDelivered,
	}
	v.Before, v.Code, v.After = splitCode(m.Body)
	return v
}

func stateName(state int) string {
	switch state {
	case stateNew, stateQueued:
		return "waiting at the gateway"
	case stateOnPhone:
		return "on the phone"
	case stateSent:
		return "sent"
	case stateDelivered:
		return "delivered"
	}
	return "not sent"
}

var (
	boundCode = regexp.MustCompile(`(?m)^@\S+ #(\S+)`)
	plainCode = regexp.MustCompile(`\b\d{4,10}\b`)
)

// splitCode finds the code: the one that the text's last line is bound to, else the first number.
func splitCode(body string) (before, code, after string) {
	if m := boundCode.FindStringSubmatch(body); m != nil {
		if before, after, found := strings.Cut(body, m[1]); found {
			return before, m[1], after
		}
	}
	if at := plainCode.FindStringIndex(body); at != nil {
		return body[:at[0]], body[at[0]:at[1]], body[at[1]:]
	}
	return body, "", ""
}

func (s *Server) serveMessages(w http.ResponseWriter, _ *http.Request) {
	all := s.Messages()
	if all == nil {
		all = []Message{}
	}
	writeJSON(w, http.StatusOK, all)
}
