package otpcore

import "context"

// Store keeps challenges and tallies and changes each of them in one atomic
// step. It decides nothing: the functions it is handed hold the rules.
//
// A store must be safe for concurrent use, and:
//
//   - Create refuses with [ErrStoreFull] rather than push out a live challenge, and
//     a challenge that it accepted is there for every call that starts afterwards.
//   - Get returns a copy. Update and Tally call f on the stored value and keep what
//     f leaves only if f returns nil; two calls for one key never overlap.
//   - f may be called more than once (a store that swaps over a network has to),
//     each time on the then current value; what f does outside its argument
//     must bear that.
//   - Get and Update answer [ErrNotFound] for what is not there. Tally starts from
//     the zero value and refuses with [ErrStoreFull] where there is no room for
//     one more: a tally is never dropped while it still counts.
//   - A challenge may be dropped at Keep, a tally once Idle says so, and not before.
//
// storetest checks all of that for any implementation.
type Store interface {
	Create(ctx context.Context, c *Challenge) error
	Get(ctx context.Context, id ID) (Challenge, error)
	Update(ctx context.Context, id ID, f func(*Challenge) error) error
	Tally(ctx context.Context, key Pseudonym, f func(*Tally) error) error
}
