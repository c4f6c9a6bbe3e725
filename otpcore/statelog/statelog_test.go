package statelog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"
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

// filled returns the shelf of a server that ran for a while and was killed.
func filled(t *testing.T) *shelf {
	t.Helper()
	disk := newShelf()
	srv := startPadded(t, disk, 5000, "k")
	for i := range uint32(30) {
		srv.set(i, i+1)
		time.Sleep(time.Second)
	}
	srv.kill()
	return disk
}

func segments(t *testing.T, disk *shelf) []uint64 {
	t.Helper()
	to := target(t, disk, "k")
	found, err := to.list(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return found.seqs
}

func TestOneDamagedCopyLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		whole := filled(t)
		to := target(t, whole, "k")
		for _, seq := range segments(t, whole) {
			for c := range copies {
				for _, how := range []string{"damaged", "missing", "empty"} {
					disk := whole.copy()
					switch key := to.key(seq, c); how {
					case "damaged":
						disk.damage(t, key)
					case "missing":
						delete(disk.values, key)
					case "empty":
						disk.values[key] = nil
					}
					srv := start(t, disk, "k")
					if len(srv.report.Lost) > 0 || !srv.report.Doubt.IsZero() || (c == 0) != (len(srv.report.Mended) == 1) {
						t.Fatalf("%s %s: %+v", to.key(seq, c), how, srv.report)
					}
					for i := range uint32(30) {
						if srv.get(i) != i+1 {
							t.Fatalf("%s %s: counter %d is %d", to.key(seq, c), how, i, srv.get(i))
						}
					}
					srv.kill()
				}
			}
		}
	})
}

func TestLostSegmentPutsTheStateInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		whole := filled(t)
		to := target(t, whole, "k")
		seqs := segments(t, whole)
		for _, seq := range seqs {
			disk := whole.copy()
			for c := range copies {
				disk.damage(t, to.key(seq, c))
			}
			srv := start(t, disk, "k")
			if len(srv.report.Lost) != 1 || !srv.report.Doubt.Equal(time.Now().Add(horizon)) {
				t.Fatalf("segment %d: %+v", seq, srv.report)
			}
			came := 0
			for i := range uint32(30) {
				if srv.get(i) == i+1 {
					came++
				}
			}
			if came < 28 {
				t.Errorf("segment %d: only %d of 30 counters came back from the others", seq, came)
			}
			srv.kill()
		}
	})
}

func TestDoubtOutlivesARestartAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := filled(t)
		to := target(t, disk, "k")
		for c := range copies {
			disk.damage(t, to.key(segments(t, disk)[3], c))
		}
		srv := start(t, disk, "k")
		until := srv.report.Doubt
		time.Sleep(time.Hour)
		srv.kill()
		for range 3 {
			srv = start(t, disk, "k")
			if len(srv.report.Lost) > 0 || !srv.report.Doubt.Equal(until.Truncate(time.Millisecond)) {
				t.Fatalf("after another start: %+v, want doubt until %s", srv.report, until)
			}
			srv.set(1, 100)
			time.Sleep(time.Hour)
			srv.kill()
		}
		time.Sleep(horizon)
		srv = start(t, disk, "k")
		if !srv.report.Doubt.IsZero() {
			t.Errorf("still in doubt until %s, now is %s", srv.report.Doubt, time.Now())
		}
		srv.kill()
	})
}

func TestForeignLogIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := filled(t)
		n := len(segments(t, disk))
		srv := start(t, disk, "x")
		if srv.report.Segments != 0 || len(srv.report.Lost) != n || srv.report.Doubt.IsZero() {
			t.Errorf("%+v", srv.report)
		}
		if len(srv.n) != 0 {
			t.Errorf("%d counters were taken from another server", len(srv.n))
		}
		srv.kill()
	})
}

func TestSegmentCannotStandInForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := filled(t)
		to := target(t, disk, "k")
		seqs := segments(t, disk)
		for c := range copies {
			disk.values[to.key(seqs[len(seqs)-1], c)] = disk.values[to.key(seqs[2], c)]
		}
		srv := start(t, disk, "k")
		if len(srv.report.Lost) != 1 {
			t.Errorf("%+v", srv.report)
		}
		srv.kill()
	})
}

func TestNoLogIsNoDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, newShelf(), "k")
		if !reflect.DeepEqual(srv.report, Report{}) {
			t.Errorf("%+v", srv.report)
		}
		srv.kill()
	})
}

func TestUnreadablePlaceIsAnError(t *testing.T) {
	disk := newShelf()
	synctest.Test(t, func(t *testing.T) { disk = filled(t) })
	disk.broken = os.ErrPermission
	log := New(newCounters(), new(note))
	if _, err := log.Restore(t.Context(), target(t, disk, "k"), horizon); !errors.Is(err, os.ErrPermission) {
		t.Errorf("error %v, want that of the place", err)
	}
}

// A crash may cut the value off that is being stored: that is the last second, not damage.
func TestTornNewestSegmentIsWhatACrashLeaves(t *testing.T) {
	for _, before := range []int{0, 1, 10} {
		synctest.Test(t, func(t *testing.T) {
			disk := newShelf()
			srv := start(t, disk, "k")
			for i := range before {
				srv.set(1, uint32(i+1))
				time.Sleep(time.Second)
			}
			disk.mu.Lock()
			disk.tear = true
			disk.mu.Unlock()
			srv.set(1, 1000)
			time.Sleep(time.Second)
			srv.kill()
			disk.crashed, disk.tear = false, false
			srv = start(t, disk, "k")
			if len(srv.report.Lost) > 0 || srv.get(1) != uint32(before) {
				t.Errorf("%+v, counter is %d, want %d", srv.report, srv.get(1), before)
			}
			srv.set(1, 2000)
			srv.stop(t)
			srv = start(t, disk, "k")
			if len(srv.report.Lost) > 0 || srv.get(1) != 2000 {
				t.Errorf("after the next start: %+v, counter is %d", srv.report, srv.get(1))
			}
			srv.kill()
		})
	}
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

func TestLeftoversOfAFileStorageAreDeleted(t *testing.T) {
	dir := t.TempDir()
	storage := &certmagic.FileStorage{Path: dir}
	srv := start(t, storage, "k")
	srv.set(1, 1)
	srv.stop(t)
	if err := os.WriteFile(dir+"/state/server/123456789", []byte("half a val"), 0o600); err != nil {
		t.Fatal(err)
	}
	srv = start(t, storage, "k")
	defer srv.kill()
	if srv.get(1) != 1 || len(srv.report.Lost) > 0 {
		t.Errorf("counter is %d, %+v", srv.get(1), srv.report)
	}
	if files, err := os.ReadDir(dir + "/state/server"); err != nil || len(files) != 2 {
		t.Errorf("%d files, %v; want two copies of one segment", len(files), err)
	}
}

// No value, however it came about, does harm; what was not sealed here is never taken.
func FuzzRestore(f *testing.F) {
	ring := keyring(f, "k")
	to := Target{Prefix: "state/server", Seal: ring.State()}
	name := []byte(to.name(1))
	f.Add([]byte(""), true)
	f.Add((&segment{base: 1, took: 1, body: []byte{0, 12, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0}}).marshal(), true)
	f.Add((&segment{base: 1 << 60, body: []byte{9, 0xff, 0xff}}).marshal(), true)
	f.Add(to.Seal.Seal((&segment{base: 1}).marshal(), []byte("state/server/v1-0000000000000002")), false)
	f.Fuzz(func(t *testing.T, value []byte, sealed bool) {
		if sealed {
			value = to.Seal.Seal(value, name)
		}
		disk := newShelf()
		to.Place = disk
		for c := range copies {
			disk.values[to.key(1, c)] = value
		}
		state := newCounters()
		report, err := New(state, new(note)).Restore(t.Context(), to, horizon)
		if err != nil {
			t.Fatal(err)
		}
		if !sealed && (report.Segments > 0 || report.Doubt.IsZero()) {
			t.Errorf("a value that was not sealed here was taken: %+v", report)
		}
	})
}
