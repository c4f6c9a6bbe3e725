package gatewaytest

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"time"
)

// Options describe an account. The zero value has one phone, 10403.
type Options struct {
	Devices []string      // ids of the phones. Default: 10403
	Poll    time.Duration // how often a phone asks for messages. Default: 1s
	Pack    int           // how many messages it takes at a visit. Default: 15
	Pace    time.Duration // from one message sent to the next. Default: 1s
	Report  time.Duration // from sent to the carrier's report. Default: 1s
	Plan    int           // messages that the account may send. Default: any number
	Limit   int           // segments that Android lets a phone send in LimitPer, more fail. Default: any number
	// LimitPer belongs to Limit. Default: 30m.
	LimitPer time.Duration
	NoV1     bool             // the host has no /api/v1/send
	Now      func() time.Time // the phones' clock. Default: time.Now
	Seed     uint64           // of what happens by chance
	// StateHook and InboundHook are called as the vendor's webhooks are. Default: none.
	StateHook, InboundHook string
}

func (o *Options) complete() {
	if len(o.Devices) == 0 {
		o.Devices = []string{"10403"}
	}
	for _, d := range []*time.Duration{&o.Poll, &o.Pace, &o.Report} {
		if *d <= 0 {
			*d = time.Second
		}
	}
	if o.Pack <= 0 {
		o.Pack = 15
	}
	if o.LimitPer <= 0 {
		o.LimitPer = 30 * time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Server is an account, its phones and their inbox. It is an [http.Handler].
// Safe for concurrent use.
type Server struct {
	o    Options
	mux  *http.ServeMux
	done chan struct{}

	mu       sync.Mutex
	phones   []*phone
	messages []*Message // in order of arrival
	byID     map[int64]*Message
	byMark   map[int64][]*Message // by customer id
	events   events
	seq      int
	faults   []*Fault
	hooks    []hook
	requests []Request
	calls    map[string]int
	closers  []func()
	closed   bool
}

// firstID is where the ids of messages begin; the vendor's are as long.
const firstID = 22074698

// New makes an account. It panics on a device id that is not a positive number.
func New(o Options) *Server {
	o.complete()
	s := &Server{
		o: o, done: make(chan struct{}),
		byID: map[int64]*Message{}, byMark: map[int64][]*Message{}, calls: map[string]int{},
	}
	for _, d := range o.Devices {
		id, err := strconv.Atoi(d)
		if err != nil || id <= 0 {
			panic(fmt.Sprintf("gatewaytest: device %q is not a positive number", d))
		}
		s.phones = append(s.phones, &phone{id: id, s: s, since: o.Now()})
	}
	s.mux = s.routes()
	if o.StateHook != "" || o.InboundHook != "" {
		s.runHooks()
	}
	return s
}

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/getdata/{call}", s.serveGetdata)
	mux.HandleFunc("/api/v1/send", s.serveV1)
	mux.HandleFunc("GET /{$}", s.serveInbox)
	mux.HandleFunc("GET /messages", s.serveMessages)
	mux.HandleFunc("/faults", s.serveFaults)
	mux.HandleFunc("POST /inbound", s.serveInbound)
	return mux
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Start serves on a free loopback port, HTTP/1.1 and cleartext HTTP/2, and returns the address.
// It panics where there is none.
func (s *Server) Start() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic("gatewaytest: " + err.Error())
	}
	go func() { _ = s.Serve(l) }()
	return "http://" + l.Addr().String()
}

// Serve answers on l until Close.
func (s *Server) Serve(l net.Listener) error {
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	h := &http.Server{Handler: s, Protocols: &p, ReadHeaderTimeout: 10 * time.Second}
	s.onClose(func() { h.Close() })
	return h.Serve(faultyListener{l, s})
}

// StartTLS serves on a free loopback port with TLS, HTTP/1.1 and HTTP/2, and
// returns the address and a client that trusts its certificate.
func (s *Server) StartTLS() (url string, client *http.Client) {
	t := httptest.NewUnstartedServer(s)
	t.EnableHTTP2 = true
	t.StartTLS()
	s.onClose(func() { t.CloseClientConnections(); t.Close() })
	return t.URL, t.Client()
}

func (s *Server) onClose(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		f()
		return
	}
	s.closers = append(s.closers, f)
}

// Close ends everything that was started.
func (s *Server) Close() {
	s.mu.Lock()
	closers := s.closers
	already := s.closed
	s.closers, s.closed = nil, true
	s.mu.Unlock()
	if !already {
		close(s.done)
	}
	for _, f := range closers {
		f()
	}
}

// faultyListener closes connections unread while the gateway is out of reach.
type faultyListener struct {
	net.Listener
	s *Server
}

func (l faultyListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil || !l.s.strikes("refuse-connection", occasion{}) {
			return c, err
		}
		c.Close()
	}
}

// sleep waits d, or until Close.
func (s *Server) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.done:
	}
}
