// Package property lets chance try to get more out of the rules than they
// give: whatever the sequence of events, no more codes are compared than the
// limits allow, no more messages are sent than the budget has, no code is
// accepted twice, and none late, elsewhere or for somebody else.
package property
