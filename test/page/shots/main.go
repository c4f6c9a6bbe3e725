// Command shots takes pictures of addresses, such as those of the storybook:
//
//	shots [-width 1280] [-height 800] [-scale 1] FILE.png=URL …
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
	flag.Parse()
	ctx, cancel, err := browser.Start(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	defer cancel()
	media := emulation.SetEmulatedMedia().WithFeatures(features(*dark, *forced))
	if err := chromedp.Run(ctx, chromedp.EmulateViewport(*width, *height, chromedp.EmulateScale(*scale)), media); err != nil {
		log.Fatal(err)
	}
	for _, arg := range flag.Args() {
		file, url, _ := strings.Cut(arg, "=")
		if err := shoot(ctx, file, url); err != nil {
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

func shoot(ctx context.Context, file, url string) error {
	var picture []byte
	err := chromedp.Run(ctx, chromedp.Navigate(url), chromedp.ActionFunc(func(ctx context.Context) (err error) {
		picture, err = page.CaptureScreenshot().WithCaptureBeyondViewport(true).Do(ctx)
		return err
	}))
	if err != nil {
		return err
	}
	return os.WriteFile(file, picture, 0o644)
}
