// Package bench measures what the gate costs: in process here, as a whole
// server in compare.
package bench
