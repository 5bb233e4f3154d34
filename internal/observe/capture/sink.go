package capture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
)

const (
	plainChunk = 64 << 10  // bytes of blocks written at once
	gzipChunk  = 512 << 10 // bytes of blocks in one gzip member
)

// sink writes whole blocks to a file in chunks. Compressed, each chunk is a
// gzip member of its own. So a file whose disk is full can be cut to where it
// is still valid, and one whose writer was killed is valid up to its last chunk.
type sink struct {
	out    io.Writer
	chunk  int          // bytes to collect
	blocks []byte       // collected
	size   int64        // bytes in the file
	gz     *gzip.Writer // four times as fast as the standard library's
	packed bytes.Buffer
	// truncate cuts the file to a size; nil if out is no regular file.
	truncate func(size int64) error
}

func newSink(out io.Writer, pack bool) *sink {
	s := &sink{out: out, chunk: plainChunk}
	if pack {
		s.gz, s.chunk = gzip.NewWriter(&s.packed), gzipChunk
	}
	return s
}

// full reports whether it is time to flush.
func (s *sink) full() bool { return len(s.blocks) >= s.chunk }

// flush writes what was collected.
func (s *sink) flush() error {
	if len(s.blocks) == 0 {
		return nil
	}
	data := s.blocks
	if s.gz != nil {
		s.packed.Reset()
		s.gz.Reset(&s.packed)
		if _, err := s.gz.Write(s.blocks); err != nil {
			return err
		}
		if err := s.gz.Close(); err != nil {
			return err
		}
		data = s.packed.Bytes()
	}
	n, err := s.out.Write(data)
	if err == nil && n < len(data) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return s.cutBack(n, err)
	}
	s.size += int64(n)
	s.blocks = s.blocks[:0]
	return nil
}

// cutBack cuts a file of whose last chunk only n bytes were written to what is
// valid, and returns the error to show.
func (s *sink) cutBack(n int, err error) error {
	valid := 0
	if s.gz == nil {
		valid = wholeBlocks(s.blocks, n)
	}
	s.size += int64(valid)
	s.blocks = s.blocks[:0]
	if s.truncate == nil {
		return err
	}
	if terr := s.truncate(s.size); terr != nil {
		return fmt.Errorf("%w; the file ends in the middle of a block, cutting it failed: %w", err, terr)
	}
	return err
}

// wholeBlocks returns how many of the first n bytes of b are whole blocks.
func wholeBlocks(b []byte, n int) int {
	at := 0
	for at+blockHeader <= n {
		next := at + int(binary.LittleEndian.Uint32(b[at+4:]))
		if next > n {
			break
		}
		at = next
	}
	return at
}
