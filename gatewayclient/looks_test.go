package gatewayclient

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

type always string

func (a always) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Request: r, Body: io.NopCloser(strings.NewReader(string(a)))}, nil
}

func TestEveryQuestionIsAnsweredWhateverTheListHolds(t *testing.T) {
	for name, list := range map[string]string{
		"all of it":   `{"error":0,"smss":{"1":{"status":2},"2":{"status":2},"3":{"status":2},"4":{"status":2},"5":{"status":2},"6":{"status":2},"7":{"status":2},"8":{"status":2}}}`,
		"one of them": `{"error":0,"smss":{"1":{"status":2}}}`,
		"nothing":     `{"error":0,"smss":[]}`, "a refusal": `{"error":1}`, "rubbish": `<html>`,
	} {
		synctest.Test(t, func(t *testing.T) {
			c, err := New(Config{Token: "token", HTTP: &http.Client{Transport: always(list)}})
			if err != nil {
				t.Fatal(err)
			}
			l := newLooks(c)
			answered := make([]bool, 20)
			var all sync.WaitGroup
			for i := range answered {
				all.Go(func() {
					ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
					defer cancel()
					// Two deliveries may have come to follow the same message.
					_, _ = l.at(ctx, fmt.Sprint(1+i%8), time.Now().Add(-time.Duration(i)*7*time.Second))
					answered[i] = ctx.Err() == nil
				})
			}
			all.Wait()
			for i, ok := range answered {
				if !ok {
					t.Errorf("%s: question %d got no answer", name, i)
				}
			}
		})
	}
}

func TestMarksDoNotRepeat(t *testing.T) {
	seen := map[int64]bool{}
	lastMark.Store(maxMark - 500)
	for range 1000 {
		m := newMark()
		if m < 1 || m > maxMark || seen[m] {
			t.Fatalf("mark %d, of %d so far", m, len(seen))
		}
		seen[m] = true
	}
}
