package memstore

import (
	"context"
	"math/rand/v2"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore/storetest"
)

// fill gives every field of a struct another value, so that a field which is not written down shows.
func fill(v reflect.Value) {
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Array:
			for j := range f.Len() {
				f.Index(j).SetUint(rand.Uint64N(256))
			}
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 3, 3))
			for j := range 3 {
				if e := f.Index(j); e.CanUint() {
					e.SetUint(1 + rand.Uint64N(255))
				} else {
					e.SetInt(rand.Int64())
				}
			}
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int, reflect.Int64:
			f.SetInt(1 + rand.Int64N(1<<40))
		default:
			f.SetUint(1 + rand.Uint64N(2))
		}
	}
}

func TestEveryFieldIsWrittenDown(t *testing.T) {
	const remedy = "a field was added: append it to the end of appendChallenge or appendTally and of what reads it"
	var c otpcore.Challenge
	fill(reflect.ValueOf(&c).Elem())
	_, fields, rest, err := nextRecord(appendChallenge(nil, &c))
	if err != nil || len(rest) > 0 {
		t.Fatalf("%d bytes are left, %v", len(rest), err)
	}
	if got, err := readChallenge(fields); err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("challenge: %v\n got %+v\nwant %+v\n%s", err, got, c, remedy)
	}
	var tally otpcore.Tally
	var key otpcore.Pseudonym
	fill(reflect.ValueOf(&tally).Elem())
	key[0], key[15] = 1, 2
	_, fields, _, err = nextRecord(appendTally(nil, key, &tally))
	if err != nil {
		t.Fatal(err)
	}
	if gotKey, got, err := readTally(fields); err != nil || gotKey != key || !reflect.DeepEqual(got, tally) {
		t.Errorf("tally: %v\n got %+v\nwant %+v\n%s", err, got, tally, remedy)
	}
}

func TestRecordsOfOlderAndNewerVersionsAreRead(t *testing.T) {
	c := storetest.NewChallenge()
	_, fields, _, err := nextRecord(appendChallenge(nil, c))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readChallenge(append(fields, 1, 2, 3)); err != nil || got.ID != c.ID || got.Expires != c.Expires {
		t.Errorf("with a field more: %+v, %v", got, err)
	}
	if got, err := readChallenge(fields[:len(fields)-2]); err != nil || got.Expires != c.Expires || got.Spent {
		t.Errorf("with two fields less: %+v, %v", got, err)
	}
}

// reopen writes everything that changed in a store down and takes it back into another one.
func reopen(t *testing.T, s *Store, capacity int) *Store {
	t.Helper()
	again := open(t, capacity)
	if err := again.Restore(s.AppendChanges(nil, 1<<30)); err != nil {
		t.Fatal(err)
	}
	return again
}

var hour = otpcore.Limit{N: 5, Per: time.Hour}

func charge(t *testing.T, s *Store, key byte, l otpcore.Limit) bool {
	t.Helper()
	ok := false
	err := s.Tally(t.Context(), otpcore.Pseudonym{key}, func(tl *otpcore.Tally) error { _, ok = tl.Take(time.Now(), l); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestChangesAreCollectedOnceAndWhatFollowsAgain(t *testing.T) {
	s := open(t, 100)
	c := storetest.NewChallenge()
	if err := s.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	charge(t, s, 1, hour)
	if n := len(s.AppendChanges(nil, 1<<20)); n == 0 {
		t.Fatal("nothing was collected")
	}
	if _, err := s.Get(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	_ = s.Tally(t.Context(), otpcore.Pseudonym{1}, func(tl *otpcore.Tally) error { tl.Left(time.Now(), hour); return nil })
	if b := s.AppendChanges(nil, 1<<20); len(b) != 0 {
		t.Errorf("%d bytes were collected after nothing but looks", len(b))
	}
	spend := func(c *otpcore.Challenge) error { c.AttemptsLeft--; return nil }
	for range 3 {
		if err := s.Update(t.Context(), c.ID, spend); err != nil {
			t.Fatal(err)
		}
	}
	again := open(t, 100)
	if err := again.Restore(s.AppendChanges(nil, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if got, err := again.Get(t.Context(), c.ID); err != nil || got.AttemptsLeft != 2 {
		t.Errorf("attempts = %d, %v; want 2", got.AttemptsLeft, err)
	}
}

func TestCollectingInPiecesLosesNothing(t *testing.T) {
	s, again := open(t, 2000), open(t, 2000)
	for i := range 1000 {
		if err := s.Create(t.Context(), storetest.NewChallenge()); err != nil {
			t.Fatal(err)
		}
		charge(t, s, byte(i), hour)
	}
	pieces := 0
	for b := s.AppendChanges(nil, 4096); len(b) > 0; b = s.AppendChanges(nil, 4096) {
		if len(b) > 4096+500 {
			t.Fatalf("a piece has %d bytes", len(b))
		}
		if err := again.Restore(b); err != nil {
			t.Fatal(err)
		}
		pieces++
	}
	if again.Len() != 1000 || again.tallies.live.Load() != s.tallies.live.Load() {
		t.Errorf("%d challenges and %d tallies came through %d pieces", again.Len(), again.tallies.live.Load(), pieces)
	}
}

func TestSlicesTogetherAreEverything(t *testing.T) {
	s, again := open(t, 2000), open(t, 2000)
	for i := range 1000 {
		if err := s.Create(t.Context(), storetest.NewChallenge()); err != nil {
			t.Fatal(err)
		}
		charge(t, s, byte(i), hour)
	}
	for i := range Slices {
		if err := again.Restore(s.AppendSlice(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	if again.Len() != 1000 || again.tallies.live.Load() != s.tallies.live.Load() {
		t.Errorf("%d challenges and %d tallies came back", again.Len(), again.tallies.live.Load())
	}
}

// A streak that was ended must not come back from an older record, also where
// the tally was forgotten before anybody collected it.
func TestDroppedTallyIsWrittenDownAsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, again := open(t, 100), open(t, 100)
		key := otpcore.Pseudonym{9}
		set := func(streak int) {
			_ = s.Tally(t.Context(), key, func(tl *otpcore.Tally) error { tl.Streak = streak; return nil })
		}
		set(50)
		older := s.AppendChanges(nil, 1<<20)
		set(0)
		shard := s.tallies.shard(key)
		shard.mu.Lock()
		s.tallies.sweepLocked(shard, time.Now())
		shard.mu.Unlock()
		for _, b := range [][]byte{older, s.AppendChanges(nil, 1<<20)} {
			if err := again.Restore(b); err != nil {
				t.Fatal(err)
			}
		}
		_ = again.Tally(t.Context(), key, func(tl *otpcore.Tally) error {
			if tl.Streak != 0 {
				t.Errorf("streak = %d came back", tl.Streak)
			}
			return nil
		})
		s.Close()
		again.Close()
	})
}

func TestWhatIsOverIsNotTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, 100)
		c := storetest.NewChallenge()
		if err := s.Create(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		charge(t, s, 1, hour)
		b := s.AppendChanges(nil, 1<<20)
		time.Sleep(61 * time.Minute)
		again := open(t, 100)
		if err := again.Restore(b); err != nil {
			t.Fatal(err)
		}
		if again.Len() != 0 || again.tallies.live.Load() != 0 {
			t.Errorf("%d challenges and %d tallies came back", again.Len(), again.tallies.live.Load())
		}
		s.Close()
		again.Close()
	})
}

func TestMessageInFlightComesBackAsUnknown(t *testing.T) {
	for before, after := range map[otpcore.Delivery]otpcore.Delivery{
		otpcore.Sending: otpcore.Unknown, otpcore.Queued: otpcore.Unknown, otpcore.OnDevice: otpcore.Unknown,
		otpcore.Sent: otpcore.Sent, otpcore.Delivered: otpcore.Delivered, otpcore.Failed: otpcore.Failed,
	} {
		s := open(t, 10)
		c := storetest.NewChallenge()
		c.Delivery = before
		if err := s.Create(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if got, err := reopen(t, s, 10).Get(t.Context(), c.ID); err != nil || got.Delivery != after || got.SendsLeft != c.SendsLeft {
			t.Errorf("%s became %s with %d sends left, %v; want %s", before, got.Delivery, got.SendsLeft, err, after)
		}
	}
}

func TestTalliesComeBackEvenWhereTheyHaveNoRoom(t *testing.T) {
	s := open(t, 2000)
	for i := range 2000 {
		key := otpcore.Pseudonym{byte(i), byte(i >> 8), 1}
		err := s.Tally(t.Context(), key, func(tl *otpcore.Tally) error { tl.Take(time.Now(), hour); return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := reopen(t, s, 1).tallies.live.Load(); n != 2000 {
		t.Errorf("%d of 2000 tallies came back", n)
	}
}

func TestDistrustedStoreHandsNothingOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, 10)
		s.Distrust(time.Now().Add(time.Hour))
		look := func(*otpcore.Tally) error { return nil }
		time.Sleep(time.Hour - time.Millisecond)
		if err := s.Tally(t.Context(), otpcore.Pseudonym{1}, look); err != otpcore.ErrTalliesLost {
			t.Errorf("tally: %v, want ErrTalliesLost", err)
		}
		time.Sleep(time.Millisecond)
		if err := s.Tally(t.Context(), otpcore.Pseudonym{1}, look); err != nil {
			t.Errorf("tally once it is over: %v", err)
		}
		s.Close()
	})
}

func TestNobodyCollectingCostsNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, 1000)
		for range 20 {
			for i := range 1000 {
				if err := s.Create(t.Context(), storetest.NewChallenge()); err != nil {
					t.Fatal(err)
				}
				charge(t, s, byte(i), otpcore.Limit{N: 2000, Per: time.Second})
			}
			time.Sleep(16 * time.Minute)
		}
		remembered := 0
		for i := range s.slices {
			remembered += len(s.slices[i].changed) + len(s.tallies.shards[i].changed)
		}
		if remembered > Slices*2*(spareChanges+2) {
			t.Errorf("%d changes are remembered of an empty store", remembered)
		}
		s.Close()
	})
}

func FuzzRestore(f *testing.F) {
	f.Add(appendChallenge(nil, storetest.NewChallenge()))
	f.Add(appendTally(nil, otpcore.Pseudonym{1}, &otpcore.Tally{Times: []int64{1, 2}, Streak: 3}))
	f.Add([]byte{'t', 18, 0})
	f.Add([]byte{'x', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := open(t, 10)
		if s.Restore(b) != nil {
			return
		}
		for i := range Slices { // what was taken back can be written down again
			if err := s.Restore(s.AppendSlice(nil, i)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkUpdate(b *testing.B) {
	s, err := New(1000)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	c := storetest.NewChallenge()
	if err := s.Create(context.Background(), c); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = s.Update(context.Background(), c.ID, func(c *otpcore.Challenge) error { c.Sends++; return nil })
	}
}
