package capture

import (
	"errors"
	"fmt"
	"io"
	"os"

	"rollcage/internal/observe/event"
)

// Mark is a place between two events of a capture file from which reading can
// go on with [OpenAt], as long as the file does not change. It has no pointers
// to the reader and may be stored.
type Mark struct {
	// Offset is where the next block begins, in bytes after decompression.
	Offset int64
	// Member is where in the file the gzip member begins that holds Offset,
	// and MemberOffset what Offset that is. Both are 0 for a plain file.
	Member, MemberOffset int64
	// Point is where in the member unpacking can go on, nil for its beginning.
	Point *Point
	// Num is the number of the last event before the mark.
	Num uint64
	// Initial is true before the first event that is not part of the snapshot.
	Initial bool
	// Enters are the enter events that wait for their exit event.
	Enters [][]byte
	// Calls are the calls that threads had entered.
	Calls []Call
}

// Call is a call that is under way in a capture that tells of entries.
type Call struct {
	TID  int64
	At   uint64 // ns since the epoch
	Type event.Type
}

// Mark returns the place behind the event that was handed out last.
func (r *Reader) Mark() Mark {
	m := Mark{Offset: r.in.offset() + int64(r.held), Num: r.num, Initial: r.initial}
	m.Member, m.MemberOffset = r.unpack.memberOf(m.Offset)
	m.Point = r.unpack.pointOf(m.Offset, m.MemberOffset)
	for _, e := range r.convert.enters {
		if len(e.buf) > 0 {
			m.Enters = append(m.Enters, append([]byte(nil), e.buf...))
		}
	}
	for tid, e := range r.calls.entered {
		if !e.done {
			m.Calls = append(m.Calls, Call{tid, e.at, e.typ})
		}
	}
	return m
}

// OpenAt opens a capture file to read on at a mark. The reader has no
// snapshot before the next section: the state at the mark is the caller's to know.
func OpenAt(path string, m Mark, opt Options) (*Reader, error) {
	if opt.Name == "" {
		opt.Name = path
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := resume(f, m, opt)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("reading on in %s at event %d: %w", opt.Name, m.Num, err)
	}
	r.closer = f
	return r, nil
}

var errMark = errors.New("the mark does not fit the file")

func resume(f *os.File, m Mark, opt Options) (*Reader, error) {
	file, out := m.Member, m.MemberOffset
	switch {
	case m.Point != nil:
		file, out = m.Point.File, m.Point.Out
	case file == 0 && out == 0 && !packed(f):
		file, out = m.Offset, m.Offset // a plain file: nothing to read through
	}
	if out > m.Offset || file < 0 {
		return nil, errMark
	}
	if _, err := f.Seek(file, io.SeekStart); err != nil {
		return nil, err
	}
	r := &Reader{opt: opt, unpack: newUnpacker(f, file, out), file: f, num: m.Num, initial: m.Initial, convert: newUpgrader()}
	r.in.src, r.in.base = r.unpack, out
	begin := r.unpack.start
	if m.Point != nil {
		begin = func() error { return r.unpack.resume(m.Point) }
	}
	if err := begin(); err != nil && err != io.EOF {
		return nil, err
	}
	if n, err := r.in.skip(m.Offset - out); err != nil {
		return nil, fmt.Errorf("%w: it ends %d bytes before", errMark, m.Offset-out-n)
	}
	var ev event.Event
	for _, b := range m.Enters {
		if err := ev.Reset(b); err != nil {
			return nil, err
		}
		r.convert.store(&ev)
	}
	for _, c := range m.Calls {
		r.calls.resume(c)
	}
	r.snap, r.at = &event.Snapshot{}, m.Offset
	r.events.Store(m.Num)
	return r, nil
}

// packed reports whether a file begins with a gzip member.
func packed(f *os.File) bool {
	var magic [2]byte
	n, _ := f.ReadAt(magic[:], 0)
	return n == 2 && magic[0] == 0x1f && magic[1] == 0x8b
}
