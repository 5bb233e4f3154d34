package probe

import (
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

// BenchmarkBox measures what a busy task pays: writing 4 KiB to a file and reading them back, in a process of its own, without a probe,
// with one that keeps up the state only, with a black box that keeps the data, and with the same events sent to a reader that
// writes them to a file as a recording does.
//
//	go test -run - -bench Box -benchtime 20x ./internal/observe/probe
func BenchmarkBox(b *testing.B) {
	needKernel(b)
	var io event.Interest
	io.AddSyscalls("read", "write", "pread64", "pwrite64")
	for _, c := range []struct {
		name string
		o    *Options
	}{
		{"no probe", nil},
		{"state only", &Options{}},
		{"black box of 4096 bytes", &Options{Box: &BoxOptions{Interest: io, Snaplens: BoxSnaplens{File: 4096}}}},
		{"all written of 4096 bytes", &Options{Interest: io, Snaplen: 4096}},
		{"black box of 200 bytes", &Options{Box: &BoxOptions{Interest: io, Snaplens: BoxSnaplens{File: 200}}}},
		{"all written of 200 bytes", &Options{Interest: io, Snaplen: 200}},
	} {
		b.Run(c.name, func(b *testing.B) {
			if c.o != nil {
				p, err := Open(*c.o)
				if err != nil {
					b.Fatal(err)
				}
				defer p.Close()
				go writeAll(p)
				defer func() { b.ReportMetric(float64(p.Stats().Dropped), "lost") }()
			}
			best := time.Hour
			for range b.N {
				start := time.Now()
				if err := sceneCommand("busy with a file").Run(); err != nil {
					b.Fatal(err)
				}
				best = min(best, time.Since(start))
			}
			b.ReportMetric(float64(best), "best-ns/op")
		})
	}
}

func init() {
	allScenes["busy with a file"] = func() []string {
		fd := must(unix.MemfdCreate("busy", 0))
		buf := make([]byte, 4096)
		for range 100_000 {
			must(unix.Pwrite(fd, buf, 0))
			must(unix.Pread(fd, buf, 0))
		}
		return []string{"done"}
	}
}

// writeAll writes the events of a probe to a file until it is closed.
func writeAll(p *Probe) {
	f, err := os.CreateTemp("", "events")
	if err != nil {
		panic(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	buf := make([]byte, 0, 1<<20)
	var ev event.Event
	for {
		err := p.Next(&ev)
		if err == nil {
			buf = append(buf, ev.Bytes()...)
		}
		if len(buf) > 1<<19 || err != nil {
			if _, err := f.Write(buf); err != nil {
				panic(fmt.Sprint("write the events: ", err))
			}
			buf = buf[:0]
			_ = f.Truncate(0)
			_, _ = f.Seek(0, 0)
		}
		if err != nil && err != event.ErrIdle {
			return
		}
	}
}
