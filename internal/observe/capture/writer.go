package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"rollcage/internal/observe/event"
)

// WriterOptions say how a capture is written. The limits are for [Create]:
// when one is reached, the events that follow go to a new file.
type WriterOptions struct {
	// Gzip compresses. Create does so too when the name ends in .gz.
	Gzip bool
	// MaxBytes limits the size of a file as it is on disk, but leaves at least
	// as much room for events as the snapshot takes. A compressed file may
	// become larger by one gzip member. 0 is no limit, as it is for the others.
	MaxBytes int64
	// MaxTime limits the time between the first and the last event of a file.
	MaxTime time.Duration
	// MaxEvents limits the number of events of a file.
	MaxEvents uint64
	// MaxFiles keeps that many files of a row: the next one overwrites the oldest.
	MaxFiles int
	// State returns the state of the host after the last event that was
	// written. A new file starts with it; limits need it.
	State func() *event.Snapshot
}

// limited reports whether there will be more than one file.
func (o *WriterOptions) limited() bool { return o.MaxBytes > 0 || o.MaxTime > 0 || o.MaxEvents > 0 }

// ErrEventSize is wrapped when an event is larger than a capture can hold. The
// event is left out; more can be written.
var ErrEventSize = errors.New("event too large for a capture")

// Writer writes a capture. It is used by one goroutine.
type Writer struct {
	opt    WriterOptions
	sink   *sink
	files  *fileRow // nil if there is one file that is not ours
	err    error    // of the file, ends everything
	known  map[string]bool
	next   *event.Snapshot // the file is full: start a new one with this
	state  int64           // size in bytes of what the file starts with
	first  uint64          // time of the first event of the file, ns since the epoch
	events uint64          // of the file
	total  uint64
	older  []byte // the last event in its older form
}

// Create creates a capture file, readable by nobody else, and writes the
// snapshot. "-" is the standard output. With a limit in opt the files are
// named by path and a number from 0, or, if there is a time limit and path
// contains a %, by path as a strftime pattern of the file's start.
func Create(path string, snap *event.Snapshot, opt WriterOptions) (*Writer, error) {
	opt.Gzip = opt.Gzip || strings.HasSuffix(path, ".gz")
	if opt.limited() && opt.State == nil {
		return nil, errors.New("capture: files with a limit need the state that the next one starts with")
	}
	if opt.limited() && path == "-" {
		return nil, errors.New("the standard output cannot be divided into files")
	}
	w := &Writer{opt: opt, files: newFileRow(path, &opt)}
	if err := w.startFile(snap, uint64(time.Now().UnixNano())); err != nil {
		return nil, err
	}
	return w, nil
}

// NewWriter writes a capture to out, starting with the snapshot. Limits are
// not for it. The writer does not close out.
func NewWriter(out io.Writer, snap *event.Snapshot, opt WriterOptions) (*Writer, error) {
	if opt.limited() {
		return nil, errors.New("capture: a single stream cannot be divided into files")
	}
	w := &Writer{opt: opt, sink: newSink(out, opt.Gzip)}
	if err := w.start(snap); err != nil {
		return nil, err
	}
	return w, nil
}

// startFile begins the next file of the row.
func (w *Writer) startFile(snap *event.Snapshot, now uint64) error {
	f, err := w.files.create(time.Unix(0, int64(now)))
	if err != nil {
		return err
	}
	w.sink = newSink(f, w.opt.Gzip)
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		w.sink.truncate = f.Truncate
	}
	w.events, w.next = 0, nil
	if err := w.start(snap); err != nil {
		f.Close()
		return w.failed(err)
	}
	w.state = w.sink.size
	return nil
}

// start writes what a file begins with, so that an unwritable one is known at once.
func (w *Writer) start(snap *event.Snapshot) error {
	var err error
	if w.sink.blocks, err = appendSnapshot(w.sink.blocks, snap); err != nil {
		return err
	}
	state, err := stateEvents(snap)
	if err != nil {
		return err
	}
	w.known = map[string]bool{}
	for _, b := range state {
		var ev event.Event
		if err := ev.Reset(b); err != nil {
			return err
		}
		w.known[content(&ev)] = true
		if err := w.append(&ev); err != nil {
			return err
		}
	}
	return w.sink.flush()
}

// Section begins a new section in the same file: what was known is void, snap
// is the state that the next events build on. It is what the reader of a
// capture in several sections has to do at [event.ErrSection].
func (w *Writer) Section(snap *event.Snapshot) error {
	switch {
	case w.err != nil:
		return w.err
	case w.next != nil: // a new file is due anyway
		w.next = snap
		return nil
	}
	if err := w.start(snap); err != nil {
		return w.failed(w.explain("write", err))
	}
	return nil
}

// content is an event without time and thread.
func content(ev *event.Event) string { return string(ev.Bytes()[16:]) }

// Write writes an event; hidden ones are marked so. The bytes stay the
// caller's. An event of the snapshot that was read from another capture is
// left out if the snapshot brought it already. After an error that is not
// ErrEventSize nothing more is written, and the file is valid up to the last
// block that was written whole.
func (w *Writer) Write(ev *event.Event) error {
	if w.err != nil {
		return w.err
	}
	if w.next != nil {
		if err := w.rotate(ev.Time()); err != nil {
			return err
		}
	}
	if w.known != nil {
		if initialTypes.Has(ev.Type()) {
			if ev.Hidden && w.known[content(ev)] {
				return nil
			}
		} else {
			w.known = nil // the events of the snapshot are over
		}
	}
	if err := w.append(ev); err != nil {
		return err
	}
	if w.sink.full() {
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if w.events == 0 {
		w.first = ev.Time()
	}
	w.events++
	w.total++
	if w.full(ev) {
		w.next = w.opt.State()
	}
	return nil
}

// append collects the block of an event.
func (w *Writer) append(ev *event.Event) error {
	if newerTypes.Has(ev.Type()) {
		var ok bool
		if w.older, ok = older(w.older[:0], ev); ok {
			return w.appendBlock(ev, w.older, ev.Bytes())
		}
	}
	return w.appendBlock(ev, ev.Bytes(), nil)
}

// appendBlock collects a block with data as the event, and in options the event
// itself if that is something else and its latency if that is known.
func (w *Writer) appendBlock(ev *event.Event, data, itself []byte) error {
	number, size := uint32(eventV2), 2+len(data)
	if ev.Hidden {
		number, size = eventFlags, size+4
	}
	size += padding(size)
	if itself != nil && len(itself)+len(optionMark) > math.MaxUint16 {
		itself = nil // an option cannot hold it
	}
	extra := 0
	if itself != nil {
		extra = optionHeader + len(optionMark) + len(itself) + 3
	}
	if ev.Latency != 0 {
		extra += optionHeader + len(optionMark) + 8
	}
	if extra > 0 {
		size += extra + optionHeader
	}
	switch {
	case size > maxLargeEvent-blockHeader-blockTrailer:
		return fmt.Errorf("%w: %s of %d bytes", ErrEventSize, ev.Type(), len(data))
	case ev.Info().LargePayload(), size > maxEventBody-blockTrailer:
		number += eventLarge - eventV2
	}
	b := w.sink.blocks
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, number)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint16(b, ev.CPU)
	if ev.Hidden {
		b = binary.LittleEndian.AppendUint32(b, flagHidden)
	}
	b = append(b, data...)
	if extra > 0 {
		b = append(b, zeroes[:padding(len(b)-start)]...)
		if itself != nil {
			b = appendOption(b, optionEvent, itself)
		}
		if ev.Latency != 0 {
			var ns [8]byte
			binary.LittleEndian.PutUint64(ns[:], ev.Latency)
			b = appendOption(b, optionLatency, ns[:])
		}
		b = endOptions(b)
	}
	w.sink.blocks = endBlock(b, start)
	return nil
}

// full reports whether a limit was reached. ev is the last event of the file.
func (w *Writer) full(ev *event.Event) bool {
	o := &w.opt
	size := w.sink.size
	if w.sink.gz == nil {
		size += int64(len(w.sink.blocks))
	}
	return o.MaxBytes > 0 && size >= max(o.MaxBytes, 2*w.state) ||
		o.MaxEvents > 0 && w.events >= o.MaxEvents ||
		o.MaxTime > 0 && ev.Time() > w.first && ev.Time()-w.first >= uint64(o.MaxTime)
}

// rotate ends the file and starts the next one. now is the time of its first event.
func (w *Writer) rotate(now uint64) error {
	if err := w.closeFile(); err != nil {
		return err
	}
	return w.failed(w.startFile(w.next, now))
}

// failed remembers an error that ends everything.
func (w *Writer) failed(err error) error {
	if err != nil && w.err == nil {
		w.err = err
	}
	return err
}

// Flush writes to the file what was collected.
func (w *Writer) Flush() error {
	if w.err != nil {
		return w.err
	}
	if err := w.sink.flush(); err != nil {
		return w.failed(w.explain("write", err))
	}
	return nil
}

func (w *Writer) explain(doing string, err error) error {
	var path *os.PathError
	if w.files == nil || errors.As(err, &path) {
		return fmt.Errorf("%s capture: %w", doing, err)
	}
	return fmt.Errorf("%s capture %s: %w", doing, w.files.path, err)
}

func (w *Writer) closeFile() error {
	err := w.Flush()
	if w.files != nil {
		if cerr := w.files.close(); cerr != nil && err == nil {
			err = w.failed(w.explain("close", cerr))
		}
	}
	return err
}

// Close writes what was collected and closes the file. It returns the error
// that ended the writing, if there was one.
func (w *Writer) Close() error {
	err := w.closeFile()
	w.failed(os.ErrClosed)
	return err
}

// Events returns the number of events written to all files, without those of the snapshots.
func (w *Writer) Events() uint64 { return w.total }

// Path returns the name of the file that is being written, "" if it is not ours.
func (w *Writer) Path() string {
	if w.files == nil {
		return ""
	}
	return w.files.path
}
