package gatewayclient

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// The two wire profiles.
const (
	GetData = "getdata"
	V1      = "v1"
)

// Config says how to reach one account. The zero value lacks only the token.
type Config struct {
	URL     string        // https, or http to loopback only. Default: https://smsgateway24.com
	API     string        // "getdata" or "v1". Default: getdata
	Token   string        // required
	Auth    string        // v1 only: "bearer" or "body". Default: bearer
	Timeout time.Duration // of one call. Default: 10s
	// HTTP makes the requests. Default: a client of its own, with the proxy that
	// the environment names and TLS always verified. Redirects are refused either way.
	HTTP *http.Client
}

const (
	defaultURL     = "https://smsgateway24.com"
	defaultTimeout = 10 * time.Second
)

// New checks c. Its errors say what to write instead.
func New(c Config) (*Client, error) {
	base, err := parseBase(c.URL)
	if err != nil {
		return nil, err
	}
	w, err := c.wire(base)
	if err != nil {
		return nil, err
	}
	if c.Timeout < 0 {
		return nil, fmt.Errorf("gateway timeout %s is negative: write a duration such as 10s", c.Timeout)
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	return &Client{wire: w, transport: newTransport(c)}, nil
}

func (c Config) wire(base string) (wire, error) {
	if err := checkToken(c.Token); err != nil {
		return nil, err
	}
	switch c.API {
	case "", GetData:
		if c.Auth != "" {
			return nil, errors.New("gateway auth belongs to `api v1`: leave `auth` out, or write `api v1`")
		}
		return getdata{base: base + "/getdata/", token: c.Token}, nil
	case V1:
		if c.Auth != "" && c.Auth != "bearer" && c.Auth != "body" {
			return nil, fmt.Errorf("gateway auth %q is not known: write bearer or body", c.Auth)
		}
		return v1{url: base + "/api/v1/send", token: c.Token, inBody: c.Auth == "body"}, nil
	}
	return nil, fmt.Errorf("gateway api %q is not known: write getdata or v1", c.API)
}

func checkToken(token string) error {
	if token == "" {
		return errors.New("gateway token is missing: write `token {env.SMSGATEWAY24_TOKEN}` and set that variable")
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("gateway token holds a space, a line break or a character outside ASCII: copy it again from the account page")
	}
	return nil
}

// parseBase refuses everything that could carry the token in clear.
func parseBase(raw string) (string, error) {
	if raw == "" {
		return defaultURL, nil
	}
	if strings.ContainsFunc(raw, unicode.IsSpace) {
		return "", errors.New("gateway url holds a space: write it like https://smsgateway24.com")
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Hostname() == "" {
		return "", errors.New("gateway url is not an address: write it like https://smsgateway24.com")
	}
	switch {
	case u.User != nil:
		return "", errors.New("gateway url holds a user name or password: leave it out, the token is all that is needed")
	case u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("gateway url holds a query or a fragment: leave out what follows ? or #")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return "", fmt.Errorf("gateway url is plain http to %s: write https://%s (http is for loopback only)", u.Hostname(), u.Host)
	case u.Scheme != "https" && u.Scheme != "http":
		return "", fmt.Errorf("gateway url begins with %q: write https://", u.Scheme)
	}
	base := u.Scheme + "://" + u.Host + strings.TrimRight(u.EscapedPath(), "/")
	for _, end := range []string{"/getdata", "/api/v1/send"} {
		if host, found := strings.CutSuffix(base, end); found {
			return "", fmt.Errorf("gateway url ends in %s, which `api` adds by itself: write %s", end, host)
		}
	}
	return base, nil
}

func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
