// Package page drives the challenge page in a real Chromium. It is a module of
// its own, so that nobody who builds Caddy with the plugin gets a browser
// driver's dependencies.
package page

import (
	"context"
	"fmt"
	"os/exec"

	"github.com/chromedp/chromedp"
)

// Start starts a headless Chromium that stays off the network, and returns a
// context for its first tab. Cancelling ends the browser.
func Start(ctx context.Context, flags ...chromedp.ExecAllocatorOption) (context.Context, context.CancelFunc, error) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return nil, nil, fmt.Errorf("%w; install Debian's package chromium", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-quic", true),
	)
	allocator, cancelAllocator := chromedp.NewExecAllocator(ctx, append(options, flags...)...)
	tab, cancelTab := chromedp.NewContext(allocator)
	cancel := func() { cancelTab(); cancelAllocator() }
	if err := chromedp.Run(tab); err != nil {
		cancel()
		return nil, nil, err
	}
	return tab, cancel, nil
}
