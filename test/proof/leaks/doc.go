// Package leaks reloads a whole Caddy again and again while people come and go,
// and then looks for what was left running.
package leaks
