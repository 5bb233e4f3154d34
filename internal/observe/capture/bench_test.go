package capture

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"rollcage/internal/observe/event"
)

// recorded returns the recorded capture as it is stored and as it is written today.
func recorded(b *testing.B) (old, today []byte) {
	b.Helper()
	path := filepath.Join(filepath.Dir(captures(b)[0]), "502Error.scap")
	old, err := os.ReadFile(path)
	if err != nil {
		b.Skip(err)
	}
	r, events := mustRead(b, old, Options{})
	var file bytes.Buffer
	w, err := NewWriter(&file, r.Snapshot(), WriterOptions{})
	if err != nil {
		b.Fatal(err)
	}
	writeAll(b, w, events)
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return old, file.Bytes()
}

// endless repeats the events of a capture, so that opening does not count. The
// first event begins at the offset of the first event block.
type endless struct {
	data  []byte
	at    int
	start int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.at == len(e.data) {
		e.at = e.start
	}
	n := copy(p, e.data[e.at:])
	e.at += n
	return n, nil
}

// firstEvent returns the offset of the first event block.
func firstEvent(b testing.TB, data []byte) int {
	r, err := NewReader(bytes.NewReader(data), Options{})
	if err != nil {
		b.Fatal(err)
	}
	return int(r.at)
}

func BenchmarkRead(b *testing.B) {
	old, today := recorded(b)
	for _, c := range []struct {
		name string
		data []byte
		gzip bool
	}{{"today's events, plain", today, false}, {"today's events, gzip", today, true},
		{"events of 2017, plain", old, false}, {"events of 2017, gzip", old, true}} {
		b.Run(c.name, func(b *testing.B) {
			var src io.Reader = &endless{data: c.data, start: firstEvent(b, c.data)}
			if c.gzip {
				src = packedStream(b, c.data)
			}
			r, err := NewReader(src, Options{})
			if err != nil {
				b.Fatal(err)
			}
			var ev event.Event
			for range 50_000 { // buffers and threads are known now
				if err := r.Next(&ev); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			start := r.in.offset()
			for b.Loop() {
				if err := r.Next(&ev); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes((r.in.offset() - start) / int64(b.N))
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mevents/s")
		})
	}
}

// packedStream is one gzip member with the snapshot and then many with the events.
func packedStream(b *testing.B, data []byte) io.Reader {
	at := firstEvent(b, data)
	first, events := pack(data[:at]), pack(data[at:])
	return &endless{data: append(first, events...), start: len(first)}
}

func BenchmarkWrite(b *testing.B) {
	_, today := recorded(b)
	_, events := mustRead(b, today, Options{})
	views := make([]*event.Event, len(events))
	for i, e := range events {
		views[i] = e.view(b)
	}
	for _, packed := range []bool{false, true} {
		b.Run(fmt.Sprintf("gzip %v", packed), func(b *testing.B) {
			w, err := NewWriter(io.Discard, &event.Snapshot{}, WriterOptions{Gzip: packed})
			if err != nil {
				b.Fatal(err)
			}
			for i := range 100_000 {
				w.Write(views[i%len(views)])
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := w.Write(views[i%len(views)]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mevents/s")
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	_, today := recorded(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewReader(bytes.NewReader(today), Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestSteadyReadingAllocatesNothing(t *testing.T) {
	path := filepath.Join(filepath.Dir(captures(t)[0]), "502Error.scap") // of 2017, so every event is upgraded
	data, err := os.ReadFile(path)
	if err != nil {
		t.Skip(err)
	}
	r, err := NewReader(&endless{data: data, start: firstEvent(t, data)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	const events = 50_000
	read := func() {
		var ev event.Event
		for range events {
			if err := r.Next(&ev); err != nil {
				t.Fatal(err)
			}
		}
	}
	read() // buffers and threads are known now
	if n := testing.AllocsPerRun(1, read); n > 10 {
		t.Errorf("%v allocations in %d events", n, events)
	}
}
