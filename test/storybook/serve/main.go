// Command serve shows the storybook on a loopback address.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"

	"github.com/caddy-sms-otp/caddy-sms-otp/caddymodule/web"
	"github.com/caddy-sms-otp/caddy-sms-otp/test/storybook"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8025", "address to serve the storybook on")
	templates := flag.String("templates", "", "directory with a page.html or style.css of your own")
	flag.Parse()
	r, err := web.New(web.Options{Templates: *templates})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("storybook: http://%s/\n", *listen)
	log.Fatal(http.ListenAndServe(*listen, storybook.Handler(r)))
}
