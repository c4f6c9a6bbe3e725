package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// transport is how requests travel.
type transport string

const (
	plainHTTP transport = "HTTP/1.1"
	overTLS   transport = "HTTP/1.1 over TLS"
	http2     transport = "HTTP/2"
)

// connections is how many requests are under way at a time.
const connections = 8

// requester makes one request and returns its status.
type requester interface {
	request() (int, error)
}

// clientConfig trusts whatever the server shows: it runs on this machine, with a certificate of its own.
func clientConfig() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"} //nolint:gosec // loopback
}

// dial opens the connections, over which the headers take turns.
func dial(t transport, port int, path string, headers []http.Header) ([]requester, error) {
	all := make([]requester, connections)
	if t == http2 {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: clientConfig(), ForceAttemptHTTP2: true}}
		for i := range all {
			r, err := http.NewRequest(http.MethodGet, fmt.Sprintf("https://localhost:%d%s", port, path), nil)
			if err != nil {
				return nil, err
			}
			r.Header = headers[0]
			all[i] = &stream{client, r}
		}
		return all, nil
	}
	for i := range all {
		c, err := connect(t, port)
		if err != nil {
			return nil, err
		}
		for j := i % len(headers); j < len(headers); j += connections {
			c.prepare(http.MethodGet, path, headers[j], "")
		}
		all[i] = c
	}
	return all, nil
}

// stream is a request over HTTP/2, which all share one connection.
type stream struct {
	client *http.Client
	r      *http.Request
}

func (s *stream) request() (int, error) {
	response, err := s.client.Do(s.r)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	return response.StatusCode, err
}

// conn is a kept connection of HTTP/1.1 that does as little as possible: the
// server shall be what keeps the machine busy.
type conn struct {
	net.Conn
	port   int
	answer *bufio.Reader
	turn   [][]byte // requests, one after another and again from the start
	next   int
	cookie map[string]string // of the last answer
}

func connect(t transport, port int) (*conn, error) {
	c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err == nil && t == overTLS {
		c = tls.Client(c, clientConfig())
	}
	return &conn{Conn: c, port: port, answer: bufio.NewReader(c), cookie: map[string]string{}}, err
}

// prepare adds a request to those that are made in turn.
func (c *conn) prepare(method, path string, header http.Header, body string) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: localhost:%d\r\n", method, path, c.port)
	header.Write(&b) //nolint:errcheck // into memory
	if body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	c.turn = append(c.turn, b.Bytes())
}

var errAnswer = errors.New("the answer is not HTTP/1.1 as this client knows it")

func (c *conn) request() (int, error) {
	if err := c.ask(); err != nil {
		return 0, err
	}
	return c.read()
}

func (c *conn) ask() error {
	_, err := c.Write(c.turn[c.next%len(c.turn)])
	c.next++
	return err
}

func (c *conn) read() (status int, err error) {
	line, err := c.answer.ReadSlice('\n')
	if err != nil || len(line) < 12 {
		return 0, errors.Join(err, errAnswer)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, errAnswer
	}
	length, err := c.header()
	if err != nil {
		return 0, err
	}
	if length >= 0 {
		_, err = c.answer.Discard(length)
		return status, err
	}
	return status, c.chunks()
}

// header returns the length of the body, -1 where it comes in chunks.
func (c *conn) header() (length int, err error) {
	clear(c.cookie)
	for {
		line, err := c.answer.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		name, value, found := bytes.Cut(bytes.TrimSpace(line), []byte(": "))
		switch {
		case !found:
			return length, nil
		case string(name) == "Content-Length":
			length, err = strconv.Atoi(string(value))
			if err != nil {
				return 0, errAnswer
			}
		case string(name) == "Transfer-Encoding":
			length = -1
		case string(name) == "Set-Cookie":
			pair, _, _ := strings.Cut(string(value), ";")
			key, content, _ := strings.Cut(pair, "=")
			c.cookie[key] = content
		}
	}
}

func (c *conn) chunks() error {
	for {
		line, err := c.answer.ReadSlice('\n')
		if err != nil {
			return err
		}
		length, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return errAnswer
		}
		if _, err := c.answer.Discard(int(length) + 2); err != nil || length == 0 {
			return err
		}
	}
}

// warm waits until the server answers: before it takes TLS it makes a certificate.
func warm(t transport, port int) error {
	if t == plainHTTP {
		return nil
	}
	var err error
	for range 100 {
		var c *tls.Conn
		if c, err = tls.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), clientConfig()); err == nil {
			return c.Close()
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// slice makes requests over all connections at once and returns how long they took.
func slice(all []requester, requests, want int) (time.Duration, error) {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	began := time.Now()
	for i, c := range all {
		wg.Go(func() {
			for range requests / len(all) {
				status, err := c.request()
				if err == nil && status != want {
					err = fmt.Errorf("status %d, want %d", status, want)
				}
				if err != nil {
					errs[i] = err
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(began), errors.Join(errs...)
}
