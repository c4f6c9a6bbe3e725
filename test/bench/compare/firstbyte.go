package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddy-sms-otp/caddy-sms-otp/test/bench/routes"
)

// firstByte takes turns between the challenge page and a file as long, one request
// at a time, and returns how many times as long a visitor waits for the page's first byte.
func (p plan) firstByte() (float64, error) {
	s, site, err := open(plainHTTP, 0)
	if err != nil {
		return 0, err
	}
	defer s.stop()
	keys, err := routes.Keys()
	if err != nil {
		return 0, err
	}
	visitors := map[string]*conn{routes.File: nil, asked: nil}
	for _, r := range rows("") {
		if _, wanted := visitors[r.name]; !wanted {
			continue
		}
		if visitors[r.name], err = r.visitor(keys, site.Ports[r.route]); err != nil {
			return 0, err
		}
	}
	waits := map[string][]float64{}
	for range p.rounds * 10 {
		for name, v := range visitors {
			waited, err := v.wait()
			if err != nil {
				return 0, err
			}
			waits[name] = append(waits[name], float64(waited))
		}
	}
	return median(waits[asked]) / median(waits[routes.File]), nil
}

// visitor is one kept connection that makes the row's requests.
func (r *row) visitor(keys *otpcore.Keyring, port int) (*conn, error) {
	headers, err := r.headers(keys, port)
	if err != nil {
		return nil, err
	}
	c, err := connect(plainHTTP, port)
	if err != nil {
		return nil, err
	}
	c.prepare(http.MethodGet, r.path, headers[0], "")
	for range 100 {
		if status, err := c.request(); err != nil || status != r.want {
			return nil, fmt.Errorf("%s: status %d: %w", r.name, status, err)
		}
	}
	return c, nil
}

// wait makes a request and returns how long its answer took to begin.
func (c *conn) wait() (time.Duration, error) {
	began := time.Now()
	if err := c.ask(); err != nil {
		return 0, err
	}
	if _, err := c.answer.Peek(1); err != nil {
		return 0, err
	}
	waited := time.Since(began)
	_, err := c.read()
	return waited, err
}
