// Package browser takes a real Chromium through a real Caddy: what a visitor
// does, from the password to the page behind the gate. It is a module of its own,
// so that nobody who builds Caddy with the plugin gets a browser driver's dependencies.
package browser
