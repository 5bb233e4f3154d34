package event

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unsafe"
)

// Sizes of the layout, in bytes.
const (
	HeaderSize   = 26 // u64 ts, u64 tid, u32 len, u16 type, u32 nparams
	HeaderSizeV1 = 22 // the same without nparams
	MaxParams    = 32
	MaxParamSize = math.MaxUint16 // of types without LargePayload
)

// ErrMalformed is wrapped by the errors of [Event.Reset].
var ErrMalformed = errors.New("malformed event")

// Event is a view over one event in the .scap v2 layout, little-endian and
// packed:
//
//	u64 ts (ns since the epoch), u64 tid, u32 len, u16 type, u32 nparams,
//	nparams × u16 length (u32 if the type has LargePayload), values back to back
//
// The zero Event is empty; Reset points it at bytes. Strings and slices that
// its methods return point into those bytes.
type Event struct {
	// Num is the number of the event in its stream, from 1.
	Num uint64
	// CPU is the processor it happened on.
	CPU uint16
	// Latency is the time in ns from the entry of a system call to its return,
	// 0 if it is not known. Like Num and CPU it is beside the bytes.
	Latency uint64
	// Hidden marks an event that changes state but is not to be shown, judged or counted.
	Hidden bool

	info *Info
	buf  []byte
	n    uint32
	off  [MaxParams + 1]uint32
}

// Reset makes e a view of the event at the start of buf, which stays the
// caller's. It checks that header, lengths and values fit into buf and that
// the type is known; errors wrap ErrMalformed. Num, CPU, Latency and Hidden are
// left alone. Parameters over those of the type's table are ignored.
func (e *Event) Reset(buf []byte) error {
	if len(buf) < HeaderSize {
		return fmt.Errorf("%w: %d bytes are less than a header", ErrMalformed, len(buf))
	}
	size := binary.LittleEndian.Uint32(buf[16:])
	typ := Type(binary.LittleEndian.Uint16(buf[20:]))
	n := binary.LittleEndian.Uint32(buf[22:])
	info := typ.Info()
	switch {
	case info == nil:
		return fmt.Errorf("%w: unknown type %d", ErrMalformed, typ)
	case uint64(size) > uint64(len(buf)):
		return fmt.Errorf("%w: %s says %d bytes, %d are there", ErrMalformed, info.Enum, size, len(buf))
	}
	width := uint32(2)
	if info.Flags&LargePayload != 0 {
		width = 4
	}
	if uint64(n)*uint64(width)+HeaderSize > uint64(size) {
		return fmt.Errorf("%w: %s with %d parameters does not fit %d bytes", ErrMalformed, info.Enum, n, size)
	}
	lens, pos := buf[HeaderSize:], HeaderSize+n*width
	n = min(n, uint32(len(info.Params)))
	for i := range n {
		e.off[i] = pos
		var l uint32
		if width == 2 {
			l = uint32(binary.LittleEndian.Uint16(lens[i*2:]))
		} else {
			l = binary.LittleEndian.Uint32(lens[i*4:])
		}
		if uint64(pos)+uint64(l) > uint64(size) {
			return fmt.Errorf("%w: %s parameter %s does not fit", ErrMalformed, info.Enum, info.Params[i].Name)
		}
		pos += l
	}
	e.off[n] = pos
	e.info, e.buf, e.n = info, buf[:size], n
	return nil
}

// Bytes returns the whole event as it is laid out.
func (e *Event) Bytes() []byte { return e.buf }

// Info returns the description of the event's type.
func (e *Event) Info() *Info { return e.info }

// Type returns the event's type.
func (e *Event) Type() Type { return e.info.Type }

// Time returns the event's time in ns since the epoch.
func (e *Event) Time() uint64 { return binary.LittleEndian.Uint64(e.buf) }

// SetTime changes the event's time, in the bytes that the event stands on.
func (e *Event) SetTime(ns uint64) { binary.LittleEndian.PutUint64(e.buf, ns) }

// TID returns the id of the thread that caused the event, -1 if none did.
func (e *Event) TID() int64 { return int64(binary.LittleEndian.Uint64(e.buf[8:])) }

// NumParams returns how many parameters the event has, at most as many as its type's table.
func (e *Event) NumParams() int { return int(e.n) }

// Param returns the bytes of parameter i; empty means not available. An index
// beyond the last parameter gives nil.
func (e *Event) Param(i int) []byte {
	if uint(i) >= uint(e.n) {
		return nil
	}
	return e.buf[e.off[i]:e.off[i+1]:e.off[i+1]]
}

// Uint returns parameter i read as an unsigned number of up to 8 bytes, by its
// stored width. It reports false if the parameter is empty or wider.
func (e *Event) Uint(i int) (uint64, bool) { return Uint(e.Param(i)) }

// Int is Uint with sign extension from the stored width.
func (e *Event) Int(i int) (int64, bool) { return Int(e.Param(i)) }

// Str returns the string in parameter i without its NUL. It reports false for
// a null string: no bytes, or the text (NULL).
func (e *Event) Str(i int) (string, bool) {
	p := e.Param(i)
	if len(p) == 0 || string(p) == "(NULL)\x00" {
		return "", false
	}
	return CString(p), true
}

// Result returns the result of an exit event: its first parameter if that is
// a number with the meaning of a result (res or fd), as a negative errno on
// failure.
func (e *Event) Result() (int64, bool) {
	if e.info.Type.IsEnter() || len(e.info.Params) == 0 {
		return 0, false
	}
	switch p := &e.info.Params[0]; p.Name {
	case "res", "fd":
		return e.Int(0)
	}
	return 0, false
}

// Uint reads 1, 2, 4 or 8 little-endian bytes as an unsigned number.
func Uint(b []byte) (uint64, bool) {
	switch len(b) {
	case 8:
		return binary.LittleEndian.Uint64(b), true
	case 4:
		return uint64(binary.LittleEndian.Uint32(b)), true
	case 2:
		return uint64(binary.LittleEndian.Uint16(b)), true
	case 1:
		return uint64(b[0]), true
	}
	return 0, false
}

// Int reads 1, 2, 4 or 8 little-endian bytes as a signed number.
func Int(b []byte) (int64, bool) {
	switch len(b) {
	case 8:
		return int64(binary.LittleEndian.Uint64(b)), true
	case 4:
		return int64(int32(binary.LittleEndian.Uint32(b))), true
	case 2:
		return int64(int16(binary.LittleEndian.Uint16(b))), true
	case 1:
		return int64(int8(b[0])), true
	}
	return 0, false
}

// CString returns the bytes of b up to the first NUL as a string that shares b's memory.
func CString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			b = b[:i]
			break
		}
	}
	return String(b)
}

// String returns b as a string that shares b's memory: it changes when b does
// and must be cloned to be kept.
func String(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
