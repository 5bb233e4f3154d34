package sysdig

import (
	"fmt"
	"io"
	"os"

	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
)

// progress prints the percentage of a file that was read. A nil one prints nothing.
type progress struct {
	out    io.Writer
	reader *capture.Reader
	size   int64
	events uint64
	shown  int64 // hundredths of a percent
}

// newProgress returns the progress of a file, nil for what has no length.
func newProgress(out io.Writer, path string, src event.Source) *progress {
	if w, ok := src.(withoutUsers); ok {
		src = w.Source
	}
	r, ok := src.(*capture.Reader)
	info, err := os.Stat(path)
	if !ok || err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return nil
	}
	return &progress{out: out, reader: r, size: info.Size(), shown: -1}
}

// progressEvery is after how many events it is looked how far the file was read.
const progressEvery = 10_000

func (p *progress) step() {
	if p == nil {
		return
	}
	if p.events++; p.events%progressEvery == 0 {
		p.print()
	}
}

func (p *progress) print() {
	if n := min(p.reader.Consumed()*10_000/p.size, 10_000); n > p.shown {
		p.shown = n
		fmt.Fprintf(p.out, "\r%d.%02d", n/100, n%100)
	}
}

// end prints the last percentage and ends the line.
func (p *progress) end() {
	if p == nil {
		return
	}
	p.print()
	fmt.Fprintln(p.out)
}
