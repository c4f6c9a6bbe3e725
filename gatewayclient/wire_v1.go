package gatewayclient

import (
	"encoding/json"
	"strings"
)

// v1 is POST /api/v1/send with a JSON body. The vendor shows the request only;
// where the token goes and what an answer means were chosen here.
type v1 struct {
	url, token string
	inBody     bool
}

func (v v1) send(m Message) (*request, error) {
	body := struct {
		Phone    string `json:"phone"`
		Message  string `json:"message"`
		DeviceID string `json:"device_id"`
		Token    string `json:"token,omitempty"`
	}{m.To, m.Body, m.Device, ""}
	r := &request{
		call: "api/v1/send", url: v.url, contentType: "application/json", sends: true,
		limit: maxAnswer, secrets: []string{v.token, m.Body, m.To},
		notFound: "this host has no /api/v1/send; use `api getdata`",
	}
	if v.inBody {
		body.Token = v.token
	} else {
		r.bearer = v.token
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, r.fail(Invalid, 0, "the message cannot be written as JSON", "")
	}
	r.body = string(raw)
	return r, nil
}

func (v v1) receipt(r *request, body []byte) (Receipt, error) {
	o, err := parseObject(body)
	if err != nil {
		return Receipt{}, r.fail(Ambiguous, 200, "the answer is not a JSON object", "")
	}
	places := v1Places(o)
	for _, p := range places {
		if refusedByV1(p) {
			return Receipt{}, r.fail(Refused, 200, "the gateway refused the message", saidIn(body))
		}
	}
	for _, p := range places {
		for _, key := range []string{"sms_id", "message_id", "id"} {
			if id := p.name(key); id != "" {
				return Receipt{ID: id}, nil
			}
		}
	}
	return Receipt{}, nil
}

// v1Places are the objects in which such answers put their verdict and their id.
func v1Places(o object) []object {
	places := []object{o}
	if data, err := o.child("data"); err == nil {
		places = append(places, data)
	}
	var messages []object
	if json.Unmarshal(o["messages"], &messages) == nil && len(messages) > 0 {
		places = append(places, messages[0])
	}
	return places
}

func refusedByV1(o object) bool {
	if raw := strings.TrimSpace(string(o["error"])); raw != "" && raw != "null" && raw != "[]" && raw != "{}" {
		if nested := raw[0] == '{' || raw[0] == '['; nested || o.truth("error") {
			return true
		}
	}
	if raw := string(o["success"]); raw != "" && raw != "null" && !o.truth("success") {
		return true
	}
	switch strings.ToLower(o.text("status")) {
	case "error", "failed", "failure", "fail", "rejected":
		return true
	}
	return false
}
