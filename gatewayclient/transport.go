package gatewayclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	maxAnswer     = 64 << 10
	maxLongAnswer = 4 << 20 // lists of devices and of messages
	maxRetryAfter = 10 * time.Minute
)

// transport makes one call and reads one bounded answer. It never repeats a call.
type transport struct {
	http    *http.Client
	timeout time.Duration
}

func newTransport(c Config) transport {
	h := http.Client{Transport: &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    5 * time.Second,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    4,
		MaxConnsPerHost:        16,
		MaxResponseHeaderBytes: 64 << 10,
		// Shorter than servers keep a connection: writing into one that is just being
		// closed looks like a lost answer, and a lost answer may not be repeated.
		IdleConnTimeout: 4 * time.Second,
	}}
	if c.HTTP != nil {
		h = *c.HTTP
	}
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	h.Jar = nil
	return transport{http: &h, timeout: c.Timeout}
}

// request is one call in either profile.
type request struct {
	call        string
	url         string
	contentType string
	bearer      string
	body        string
	sends       bool // a lost answer leaves open whether a message was queued
	limit       int64
	secrets     []string // never to be seen in an error
	notFound    string   // what 404 means
}

// fail makes the error of this call; said is what the gateway said, if anything.
// It is quoted only where all that it could echo is known: the answer to a
// question may hold the text and the number of any message.
func (r *request) fail(class Class, status int, detail, said string) *Error {
	if r.sends {
		detail += quote(said, r.secrets...)
	}
	return &Error{Class: class, Call: r.call, Status: status, detail: detail}
}

// lost is the class of an answer that cannot be had or cannot be understood.
func (r *request) lost() Class {
	if r.sends {
		return Ambiguous
	}
	return Unavailable
}

// do returns the body of a 2xx answer that is not a web page.
func (t transport) do(ctx context.Context, r *request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	// Once there is a connection bytes may be on their way; until then none are.
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	req, err := r.build(ctx)
	if err != nil {
		return nil, err
	}
	resp, err := t.http.Do(req)
	if err != nil {
		return nil, r.unanswered(err, connected.Load())
	}
	defer resp.Body.Close()
	body, readErr := io.ReadAll(io.LimitReader(resp.Body, r.limit+1))
	if err := r.refusal(resp, body); err != nil {
		return nil, err
	}
	if readErr != nil {
		return nil, r.fail(r.lost(), resp.StatusCode, "the answer broke off", "")
	}
	if int64(len(body)) > r.limit {
		return nil, r.fail(r.lost(), resp.StatusCode, fmt.Sprintf("the answer is longer than %d KiB", r.limit>>10), "")
	}
	return body, nil
}

func (r *request) build(ctx context.Context) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, strings.NewReader(r.body))
	if err != nil {
		return nil, r.fail(Protocol, 0, "the address cannot be used", "")
	}
	req.Header.Set("Content-Type", r.contentType)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "caddy-sms-otp")
	if r.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+r.bearer)
	}
	return req, nil
}

// unanswered explains a call without an answer. The error of net/http is not
// quoted: it holds addresses, among them that of a proxy with its password.
func (r *request) unanswered(err error, connected bool) *Error {
	class, what := Unavailable, "no connection to the gateway"
	if connected {
		class, what = r.lost(), "the connection ended before the answer came"
	}
	_, unresolved := errors.AsType[*net.DNSError](err)
	timeout, timed := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	switch {
	case errors.Is(err, context.Canceled):
		what = "given up before the answer came"
	case unresolved:
		what = "the gateway's name cannot be resolved; look at `url` and at this machine's DNS"
	case timed && timeout.Timeout():
		what += " in time"
	case strings.Contains(err.Error(), "x509:") || strings.Contains(err.Error(), "tls:"):
		what = "the gateway's certificate or TLS was not accepted; look at `url`, the clock and proxies"
	}
	return r.fail(class, 0, what, "")
}

// refusal explains an answer that HTTP alone already decides.
func (r *request) refusal(resp *http.Response, body []byte) *Error {
	status := resp.StatusCode
	said := ""
	if !isHTML(resp, body) {
		said = saidIn(body)
	}
	switch {
	case status >= 200 && status < 300:
		if isHTML(resp, body) {
			return r.fail(Protocol, status, "the gateway answered with a web page; look at `url` and at proxies in between", "")
		}
		return nil
	case status >= 300 && status < 400:
		return r.fail(Protocol, status, "the gateway answered with a redirect"+r.redirect(resp)+", which is not followed", "")
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return r.fail(Auth, status, "the token was refused; copy it again from the account page", said)
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		return r.fail(Protocol, status, r.notFound, "")
	case status == http.StatusPaymentRequired:
		return r.fail(Quota, status, "the plan allows no more messages", said)
	case status == http.StatusTooManyRequests:
		e := r.fail(RateLimited, status, "too many calls", said)
		e.RetryAfter = retryAfter(resp)
		return e
	case status >= 500:
		return r.fail(r.lost(), status, fmt.Sprintf("the gateway answered %d", status), said)
	case status == http.StatusBadRequest || status == http.StatusUnprocessableEntity:
		return r.fail(Invalid, status, "the gateway refused the request", said)
	}
	return r.fail(Protocol, status, fmt.Sprintf("the gateway answered %d", status), said)
}

func (r *request) redirect(resp *http.Response) string {
	to, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || !r.sends || to.Hostname() == "" || to.Hostname() == resp.Request.URL.Hostname() || len(to.Hostname()) > 80 || echoes(to.Hostname(), r.secrets) {
		return ""
	}
	return " to " + to.Hostname()
}

func isHTML(resp *http.Response, body []byte) bool {
	if mt, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); mt == "application/xhtml+xml" {
		return true
	}
	// Some hosts call JSON text/html, so only the body decides.
	return strings.HasPrefix(strings.TrimLeft(string(body[:min(len(body), 512)]), "\ufeff \t\r\n"), "<")
}

func retryAfter(resp *http.Response) time.Duration {
	v := resp.Header.Get("Retry-After")
	wait := time.Duration(0)
	if s, err := strconv.Atoi(v); err == nil {
		wait = time.Duration(min(max(s, 0), 1<<20)) * time.Second
	} else if at, err := http.ParseTime(v); err == nil {
		wait = time.Until(at)
	}
	return min(max(wait, 0), maxRetryAfter)
}
