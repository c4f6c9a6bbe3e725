package caddymodule

import (
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"go.uber.org/zap"
)

// journal passes on what happened: to the log, one line per outcome, to the
// counters and to the events app. Users are pseudonyms in all of them, numbers are masked.
type journal struct {
	app  *App
	log  *zap.Logger
	keys *otpcore.Keyring
}

func (j *journal) observe(e otpcore.Event) {
	user, phone := j.pseudonym(e.Subject.User), e.Subject.Number.Mask()
	fields := []zap.Field{zap.String("user", user), zap.String("phone", phone)}
	data := map[string]any{"user": user, "phone": phone}
	switch e.Kind {
	case otpcore.EventChallenged:
		challenges.begun.Inc()
		j.log.Info("challenge begun", fields...)
	case otpcore.EventMessage:
		j.message(e, fields, data)
	case otpcore.EventVerified:
		j.verified(e, fields, data)
	case otpcore.EventWrong:
		challenges.wrong.Inc()
		j.log.Info("wrong code", append(fields, zap.Bool("pass", e.Pass))...)
		j.app.emit("wrong", data)
	case otpcore.EventLocked:
		challenges.locked.Inc()
		j.log.Warn("challenge locked: all of its attempts are spent", fields...)
		j.app.emit("locked", data)
	case otpcore.EventLimited:
		challenges.limited.Inc()
		j.log.Info("message refused: a limit of this visitor or number is reached", fields...)
	case otpcore.EventBudget:
		challenges.budget.Inc()
		if j.complain("the budget of messages is spent; visitors without a live challenge are refused. Raise limits total_sends if this is not an attack", "budget") {
			j.app.emit("budget_exhausted", map[string]any{})
		}
	case otpcore.EventStoreFull:
		challenges.full.Inc()
		j.complain("the store is full; visitors without a live challenge are refused. Raise store memory capacity if this is not an attack", "store full", zap.Error(e.Err))
	}
}

func (j *journal) verified(e otpcore.Event, fields []zap.Field, data map[string]any) {
	if e.Pass {
		challenges.pass.Inc()
		j.log.Info("verified with a code of the help desk", fields...)
	} else {
		challenges.verified.Inc()
		j.log.Info("verified", fields...)
	}
	data["pass"] = e.Pass
	j.app.emit("verified", data)
}

// messageEvents are the states of messages that events tell of.
var messageEvents = map[otpcore.Delivery]string{
	otpcore.Sent: "sent", otpcore.Delivered: "delivered", otpcore.Failed: "failed",
}

func (j *journal) message(e otpcore.Event, fields []zap.Field, data map[string]any) {
	j.app.countMessage(e.Report, e.Waited)
	fields = append(fields,
		zap.Stringer("delivery", e.Report.Delivery), zap.Int("device", e.Report.Device),
		zap.Int("attempt", e.Report.Attempt), zap.Duration("after", e.After.Round(time.Millisecond)))
	if e.Err != nil {
		j.log.Warn("message not delivered", append(fields, zap.Error(e.Err))...)
	} else {
		j.log.Info("message", fields...)
	}
	if name, ok := messageEvents[e.Report.Delivery]; ok {
		data["gateway"], data["device"] = j.app.gateway, j.app.deviceLabel(e.Report.Device)
		j.app.emit(name, data)
	}
}

// pseudonym is what a user is called in the log: the same in every line, and nobody without the key.
func (j *journal) pseudonym(user string) string { return pseudonym(j.keys, user) }

func pseudonym(keys *otpcore.Keyring, user string) string {
	return keys.Pseudonym("user", user).String()[:10]
}

// complain logs a fault of ours, once a minute however many requests meet it, and tells whether it did.
func (j *journal) complain(what, cause string, fields ...zap.Field) bool {
	due := j.app.engine.complaints.due(cause, time.Now())
	if due {
		j.log.Error(what, fields...)
	}
	return due
}
