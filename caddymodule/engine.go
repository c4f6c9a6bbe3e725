package caddymodule

import (
	"context"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/gatewayclient"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore/memstore"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore/statelog"
	"github.com/caddyserver/caddy/v2"
)

// inFlight is how many messages may be on their way at once. Each is followed
// for as long as its code lives, and a shelf of phones sends some hundred in that time.
const inFlight = 4096

// drainTime is how long a stop waits for messages that are being handed over: one
// call to the gateway, and a little.
const drainTime = 12 * time.Second

// engines outlives every configuration: a reload loads the new one before it
// cleans up the old, so the reference count never reaches zero in between.
var engines = caddy.NewUsagePool()

const engineKey = "sms_otp"

// engine is the state that a reload must not lose. It holds no logger, no
// context and no setting of a configuration: during a reload two of them use it.
type engine struct {
	store       *memstore.Store
	workers     *otpcore.Workers
	revocations *otpcore.Revocations
	devices     *gatewayclient.Ledger
	complaints  *complaints
	persist     persistence
}

func acquireEngine(capacity int) (*engine, error) {
	e, _, err := engines.LoadOrNew(engineKey, func() (caddy.Destructor, error) {
		store, err := memstore.New(capacity)
		if err != nil {
			return nil, err
		}
		e := &engine{
			store: store, workers: otpcore.NewWorkers(inFlight), revocations: new(otpcore.Revocations),
			devices: gatewayclient.NewLedger(), complaints: new(complaints),
		}
		e.persist.log = statelog.New(store, e.revocations, e.devices)
		return e, nil
	})
	if err != nil {
		return nil, err
	}
	return e.(*engine), nil
}

func releaseEngine() error {
	_, err := engines.Delete(engineKey)
	return err
}

// Destruct ends what no configuration uses any more.
func (e *engine) Destruct() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	e.workers.Close(ctx)
	e.persist.close()
	e.store.Close()
	return nil
}

// pending is how many challenges wait for their code.
func (e *engine) pending() int { return e.store.Pending(time.Now()) }
