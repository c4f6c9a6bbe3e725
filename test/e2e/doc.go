// Package e2e drives a whole Caddy through what users see: the gate, its
// actions, its cookies and its messages, with the upstream's own record as the witness.
package e2e
