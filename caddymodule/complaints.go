package caddymodule

import (
	"sync"
	"time"
)

// complaintEvery is how often one and the same fault is logged: the log shall
// name a cause, not count requests.
const complaintEvery = time.Minute

// complaints remembers which faults were logged lately. The zero value is
// ready; it is safe for concurrent use. Causes come from a closed set.
type complaints struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// due tells whether the cause should be logged now, and notes that it was.
func (c *complaints) due(cause string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last, ok := c.last[cause]; ok && now.Sub(last) < complaintEvery {
		return false
	}
	if c.last == nil {
		c.last = make(map[string]time.Time)
	}
	c.last[cause] = now
	return true
}
