package memstore

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore/storetest"
)

func open(t *testing.T, capacity int) *Store {
	t.Helper()
	s, err := New(capacity)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T, capacity int) otpcore.Store { return open(t, capacity) })
}

func TestExpiredMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, 10)
		for range 10 {
			if err := s.Create(t.Context(), storetest.NewChallenge()); err != nil {
				t.Fatal(err)
			}
		}
		// Five minutes of life, ten of grace, and the seconds by which the cache frees late.
		time.Sleep(15*time.Minute + 20*time.Second)
		synctest.Wait()
		if n := s.Len(); n != 0 {
			t.Fatalf("%d challenges are still counted", n)
		}
		for range 10 {
			if err := s.Create(t.Context(), storetest.NewChallenge()); err != nil {
				t.Fatalf("no room was made: %v", err)
			}
		}
		s.Close()
	})
}

func TestCloseWhileInUseNeitherPanicsNorHangs(t *testing.T) {
	for range 20 {
		s, err := New(10_000)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for {
					c := storetest.NewChallenge()
					if err := s.Create(t.Context(), c); errors.Is(err, ErrClosed) {
						return
					}
					if _, err := s.Get(t.Context(), c.ID); errors.Is(err, ErrClosed) {
						return
					}
				}
			})
		}
		s.Close()
		wg.Wait()
	}
}

func TestIdleTalliesMakeRoomAndCountingOnesAreKept(t *testing.T) {
	s := open(t, 1)
	s.tallies.capacity.Store(200)
	brief, long := otpcore.Limit{N: 5, Per: time.Millisecond}, otpcore.Limit{N: 5, Per: time.Hour}
	take := func(i int, l otpcore.Limit) error {
		key := otpcore.Pseudonym{byte(i) | byte(l.Per/time.Hour), byte(i >> 8), byte(i), byte(l.Per / time.Hour)}
		return s.Tally(t.Context(), key, func(tl *otpcore.Tally) error { tl.Take(time.Now().Add(-time.Second), l); return nil })
	}
	for i := range 200 {
		if err := take(i, brief); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 200 {
		if err := take(i, long); err != nil {
			t.Fatalf("idle tallies made no room: %v", err)
		}
	}
	refused := 0
	for i := 200; i < 400; i++ {
		if err := take(i, long); errors.Is(err, otpcore.ErrStoreFull) {
			refused++
		}
	}
	if refused != 200 {
		t.Errorf("%d newcomers were refused by a table full of tallies that count, want 200", refused)
	}
}

func TestCapacityCanGrow(t *testing.T) {
	s := open(t, 5)
	s.SetCapacity(5000)
	for range 5000 {
		if err := s.Create(t.Context(), storetest.NewChallenge()); err != nil {
			t.Fatalf("after %d: %v", s.Len(), err)
		}
	}
	if err := s.Create(t.Context(), storetest.NewChallenge()); !errors.Is(err, otpcore.ErrStoreFull) {
		t.Errorf("create: %v, want ErrStoreFull", err)
	}
}
