package capture

import (
	"encoding/binary"
	"io"
)

// cursor reads the body of a metadata block. The first thing that does not
// fit sets err; after that every read gives zero values.
type cursor struct {
	b   []byte
	err error
}

// more reports whether another entry follows; up to three bytes are padding.
func (c *cursor) more() bool { return c.err == nil && len(c.b) >= 4 }

// take returns the next n bytes, which stay the block's.
func (c *cursor) take(n int) []byte {
	if c.err != nil {
		return nil
	}
	if n > len(c.b) {
		c.err = malformed("%d bytes expected, %d are left", n, len(c.b))
		return nil
	}
	b := c.b[:n]
	c.b = c.b[n:]
	return b
}

func (c *cursor) uint8() uint8 {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) uint16() uint16 {
	if b := c.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) uint32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) uint64() uint64 {
	if b := c.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (c *cursor) int64() int64 { return int64(c.uint64()) }

// text reads a string with its length in front, of at most limit bytes.
func (c *cursor) text(what string, limit int) string {
	n := int(c.uint16())
	if n > limit && c.err == nil {
		c.err = malformed("%s of %d bytes, at most %d are allowed", what, n, limit)
	}
	return string(c.take(n))
}

// entry splits off an entry that starts with its u32 length. extra is what the
// length leaves out.
func (c *cursor) entry(extra int) cursor {
	size := int64(c.uint32()) + int64(extra)
	n := size - 4
	switch {
	case c.err != nil:
	case n < 0:
		c.err = malformed("an entry of %d bytes", size)
	case n > int64(len(c.b)):
		c.err = malformed("an entry of %d bytes, %d are left", size, len(c.b)+4)
	default:
		return cursor{b: c.take(int(n))}
	}
	return cursor{err: io.ErrUnexpectedEOF}
}

// optional8, 4 and 1 store a number of a tail if the tail still has it, and
// leave the default alone otherwise.
func optional8[T ~uint64 | ~int64](c *cursor, v *T) {
	if len(c.b) >= 8 {
		*v = T(c.uint64())
	}
}

func optional4(c *cursor, v *uint32) {
	if len(c.b) >= 4 {
		*v = c.uint32()
	}
}

func optional1(c *cursor, v *bool) {
	if len(c.b) >= 1 {
		*v = c.uint8() != 0
	}
}
