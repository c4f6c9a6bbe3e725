package fails

import "testing"

func TestFails(t *testing.T) { t.Error("two is not three") }

func TestHolds(*testing.T) {}
