package caddymodule

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

const (
	// maxKept is the largest body, in bytes, that travels with the page.
	maxKept = 64 << 10
	// keptLife is how long a kept request may wait for its code.
	keptLife = time.Hour
	// maxForms is how many forms one visitor may have kept and passed on in keptLife: each leaves
	// a note in the store, which nobody must be able to fill.
	maxForms = 100
	// keptField and requestField carry it: the page's form the whole request, a program's call its digest.
	keptField    = "kept"
	requestField = "request"
)

// keptHeaders are what goes on with a kept request. Cookies and credentials come
// from the request that brings the code, so that no password is kept.
var keptHeaders = []string{"Content-Type", "Content-Encoding", "Accept", "Origin", "Referer"}

// keptRequest is a request that waits for its code. It travels through the
// browser, sealed, so that nothing is stored for it and two of them in two tabs do not meet.
type keptRequest struct {
	ID     string            `json:"i"` // tells forms apart that say the same
	Method string            `json:"m"`
	URL    string            `json:"u"` // path and query, as the visitor asked for it
	Header map[string]string `json:"h,omitempty"`
	Body   []byte            `json:"b,omitempty"` // left out in a program's handle
	Digest []byte            `json:"d"`           // of the body
	Fields map[string]string `json:"f,omitempty"` // what the message says of it, cleaned
	At     int64             `json:"t"`           // Unix seconds

	whole bool // the request itself came back, and not a program's handle of it
}

var (
	errTooLargeToKeep = errors.New("the request is too large to be kept until the code comes")
	errTooManyForms   = errors.New("this visitor has had too many forms passed on that were kept")
)

// keep reads the visitor's request. The body is there again afterwards.
func (v *visit) keep() (*keptRequest, error) {
	body, err := io.ReadAll(io.LimitReader(v.r.Body, maxKept+1))
	if err != nil {
		return nil, fmt.Errorf("reading request: %w", err)
	}
	if len(body) > maxKept {
		return nil, errTooLargeToKeep
	}
	v.r.Body = io.NopCloser(bytes.NewReader(body))
	digest := sha256.Sum256(body)
	k := &keptRequest{
		ID: otpcore.NewID().String(), Method: v.r.Method, URL: cleanURL(v.url), Body: body, Digest: digest[:], At: v.now.Unix(),
		Header: make(map[string]string),
	}
	for _, name := range keptHeaders {
		// All lines: who looks at the first and who looks at the last shall see the same.
		if values := v.r.Header.Values(name); len(values) > 0 {
			k.Header[name] = strings.Join(values, ", ")
		}
	}
	return k, nil
}

// binding names exactly this request: what is confirmed is what is run.
func (k *keptRequest) binding() string {
	return strings.Join([]string{k.Method, k.URL, k.Header["Content-Type"], k.Header["Content-Encoding"], string(k.Digest)}, "\x00")
}

// keptContext binds what is sealed to its use, the user and the site.
func (v *visit) keptContext(use string) []byte {
	return []byte(strings.Join([]string{use, v.site, v.subject.User}, "\x00"))
}

// seal writes a kept request for its way through the client.
func (v *visit) seal(k keptRequest, use string) (string, error) {
	if use == requestField {
		k.Body = nil
	}
	plain, err := json.Marshal(k)
	if err != nil {
		return "", fmt.Errorf("keeping request: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(v.svc.Keys.Seal(plain, v.keptContext(use))), nil
}

// unseal reads what seal wrote for this user, site and address; anything else is nothing.
func (v *visit) unseal(text, use string) *keptRequest {
	if text == "" {
		return nil
	}
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	plain, err := v.svc.Keys.Open(sealed, v.keptContext(use))
	if err != nil {
		return nil
	}
	k := new(keptRequest)
	if json.Unmarshal(plain, k) != nil || k.URL != cleanURL(v.url) || v.now.Sub(time.Unix(k.At, 0)) > keptLife {
		return nil
	}
	if k.whole = use == keptField; k.whole && !k.complete() {
		return nil
	}
	return k
}

// complete tells whether the body is there: a program's handle, shown on a page, lacks it.
func (k *keptRequest) complete() bool {
	digest := sha256.Sum256(k.Body)
	return bytes.Equal(digest[:], k.Digest)
}

// replay makes the visitor's request the kept one again and hands it on. It
// changes the request in place, since Caddy's placeholders are bound to it.
func (v *visit) replay() error {
	r, k := v.r, v.kept
	original, _ := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	address := *v.url
	address.RawQuery = withoutAction(address.RawQuery)
	original.Method, original.URL, original.RequestURI = k.Method, &address, k.URL
	*r = *r.WithContext(context.WithValue(r.Context(), caddyhttp.OriginalRequestCtxKey, original))
	r.Method, r.RequestURI = k.Method, k.URL
	r.URL.RawQuery = withoutAction(r.URL.RawQuery)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(k.Body)), int64(len(k.Body))
	r.TransferEncoding, r.Trailer = nil, nil
	r.PostForm, r.Form, r.MultipartForm = nil, nil, nil
	for _, name := range append(keptHeaders, "Expect", "Content-Length", "Transfer-Encoding") {
		r.Header.Del(name)
	}
	for name, value := range k.Header {
		r.Header.Set(name, value)
	}
	if len(k.Body) > 0 {
		r.Header.Set("Content-Length", strconv.Itoa(len(k.Body)))
	} else {
		r.Body = http.NoBody
	}
	return v.hand()
}

// keepForm keeps a form that met the gate, so that it goes on with the right code:
// one that this very site sent. What another site made the browser send is not kept.
func (v *visit) keepForm() (err error) {
	if v.r.Method != http.MethodPost {
		return errors.New("not a form")
	}
	if err := crossOrigin.Check(v.r); err != nil {
		return err
	}
	v.kept, err = v.keep()
	return err
}

func isSafe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}
