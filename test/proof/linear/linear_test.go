package linear

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
)

var (
	seeds = flag.Int("seeds", 300, "how many histories are recorded and checked")
	first = flag.Uint64("first", 0, "the seed of the first of them")
)

const (
	userAttempts = 7
	unlimited    = 1000
)

// checked records a history and tells whether it could have happened one thing at a time.
func checked(t *testing.T, seed uint64, limit int, wrap newStore) bool {
	t.Helper()
	r := record(t, seed, limit, wrap)
	switch result := porcupine.CheckOperationsTimeout(model(limit), r.history(), time.Minute); result {
	case porcupine.Unknown:
		t.Fatalf("seed %d: not decided within a minute", seed)
		return false
	default:
		return result == porcupine.Ok && r.revocationsAgree()
	}
}

func TestWhatHappensAtOnceHappensAsIfInTurn(t *testing.T) {
	for seed := range uint64(*seeds) {
		if !checked(t, *first+seed, userAttempts, newBusy) {
			t.Fatalf("seed %d: no order of these deeds explains what visitors were told", *first+seed)
		}
	}
}

func TestStoreThatRunsAStepAgainIsAsGood(t *testing.T) {
	for seed := range uint64(*seeds) {
		if !checked(t, *first+seed, unlimited, newSwapping) {
			t.Fatalf("seed %d: no order of these deeds explains what visitors were told", *first+seed)
		}
	}
}

// Histories show something only if all that can happen does.
func TestHistoriesMeetEverything(t *testing.T) {
	met := map[string]int{}
	for seed := range uint64(*seeds) {
		for _, op := range record(t, *first+seed, userAttempts, newBusy).history() {
			in, out := op.Input.(input), op.Output.(output)
			switch {
			case in.kind == submit:
				met[fmt.Sprintf("submit, right: %t, outcome %d, attempts left: %t", in.right, out.outcome, out.left > 0)]++
			case in.kind == send && out.outcome == otpcore.MessageSent:
				met[fmt.Sprintf("sent again: %t, fewer attempts: %t", in.c == out.c, out.left < attempts)]++
			case in.kind == send:
				met[fmt.Sprintf("not sent, outcome %d", out.outcome)]++
			}
		}
	}
	for _, what := range []string{
		fmt.Sprintf("submit, right: true, outcome %d, attempts left: true", otpcore.Accepted),
		fmt.Sprintf("submit, right: true, outcome %d, attempts left: false", otpcore.Accepted),
		fmt.Sprintf("submit, right: true, outcome %d, attempts left: true", otpcore.NoChallenge), // long after it was accepted
		fmt.Sprintf("submit, right: true, outcome %d, attempts left: true", otpcore.CodeExpired),
		fmt.Sprintf("submit, right: true, outcome %d, attempts left: false", otpcore.AttemptsSpent), // those of the challenge
		fmt.Sprintf("submit, right: true, outcome %d, attempts left: true", otpcore.AttemptsSpent),  // those of the user
		fmt.Sprintf("submit, right: false, outcome %d, attempts left: true", otpcore.WrongCode),
		fmt.Sprintf("submit, right: false, outcome %d, attempts left: false", otpcore.WrongCode),
		"sent again: true, fewer attempts: true", "sent again: false, fewer attempts: true", "sent again: false, fewer attempts: false",
		fmt.Sprintf("not sent, outcome %d", otpcore.SendLimited), fmt.Sprintf("not sent, outcome %d", otpcore.AttemptsSpent),
	} {
		if met[what] < 3 {
			t.Errorf("%d times in %d histories: %s", met[what], *seeds, what)
		}
	}
	t.Log(met)
}

func TestWrongStoresAreCaught(t *testing.T) {
	for name, wrap := range map[string]newStore{
		"no lock": newNoLock, "get then set": newGetThenSet, "charge after compare": newChargeLate,
		"counts get then set": newLostCounts, "forgotten generation": newAnyGeneration,
	} {
		t.Run(name, func(t *testing.T) {
			// It ends with the first that is caught; on a busy machine threads meet seldom.
			for seed := range 50 * uint64(*seeds) {
				if !checked(t, *first+seed, userAttempts, wrap) {
					t.Logf("caught by history %d", seed+1)
					return
				}
			}
			t.Errorf("%d histories, and nothing was noticed", 50**seeds)
		})
	}
}

// revocationsAgree checks the other thing that is shared, by itself: a verification
// counts from its stamp on, and is ended by any revocation up to it.
func (r *run) revocationsAgree() bool {
	var ops []porcupine.Operation
	for _, d := range r.deeds {
		switch {
		case d.revoke, d.check:
		case d.verification == nil || d.result.Outcome != otpcore.Accepted:
			continue
		}
		ops = append(ops, porcupine.Operation{ClientId: d.client, Call: d.call, Return: d.end, Input: d})
	}
	return porcupine.CheckOperations(revocationModel, ops)
}

// revocationModel knows only when the user was last revoked.
var revocationModel = porcupine.Model{
	Init: func() any { return int64(0) },
	Step: func(state, in, _ any) (bool, any) {
		last, d := state.(int64), in.(deed)
		switch {
		case d.revoke:
			return true, max(last+1, d.in.now)
		case d.check:
			return d.revoked == (d.verification.VerifiedAt.UnixMilli() <= last), last
		}
		return true, last
	},
}
