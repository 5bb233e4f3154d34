package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"rollcage/internal/observe/event"
)

// Options say how a capture is read.
type Options struct {
	// Name is what errors call the capture.
	Name string
	// Raw hands events out as they are stored instead of today's form: enter
	// events and old types too, none hidden but those marked so in the file.
	Raw bool
	// NoUsers leaves the users and groups of the snapshot out.
	NoUsers bool
	// Points lets marks in a large compressed file be reached without unpacking
	// all that is before. Unpacking is slower then, and checksums are not looked at.
	Points bool
}

var (
	// initialTypes are the events that belong to the snapshot when they are
	// the first of a section.
	initialTypes = typeSet(event.CONTAINER_JSON_2_E, event.ASYNCEVENT_E,
		event.USER_ADDED_E, event.USER_DELETED_E, event.GROUP_ADDED_E, event.GROUP_DELETED_E)
	// hiddenTypes are the enter events that come through because they fill
	// gaps of the exit event, and are shown to nobody.
	hiddenTypes = typeSet(event.SYSCALL_OPEN_E, event.SYSCALL_OPENAT_2_E, event.SYSCALL_OPENAT2_E,
		event.SYSCALL_CREAT_E, event.SOCKET_CONNECT_E, event.SYSCALL_EXECVE_19_E, event.SYSCALL_EXECVEAT_E)
)

func typeSet(types ...event.Type) *event.TypeSet {
	s := new(event.TypeSet)
	for _, t := range types {
		s.Add(t)
	}
	return s
}

// Reader reads a capture. It is an [event.Source].
type Reader struct {
	opt     Options
	in      stream
	unpack  *unpacker
	closer  io.Closer // nil if the bytes are not ours to close
	snap    *event.Snapshot
	convert *upgrader
	calls   callClock
	file    *os.File // what is read, nil if it is no file
	at      int64    // offset of the current block
	held    int      // size of the block that the last event is a view of
	initial bool     // only events of the snapshot so far in the section
	num     uint64
	err     error // why the stream ended
	closed  atomic.Bool

	events, skipped atomic.Uint64
}

var _ event.Source = (*Reader)(nil)

// Open opens a capture file; "-" is the standard input. The snapshot has been
// read when it returns.
func Open(path string, opt ...Options) (*Reader, error) {
	var o Options
	if len(opt) > 0 {
		o = opt[0]
	}
	f, name := openStdin(), "standard input"
	if path != "-" {
		name = path
		var err error
		if f, err = os.Open(path); err != nil {
			return nil, err
		}
	}
	if o.Name == "" {
		o.Name = name
	}
	r, err := newReader(f, f, o)
	if err != nil {
		f.Close()
		return nil, err
	}
	r.closer = f
	return r, nil
}

// openStdin opens a pipe anew, because closing the descriptor that a program
// starts with does not end a read that waits.
func openStdin() *os.File {
	if info, err := os.Stdin.Stat(); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
		if f, err := os.Open(fmt.Sprintf("/dev/fd/%d", os.Stdin.Fd())); err == nil {
			return f
		}
	}
	return os.Stdin
}

// NewReader reads a capture from r up to the first event. The reader does not
// close r.
func NewReader(r io.Reader, opt Options) (*Reader, error) { return newReader(r, nil, opt) }

func newReader(r io.Reader, file *os.File, opt Options) (*Reader, error) {
	c := &Reader{opt: opt, unpack: newUnpacker(r, 0, 0), file: file}
	c.unpack.wantPoints = opt.Points
	c.in.src = c.unpack
	if err := c.unpack.start(); err != nil && err != io.EOF {
		return nil, c.fail(err)
	}
	if err := c.loadSection(); err != nil {
		return nil, c.fail(err)
	}
	return c, nil
}

// fail ends the stream with an error at the current block.
func (r *Reader) fail(err error) error {
	switch {
	case r.closed.Load(), err == io.EOF:
		r.err = io.EOF
	default:
		r.err = &Error{Name: r.opt.Name, Offset: r.at, Packed: r.unpack.packed, Err: err}
	}
	return r.err
}

// Snapshot returns the state at the start of the current section.
func (r *Reader) Snapshot() *event.Snapshot { return r.snap }

// Stats returns the counters. Skipped are events of types that are not in the table.
func (r *Reader) Stats() event.Stats {
	return event.Stats{Events: r.events.Load(), Skipped: r.skipped.Load()}
}

// Consumed returns how many bytes of the file have been read, as they are on
// disk.
func (r *Reader) Consumed() int64 { return r.unpack.file.offset() }

// Packed reports whether the capture is compressed.
func (r *Reader) Packed() bool { return r.unpack.packed }

// Close ends the stream.
func (r *Reader) Close() error {
	if r.closed.Swap(true) || r.closer == nil {
		return nil
	}
	return r.closer.Close()
}

// Next makes ev a view of the next event, valid until the following call.
// Events are numbered through all sections.
func (r *Reader) Next(ev *event.Event) error {
	if r.err != nil {
		return r.err
	}
	for {
		r.release()
		kind, total, err := r.header()
		if err != nil {
			return r.fail(err)
		}
		if kind == nil || kind.load != nil {
			return r.nextSection()
		}
		shown, err := r.readEvent(ev, kind, total)
		if err != nil {
			return r.fail(err)
		}
		if shown {
			return nil
		}
	}
}

// release leaves the block of the last event behind.
func (r *Reader) release() {
	r.in.r += r.held
	if r.held > streamBuffer {
		r.in.shrink()
	}
	r.held = 0
}

// header looks at the start of the next block, of which it returns the total
// size. The kind is nil if it is not known.
func (r *Reader) header() (*blockKind, int, error) {
	r.at = r.in.offset()
	if err := r.in.need(blockHeader); err != nil {
		return nil, 0, r.ended(err, "the header of a block", blockHeader)
	}
	b := r.in.buf[r.in.r:]
	number, total := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	kind := kindOf(number)
	if total < blockHeader+blockTrailer {
		return kind, 0, malformed("%s with a total size of %d bytes", blockName(kind, number), total)
	}
	return kind, int(total), nil
}

func blockName(kind *blockKind, number uint32) string {
	if kind == nil {
		return fmt.Sprintf("block of type %#x", number)
	}
	return kind.name + " block"
}

// ended explains that the stream ended where n bytes were expected. Nothing
// left where a block may start is a clean end, unless compressed data is cut.
func (r *Reader) ended(err error, what string, n int) error {
	got := r.in.w - r.in.r
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w, the compressed data is cut", cut(what, n, got))
	case err == io.EOF && got > 0:
		return cut(what, n, got)
	}
	return err
}

// left returns how many bytes the file has from the current block on. It
// reports false if that cannot be known.
func (r *Reader) left() (int64, bool) {
	if r.file == nil || r.unpack.packed {
		return 0, false
	}
	info, err := r.file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0, false
	}
	return info.Size() - r.at, true
}

// body waits for the whole block and returns it; it stays in the stream.
func (r *Reader) body(kind *blockKind, total int) ([]byte, error) {
	if total > len(r.in.buf) { // no buffer has to grow to find out that the file is cut
		if left, known := r.left(); known && int64(total) > left {
			return nil, cut(kind.name+" block", total, int(left))
		}
	}
	if err := r.in.need(total); err != nil {
		return nil, r.ended(err, kind.name+" block", total)
	}
	return r.in.buf[r.in.r : r.in.r+total : r.in.r+total], nil
}

// nextSection reads what comes instead of an event: it must be a new section.
func (r *Reader) nextSection() error {
	if err := r.loadSection(); err != nil {
		return r.fail(err)
	}
	return event.ErrSection
}

// loadSection reads the metadata of a section, up to its first event.
func (r *Reader) loadSection() error {
	if err := r.expectSection(); err != nil {
		return err
	}
	s := newSection()
	for {
		kind, total, err := r.header()
		switch {
		case err == io.EOF:
			return ErrNoEvents
		case err != nil:
			return err
		case kind != nil && kind.load == nil:
			r.snap, r.initial = s.finish(r.opt), true
			r.convert = newUpgrader()
			r.calls = callClock{}
			r.in.shrink()
			return nil
		case kind == headerKind:
			s = newSection() // the one before had no events
		}
		if s.size += int64(total); s.size > maxState {
			return malformed("a snapshot of more than %d bytes", maxState)
		}
		if err := r.loadBlock(s, kind, total); err != nil {
			return err
		}
	}
}

// expectSection checks that a section header comes next.
func (r *Reader) expectSection() error {
	r.at = r.in.offset()
	err := r.in.need(blockHeader)
	switch {
	case err == io.EOF && r.in.w == r.in.r:
		return malformed("the file is empty")
	case err != nil:
		return r.ended(err, "the section header", blockHeader)
	}
	if number := binary.LittleEndian.Uint32(r.in.buf[r.in.r:]); number != sectionHeader {
		return malformed("%s where a section header is expected", blockName(kindOf(number), number))
	}
	return nil
}

// loadBlock reads one metadata block into s and leaves it behind. A kind that
// is not known is skipped.
func (r *Reader) loadBlock(s *section, kind *blockKind, total int) error {
	if kind == nil {
		done, err := r.in.skip(int64(total))
		if err == io.EOF {
			err = cut("a block", total, int(done))
		}
		return err
	}
	b, err := r.body(kind, total)
	if err != nil {
		return err
	}
	end := total - blockTrailer
	if trailer := binary.LittleEndian.Uint32(b[end:]); trailer != uint32(total) {
		return malformed("%s: wrong block total length, header=%d, trailer=%d", kind.name, total, trailer)
	}
	if err := s.load(kind, b[blockHeader:end]); err != nil {
		return err
	}
	r.in.r += total
	return nil
}

// readEvent makes ev a view of the event in the block at hand. It reports
// false if the event is not to be handed out.
func (r *Reader) readEvent(ev *event.Event, kind *blockKind, total int) (bool, error) {
	layout := &kind.event
	at, header := blockHeader+2, event.HeaderSize
	if layout.flags {
		at += 4
	}
	size := total - blockHeader
	if layout.v1 {
		header = event.HeaderSizeV1
		size += event.HeaderSize - event.HeaderSizeV1
	}
	switch {
	case layout.large && size > maxLargeEvent, !layout.large && size > maxEventBody:
		return false, malformed("an event block of %d bytes", total)
	case at+header > total-blockTrailer:
		return false, malformed("an event block of %d bytes is too small for an event", total)
	}
	b, err := r.body(kind, total)
	if err != nil {
		return false, err
	}
	r.held = total
	cpu, hidden := binary.LittleEndian.Uint16(b[blockHeader:]), false
	if layout.flags {
		hidden = binary.LittleEndian.Uint32(b[blockHeader+2:])&flagHidden != 0
	}
	if event.Type(binary.LittleEndian.Uint16(b[at+20:])).Info() == nil {
		r.skipped.Add(1)
		return false, nil
	}
	b = b[:total-blockTrailer]
	if layout.v1 {
		if at, err = widen(b, at); err != nil {
			return false, err
		}
	}
	if err := ev.Reset(b[at:]); err != nil {
		return false, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	latency := r.calls.latency(ev)
	stored, err := restore(ev, b, at)
	if err != nil {
		return false, err
	}
	ev.CPU, ev.Hidden, ev.Latency = cpu, hidden, max(latency, stored)
	return r.accept(ev)
}

// accept brings the event to today's form and numbers it.
func (r *Reader) accept(ev *event.Event) (bool, error) {
	if !r.opt.Raw {
		if ok, err := r.convert.upgrade(ev); !ok || err != nil {
			return false, err
		}
		t := ev.Type()
		r.initial = r.initial && initialTypes.Has(t)
		ev.Hidden = ev.Hidden || r.initial || hiddenTypes.Has(t)
	}
	r.num++
	r.events.Store(r.num)
	ev.Num = r.num
	return true, nil
}
