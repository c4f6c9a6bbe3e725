// Package restart stops, kills and damages a whole Caddy, and checks that
// nothing is handed out anew: what was guessed stays guessed, what was locked
// stays locked, who logged out stays logged out.
package restart
