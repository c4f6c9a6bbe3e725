package gatewaytest

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Fault is something that goes wrong. The package's documentation lists the names.
type Fault struct {
	Name   string  `json:"fault"`
	Device string  `json:"device,omitempty"` // this phone only, or calls that name it
	Call   string  `json:"call,omitempty"`   // this call only, such as addsms; "send" is /api/v1/send
	Rate   float64 `json:"rate,omitempty"`   // how likely; 0: certain
	Times  int     `json:"times,omitempty"`  // how often, then no more; 0: always
	Delay  int     `json:"delay_ms,omitempty"`

	drawn map[occasion]uint64 // how often
}

// GatewayFaults, PhoneFaults and HookFaults are the names of all faults.
var (
	GatewayFaults = []string{
		"refuse-connection", "lost-request", "lost-reply", "slow", "late",
		"http-500", "http-500-after", "http-503", "http-429", "http-400", "http-401", "http-402", "http-404",
		"html", "redirect", "not-json", "truncated", "empty", "huge", "no-id", "odd-types", "wrong-token", "refuse",
	}
	PhoneFaults = []string{
		"offline", "no-pickup", "stuck-on-phone", "stuck-sent",
		"fail-8", "fail-9", "fail-10", "fail-11", "fail-12", "fail-100", "fail-101",
	}
	HookFaults = []string{"hook-duplicate", "hook-disorder", "hook-old-shape"}
)

func known(name string) bool {
	return slices.Contains(GatewayFaults, name) || slices.Contains(PhoneFaults, name) || slices.Contains(HookFaults, name)
}

// Break switches a fault on. It panics on a name that is not known.
func (s *Server) Break(f Fault) {
	if err := s.breakIt(f); err != nil {
		panic("gatewaytest: " + err.Error())
	}
}

func (s *Server) breakIt(f Fault) error {
	if !known(f.Name) {
		return fmt.Errorf("fault %q is not known: one of %s", f.Name,
			strings.Join(slices.Concat(GatewayFaults, PhoneFaults, HookFaults), " "))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.catchUpLocked()
	s.mendLocked(f)
	s.faults = append(s.faults, &f)
	for _, p := range s.phones {
		if f.Name == "offline" && f.Rate == 0 && (f.Device == "" || f.Device == p.name()) {
			p.lastSeen = p.seen(now)
		}
	}
	return nil
}

// Mend ends a fault as it was switched on, by name, device and call. Without a
// name it ends all of them.
func (s *Server) Mend(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.catchUpLocked()
	s.mendLocked(f)
}

func (s *Server) mendLocked(f Fault) {
	s.faults = slices.DeleteFunc(s.faults, func(o *Fault) bool {
		return f.Name == "" || (o.Name == f.Name && o.Device == f.Device && o.Call == f.Call)
	})
	for _, p := range s.phones {
		away := slices.ContainsFunc(s.faults, func(o *Fault) bool {
			return o.Name == "offline" && o.Rate == 0 && (o.Device == "" || o.Device == p.name())
		})
		if !away {
			p.lastSeen = time.Time{}
		}
	}
}

// Faults are those that are on.
func (s *Server) Faults() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Fault, 0, len(s.faults))
	for _, f := range s.faults {
		shown := *f
		shown.drawn = nil
		all = append(all, shown)
	}
	return all
}

// occasion is where a fault may strike.
type occasion struct {
	call, device string
	about        string // the text that it is about
}

func (s *Server) strikes(name string, on occasion) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.strikesLocked(name, on)
}

func (s *Server) strikesLocked(name string, on occasion) bool { return s.drawLocked(name, on) != nil }

// drawLocked is the fault of this name that happens now, if one does.
func (s *Server) drawLocked(name string, on occasion) *Fault {
	for i, f := range s.faults {
		if f.Name != name || (f.Device != "" && f.Device != on.device) || (f.Call != "" && f.Call != on.call) {
			continue
		}
		if f.Rate > 0 && f.draw(s.o.Seed, on) >= f.Rate {
			continue
		}
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				s.faults = slices.Delete(s.faults, i, i+1)
			}
		}
		return f
	}
	return nil
}

const maxDrawn = 1 << 20

// draw is a number from 0 to 1 that depends on the seed, the occasion and how
// often it came, and on nothing else: what befalls one message does not change
// with the order in which others happen to come.
func (f *Fault) draw(seed uint64, on occasion) float64 {
	if f.drawn == nil || len(f.drawn) > maxDrawn {
		f.drawn = map[occasion]uint64{}
	}
	f.drawn[on]++
	h := fnv.New64a()
	for _, part := range []string{f.Name, f.Device, on.call, on.device, on.about} {
		_, _ = h.Write(append([]byte(part), 0))
	}
	return rand.New(rand.NewPCG(seed+f.drawn[on], h.Sum64())).Float64()
}

func (f *Fault) delay(usual time.Duration) time.Duration {
	if f.Delay > 0 {
		return time.Duration(f.Delay) * time.Millisecond
	}
	return usual
}

func (s *Server) serveFaults(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPost:
		if err := s.switchFault(w, r); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		}
	case http.MethodDelete:
		s.Mend(Fault{})
	}
	writeJSON(w, http.StatusOK, s.Faults())
}

func (s *Server) switchFault(w http.ResponseWriter, r *http.Request) error {
	fields, err := readFields(w, r)
	if err != nil {
		return err
	}
	// The fields come as text from the page's form and as numbers in JSON.
	raw := map[string]any{"fault": fields["fault"], "device": fields["device"], "call": fields["call"]}
	for _, number := range []string{"rate", "times", "delay_ms"} {
		if v := fields[number]; v != "" {
			raw[number] = json.Number(v)
		}
	}
	text, err := json.Marshal(raw)
	if err != nil {
		return fmt.Errorf("rate, times and delay_ms are numbers")
	}
	var f Fault
	if err := json.Unmarshal(text, &f); err != nil {
		return fmt.Errorf("times and delay_ms are whole numbers")
	}
	if on, given := fields["on"]; given && !truth(on) {
		s.Mend(f)
		return nil
	}
	return s.breakIt(f)
}
