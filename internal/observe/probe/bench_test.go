package probe

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

// consume reads a probe's events until it is closed.
func consume(p *Probe) {
	var ev event.Event
	for {
		if err := p.Next(&ev); err != nil && !errors.Is(err, event.ErrIdle) {
			if !errors.Is(err, io.EOF) {
				panic(err)
			}
			return
		}
	}
}

// benchCalls are system calls of different cost to the probe, with what must be wanted for them to be sent.
var benchCalls = []struct {
	name, wanted string
	do           func(null uintptr)
}{
	{"getppid", "getppid", func(uintptr) { _, _, _ = unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0) }},
	{"close", "", func(uintptr) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, 9999, 0, 0) }},
	{"lseek", "lseek", func(null uintptr) { _, _, _ = unix.RawSyscall(unix.SYS_LSEEK, null, 0, 0) }},
	{"write", "write", func(null uintptr) { _, _, _ = unix.RawSyscall(unix.SYS_WRITE, null, uintptrOf(&benchData[0]), 64) }},
	{"open+close", "", func(uintptr) {
		fd, _, _ := unix.RawSyscall6(unix.SYS_OPENAT, ^uintptr(99), uintptrOf(&benchPath[0]), unix.O_RDONLY, 0, 0, 0)
		_, _, _ = unix.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
	}},
}

var (
	benchData [64]byte
	benchPath = []byte("/dev/null\x00")
)

// BenchmarkCall measures what a system call costs without a probe, with one
// that does not want the call, and with one that gets and reads its events.
// best-ns/op is the best of many short runs, for machines that do other things too.
//
//	go test -run - -bench Call ./internal/observe/probe
func BenchmarkCall(b *testing.B) {
	needKernel(b)
	null := must(unix.Open("/dev/null", unix.O_RDWR, 0))
	defer unix.Close(null)
	var all event.Interest
	all.AddSyscalls("getppid", "lseek", "write")
	benchWith(b, "no probe", uintptr(null), nil)
	benchWith(b, "not wanted", uintptr(null), &Options{})
	benchWith(b, "wanted", uintptr(null), &Options{Interest: all})
}

func benchWith(b *testing.B, name string, null uintptr, o *Options) {
	if o != nil {
		o.WatchSelf = true
		p, err := Open(*o)
		if err != nil {
			b.Fatal(err)
		}
		defer p.Close()
		go consume(p)
	}
	for _, c := range benchCalls {
		b.Run(c.name+"/"+name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			const batch = 50
			best := time.Duration(1<<63 - 1)
			for range b.N/batch + 1 {
				start := time.Now()
				for range batch {
					c.do(null)
				}
				best = min(best, time.Since(start))
			}
			b.ReportMetric(float64(best)/batch, "best-ns/op")
		})
	}
}

// BenchmarkExec measures fork, exec and exit of a small program in the same ways.
func BenchmarkExec(b *testing.B) {
	needKernel(b)
	loop := func(b *testing.B) {
		best := time.Duration(1<<63 - 1)
		for range b.N {
			cmd := sceneCommand("nothing")
			cmd.Path = "/bin/true"
			start := time.Now()
			if err := cmd.Run(); err != nil {
				b.Fatal(err)
			}
			best = min(best, time.Since(start))
		}
		b.ReportMetric(float64(best), "best-ns/op")
	}
	b.Run("no probe", loop)
	p, err := Open(Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	go consume(p)
	b.Run("probe", loop)
}

// BenchmarkOpenDepth opens and closes a file below that many folders, watched and not: how much longer a watched open takes
// with each folder is what it costs to follow a component from the file up.
func BenchmarkOpenDepth(b *testing.B) {
	needKernel(b)
	dir := b.TempDir()
	open := func(depth int) func(*testing.B) {
		path := dir
		for range depth {
			path += "/folder-name"
		}
		if err := os.MkdirAll(path, 0o700); err != nil {
			b.Fatal(err)
		}
		path += "/file"
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			b.Fatal(err)
		}
		return func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			const batch = 50
			best := time.Duration(1<<63 - 1)
			for range b.N/batch + 1 {
				start := time.Now()
				for range batch {
					unix.Close(must(unix.Open(path, unix.O_RDONLY, 0)))
				}
				best = min(best, time.Since(start))
			}
			b.ReportMetric(float64(best)/batch, "best-ns/op")
		}
	}
	depths := []int{1, 4, 16}
	for _, d := range depths {
		b.Run(fmt.Sprintf("%d/no probe", d), open(d))
	}
	var opens event.Interest
	opens.AddSyscalls("open", "openat", "openat2", "close")
	p, err := Open(Options{Interest: opens, WatchSelf: true})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	go consume(p)
	for _, d := range depths {
		b.Run(fmt.Sprintf("%d/watched", d), open(d))
	}
}
