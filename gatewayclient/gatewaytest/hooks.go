package gatewaytest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"
)

// hook is a call to a webhook that is due.
type hook struct {
	url  string
	body any
}

type stateHook struct {
	SMSID     int64  `json:"sms_id"`
	StatusID  int    `json:"status_id"`
	Status    string `json:"status_message"`
	SendTo    string `json:"sendto"`
	SentTime  string `json:"senttime"`
	ChannelID *int   `json:"channel_id,omitempty"`
	SIM       *int   `json:"sim,omitempty"`
	DeviceID  int    `json:"device_id"`
}

func (s *Server) hookState(m *Message, now time.Time) {
	if s.o.StateHook == "" {
		return
	}
	body := stateHook{
		SMSID: m.ID, StatusID: m.State, Status: statusTitle(m.State), SendTo: m.To,
		SentTime: now.UTC().Format(time.DateTime), DeviceID: m.DeviceID,
	}
	if sim := m.SIM; s.strikesLocked("hook-old-shape", occasion{}) {
		body.SIM = &sim
	} else {
		body.ChannelID = &sim
	}
	h := hook{s.o.StateHook, body}
	s.hooks = append(s.hooks, h)
	if s.strikesLocked("hook-duplicate", occasion{}) {
		s.hooks = append(s.hooks, h)
	}
	if n := len(s.hooks); n >= 2 && s.strikesLocked("hook-disorder", occasion{}) {
		s.hooks[n-1], s.hooks[n-2] = s.hooks[n-2], s.hooks[n-1]
	}
}

// serveInbound is somebody texting a phone.
func (s *Server) serveInbound(w http.ResponseWriter, r *http.Request) {
	f, err := readFields(w, r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	now := s.catchUpLocked()
	p := s.phone(f["device_id"])
	if p != nil && s.o.InboundHook != "" {
		date := now.UTC().Format(time.DateTime)
		s.seq++
		s.hooks = append(s.hooks, hook{s.o.InboundHook, map[string]any{
			"address": f["from"], "date": date, "date_sent": date, "body": f["body"], "internal_id": s.seq,
			"channel_id": 0, "sms_id": s.seq, "device_id": p.id, "device_name": p.title(), "type": "text",
		}})
	}
	s.mu.Unlock()
	if p == nil {
		http.Error(w, "device_id names no phone", http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// runHooks calls the webhooks in a goroutine of its own, since phones otherwise
// move only when somebody asks.
func (s *Server) runHooks() {
	client := &http.Client{Timeout: 5 * time.Second}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer client.CloseIdleConnections()
		tick := time.NewTicker(max(s.o.Poll/4, time.Millisecond))
		defer tick.Stop()
		for {
			select {
			case <-s.done:
				return
			case <-tick.C:
				s.callHooks(client)
			}
		}
	}()
	s.onClose(func() { <-ended })
}

// callHooks calls what is due. Nothing is known of repeats, so a hook that fails is lost.
func (s *Server) callHooks(client *http.Client) {
	s.mu.Lock()
	s.catchUpLocked()
	due := s.hooks
	s.hooks = nil
	s.mu.Unlock()
	for _, h := range due {
		body, err := json.Marshal(h.body)
		if err != nil {
			panic(err)
		}
		resp, err := client.Post(h.url, "application/json", bytes.NewReader(body))
		if err == nil {
			resp.Body.Close()
		}
	}
}
