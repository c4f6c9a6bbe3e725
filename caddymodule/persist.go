package caddymodule

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore/statelog"
	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

const (
	// statePath is where the state lies in Caddy's storage, one folder for each server that shares it.
	statePath = "sms_otp/state"
	// flushTime is how long a stop waits for what is written last.
	flushTime = 5 * time.Second
	// restoreTime is how long a start may take to read the state.
	restoreTime = 30 * time.Second
)

// persistence writes the engine's state behind, to the storage of the newest
// configuration that runs.
type persistence struct {
	log *statelog.Log

	mu       sync.Mutex
	restored bool
	targets  []appTarget // of the configurations that run, newest last
}

type appTarget struct {
	app    *App
	target statelog.Target
}

// attach makes the storage of a configuration that starts the one to write to.
func (p *persistence) attach(app *App, t statelog.Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.targets = append(p.targets, appTarget{app, t})
	p.log.Use(t)
}

// detach forgets a configuration that stops. The last one is kept, and what
// has changed is written at once: nobody knows what comes first now, the end of the process or of open requests.
func (p *persistence) detach(app *App) error {
	p.mu.Lock()
	i := slices.IndexFunc(p.targets, func(t appTarget) bool { return t.app == app })
	last := i >= 0 && len(p.targets) == 1
	if i >= 0 {
		p.targets = slices.Delete(p.targets, i, i+1)
	}
	if i == len(p.targets) && i > 0 {
		p.log.Use(p.targets[i-1].target) // the newest did not get to run
	}
	p.mu.Unlock()
	if !last {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	if err := p.log.Flush(ctx); err != nil {
		return fmt.Errorf("writing down the state: %w; a restart may set limits and locks back", err)
	}
	return nil
}

// close writes for the last time.
func (p *persistence) close() {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	_ = p.log.Close(ctx) // the log has complained already
}

// stateTarget is where this configuration has the state written.
func (app *App) stateTarget(keys *otpcore.Keyring) statelog.Target {
	return statelog.Target{
		Place: app.ctx.Storage(), Prefix: path.Join(statePath, serverName()),
		Seal: keys.State(), KeyID: keys.ID(),
		Complain: app.complainOfStorage,
	}
}

// serverName tells servers apart that share a storage. Caddy keeps one in its data directory.
func serverName() string {
	if id, err := caddy.InstanceID(); err == nil {
		return id.String()
	}
	name, _ := os.Hostname()
	return "host-" + name
}

func (app *App) complainOfStorage(err error) {
	if app.engine.complaints.due("state", time.Now()) {
		app.log.Error("the state could not be written down; if the server stopped now, limits, locks and logouts would be set back. Look at Caddy's storage", zap.Error(err))
	}
}

// restore takes back what the last run of this server wrote down, once.
func (app *App) restore(keys *otpcore.Keyring) error {
	e := app.engine
	e.persist.mu.Lock()
	defer e.persist.mu.Unlock()
	if e.persist.restored {
		return nil
	}
	ctx, cancel := context.WithTimeout(app.ctx, restoreTime)
	defer cancel()
	target := app.stateTarget(keys)
	report, err := e.persist.log.Restore(ctx, target, longest(app.Limits.rules()))
	if err != nil {
		return fmt.Errorf("reading the state from Caddy's storage (%s): %w; make it readable, or delete it to forget limits, locks and logouts", target.Prefix, err)
	}
	e.persist.restored = true
	if len(report.Lost) > 0 {
		// A logout may have been lost as well.
		e.revocations.EndAll(time.Now())
	}
	if !report.Doubt.IsZero() {
		e.store.Distrust(report.Doubt)
	}
	app.tellRestored(target.Prefix, report)
	return nil
}

// longest is how long any of the counters counts: a lost one would count no longer.
func longest(l otpcore.Limits) time.Duration {
	return max(l.UserAttempts.Per, l.PhoneSends.Per, l.IPStarts.Per, l.TotalSends.Per)
}

func (app *App) tellRestored(prefix string, r statelog.Report) {
	in := zap.String("state", prefix)
	switch {
	case !r.Doubt.IsZero():
		app.log.Error("the state that was written down is damaged, or sealed with another key: what of limits, locks and logouts was lost is not known. "+
			"Nobody gets a code, and none is accepted, until they would be over. To open at once and forget them, "+
			"stop Caddy, delete the state from its storage, and start it again",
			in, zap.Time("closed_until", r.Doubt), zap.Int("lost", len(r.Lost)), zap.Strings("segments", r.Lost[:min(len(r.Lost), 4)]))
	case len(r.Mended) > 0:
		app.log.Warn("a copy of the state was damaged or missing; the other one was used, and nothing is lost. Look at the disk",
			in, zap.Strings("segments", r.Mended[:min(len(r.Mended), 4)]))
	case r.Segments > 0:
		app.log.Info("state restored", in, zap.Int("segments", r.Segments))
	}
}
