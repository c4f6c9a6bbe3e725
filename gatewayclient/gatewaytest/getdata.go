package gatewaytest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The one failure text of the vendor's that is known. That the other calls use
// it for a bad token too is invented.
const wrongLogin = "Login or password incorrect"

func (s *Server) serveGetdata(w http.ResponseWriter, r *http.Request) {
	call := r.PathValue("call")
	s.record(call, r)
	f, err := readFields(w, r)
	if err != nil {
		writeJSON(w, http.StatusOK, refusal(err.Error()).body) // invented
		return
	}
	work, known := map[string]func(fields) answer{
		"gettoken": s.getToken, "addsms": s.addSMS, "addalotofsms": s.addALotOfSMS, "getsmsstatus": s.getSMSStatus,
		"getdevicestatus": s.getDeviceStatus, "getalldevices": s.getAllDevices, "getallsms": s.getAllSMS,
	}[call]
	if !known {
		writePage(w, http.StatusNotFound)
		return
	}
	if bulk := f["datajson"]; bulk != "" {
		_ = f.addJSON([]byte(bulk)) // what is broken in it shows as a missing token
	}
	device := f["device_id"]
	on := occasion{call, device, s.about(f)}
	s.serveCall(w, on, func() answer {
		if call != "gettoken" && (f["token"] == "" || f["token"] == "bad" || s.strikes("wrong-token", on)) {
			return refusal(wrongLogin)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.catchUpLocked()
		return work(f)
	})
}

// about is the text that a call is about.
func (s *Server) about(f fields) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.byID[f.number("sms_id")]; m != nil {
		return m.Body
	}
	if all := s.byMark[f.number("customerid")]; len(all) > 0 {
		return all[0].Body
	}
	return f["body"]
}

func (s *Server) getToken(f fields) answer {
	if f["email"] == "" || f["pass"] == "" || f["pass"] == "bad" {
		return refusal(wrongLogin)
	}
	sum := sha256.Sum256([]byte(f["email"]))
	return ok(struct {
		Error   int    `json:"error"`
		Token   string `json:"token"`
		Message string `json:"message"`
	}{0, hex.EncodeToString(sum[:16]), "OK"})
}

const saved = "Sms has been saved successfully"

func (s *Server) addSMS(f fields) answer {
	m, why := s.accept("addsms", f)
	if m == nil {
		return refusal(why)
	}
	return ok(struct {
		Error   int    `json:"error"`
		SMSID   int64  `json:"sms_id"`
		Message string `json:"message"`
	}{0, m.ID, saved})
}

// accept takes one message. Every reason for which it does not is invented.
func (s *Server) accept(call string, f fields) (m *Message, why string) {
	p := s.phone(f["device_id"])
	switch {
	case p == nil:
		return nil, "Device not found"
	case f["sendto"] == "":
		return nil, "sendto is required"
	case f["body"] == "":
		return nil, "body is required"
	case s.o.Plan > 0 && len(s.messages) >= s.o.Plan:
		return nil, "Your plan's limit is reached"
	case s.strikesLocked("refuse", occasion{call, f["device_id"], f["body"]}):
		return nil, "Device is not available"
	}
	sim := f.number("sim")
	if sim < 0 || sim > 5 {
		return nil, "sim is wrong"
	}
	due, _ := time.ParseInLocation(time.DateTime, f["timetosend"], time.UTC)
	return s.take(p, Message{
		To: f["sendto"], Body: f["body"], SIM: int(sim), Urgent: truth(f["urgent"]),
		CustomerID: f.number("customerid"), NotBefore: due,
	}, s.o.Now()), ""
}

func (s *Server) addALotOfSMS(f fields) answer {
	var all []json.RawMessage
	if json.Unmarshal([]byte(f["smsdata"]), &all) != nil || len(all) == 0 {
		return refusal("smsdata is required")
	}
	for _, raw := range all {
		one := fields{}
		if one.addJSON(raw) != nil {
			return refusal("smsdata is broken")
		}
		if m, why := s.accept("addalotofsms", one); m == nil {
			return refusal(why)
		}
	}
	return ok(map[string]any{"error": 0, "message": saved})
}

// statusTitle describes a state; "New" is the vendor's, the rest is invented.
func statusTitle(state int) string {
	switch state {
	case stateNew:
		return "New"
	case stateQueued:
		return "Queued"
	case stateOnPhone:
		return "In process"
	case stateSent:
		return "Sent"
	case stateDelivered:
		return "Delivered"
	}
	return "Not delivered"
}

func (s *Server) getSMSStatus(f fields) answer {
	m := s.byID[f.number("sms_id")]
	if m == nil {
		return refusal("Sms not found") // invented
	}
	return ok(struct {
		Error       int    `json:"error"`
		SMSID       int64  `json:"sms_id"`
		Status      int    `json:"status"`
		Description string `json:"status_description"`
		Message     string `json:"message"`
	}{0, m.ID, m.State, statusTitle(m.State), "Ok"})
}

// phpDate is how the vendor's server writes a moment.
type phpDate struct {
	Date string `json:"date"`
	Type int    `json:"timezone_type"`
	Zone string `json:"timezone"`
}

func newPHPDate(t time.Time) phpDate {
	// The vendor's example has +02:00 as well, whatever the season.
	return phpDate{t.In(time.FixedZone("", 2*3600)).Format("2006-01-02 15:04:05.000000"), 1, "+02:00"}
}

func (p *phone) title() string { return "Phone " + p.name() }

func (s *Server) getDeviceStatus(f fields) answer {
	p := s.phone(f["device_id"])
	if p == nil {
		return refusal("Device not found") // invented
	}
	now := s.o.Now()
	away := now.Sub(p.seen(now))
	return ok(struct {
		Online   bool    `json:"online"`
		Error    int     `json:"error"`
		Message  string  `json:"message"`
		DeviceID int     `json:"device_id"`
		LastSeen phpDate `json:"lastseen"`
		Diff     int     `json:"diffseconds"`
		Title    string  `json:"title"`
	}{p.lastSeen.IsZero(), 0, "OK", p.id, newPHPDate(p.seen(now)), int(away / time.Second), p.title()})
}

type simRow struct {
	Slot, Number, CountryIso, CarrierName string
}

func (s *Server) getAllDevices(fields) answer {
	now := s.o.Now()
	rows := make([]row, 0, len(s.phones))
	for _, p := range s.phones {
		rows = append(rows, row{int64(p.id), struct {
			ID       int      `json:"id"`
			Title    string   `json:"title"`
			LastSeen phpDate  `json:"lastseen"`
			SIMs     []simRow `json:"siminfo"`
			Delay    int      `json:"delaybetweenrequest"`
			Paid     bool     `json:"subscription"`
		}{
			p.id, p.title(), newPHPDate(p.seen(now)),
			[]simRow{{"0", " 12025550100", "us", "Example Mobile"}},
			max(int(s.o.Poll/time.Second), 1), true,
		}})
	}
	return ok(struct {
		Count  int   `json:"count"`
		Device keyed `json:"device"`
	}{len(rows), rows})
}

type smsRow struct {
	ID         int64  `json:"id"`
	SendTo     string `json:"sendto"`
	Body       string `json:"body"`
	CustomerID *int64 `json:"customerid"`
	Status     int    `json:"status"`
	Title      string `json:"statustitle"`
	DeviceID   int    `json:"deviceid"`
	SIM        int    `json:"sim"`
	Urgent     int    `json:"urgent"`
}

func newSMSRow(m *Message) smsRow {
	r := smsRow{
		ID: m.ID, SendTo: m.To, Body: m.Body, Status: m.State, Title: statusTitle(m.State),
		DeviceID: m.DeviceID, SIM: m.SIM,
	}
	if m.CustomerID != 0 {
		r.CustomerID = &m.CustomerID
	}
	if m.Urgent {
		r.Urgent = 1
	}
	return r
}

func (s *Server) getAllSMS(f fields) answer {
	from, to := span(f)
	candidates := s.messages
	if f["customerid"] != "" {
		candidates = s.byMark[f.number("customerid")]
	}
	first, _ := slices.BinarySearchFunc(candidates, from, func(m *Message, t time.Time) int { return m.At.Compare(t) })
	rows := keyed{}
	for _, m := range candidates[first:] {
		if matches(m, f, to) {
			rows = append(rows, row{m.ID, newSMSRow(m)})
		}
	}
	if truth(f["orderbydesc"]) {
		slices.Reverse(rows)
	}
	count := len(rows)
	if truth(f["onlycount"]) {
		rows = nil
	}
	return ok(struct {
		Error   int    `json:"error"`
		SMSs    keyed  `json:"smss"`
		Count   int    `json:"count"`
		Message string `json:"message"`
	}{0, rows, count, "Ok"})
}

// span reads begindate and enddate, whose format is not known: days and moments are taken.
func span(f fields) (from, to time.Time) {
	zone, err := time.LoadLocation(f["timezone"])
	if err != nil {
		zone = time.UTC
	}
	read := func(v string, whole time.Duration) time.Time {
		if t, err := time.ParseInLocation(time.DateTime, v, zone); err == nil {
			return t
		}
		if t, err := time.ParseInLocation(time.DateOnly, v, zone); err == nil {
			return t.Add(whole)
		}
		return time.Time{}
	}
	return read(f["begindate"], 0), read(f["enddate"], 24*time.Hour)
}

func matches(m *Message, f fields, to time.Time) bool {
	is := func(name string, value int) bool { return f[name] == "" || f[name] == strconv.Itoa(value) }
	return is("device_id", m.DeviceID) && is("status", m.State) && is("sim", m.SIM) &&
		(to.IsZero() || m.At.Before(to)) &&
		(f["phone"] == "" || strings.TrimLeft(f["phone"], "+ ") == strings.TrimLeft(m.To, "+ "))
}

// keyed is an object keyed by id, in this order. PHP writes an empty one as a list.
type keyed []row

type row struct {
	id   int64
	body any
}

func (k keyed) MarshalJSON() ([]byte, error) {
	if len(k) == 0 {
		return []byte("[]"), nil
	}
	var text bytes.Buffer
	for i, r := range k {
		body, err := json.Marshal(r.body)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			text.WriteByte('{')
		} else {
			text.WriteByte(',')
		}
		text.WriteString(strconv.Quote(strconv.FormatInt(r.id, 10)) + ":")
		text.Write(body)
	}
	text.WriteByte('}')
	return text.Bytes(), nil
}
