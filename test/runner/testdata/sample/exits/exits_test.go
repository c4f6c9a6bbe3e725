package exits

import (
	"os"
	"testing"
)

func TestExits(*testing.T) { os.Exit(3) }
