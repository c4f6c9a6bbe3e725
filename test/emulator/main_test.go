package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestItServesUntilItIsToldToEnd(t *testing.T) {
	ctx, end := context.WithCancel(context.Background())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"--listen", "127.0.0.1:0", "--devices", "7,8"}, in, io.Discard) }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url := regexp.MustCompile(`http://\S+`).FindString(line)
	resp, err := http.Get(url)
	if err != nil {
		t.Fatalf("%q cannot be opened: %v", line, err)
	}
	page, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || !strings.Contains(string(page), "Phone 7") || !strings.Contains(string(page), "Phone 8") {
		t.Errorf("the page shows %s, %v", page, err)
	}
	end()
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestMistakesOnTheCommandLineSayWhatToWrite(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for says, args := range map[string][]string{
		"--devices 10403,10404":             {"--devices", "desk"},
		"different numbers":                 {"--devices", "7,7"},
		"no device":                         {"--devices", ","},
		"choose another address":            {"--listen", taken.Addr().String()},
		"write --listen ADDRESS":            {"10403"},
		"flag provided but not defined: -x": {"-x"},
	} {
		if err := run(context.Background(), args, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v gives %v, want %q in it", args, err, says)
		}
	}
}
