package gatewaytest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxBody      = 8 << 20
	keepRequests = 1000
)

// Request is a call as it arrived.
type Request struct {
	Time time.Time
	Call string // addsms and so on; "send" for /api/v1/send
	Raw  string // request line, headers in alphabetical order, body
}

// Requests are the latest 1,000 calls.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests[max(0, len(s.requests)-keepRequests):])
}

// Calls is how often a call was made; of all calls where none is named.
func (s *Server) Calls(call string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, times := range s.calls {
		if call == "" || name == call {
			n += times
		}
	}
	return n
}

func (s *Server) record(call string, r *http.Request) {
	raw, _ := httputil.DumpRequest(r, true) // a body that breaks off is met again when it is parsed
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[call]++
	if len(s.requests) >= 2*keepRequests {
		s.requests = slices.Clone(s.requests[keepRequests:])
	}
	s.requests = append(s.requests, Request{s.o.Now(), call, string(raw)})
}

// fields are the parameters of a call, by their name in lower case: clients
// disagree on customerid and customerId.
type fields map[string]string

func (f fields) set(name, value string) { f[strings.ToLower(name)] = value }

func (f fields) number(name string) int64 {
	n, _ := strconv.ParseInt(f[name], 10, 64)
	return n
}

func truth(v string) bool {
	switch strings.ToLower(v) {
	case "", "0", "false", "off", "no":
		return false
	}
	return true
}

// readFields merges the query, a form of either kind and JSON; the body wins.
func readFields(w http.ResponseWriter, r *http.Request) (fields, error) {
	f := fields{}
	f.addAll(r.URL.Query())
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, errors.New("the body cannot be read")
	}
	kind, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	trimmed := bytes.TrimSpace(body)
	switch {
	case kind == "multipart/form-data":
		form, err := multipart.NewReader(bytes.NewReader(body), params["boundary"]).ReadForm(maxBody)
		if err != nil {
			return nil, errors.New("the multipart form is broken")
		}
		f.addAll(form.Value)
	// Some clients send JSON under the type of a form.
	case len(trimmed) > 0 && trimmed[0] == '{':
		return f, f.addJSON(trimmed)
	default:
		values, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, errors.New("the form is broken")
		}
		f.addAll(values)
	}
	return f, nil
}

func (f fields) addAll(values map[string][]string) {
	for name, v := range values {
		if len(v) > 0 {
			f.set(name, v[len(v)-1])
		}
	}
}

func (f fields) addJSON(body []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return errors.New("the JSON is broken")
	}
	for name, raw := range members {
		var text string
		if json.Unmarshal(raw, &text) != nil {
			text = string(raw)
		}
		if text == "null" {
			text = ""
		}
		f.set(name, text)
	}
	return nil
}
