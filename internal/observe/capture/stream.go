package capture

import (
	"bufio"
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
	in      counter
	file    *bufio.Reader
	gz      *gzip.Reader // nil while reading plain bytes
	packed  bool         // there was a member
	out     int64        // bytes handed out, those before where reading began included
	members []member     // the last ones, oldest first
}

// member is where a gzip member begins, in the file and after decompression.
type member struct{ file, out int64 }

// maxMembers bounds how many members are remembered for marks; a reader ahead
// of its consumer by more than that reads on from an earlier one, which only takes longer.
const maxMembers = 64

// counter counts the bytes of a reader.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func newUnpacker(r io.Reader) *unpacker {
	u := &unpacker{in: counter{r: r}}
	u.file = bufio.NewReaderSize(&u.in, fileBuffer)
	return u
}

// resume says where in file and stream the reading begins.
func (u *unpacker) resume(file, out int64) { u.in.n, u.out = file, out }

// memberOf returns the last known member that begins at or before an offset.
func (u *unpacker) memberOf(offset int64) (file, out int64) {
	for i := len(u.members) - 1; i >= 0; i-- {
		if m := u.members[i]; m.out <= offset {
			return m.file, m.out
		}
	}
	return 0, 0
}

// begin remembers the member that begins here.
func (u *unpacker) begin() {
	if len(u.members) == maxMembers {
		u.members = append(u.members[:0], u.members[1:]...)
	}
	u.members = append(u.members, member{u.in.n - int64(u.file.Buffered()), u.out})
}

// start looks at what comes next: a gzip member or plain bytes.
func (u *unpacker) start() error {
	magic, err := u.file.Peek(2)
	if len(magic) == 0 {
		return err
	}
	if len(magic) < 2 || magic[0] != 0x1f || magic[1] != 0x8b {
		u.gz = nil
		return nil
	}
	if u.gz == nil {
		u.gz = new(gzip.Reader)
	}
	u.packed = true
	u.begin()
	if err := u.gz.Reset(u.file); err != nil {
		return unexpected(err)
	}
	u.gz.Multistream(false)
	return nil
}

func (u *unpacker) Read(p []byte) (int, error) {
	for u.gz != nil {
		n, err := u.gz.Read(p)
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
