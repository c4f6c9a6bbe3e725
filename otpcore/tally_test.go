package otpcore

import (
	"testing"
	"time"
)

func TestWindowSlides(t *testing.T) {
	var tally Tally
	l := Limit{N: 3, Per: time.Hour}
	now := time.UnixMilli(1_790_000_000_000)
	for i := range 3 {
		if _, ok := tally.Take(now.Add(time.Duration(i)*time.Minute), l); !ok {
			t.Fatalf("charge %d was refused", i)
		}
	}
	at, ok := tally.Take(now.Add(30*time.Minute), l)
	if ok || !at.Equal(now.Add(time.Hour)) {
		t.Errorf("refused %v until %v, want until the oldest is an hour old", !ok, at)
	}
	if _, ok := tally.Take(now.Add(time.Hour), l); !ok {
		t.Error("refused when the oldest was an hour old")
	}
	if _, ok := tally.Take(now.Add(time.Hour), l); ok {
		t.Error("four within an hour")
	}
}

func TestRefundGivesBackOne(t *testing.T) {
	var tally Tally
	l := Limit{N: 2, Per: time.Hour}
	now := time.UnixMilli(1_790_000_000_000)
	tally.Take(now, l)
	tally.TakeApart(now.Add(time.Minute), l, time.Hour)
	tally.Refund(now.Add(time.Minute))
	tally.Refund(now.Add(time.Second)) // never charged
	if left := tally.Left(now.Add(time.Minute), l); left != 1 {
		t.Errorf("left = %d, want 1", left)
	}
	if _, ok := tally.TakeApart(now.Add(2*time.Minute), l, time.Hour); !ok {
		t.Error("the pause of a refunded charge still counts")
	}
}

func TestChargesStayApart(t *testing.T) {
	var tally Tally
	l := Limit{N: 10, Per: time.Hour}
	now := time.UnixMilli(1_790_000_000_000)
	tally.TakeApart(now, l, 30*time.Second)
	if at, ok := tally.TakeApart(now.Add(29*time.Second), l, 30*time.Second); ok || !at.Equal(now.Add(30*time.Second)) {
		t.Errorf("granted %v until %v, want refused until 30 s are over", ok, at)
	}
	if _, ok := tally.Take(now.Add(time.Second), l); !ok {
		t.Error("a charge that need not stay apart was refused")
	}
	if _, ok := tally.TakeApart(now.Add(30*time.Second), l, 30*time.Second); !ok {
		t.Error("refused after the pause")
	}
}

func TestClockThatIsSetBackMakesNoPauseLast(t *testing.T) {
	var tally Tally
	l := Limit{N: 2, Per: time.Hour}
	now := time.UnixMilli(1_790_000_000_000)
	tally.TakeApart(now, l, 30*time.Second)
	if _, ok := tally.TakeApart(now.Add(-time.Second), l, 30*time.Second); ok {
		t.Error("who was a second late got another")
	}
	if _, ok := tally.TakeApart(now.Add(-time.Hour), l, 30*time.Second); !ok {
		t.Error("the pause lasts an hour")
	}
	if _, ok := tally.TakeApart(now.Add(-time.Hour+time.Minute), l, 30*time.Second); ok {
		t.Error("three within the limit of two")
	}
}

func TestTallyIsIdleOnlyWhenItSaysNothing(t *testing.T) {
	l := Limit{N: 1, Per: time.Hour}
	now := time.UnixMilli(1_790_000_000_000)
	charged := Tally{}
	charged.Take(now, l)
	for _, c := range []struct {
		name string
		t    Tally
		at   time.Time
		want bool
	}{
		{"new", Tally{}, now, true},
		{"charged", charged, now.Add(time.Hour - time.Millisecond), false},
		{"window over", charged, now.Add(time.Hour), true},
		{"streak", Tally{Streak: 1}, now.Add(1000 * time.Hour), false},
		{"paused", Tally{Until: now.Add(time.Second).UnixMilli()}, now, false},
	} {
		if got := c.t.Idle(c.at); got != c.want {
			t.Errorf("%s: idle = %v", c.name, got)
		}
	}
}
