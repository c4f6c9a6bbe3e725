package gatewaytest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// answer is what a call comes to, before faults.
type answer struct {
	status int
	body   any
}

func ok(body any) answer { return answer{http.StatusOK, body} }

// refusal is how logical errors are told, as far as is known.
func refusal(message string) answer { return ok(map[string]any{"error": 1, "message": message}) }

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		panic(err)
	}
	_, _ = w.Write(bytes.TrimRight(text.Bytes(), "\n"))
}

const page = "<!DOCTYPE html><html><head><title>SMS Gateway</title></head><body><h1>Send SMS with your own phone</h1></body></html>"

func writePage(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(page))
}

// serveCall runs work between the faults that strike before it and after it.
func (s *Server) serveCall(w http.ResponseWriter, on occasion, work func() answer) {
	if s.before(w, on) {
		return
	}
	a := work()
	s.after(w, on, a)
}

// before lets the faults strike that keep the work from being done.
func (s *Server) before(w http.ResponseWriter, on occasion) (done bool) {
	if s.strikes("lost-request", on) {
		panic(http.ErrAbortHandler)
	}
	if wait, ok := s.wait("late", on, 3*time.Second); ok {
		s.sleep(wait)
	}
	for _, status := range []int{500, 503, 400, 401, 402} {
		if s.strikes("http-"+strconv.Itoa(status), on) {
			writeJSON(w, status, map[string]any{"message": http.StatusText(status)})
			return true
		}
	}
	if wait, ok := s.wait("http-429", on, 2*time.Second); ok {
		w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)))
		writeJSON(w, http.StatusTooManyRequests, map[string]any{"message": "Too Many Requests"})
		return true
	}
	return s.beforeOdd(w, on)
}

func (s *Server) beforeOdd(w http.ResponseWriter, on occasion) (done bool) {
	switch {
	case s.strikes("http-404", on):
		writePage(w, http.StatusNotFound)
	case s.strikes("html", on):
		writePage(w, http.StatusOK)
	case s.strikes("redirect", on):
		w.Header().Set("Location", "https://www.example.com/")
		w.WriteHeader(http.StatusFound)
	case s.strikes("not-json", on):
		_, _ = w.Write([]byte("Fatal error: allowed memory exhausted"))
	case s.strikes("empty", on):
		w.WriteHeader(http.StatusOK)
	case s.strikes("huge", on):
		_, _ = w.Write([]byte(`{"error":0,"message":"` + strings.Repeat("x", 5<<20) + `"}`))
	default:
		return false
	}
	return true
}

// after lets the faults strike that spoil the answer to work that was done.
func (s *Server) after(w http.ResponseWriter, on occasion, a answer) {
	if s.strikes("lost-reply", on) {
		panic(http.ErrAbortHandler)
	}
	if wait, ok := s.wait("slow", on, 3*time.Second); ok {
		s.sleep(wait)
	}
	if s.strikes("http-500-after", on) {
		writeJSON(w, http.StatusInternalServerError, map[string]any{"message": "Server Error"})
		return
	}
	rec := httptest.NewRecorder()
	writeJSON(rec, a.status, a.body)
	body := rec.Body.Bytes()
	switch {
	case s.strikes("truncated", on):
		body = body[:len(body)/2]
	case s.strikes("no-id", on):
		body = regexp.MustCompile(`"(sms_id|message_id)":\d+,?`).ReplaceAll(body, nil)
	case s.strikes("odd-types", on):
		body = regexp.MustCompile(`:(\d+|false)([,}])`).ReplaceAll(body, []byte(`:"$1"$2`))
	}
	for name, v := range rec.Header() {
		w.Header()[name] = v
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(body)
}

func (s *Server) wait(name string, on occasion, usual time.Duration) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.drawLocked(name, on)
	if f == nil {
		return 0, false
	}
	return f.delay(usual), true
}
