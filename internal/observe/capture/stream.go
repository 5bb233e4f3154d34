package capture

import (
	"compress/gzip"
	"io"
)

const (
	streamBuffer = 64 << 10 // bytes read ahead
	fileBuffer   = 32 << 10 // compressed bytes read ahead
	emptyReads   = 100      // in a row, then the reader is taken for broken
)

// unpacker reads a byte stream that may be gzip: members in a row are one
// stream, and what follows the last one is read as it is. The decoder is the
// standard library's: the one that packs is a sixth faster here, but of a file
// that is cut it loses the last symbol.
type unpacker struct {
	file    *ahead
	gz      *gzip.Reader // nil while reading plain bytes
	own     *inflater    // unpacks instead of gz if points are wanted
	packed  bool         // there was a member
	out     int64        // bytes handed out, those before where reading began included
	members []member     // the last ones, oldest first
	// wantPoints notes places in large members from where unpacking can go on.
	wantPoints bool
	points     []Point // the last ones, oldest first
}

// member is where a gzip member begins, in the file and after decompression.
type member struct{ file, out int64 }

const (
	// maxMembers and maxPoints bound how many are remembered for marks. A reader
	// ahead of its consumer by more than that reads on from an earlier place,
	// which only takes longer.
	maxMembers = 64
	maxPoints  = 8
	// trailer of a gzip member: u32 checksum, u32 length.
	gzipTrailer = 8
)

// pointEvery is how many unpacked bytes lie between two points.
var pointEvery int64 = 512 << 10

// newUnpacker reads r, which stands at offset file; out is how many unpacked bytes come before.
func newUnpacker(r io.Reader, file, out int64) *unpacker {
	return &unpacker{file: newAhead(r, file), out: out}
}

// memberOf returns the last known member that begins at or before an offset.
func (u *unpacker) memberOf(offset int64) (file, out int64) {
	for i := len(u.members) - 1; i >= 0; i-- {
		if m := u.members[i]; m.out <= offset {
			return m.file, m.out
		}
	}
	return 0, 0
}

// pointOf returns the last known point at or before an offset and behind
// another one, nil if there is none.
func (u *unpacker) pointOf(offset, behind int64) *Point {
	for i := len(u.points) - 1; i >= 0; i-- {
		if p := u.points[i]; p.Out <= offset && p.Out > behind {
			return &p
		}
	}
	return nil
}

// keep appends to a list that holds the last n.
func keep[T any](list []T, v T, n int) []T {
	if len(list) == n {
		list = append(list[:0], list[1:]...)
	}
	return append(list, v)
}

// start looks at what comes next: a gzip member or plain bytes.
func (u *unpacker) start() error {
	magic, err := u.file.peek(2)
	if len(magic) == 0 {
		return err
	}
	if len(magic) < 2 || magic[0] != 0x1f || magic[1] != 0x8b {
		u.gz, u.own = nil, nil
		return nil
	}
	if u.gz == nil {
		u.gz = new(gzip.Reader)
	}
	u.packed = true
	u.members = keep(u.members, member{u.file.offset(), u.out}, maxMembers)
	if err := u.gz.Reset(u.file); err != nil {
		return unexpected(err)
	}
	u.gz.Multistream(false)
	if u.wantPoints { // the library has read the member's header; the data is ours
		u.unpackWith(newInflater(u.file, u.out))
	}
	return nil
}

// resume goes on in the middle of a member, at a point.
func (u *unpacker) resume(p *Point) error {
	f, err := resumeInflater(u.file, p)
	if err != nil {
		return err
	}
	u.gz, u.packed = new(gzip.Reader), true
	u.unpackWith(f)
	return nil
}

func (u *unpacker) unpackWith(f *inflater) {
	u.own = f
	last := f.out
	f.onBlock = func() {
		if u.wantPoints && f.out-last >= pointEvery {
			u.points, last = keep(u.points, f.point(), maxPoints), f.out
		}
	}
}

func (u *unpacker) Read(p []byte) (int, error) {
	for u.gz != nil {
		n, err := u.unpack(p)
		u.out += int64(n)
		if err == io.EOF {
			err = u.start()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	n, err := u.file.Read(p)
	u.out += int64(n)
	return n, err
}

// unpack reads from the member at hand; io.EOF at its end.
func (u *unpacker) unpack(p []byte) (int, error) {
	if u.own == nil {
		return u.gz.Read(p)
	}
	n, err := u.own.Read(p)
	if err == io.EOF {
		// Its checksum is of the whole member, of which we may have seen a part.
		u.own = nil
		if _, terr := u.file.peek(gzipTrailer); terr != nil {
			return n, unexpected(terr)
		}
		u.file.i += gzipTrailer
	}
	return n, err
}

// unexpected turns the end of a file inside of something into an error.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// stream is a window on a byte stream that slides forward and grows only as
// bytes arrive, whatever lengths the bytes claim.
type stream struct {
	src  io.Reader
	buf  []byte
	r, w int   // the bytes at hand are buf[r:w]
	base int64 // offset of buf[0] in the stream
	err  error // what src ended with, due after the bytes at hand
}

// offset is the position in the stream of the next byte at hand.
func (s *stream) offset() int64 { return s.base + int64(s.r) }

// need makes sure that n bytes are at hand. It returns the error of the
// source if it ended before.
func (s *stream) need(n int) error {
	for empty := 0; s.w-s.r < n; {
		if s.err != nil {
			return s.err
		}
		s.makeRoom(n)
		got, err := s.src.Read(s.buf[s.w:])
		s.w += got
		s.err = err
		if got > 0 {
			empty = 0
		} else if empty++; empty == emptyReads && err == nil {
			s.err = io.ErrNoProgress
		}
	}
	return nil
}

// makeRoom makes space behind the bytes at hand, on the way to n of them.
func (s *stream) makeRoom(n int) {
	if s.r > 0 {
		s.base += int64(s.r)
		s.w = copy(s.buf, s.buf[s.r:s.w])
		s.r = 0
	}
	if s.w == len(s.buf) {
		bigger := make([]byte, max(streamBuffer, min(2*len(s.buf), n)))
		copy(bigger, s.buf[:s.w])
		s.buf = bigger
	}
}

// skip drops n bytes without keeping them. It returns the error of the source
// if it ended before, and how many were dropped.
func (s *stream) skip(n int64) (int64, error) {
	for done := int64(0); ; {
		step := min(n-done, int64(s.w-s.r))
		s.r += int(step)
		if done += step; done == n {
			return done, nil
		}
		if err := s.need(1); err != nil {
			return done, err
		}
	}
}

// shrink gives a buffer back that grew for one large block.
func (s *stream) shrink() {
	if len(s.buf) <= 4*streamBuffer || s.w-s.r > streamBuffer {
		return
	}
	small := make([]byte, streamBuffer)
	s.base += int64(s.r)
	s.w = copy(small, s.buf[s.r:s.w])
	s.buf, s.r = small, 0
}
