package caddymodule

import (
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"go.uber.org/zap"
)

// journal writes what happened to the log: one line per outcome, with a
// masked number and a pseudonym in place of the user.
type journal struct {
	log        *zap.Logger
	keys       *otpcore.Keyring
	complaints *complaints
}

func (j *journal) observe(e otpcore.Event) {
	fields := []zap.Field{
		zap.String("user", j.pseudonym(e.Subject.User)),
		zap.String("phone", e.Subject.Number.Mask()),
	}
	switch e.Kind {
	case otpcore.EventChallenged:
		j.log.Info("challenge begun", fields...)
	case otpcore.EventMessage:
		j.message(e, fields)
	case otpcore.EventVerified:
		j.log.Info("verified", fields...)
	case otpcore.EventWrong:
		j.log.Info("wrong code", fields...)
	case otpcore.EventLocked:
		j.log.Warn("challenge locked: all of its attempts are spent", fields...)
	case otpcore.EventLimited:
		j.log.Info("message refused: a limit of this visitor or number is reached", fields...)
	case otpcore.EventBudget:
		j.complain("the budget of messages is spent; visitors without a live challenge are refused. Raise limits total_sends if this is not an attack", "budget")
	case otpcore.EventStoreFull:
		j.complain("the store is full; visitors without a live challenge are refused. Raise store memory capacity if this is not an attack", "store full", zap.Error(e.Err))
	}
}

func (j *journal) message(e otpcore.Event, fields []zap.Field) {
	fields = append(fields,
		zap.Stringer("delivery", e.Report.Delivery), zap.Int("device", e.Report.Device),
		zap.Int("attempt", e.Report.Attempt), zap.Duration("after", e.After.Round(time.Millisecond)))
	if e.Err != nil {
		j.log.Warn("message not delivered", append(fields, zap.Error(e.Err))...)
		return
	}
	j.log.Info("message", fields...)
}

// pseudonym is what a user is called in the log: the same in every line, and nobody without the key.
func (j *journal) pseudonym(user string) string { return j.keys.Pseudonym("user", user).String()[:10] }

// complain logs a fault of ours, once a minute however many requests meet it.
func (j *journal) complain(what, cause string, fields ...zap.Field) {
	if j.complaints.due(cause, time.Now()) {
		j.log.Error(what, fields...)
	}
}
