package gatewaytest

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"syscall"
)

// Client calls the server without a network, whatever host is asked for.
func (s *Server) Client() *http.Client { return &http.Client{Transport: inProcess{s}} }

// inProcess behaves as a connection does: the handler goes on when the caller
// has given up, and a handler that aborts looks like a connection that ends.
type inProcess struct{ s *Server }

func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.s.strikes("refuse-connection", occasion{}) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	trace := httptrace.ContextClientTrace(r.Context())
	if trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	call, err := serverSide(r)
	if err != nil {
		return nil, err
	}
	answer := make(chan *http.Response, 1)
	go t.serve(call, answer)
	select {
	case resp := <-answer:
		if resp == nil {
			return nil, io.ErrUnexpectedEOF
		}
		resp.Request = r
		return resp, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// serverSide is the request as a server would have it.
func serverSide(r *http.Request) (*http.Request, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body.Close()
	}
	call := httptest.NewRequest(r.Method, r.URL.RequestURI(), bytes.NewReader(body))
	call.Header = r.Header.Clone()
	call.Host = r.URL.Host
	return call, nil
}

func (t inProcess) serve(r *http.Request, answer chan<- *http.Response) {
	defer func() {
		if e := recover(); e != nil {
			if e != http.ErrAbortHandler {
				panic(e)
			}
			answer <- nil
		}
	}()
	rec := httptest.NewRecorder()
	t.s.ServeHTTP(rec, r)
	answer <- rec.Result()
}
