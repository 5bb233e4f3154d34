package capture

import "io"

// ahead reads ahead from a file and can go back a little, which reading bits
// needs at the end of compressed data. gzip and flate read it byte by byte.
type ahead struct {
	r    io.Reader
	buf  []byte
	i, n int   // the bytes at hand are buf[i:n]
	base int64 // offset in the file of buf[0]
}

// goBack is how many bytes it can always go back, if as many were read.
const goBack = 16

func newAhead(r io.Reader, at int64) *ahead {
	return &ahead{r: r, buf: make([]byte, fileBuffer), base: at}
}

// offset is the position in the file of the next byte.
func (s *ahead) offset() int64 { return s.base + int64(s.i) }

// fill reads more; at least one byte is at hand after it unless there is an error.
func (s *ahead) fill() error {
	keep := max(0, s.i-goBack)
	if keep > 0 || s.n == len(s.buf) {
		s.n = copy(s.buf, s.buf[keep:s.n])
		s.base += int64(keep)
		s.i -= keep
	}
	for empty := 0; ; empty++ {
		got, err := s.r.Read(s.buf[s.n:])
		s.n += got
		switch {
		case got > 0:
			return nil
		case err != nil:
			return err
		case empty == emptyReads:
			return io.ErrNoProgress
		}
	}
}

// peek returns the next n bytes, fewer with the error that ended the file.
func (s *ahead) peek(n int) ([]byte, error) {
	for s.n-s.i < n {
		if err := s.fill(); err != nil {
			return s.buf[s.i:s.n], err
		}
	}
	return s.buf[s.i : s.i+n], nil
}

// ReadByte implements io.ByteReader.
func (s *ahead) ReadByte() (byte, error) {
	if s.i == s.n {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	b := s.buf[s.i]
	s.i++
	return b, nil
}

// Read implements io.Reader.
func (s *ahead) Read(p []byte) (int, error) {
	if s.i == s.n {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.buf[s.i:s.n])
	s.i += n
	return n, nil
}
