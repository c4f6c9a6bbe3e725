package bench

import (
	"syscall"
	"testing"
	"time"
)

// cpuTime is what this process has used so far, its garbage collector included. Unlike the
// clock it does not count the time in which a busy machine let others run.
func cpuTime() time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		panic(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

func reportCPU(b *testing.B, began time.Duration) {
	b.ReportMetric(float64(cpuTime()-began)/float64(b.N), "cpu-ns/op")
}
