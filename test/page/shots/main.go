// Command shots takes pictures of addresses, such as those of the storybook:
//
//	shots [-width 1280] [-height 800] [-scale 1] [-dark] [-open] [-script=false] FILE.png=URL …
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"strings"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	browser "github.com/caddy-sms-otp/caddy-sms-otp/test/page"
)

func main() {
	width := flag.Int64("width", 1280, "width of the window in CSS pixels")
	height := flag.Int64("height", 800, "height of the window in CSS pixels")
	scale := flag.Float64("scale", 1, "device pixels for each CSS pixel")
	dark := flag.Bool("dark", false, "prefer the dark theme")
	forced := flag.Bool("forced-colors", false, "force the colours of the system")
	open := flag.Bool("open", false, "unfold what is folded")
	script := flag.Bool("script", true, "run the page's script")
	flag.Parse()
	ctx, cancel, err := browser.Start(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	defer cancel()
	media := emulation.SetEmulatedMedia().WithFeatures(features(*dark, *forced))
	silence := emulation.SetScriptExecutionDisabled(!*script)
	if err := chromedp.Run(ctx, chromedp.EmulateViewport(*width, *height, chromedp.EmulateScale(*scale)), media, silence); err != nil {
		log.Fatal(err)
	}
	for _, arg := range flag.Args() {
		file, url, _ := strings.Cut(arg, "=")
		if err := shoot(ctx, file, url, *open); err != nil {
			log.Fatalf("%s: %v", url, err)
		}
	}
}

func features(dark, forced bool) []*emulation.MediaFeature {
	scheme, colors := "light", "none"
	if dark {
		scheme = "dark"
	}
	if forced {
		colors = "active"
	}
	return []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "forced-colors", Value: colors}}
}

// unfold is run by the browser itself, whatever the page may run.
const unfold = `document.querySelectorAll("details").forEach((d) => { d.open = true })`

func shoot(ctx context.Context, file, url string, open bool) error {
	actions := []chromedp.Action{chromedp.Navigate(url)}
	if open {
		actions = append(actions, chromedp.Evaluate(unfold, nil))
	}
	var picture []byte
	err := chromedp.Run(ctx, append(actions, chromedp.ActionFunc(func(ctx context.Context) (err error) {
		picture, err = capture(ctx)
		return err
	}))...)
	if err != nil {
		return err
	}
	return os.WriteFile(file, picture, 0o644)
}

// capture takes the whole page. Where it fits the window it is not measured again:
// Chromium would shift one that runs from right to left.
func capture(ctx context.Context) ([]byte, error) {
	_, _, _, _, window, content, err := page.GetLayoutMetrics().Do(ctx)
	if err != nil {
		return nil, err
	}
	return page.CaptureScreenshot().WithCaptureBeyondViewport(content.Height > window.ClientHeight).Do(ctx)
}
