package caddymodule

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// actionParam is the reserved query parameter that names an action.
const actionParam = "sms_otp"

// transactionParam tells which transaction a page asks the status of; it opens nothing.
const transactionParam = "sms_otp_transaction"

// maxBody is the most that an action's body may have, in bytes: a program's handle of a
// request holds its address. A form may carry a kept request, which sealing has made longer by the half and more.
const (
	maxBody     = 64 << 10
	maxKeptBody = 4 * maxKept
)

type action string

const (
	noAction     action = ""
	sendAction   action = "send"
	verifyAction action = "verify"
	statusAction action = "status"
	logoutAction action = "logout"
)

var errBadAction = errors.New("the query parameter sms_otp must be send, verify, status or logout, once")

// originalURL is the address that the visitor asked for, before any rewrite.
func originalURL(r *http.Request) *url.URL {
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && original.URL != nil {
		return original.URL
	}
	return r.URL
}

// actionOf reads the action from a query as a server behind us would read it,
// so that no spelling of the parameter slips past.
func actionOf(query string) (action, error) {
	if !mayHoldAction(query) {
		return noAction, nil
	}
	found := noAction
	seen := false
	for pair := range strings.SplitSeq(query, "&") {
		value, ok := actionValue(pair)
		if !ok {
			continue
		}
		a := action(value)
		switch a {
		case sendAction, verifyAction, statusAction, logoutAction:
		default:
			return noAction, errBadAction
		}
		if seen {
			return noAction, errBadAction
		}
		found, seen = a, true
	}
	return found, nil
}

// mayHoldAction is the cheap test that nearly every request fails.
func mayHoldAction(query string) bool {
	return query != "" && (strings.Contains(query, actionParam) || strings.Contains(query, "%"))
}

func actionValue(pair string) (value string, ok bool) {
	name, value, _ := strings.Cut(pair, "=")
	name, err := url.QueryUnescape(name)
	if err != nil || name != actionParam {
		return "", false
	}
	value, err = url.QueryUnescape(value)
	if err != nil {
		return "", true
	}
	return value, true
}

// cleanURL is the visitor's address on this site without the action: what Location
// says and forms are built from. Nothing of the Host goes into it, and it cannot be
// read as another host: one leading slash, no backslash.
func cleanURL(u *url.URL) string {
	path := "/" + strings.TrimLeft(u.EscapedPath(), `/\`)
	query := withoutAction(u.RawQuery)
	if query == "" {
		return path
	}
	return path + "?" + query
}

func withoutAction(query string) string {
	if !mayHoldAction(query) {
		return query
	}
	kept := make([]string, 0, 4)
	for pair := range strings.SplitSeq(query, "&") {
		_, ours := actionValue(pair)
		if !ours && !strings.HasPrefix(pair, transactionParam+"=") {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}

func actionURL(clean string, a action) string {
	separator := "?"
	if strings.Contains(clean, "?") {
		separator = "&"
	}
	return clean + separator + actionParam + "=" + string(a)
}

// wantsPage tells whether the client is a person who follows a link or sends a
// form, and not a script, an image or a program.
func wantsPage(r *http.Request) bool {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" && mode != "navigate" {
		return false
	}
	if r.Header.Get("X-Requested-With") != "" {
		return false
	}
	for _, line := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(line, ",") {
			if acceptsHTML(part) {
				return true
			}
		}
	}
	return false
}

func acceptsHTML(part string) bool {
	// Most say it without parameters.
	if strings.TrimSpace(part) == "text/html" {
		return true
	}
	media, params, err := mime.ParseMediaType(part)
	if err != nil || media != "text/html" {
		return false
	}
	q, err := strconv.ParseFloat(params["q"], 64)
	return params["q"] == "" || err == nil && q > 0
}

// isFormOfThisSite tells whether a browser sends a form that stands on a page of this site.
func isFormOfThisSite(r *http.Request) bool {
	h := r.Header
	return r.Method == http.MethodPost && h.Get("Sec-Fetch-Mode") == "navigate" &&
		h.Get("Sec-Fetch-Dest") == "document" && h.Get("Sec-Fetch-Site") == "same-origin"
}

// maySendUnasked tells whether a request is a real visit, for which the first
// message goes out by itself. Whatever else asks for the page costs no message:
// images, frames, prefetching, link scanners, programs and other sites.
func maySendUnasked(r *http.Request) bool {
	h := r.Header
	return r.Method == http.MethodGet &&
		h.Get("Sec-Fetch-Mode") == "navigate" && h.Get("Sec-Fetch-Dest") == "document" &&
		h.Get("Sec-Fetch-Site") != "cross-site" &&
		h.Get("Sec-Purpose") == "" && h.Get("Purpose") == "" && h.Get("X-Moz") == ""
}

// siteOf is the host that a verification counts for, with any port that is not the scheme's own.
func siteOf(r *http.Request) string {
	host := strings.ToLower(r.Host)
	own := ":80"
	if r.TLS != nil {
		own = ":443"
	}
	return strings.TrimSuffix(strings.TrimSuffix(host, own), ".")
}

// hostname is a host without its port.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}

// clientNetwork is the client's address as it is counted: an IPv6 customer has a
// whole /64, so that is one address.
func clientNetwork(r *http.Request) string {
	client, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	addr, err := netip.ParseAddr(client)
	if err != nil {
		return client
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	network, _ := addr.Prefix(64)
	return network.String()
}

// fields are what an action's body says. A field that stands twice is refused:
// whoever checks the first and runs the second has been tricked.
type fields map[string]string

var (
	errTooLarge  = errors.New("the body is too large")
	errMalformed = errors.New("the body must be an urlencoded form or a flat JSON object, with each field once")
)

func readFields(w http.ResponseWriter, r *http.Request) (fields, error) {
	limit := int64(maxBody)
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if media == "application/x-www-form-urlencoded" {
		limit = maxKeptBody
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		if errors.As(err, new(*http.MaxBytesError)) {
			return nil, errTooLarge
		}
		return nil, errMalformed
	}
	if len(body) == 0 {
		return fields{}, nil
	}
	return parseFields(r.Header.Get("Content-Type"), string(body))
}

func formFields(body string) (fields, error) {
	values, err := url.ParseQuery(body)
	if err != nil {
		return nil, errMalformed
	}
	f := make(fields, len(values))
	for name, v := range values {
		if len(v) != 1 {
			return nil, errMalformed
		}
		f[name] = v[0]
	}
	return f, nil
}

// notText stands for a list or an object where text is wanted: no field means it.
const notText = "\xff"

// jsonFields reads strings and numbers as they are written, so that leading zeros
// stay. Null is as good as nothing.
func jsonFields(body string) (fields, error) {
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errMalformed
	}
	f := fields{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, errMalformed
		}
		var value any
		if err := d.Decode(&value); err != nil {
			return nil, errMalformed
		}
		if _, twice := f[name.(string)]; twice {
			return nil, errMalformed
		}
		switch v := value.(type) {
		case string:
			f[name.(string)] = v
		case json.Number:
			f[name.(string)] = v.String()
		case bool:
			f[name.(string)] = strconv.FormatBool(v)
		case nil:
			f[name.(string)] = ""
		default:
			f[name.(string)] = notText
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, errMalformed
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errMalformed
	}
	return f, nil
}
