package probe

import (
	"os"
	"os/exec"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/procfs"
)

// BenchmarkSnapshot takes snapshots of a host with 1,000 more processes that
// have 20 descriptors each: files, pipes and sockets.
func BenchmarkSnapshot(b *testing.B) {
	const processes, descriptors = 1000, 20
	startMany(b, processes, descriptors)
	o := snapshotOptions{BootTime: procfs.BootTime()}
	for _, bb := range []struct {
		name string
		it   *iterators
	}{{"iterators", useIterators(b, o.BootTime)}, {"proc", nil}} {
		b.Run(bb.name, func(b *testing.B) {
			o.Iterators = bb.it
			b.ReportAllocs()
			var threads []*event.ThreadInfo
			before := cpuTime(b)
			for b.Loop() {
				s, _, err := takeSnapshot(o)
				if err != nil {
					b.Fatal(err)
				}
				threads = s.Threads
			}
			// On a busy machine this says more than the time on the clock.
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N)/1e6, "cpu-ms/op")
			n := 0
			for _, t := range threads {
				n += len(t.FDs)
			}
			if n < processes*descriptors {
				b.Errorf("%d descriptors", n)
			}
			b.ReportMetric(float64(len(threads)), "threads")
			b.ReportMetric(float64(n), "descriptors")
		})
	}
}

// cpuTime is what this process and the kernel on its behalf have used, in ns.
func cpuTime(b *testing.B) int64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// startMany starts processes that do nothing and end with the benchmark.
func startMany(b *testing.B, processes, descriptors int) {
	var files []*os.File
	for len(files) < descriptors {
		null, err1 := os.Open(os.DevNull)
		r, w, err2 := os.Pipe()
		if err1 != nil || err2 != nil {
			b.Fatal(err1, err2)
		}
		files = append(files, null, r, w)
	}
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	for range processes {
		cmd := exec.Command("sleep", "1000")
		cmd.ExtraFiles = slices.Clone(files[:descriptors-3])
		if err := cmd.Start(); err != nil {
			b.Skip(err)
		}
		b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	}
}
