// Package linear shows that whatever happens at once, happens as if one thing
// had followed the other: histories of visitors who guess, ask for messages and
// look on in parallel, while codes expire, gateways report and administrators
// revoke, are checked against a small sequential model. The same check is shown
// to catch stores that are wrong in the ways stores are usually wrong.
package linear
