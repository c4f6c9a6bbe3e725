// Command caddy is Caddy with this module compiled in by plain go build: what
// developers run between edits, where xcaddy would start from nothing each time.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddy-sms-otp/caddy-sms-otp/caddymodule"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

func main() { caddycmd.Main() }
