package capture

import (
	"errors"
	"io"
	"math/bits"
)

// inflater unpacks deflate data (RFC 1951) like compress/flate, and knows where
// each block begins and what came before it, so that unpacking can go on there
// another time. That is what makes windows of a large compressed capture quick
// to reach; the library has no way to tell. It is slower (see BenchmarkInflate), so
// that only surveys read with it.
type inflater struct {
	src   *ahead
	acc   uint64 // bits at hand, the next one lowest
	n     uint   // how many
	win   [winSize]byte
	wp    int   // where the next byte goes
	rp    int   // where the next byte to hand out is
	out   int64 // bytes made so far, with those before unpacking began
	final bool  // the block at hand is the last
	left  int   // bytes left of a stored block
	state blockState
	lit   huffman
	dist  huffman
	fixed bool // lit and dist are the fixed ones
	err   error

	// onBlock is called at the start of each block, if set.
	onBlock func()
}

// winSize is the history that deflate refers back to, twice: while one half is
// handed out the other is filled.
const (
	winSize = 1 << 16
	history = 1 << 15
)

type blockState uint8

const (
	atHeader blockState = iota
	inStored
	inCodes
	atEnd
)

var errDeflate = errors.New("corrupt deflate data")

// Point is where a block of deflate data begins in a file, with the bytes
// before it that it may refer to.
type Point struct {
	File   int64  // of the byte in which it begins
	Bits   uint   // of that byte that belong to what is before
	Out    int64  // offset of its first byte after decompression
	Window []byte // up to 32 KiB
}

// point returns the place of the block that begins now.
func (f *inflater) point() Point {
	p := Point{File: f.src.offset() - int64(f.n/8), Bits: 0, Out: f.out, Window: make([]byte, min(f.out, history))}
	if rest := f.n % 8; rest > 0 {
		p.File, p.Bits = p.File-1, 8-rest
	}
	for i := range p.Window {
		p.Window[i] = f.win[(f.wp-len(p.Window)+i)&(winSize-1)]
	}
	return p
}

// newInflater begins at the start of deflate data; out is how many bytes were unpacked before.
func newInflater(src *ahead, out int64) *inflater { return &inflater{src: src, out: out} }

// resumeInflater goes on at a point, at which src stands.
func resumeInflater(src *ahead, p *Point) (*inflater, error) {
	f := newInflater(src, p.Out)
	if len(p.Window) > history || p.Bits > 7 {
		return nil, errMark
	}
	f.wp = copy(f.win[:], p.Window)
	f.rp = f.wp
	if p.Bits > 0 {
		if err := f.need(8); err != nil {
			return nil, err
		}
		f.drop(p.Bits)
	}
	return f, nil
}

// need makes sure that k bits are at hand.
func (f *inflater) need(k uint) error {
	for f.n < k {
		b, err := f.src.ReadByte()
		if err != nil {
			return unexpected(err)
		}
		f.acc |= uint64(b) << f.n
		f.n += 8
	}
	return nil
}

// more takes bytes as long as there are and there is room for them.
func (f *inflater) more() {
	s := f.src
	for f.n <= 40 && s.i < s.n {
		f.acc |= uint64(s.buf[s.i]) << f.n
		s.i++
		f.n += 8
	}
}

func (f *inflater) drop(k uint) {
	f.acc >>= k
	f.n -= k
}

func (f *inflater) take(k uint) (int, error) {
	if err := f.need(k); err != nil {
		return 0, err
	}
	v := int(f.acc & (1<<k - 1))
	f.drop(k)
	return v, nil
}

// Read hands out unpacked bytes; io.EOF when the last block is over, behind
// which src stands then.
func (f *inflater) Read(p []byte) (int, error) {
	for f.rp == f.wp && f.err == nil {
		f.err = f.step()
	}
	if f.rp == f.wp {
		return 0, f.err
	}
	end := f.wp
	if end < f.rp {
		end = winSize
	}
	n := copy(p, f.win[f.rp:end])
	f.rp = (f.rp + n) & (winSize - 1)
	return n, nil
}

// room is how many bytes may be made before some are handed out.
func (f *inflater) room() int { return history - (f.wp-f.rp)&(winSize-1) }

// step makes some bytes, or begins the next block.
func (f *inflater) step() error {
	switch f.state {
	case inStored:
		return f.stored()
	case inCodes:
		return f.codes()
	case atEnd:
		return io.EOF
	}
	if f.final {
		f.src.i -= int(f.n / 8) // whole bytes that were taken in advance
		f.acc, f.n, f.state = 0, 0, atEnd
		return io.EOF
	}
	if f.onBlock != nil {
		f.onBlock()
	}
	v, err := f.take(3)
	if err != nil {
		return err
	}
	f.final = v&1 != 0
	switch v >> 1 {
	case 0:
		return f.storedHeader()
	case 1:
		f.useFixed()
		f.state = inCodes
		return nil
	case 2:
		f.state = inCodes
		return f.dynamic()
	}
	return errDeflate
}

func (f *inflater) storedHeader() error {
	f.drop(f.n % 8)
	n, err := f.take(16)
	if err != nil {
		return err
	}
	inverse, err := f.take(16)
	if err != nil {
		return err
	}
	if n != ^inverse&0xffff {
		return errDeflate
	}
	f.left, f.state = n, inStored
	return nil
}

func (f *inflater) stored() error {
	for room := f.room(); room > 0 && f.left > 0; room-- {
		b, err := f.take(8)
		if err != nil {
			return err
		}
		f.put(byte(b))
		f.left--
	}
	if f.left == 0 {
		f.state = atHeader
	}
	return nil
}

func (f *inflater) put(b byte) {
	f.win[f.wp] = b
	f.wp = (f.wp + 1) & (winSize - 1)
	f.out++
}

// The lengths and distances that symbols stand for, and how many bits follow.
var (
	lengthBase = [29]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthBits = [29]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase   = [30]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distBits   = [30]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)

const (
	endOfBlock = 256
	maxMatch   = 258
)

// codes unpacks a compressed block as far as there is room.
func (f *inflater) codes() error {
	for f.room() >= maxMatch {
		sym, err := f.symbol(&f.lit)
		switch {
		case err != nil:
			return err
		case sym < endOfBlock:
			f.put(byte(sym))
		case sym == endOfBlock:
			f.state = atHeader
			return nil
		default:
			if err := f.match(sym - endOfBlock - 1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *inflater) match(sym int) error {
	if sym >= len(lengthBase) {
		return errDeflate
	}
	extra, err := f.take(uint(lengthBits[sym]))
	if err != nil {
		return err
	}
	length := int(lengthBase[sym]) + extra
	if sym, err = f.symbol(&f.dist); err != nil {
		return err
	}
	if sym >= len(distBase) {
		return errDeflate
	}
	if extra, err = f.take(uint(distBits[sym])); err != nil {
		return err
	}
	dist := int(distBase[sym]) + extra
	if int64(dist) > f.out {
		return errDeflate
	}
	from := f.wp - dist
	for range length {
		f.win[f.wp&(winSize-1)] = f.win[from&(winSize-1)]
		f.wp++
		from++
	}
	f.wp &= winSize - 1
	f.out += int64(length)
	return nil
}

// huffman decodes the symbols of one alphabet. Codes of up to fastBits bits
// are found in a table by the bits at hand, longer ones by counting.
type huffman struct {
	fast  [1 << fastBits]uint16 // symbol<<4 | length, 0 for longer codes
	count [maxCode + 1]uint16   // codes of each length
	syms  [288]uint16           // symbols in order of their codes
}

const (
	fastBits = 10
	maxCode  = 15
)

// build makes the table of an alphabet from the lengths of its codes.
func (h *huffman) build(lengths []uint8) error {
	h.count = [maxCode + 1]uint16{}
	for _, l := range lengths {
		h.count[l]++
	}
	h.count[0] = 0
	left := 1
	var offset, code [maxCode + 2]uint16
	for l := 1; l <= maxCode; l++ {
		if left = left<<1 - int(h.count[l]); left < 0 {
			return errDeflate // more codes than there can be
		}
		offset[l+1] = offset[l] + h.count[l]
		code[l+1] = (code[l] + h.count[l]) << 1
	}
	clear(h.fast[:])
	for sym, l := range lengths {
		if l == 0 {
			continue
		}
		h.syms[offset[l]] = uint16(sym)
		offset[l]++
		c := code[l]
		code[l]++
		if l > fastBits {
			continue
		}
		// Codes come with their first bit lowest.
		first := bits.Reverse16(c) >> (16 - l)
		for i := uint(first); i < 1<<fastBits; i += 1 << l {
			h.fast[i] = uint16(sym)<<4 | uint16(l)
		}
	}
	return nil
}

func (f *inflater) symbol(h *huffman) (int, error) {
	f.more()
	if e := h.fast[f.acc&(1<<fastBits-1)]; e != 0 && uint(e&15) <= f.n {
		f.drop(uint(e & 15))
		return int(e >> 4), nil
	}
	code, first, index := 0, 0, 0
	for l := 1; l <= maxCode; l++ {
		bit, err := f.take(1)
		if err != nil {
			return 0, err
		}
		code |= bit
		count := int(h.count[l])
		if code-count < first {
			return int(h.syms[index+code-first]), nil
		}
		index += count
		first = (first + count) << 1
		code <<= 1
	}
	return 0, errDeflate
}

func (f *inflater) useFixed() {
	if f.fixed {
		return
	}
	var lengths [288]uint8
	for i := range lengths {
		switch {
		case i < 144, i > 279:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		default:
			lengths[i] = 7
		}
	}
	_ = f.lit.build(lengths[:])
	for i := range 30 {
		lengths[i] = 5
	}
	_ = f.dist.build(lengths[:30])
	f.fixed = true
}

// lengthOrder is the order in which the lengths of the codes for lengths come.
var lengthOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamic reads the codes of a block that brings its own.
func (f *inflater) dynamic() error {
	f.fixed = false
	v, err := f.take(14)
	if err != nil {
		return err
	}
	nlit, ndist, nlen := v&31+257, v>>5&31+1, v>>10+4
	if nlit > 286 || ndist > 30 {
		return errDeflate
	}
	var lengths [286 + 30]uint8
	for i := range nlen {
		l, err := f.take(3)
		if err != nil {
			return err
		}
		lengths[lengthOrder[i]] = uint8(l)
	}
	if err := f.lit.build(lengths[:19]); err != nil {
		return err
	}
	if err := f.codeLengths(lengths[:nlit+ndist]); err != nil {
		return err
	}
	if lengths[endOfBlock] == 0 {
		return errDeflate
	}
	if err := f.dist.build(lengths[nlit : nlit+ndist]); err != nil {
		return err
	}
	return f.lit.build(lengths[:nlit])
}

// codeLengths reads lengths that are themselves coded, by f.lit, with runs.
func (f *inflater) codeLengths(lengths []uint8) error {
	clear(lengths)
	for i := 0; i < len(lengths); {
		sym, err := f.symbol(&f.lit)
		if err != nil {
			return err
		}
		if sym < 16 {
			lengths[i] = uint8(sym)
			i++
			continue
		}
		var value uint8
		run, least := uint(2), 3
		switch sym {
		case 16:
			if i == 0 {
				return errDeflate
			}
			value = lengths[i-1]
		case 17:
			run = 3
		default:
			run, least = 7, 11
		}
		extra, err := f.take(run)
		if err != nil {
			return err
		}
		if i+least+extra > len(lengths) {
			return errDeflate
		}
		for range least + extra {
			lengths[i] = value
			i++
		}
	}
	return nil
}
