package gatewayclient

import (
	"encoding/json"
	"net/url"
	"sort"
	"strconv"
	"time"
)

// getdata is the vendor's documented dialect: POST forms to /getdata/CALL, with
// the token as a field. Queries would do as well, but end up in logs, and turn + into a space.
type getdata struct {
	base, token string
}

func (g getdata) request(call string, form url.Values) *request {
	form.Set("token", g.token)
	return &request{
		call: call, url: g.base + call, contentType: "application/x-www-form-urlencoded", body: form.Encode(),
		limit: maxAnswer, secrets: []string{g.token},
		notFound: "this host has no /getdata/" + call + "; look at `url`",
	}
}

func (g getdata) send(m Message) (*request, error) {
	form := url.Values{"sendto": {m.To}, "body": {m.Body}, "device_id": {m.Device}, "sim": {strconv.Itoa(m.SIM)}}
	if m.CustomerID != 0 {
		form.Set("customerid", strconv.FormatInt(m.CustomerID, 10))
	}
	if m.Urgent {
		form.Set("urgent", "1")
	}
	r := g.request("addsms", form)
	r.sends = true
	r.secrets = append(r.secrets, m.Body, m.To)
	return r, nil
}

func (g getdata) status(id string) *request {
	return g.request("getsmsstatus", url.Values{"sms_id": {id}})
}

func (g getdata) deviceStatus(device string) *request {
	return g.request("getdevicestatus", url.Values{"device_id": {device}})
}

func (g getdata) devices() *request {
	r := g.request("getalldevices", url.Values{})
	r.limit = maxLongAnswer
	return r
}

func (g getdata) find(customerID int64) *request {
	r := g.request("getallsms", url.Values{"customerid": {strconv.FormatInt(customerID, 10)}})
	r.limit = maxLongAnswer
	return r
}

func (g getdata) since(at time.Time) *request {
	r := g.request("getallsms", url.Values{"begindate": {at.UTC().Format(time.DateTime)}, "timezone": {"UTC"}})
	r.limit = maxLongAnswer
	return r
}

// verdict reads what every answer of this dialect begins with.
func verdict(r *request, body []byte, optional bool) (object, error) {
	o, err := parseObject(body)
	if err != nil {
		return nil, r.fail(r.lost(), 200, "the answer is not a JSON object", "")
	}
	code, ok := o.integer("error")
	_, there := o["error"]
	switch {
	case ok && code == 0, !there && optional:
		return o, nil
	case there && (ok || o.truth("error")):
		return nil, r.fail(Refused, 200, "the gateway answered with an error", o.text("message"))
	}
	return nil, r.fail(r.lost(), 200, "the answer has no verdict", "")
}

func (g getdata) receipt(r *request, body []byte) (Receipt, error) {
	o, err := verdict(r, body, false)
	if err != nil {
		return Receipt{}, err
	}
	id := o.id("sms_id")
	if id == "" {
		return Receipt{}, r.fail(Ambiguous, 200, "the answer holds no sms_id", "")
	}
	return Receipt{ID: id}, nil
}

func readStatus(r *request, body []byte, id string) (int, error) {
	o, err := verdict(r, body, false)
	if err != nil {
		return 0, err
	}
	if got := o.id("sms_id"); got != "" && got != id {
		return 0, r.fail(Unavailable, 200, "the answer is about another message", "")
	}
	code, ok := o.integer("status")
	if !ok {
		return 0, r.fail(Unavailable, 200, "the answer holds no status", "")
	}
	return int(code), nil
}

func readDeviceStatus(r *request, body []byte, device string) (DeviceStatus, error) {
	o, err := verdict(r, body, false)
	if err != nil {
		return DeviceStatus{}, err
	}
	since := time.Duration(-1)
	if s, ok := o.integer("diffseconds"); ok && s >= 0 && s < 1<<31 {
		since = time.Duration(s) * time.Second
	}
	return DeviceStatus{ID: device, Title: o.text("title"), Online: o.truth("online"), Since: since}, nil
}

func readDevices(r *request, body []byte) ([]Device, error) {
	o, err := verdict(r, body, true)
	if err != nil {
		return nil, err
	}
	rows, err := o.child("device")
	if err != nil {
		return nil, r.fail(Unavailable, 200, "the answer holds no list of devices", "")
	}
	var devices []Device
	rows.each(func(id string, row object) { devices = append(devices, readDevice(id, row)) })
	return devices, nil
}

func readDevice(id string, row object) Device {
	d := Device{ID: id, Title: row.text("title"), LastSeen: row.when("lastseen")}
	if s, ok := row.integer("delaybetweenrequest"); ok && s > 0 && s <= 3600 {
		d.Poll = time.Duration(s) * time.Second
	}
	var sims []object
	_ = json.Unmarshal(row["siminfo"], &sims) // anything but a list is no list
	for _, s := range sims {
		slot, _ := s.integer("Slot")
		d.SIMs = append(d.SIMs, SIM{Slot: int(slot), Carrier: s.text("CarrierName"), Country: s.text("CountryIso")})
	}
	return d
}

func readMessages(r *request, body []byte) ([]Found, error) {
	o, err := verdict(r, body, false)
	if err != nil {
		return nil, err
	}
	rows, err := o.child("smss")
	if err != nil {
		return nil, r.fail(Unavailable, 200, "the answer holds no list of messages", "")
	}
	var found []Found
	rows.each(func(id string, row object) {
		code, ok := row.integer("status")
		if !ok {
			return
		}
		mark, _ := row.integer("customerid")
		found = append(found, Found{ID: id, Device: row.id("deviceid"), CustomerID: mark, State: stateOf(int(code)), Code: int(code)})
	})
	return found, nil
}

// each visits the rows of an object keyed by id, in the order of their ids. Rows
// whose id is not a positive number, or that are no objects, are passed over.
func (o object) each(visit func(id string, row object)) {
	var ids []int64
	rows := map[int64]object{}
	for key, raw := range o {
		row, err := parseObject(raw)
		id, numeric := strconv.ParseInt(key, 10, 64)
		if err != nil || numeric != nil || id <= 0 {
			continue
		}
		ids = append(ids, id)
		rows[id] = row
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
	for _, id := range ids {
		visit(strconv.FormatInt(id, 10), rows[id])
	}
}
