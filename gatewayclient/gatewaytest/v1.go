package gatewaytest

import (
	"net/http"
	"strings"
)

// serveV1 answers POST /api/v1/send. Only the request is known; every answer
// here is invented.
func (s *Server) serveV1(w http.ResponseWriter, r *http.Request) {
	s.record("send", r)
	if s.o.NoV1 || r.Method != http.MethodPost {
		writePage(w, http.StatusNotFound)
		return
	}
	f, err := readFields(w, r)
	if err != nil {
		writeJSON(w, http.StatusBadRequest, v1Refusal(err.Error()))
		return
	}
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !bearer {
		token = f["token"]
	}
	on := occasion{"send", f["device_id"], f["message"]}
	s.serveCall(w, on, func() answer {
		if token == "" || token == "bad" || s.strikes("wrong-token", on) {
			return answer{http.StatusUnauthorized, v1Refusal("Unauthorized")}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.catchUpLocked()
		f["sendto"], f["body"] = f["phone"], f["message"]
		m, why := s.accept("send", f)
		if m == nil {
			return ok(v1Refusal(why))
		}
		return ok(struct {
			Success   bool   `json:"success"`
			MessageID int64  `json:"message_id"`
			Status    string `json:"status"`
		}{true, m.ID, "queued"})
	})
}

func v1Refusal(message string) any {
	return struct {
		Success bool   `json:"success"`
		Error   int    `json:"error"`
		Message string `json:"message"`
	}{false, 1, message}
}
