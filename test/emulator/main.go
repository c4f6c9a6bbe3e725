// Emulator is an SmsGateWay24 account with phones, on loopback, to try and to
// test against. Its page shows what the phones sent.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient/gatewaytest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "emulator:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, out, problems io.Writer) error {
	flags := flag.NewFlagSet("emulator", flag.ContinueOnError)
	flags.SetOutput(problems)
	listen := flags.String("listen", "127.0.0.1:8024", "loopback address to serve on")
	devices := flags.String("devices", "10403,10404", "ids of the phones, separated by commas")
	if err := flags.Parse(args); err != nil {
		return err
	}
	phones, err := parseDevices(*devices)
	if err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q is not understood: write --listen ADDRESS or --devices ID,ID", flags.Arg(0))
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w; choose another address with --listen", *listen, err)
	}
	s := gatewaytest.New(gatewaytest.Options{Devices: phones})
	context.AfterFunc(ctx, s.Close)
	fmt.Fprintf(out, "Phones %s. Their inbox: open http://%s/\n", strings.Join(phones, ", "), l.Addr())
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func parseDevices(list string) ([]string, error) {
	phones := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
	seen := map[string]bool{}
	for _, p := range phones {
		if id, err := strconv.Atoi(p); err != nil || id <= 0 || seen[p] {
			return nil, fmt.Errorf("device %q is not usable: write different numbers, such as --devices 10403,10404", p)
		}
		seen[p] = true
	}
	if len(phones) == 0 {
		return nil, errors.New("no device: write numbers, such as --devices 10403,10404")
	}
	return phones, nil
}
