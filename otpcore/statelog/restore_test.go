package statelog

import (
	"errors"
	"os"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"
)

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
