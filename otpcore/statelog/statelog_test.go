package statelog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestChangesAreStoredWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newShelf()
		srv := start(t, disk, "k")
		for i := range 50 {
			srv.set(7, uint32(i))
			srv.note.write(fmt.Sprint(i))
			time.Sleep(time.Second)
			after := start(t, disk.copy(), "k")
			if after.get(7) != uint32(i) || after.text != fmt.Sprint(i) {
				t.Fatalf("a second after %d was set, %d and %q come back", i, after.get(7), after.text)
			}
			after.kill()
		}
		srv.kill()
	})
}

func TestStoppingFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newShelf()
		srv := start(t, disk, "k")
		srv.set(7, 1)
		srv.stop(t)
		if after := start(t, disk, "k"); after.get(7) != 1 {
			t.Error("what was set right before a stop is lost")
		} else {
			after.kill()
		}
	})
}

func TestQuietServerWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newShelf()
		srv := start(t, disk, "k")
		time.Sleep(time.Minute)
		if disk.count() != 0 {
			t.Errorf("%d values were stored of nothing", disk.count())
		}
		srv.set(1, 1)
		time.Sleep(time.Hour)
		if disk.count() != 2 {
			t.Errorf("%d values were stored of one change, want one in two copies", disk.count())
		}
		srv.stop(t)
		again := start(t, disk, "k")
		time.Sleep(time.Minute)
		if disk.count() != 2 {
			t.Errorf("a start without a change stored %d values", disk.count()-2)
		}
		again.kill()
	})
}

// Whatever is changed, restarted and killed, what comes back is what was stored last.
func TestAnyHistoryComesBack(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			disk, want := newShelf(), map[uint32]uint32{}
			padding := random.IntN(3000)
			srv := startPadded(t, disk, padding, "k")
			for range 400 {
				for range random.IntN(4) {
					key, n := random.Uint32N(500), random.Uint32()
					srv.set(key, n)
					want[key] = n
				}
				switch random.IntN(20) {
				case 0:
					srv.stop(t)
					srv = startPadded(t, disk, padding, "k")
				case 1:
					time.Sleep(time.Second)
					srv.kill()
					srv = startPadded(t, disk, padding, "k")
				default:
					time.Sleep(every)
				}
				if len(srv.report.Lost) > 0 || len(srv.report.Mended) > 0 {
					t.Fatalf("seed %d: %+v", seed, srv.report)
				}
			}
			srv.stop(t)
			after := start(t, disk, "k")
			if !reflect.DeepEqual(after.n, want) {
				t.Fatalf("seed %d: %d of %d keys came back, or others", seed, len(after.n), len(want))
			}
			if files := len(disk.values); files > 2*(Slices+1) {
				t.Errorf("seed %d: %d files are kept", seed, files)
			}
			after.kill()
		})
	}
}

func TestLogOfASmallServerIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newShelf()
		srv := start(t, disk, "k")
		for i := range 1000 {
			srv.set(uint32(i)%50, uint32(i))
			time.Sleep(every)
		}
		srv.stop(t)
		if files := len(disk.values); files > 4 {
			t.Errorf("%d files for 50 counters", files)
		}
	})
}

func TestBurstIsStoredInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newShelf()
		srv := startPadded(t, disk, 250, "k")
		for i := range uint32(20_000) {
			srv.set(i, i+1)
		}
		time.Sleep(time.Second)
		srv.kill()
		for key, value := range disk.values {
			if len(value) > segmentSize+segmentSize/4 {
				t.Errorf("%s has %d bytes", key, len(value))
			}
		}
		after := start(t, disk, "k")
		for i := range uint32(20_000) {
			if after.get(i) != i+1 {
				t.Fatalf("counter %d is %d", i, after.get(i))
			}
		}
		after.kill()
	})
}

func TestWhatCannotBeStoredIsStoredLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newShelf()
		srv := start(t, disk, "k")
		var complaints atomic.Int64
		to := target(t, disk, "k")
		to.Complain = func(error) { complaints.Add(1) }
		srv.log.Use(to)
		srv.set(1, 1)
		time.Sleep(time.Second)
		disk.mu.Lock()
		disk.refuse = errors.New("disk full")
		disk.mu.Unlock()
		for i := range uint32(100) {
			srv.set(i, 2)
			time.Sleep(time.Second)
		}
		if n := complaints.Load(); n < 100 {
			t.Errorf("%d complaints", n)
		}
		disk.mu.Lock()
		disk.refuse = nil
		disk.mu.Unlock()
		time.Sleep(time.Second)
		srv.kill()
		after := start(t, disk, "k")
		for i := range uint32(100) {
			if after.get(i) != 2 {
				t.Fatalf("counter %d is %d", i, after.get(i))
			}
		}
		after.kill()
	})
}

func TestNewPlaceGetsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, moved := newShelf(), newShelf()
		srv := startPadded(t, old, 5000, "k")
		for i := range uint32(1000) {
			srv.set(i, i+1)
		}
		time.Sleep(time.Second)
		srv.log.Use(target(t, moved, "k"))
		time.Sleep(time.Second)
		srv.kill()
		srv = start(t, moved, "k")
		if len(srv.n) != 1000 || len(srv.report.Lost) > 0 {
			t.Errorf("%d counters came back, %+v", len(srv.n), srv.report)
		}
		srv.kill()
	})
}

func TestSamePlaceGetsNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := filled(t)
		srv := start(t, disk, "k")
		before := disk.count()
		for range 10 {
			srv.log.Use(target(t, disk, "k"))
			time.Sleep(time.Second)
		}
		if disk.count() != before {
			t.Errorf("ten reloads stored %d values", disk.count()-before)
		}
		srv.kill()
	})
}

func TestKeyCanBeReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := filled(t)
		srv := start(t, disk, "k")
		srv.log.Use(target(t, disk, "n", "k"))
		time.Sleep(time.Second)
		srv.log.Use(target(t, disk, "n"))
		time.Sleep(time.Second)
		srv.kill()
		srv = start(t, disk, "n")
		if len(srv.n) != 30 || len(srv.report.Lost) > 0 {
			t.Errorf("%d counters came back, %+v", len(srv.n), srv.report)
		}
		srv.kill()
	})
}

func TestNothingIsInClear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newShelf()
		srv := start(t, disk, "k")
		srv.note.write("canary-71e0")
		srv.stop(t)
		for key, value := range disk.values {
			if strings.Contains(key+string(value), "canary") {
				t.Errorf("%s holds it", key)
			}
		}
	})
}

func TestFlushDoesNotWaitForAPlaceThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newShelf()
		srv := start(t, disk, "k")
		disk.mu.Lock() // every call hangs
		srv.set(1, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		result := make(chan error)
		go func() { result <- srv.log.Close(ctx) }()
		// A goroutine that waits for a lock keeps the clock of a bubble from moving on.
		cancel()
		if err := <-result; err == nil || time.Since(began) > 5*time.Second {
			t.Errorf("close: %v after %s", err, time.Since(began))
		}
		disk.mu.Unlock()
		<-srv.log.ended
	})
}
