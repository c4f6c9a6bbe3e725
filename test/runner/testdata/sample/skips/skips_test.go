package skips

import "testing"

func TestSkips(test *testing.T) { test.Skip("no browser here") }
