package harness

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/quic-go/quic-go/http3"
)

// Client is a browser or a program in front of the site: it keeps cookies, which
// net/http's jar would not over plain http, and follows no redirect.
type Client struct {
	User     string // of basic_auth; empty: none
	Password string
	Cookies  map[string]string
	Header   http.Header // sent with every request

	t    testing.TB
	site *Site
	http *http.Client
}

// Client returns a new browser of the user.
func (s *Site) Client(user string) *Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	if s.roots != nil {
		transport.ForceAttemptHTTP2 = true
		transport.TLSClientConfig = &tls.Config{RootCAs: s.roots}
	}
	s.t.Cleanup(transport.CloseIdleConnections)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = append(s.idle, transport.CloseIdleConnections)
	return &Client{
		User: user, Password: Password, Cookies: map[string]string{}, Header: http.Header{}, t: s.t, site: s,
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// HTTP3 is the same browser over HTTP/3, which takes TLS.
func (c *Client) HTTP3() *Client {
	transport := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: c.site.roots}}
	c.t.Cleanup(func() { transport.Close() })
	faster, client := c.Tab(), *c.http
	client.Transport = transport
	faster.http = &client
	return faster
}

// Tab is the same browser once more: with the same cookies so far, over the same connections.
func (c *Client) Tab() *Client {
	tab := *c
	tab.Cookies, tab.Header = maps.Clone(c.Cookies), c.Header.Clone()
	return &tab
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Body   string
	Proto  string // such as HTTP/2.0
}

// JSON reads the body as an object.
func (a Answer) JSON() map[string]any {
	var m map[string]any
	_ = json.Unmarshal([]byte(a.Body), &m)
	return m
}

// Problem is the name of the problem that the answer reports, or "".
func (a Answer) Problem() string {
	name, _ := a.JSON()["type"].(string)
	return strings.TrimPrefix(name, "urn:sms-otp:")
}

// Do sends a request. The header's lines come on top of the client's own.
func (c *Client) Do(method, path, body string, header http.Header) Answer {
	c.t.Helper()
	a, err := c.Try(method, path, body, header)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// Try is Do where there may be no answer.
func (c *Client) Try(method, path, body string, header http.Header) (Answer, error) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.site.URL+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, h := range []http.Header{c.Header, header} {
		for name, values := range h {
			r.Header[name] = values
		}
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	if c.User != "" {
		r.SetBasicAuth(c.User, c.Password)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Cookies)) {
		r.AddCookie(&http.Cookie{Name: name, Value: c.Cookies[name]})
	}
	response, err := c.http.Do(r)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return Answer{}, err
	}
	for _, cookie := range response.Cookies() {
		if cookie.MaxAge < 0 {
			delete(c.Cookies, cookie.Name)
		} else {
			c.Cookies[cookie.Name] = cookie.Value
		}
	}
	return Answer{response.StatusCode, response.Header, string(text), response.Proto}, nil
}

// Navigation is what a browser says when a person opens an address.
func Navigation() http.Header {
	return http.Header{
		"Accept":         {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
		"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Site": {"none"}, "Sec-Fetch-User": {"?1"},
	}
}

func with(h http.Header, lines ...string) http.Header {
	for i := 0; i+1 < len(lines); i += 2 {
		h.Set(lines[i], lines[i+1])
	}
	return h
}

// Open opens an address as a person does. Lines are further header lines, name and value.
func (c *Client) Open(path string, lines ...string) Answer {
	c.t.Helper()
	return c.Do(http.MethodGet, path, "", with(Navigation(), lines...))
}

// Submit sends a form of the page.
func (c *Client) Submit(path string, form url.Values) Answer {
	c.t.Helper()
	return c.Do(http.MethodPost, path, form.Encode(), c.Form())
}

// Form is what a browser says when a form of the page is sent.
func (c *Client) Form() http.Header {
	return with(Navigation(),
		"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin", "Origin", c.site.URL)
}

// Call sends an action as a program does.
func (c *Client) Call(action string, form url.Values) Answer {
	c.t.Helper()
	return c.Do(http.MethodPost, "/?sms_otp="+action, form.Encode(), http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"},
	})
}

// Status asks how the challenge stands.
func (c *Client) Status() Answer {
	c.t.Helper()
	return c.Do(http.MethodGet, "/?sms_otp=status", "", http.Header{"Accept": {"application/json"}})
}

// Verify answers the challenge as a program does.
func (c *Client) Verify(code string) Answer {
	c.t.Helper()
	return c.Call("verify", url.Values{"code": {code}})
}

// Enter goes all the way in: it asks for a code, reads it from the phone and gives it.
func (c *Client) Enter() {
	c.t.Helper()
	before := len(c.site.Gateway.Messages())
	if a := c.Call("send", nil); a.Status != http.StatusAccepted {
		c.t.Fatalf("send: %d %s", a.Status, a.Body)
	}
	if a := c.Verify(c.site.Code(before + 1)); a.Status != http.StatusOK {
		c.t.Fatalf("verify: %d %s", a.Status, a.Body)
	}
}

// Wrong is a code of the same form that is not this one.
func Wrong(code string) string {
	if strings.HasSuffix(code, "7") {
		return code[:len(code)-1] + "8"
	}
	return code[:len(code)-1] + "7"
}
