package passes

import "testing"

func TestPasses(t *testing.T) {
	t.Run("one", func(t *testing.T) { t.Log("not to be shown") })
	t.Run("two", func(*testing.T) {})
}
