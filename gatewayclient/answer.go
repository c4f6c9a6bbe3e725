package gatewayclient

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// object is a JSON object whose members are read leniently: numbers may come as
// strings, and PHP writes an empty object as [].
type object map[string]json.RawMessage

var errNotAnObject = errors.New("not a JSON object")

func parseObject(raw []byte) (object, error) {
	raw = bytes.TrimSpace(bytes.TrimPrefix(raw, []byte("\ufeff")))
	var o object
	if err := json.Unmarshal(raw, &o); err != nil || o == nil {
		return nil, errNotAnObject
	}
	return o, nil
}

// child is the object under key; empty for a missing one, null, false, "" and [].
func (o object) child(key string) (object, error) {
	switch string(bytes.TrimSpace(o[key])) {
	case "", "null", "false", `""`, "[]":
		return object{}, nil
	}
	return parseObject(o[key])
}

// text is a string, or the literal of a number or a boolean; "" for null and for anything nested.
func (o object) text(key string) string {
	raw := bytes.TrimSpace(o[key])
	if len(raw) == 0 || raw[0] == '{' || raw[0] == '[' || string(raw) == "null" {
		return ""
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return strings.TrimSpace(s)
	}
	return string(raw)
}

// integer reads 7, "7", 7.0 and, as 0, false.
func (o object) integer(key string) (int64, bool) {
	s := o.text(key)
	switch s {
	case "false":
		return 0, true
	case "true":
		return 1, true
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

func (o object) truth(key string) bool {
	s := strings.ToLower(o.text(key))
	return s != "" && s != "0" && s != "false"
}

// id is a positive number as the wire writes it; "" where there is none.
func (o object) id(key string) string {
	if n, ok := o.integer(key); ok && n > 0 {
		return strconv.FormatInt(n, 10)
	}
	return ""
}

// name is a whole number, or a string that can be one's name for something.
func (o object) name(key string) string {
	s := o.text(key)
	if raw := bytes.TrimSpace(o[key]); len(raw) > 0 && raw[0] != '"' {
		if n, ok := o.integer(key); ok && n > 0 {
			return strconv.FormatInt(n, 10)
		}
		return ""
	}
	if len(s) > 64 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return s
}

// saidIn is the gateway's own explanation in an answer that may be anything.
func saidIn(body []byte) string {
	o, err := parseObject(body)
	if err != nil {
		return ""
	}
	for _, key := range []string{"message", "error_description", "detail", "error"} {
		if s := o.text(key); s != "" {
			return s
		}
	}
	return ""
}

// when reads the wire's date objects: a local time beside an offset or a zone name.
func (o object) when(key string) time.Time {
	d, err := o.child(key)
	if err != nil {
		return time.Time{}
	}
	date, zone := d.text("date"), time.UTC
	if name := d.text("timezone"); name != "" {
		if at, err := time.Parse("-07:00", name); err == nil {
			zone = at.Location()
		} else if zone, err = time.LoadLocation(name); err != nil {
			return time.Time{}
		}
	}
	at, err := time.ParseInLocation("2006-01-02 15:04:05", date, zone)
	if err != nil {
		return time.Time{}
	}
	return at
}
