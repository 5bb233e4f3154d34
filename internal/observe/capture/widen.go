package capture

import (
	"encoding/binary"

	"rollcage/internal/observe/event"
)

// widen turns the event of version 1 at b[at:] into one of version 2, which has
// the number of parameters in its header. It moves the header four bytes to
// the front, over what is before it, and returns where it starts then.
func widen(b []byte, at int) (int, error) {
	le, v1 := binary.LittleEndian, b[at:]
	size, typ := int64(le.Uint32(v1[16:])), event.Type(le.Uint16(v1[20:]))
	if typ == event.NOTIFICATION_E || typ == event.INFRASTRUCTURE_EVENT_E {
		size -= 3 // their producers counted wrong
	}
	if size < event.HeaderSizeV1 || size > int64(len(v1)) {
		return 0, malformed("%s says %d bytes, %d are there", typ, size, len(v1))
	}
	n, err := countParams(typ, v1[event.HeaderSizeV1:size])
	if err != nil {
		return 0, err
	}
	at -= 4
	copy(b[at:], v1[:event.HeaderSizeV1])
	le.PutUint32(b[at+16:], uint32(size+4))
	le.PutUint32(b[at+event.HeaderSizeV1:], uint32(n))
	return at, nil
}

// countParams finds out how many parameters an event of version 1 has: the
// most, up to those of the type's table, whose lengths and values fill b.
func countParams(typ event.Type, b []byte) (int, error) {
	n, fill := 0, 0
	for max := min(len(typ.Info().Params), len(b)/2); n < max; n++ {
		fill += 2 + int(binary.LittleEndian.Uint16(b[2*n:]))
	}
	for fill > len(b) {
		n--
		fill -= 2 + int(binary.LittleEndian.Uint16(b[2*n:]))
	}
	if fill != len(b) {
		return 0, malformed("cannot tell the number of parameters of %s with %d bytes of them", typ, len(b))
	}
	return n, nil
}
