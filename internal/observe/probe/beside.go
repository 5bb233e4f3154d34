package probe

import (
	"bytes"
	"encoding/binary"
	"strings"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

// A record of a ring is an event, alone in most cases. What is known beside it
// follows: bytes, and a tail that says what they are (struct beside_tail in
// bpf/record.h). Nothing of that is in a capture file but the latency.
const tailSize = 16

// splitRecord returns the event of a record and what is beside it.
func splitRecord(rec []byte) (ev []byte, tail bpfBesideTail, extra []byte) {
	if len(rec) < event.HeaderSize {
		return rec, tail, nil
	}
	n := int(binary.LittleEndian.Uint32(rec[16:]))
	if n < 0 || len(rec)-tailSize < n {
		return rec, tail, nil
	}
	end := len(rec) - tailSize
	tail = bpfBesideTail{
		Latency: binary.LittleEndian.Uint64(rec[end:]),
		Kill:    binary.LittleEndian.Uint32(rec[end+8:]),
		Bytes:   binary.LittleEndian.Uint16(rec[end+12:]),
		Kind:    binary.LittleEndian.Uint16(rec[end+14:]),
	}
	tail.Bytes = min(tail.Bytes, uint16(end-n))
	return rec[:n], tail, rec[n : n+int(tail.Bytes)]
}

// beside makes sure that the argument of an event is what the kernel has used.
type beside struct {
	buf    []byte // of an event that was made anew
	second []byte // an event that comes next
	links  links
}

// again returns the event that the last one was split off, nil if there is none.
func (b *beside) again() []byte {
	rec := b.second
	b.second = nil
	return rec
}

// settle looks at what is beside the event and makes ev the event that is told.
func (b *beside) settle(ev *event.Event, tail bpfBesideTail, extra []byte) error {
	ev.Latency = tail.Latency
	switch bpfBeside(tail.Kind) {
	case bpfBesideBESIDE_PATH:
		if name := argumentOf(ev); name != "" && len(extra) > 1 && extra[0] == '/' && !b.links.lead(ev, name, string(extra)) {
			b.buf = appendReplaced(b.buf[:0], ev, unix.AF_UNIX, append(bytes.Clone(extra), 0))
			return ev.Reset(b.buf)
		}
	case bpfBesideBESIDE_SAMPLE:
		family, value := unix.AF_UNIX, extra
		if ev.Type() == event.SOCKET_CONNECT_X {
			family, value = addressOf(extra)
			if value == nil || bytes.Equal(ev.Param(3), append([]byte{byte(family)}, value...)) {
				return nil
			}
		} else if bytes.Equal(ev.Param(int(arguments[ev.Type()].param)), extra) {
			return nil
		}
		b.second = appendReplaced(nil, ev, family, value)
	}
	return nil
}

// argumentOf returns the name that an event has as its argument, of a connect the path of the socket.
func argumentOf(ev *event.Event) string {
	raw := ev.Param(int(arguments[ev.Type()].param))
	if ev.Type() == event.SOCKET_CONNECT_X && len(raw) > 0 {
		raw = raw[1:]
	}
	return strings.TrimSuffix(string(raw), "\x00")
}

// appendReplaced appends the event with another argument: a string with its NUL, or the address of a connect
// without its family.
func appendReplaced(b []byte, ev *event.Event, family int, value []byte) []byte {
	values := make([]any, ev.NumParams())
	for i := range values {
		values[i] = ev.Param(i)
	}
	values[arguments[ev.Type()].param] = value
	if ev.Type() == event.SOCKET_CONNECT_X {
		values[3] = append([]byte{byte(family)}, value...)
		values[1] = replacedEnd(ev.Param(1), family, value)
	}
	out, err := event.Append(b, ev.Time(), ev.TID(), ev.Type(), values...)
	if err != nil {
		return append(b, ev.Bytes()...) // only a value that is too long, which none of these is
	}
	return out
}

// replacedEnd returns an outbound tuple with another remote end, if the family fits.
func replacedEnd(tuple []byte, family int, value []byte) []byte {
	at := map[int]int{unix.AF_INET: 7, unix.AF_INET6: 19, unix.AF_UNIX: 17}[family]
	if len(tuple) == 0 || int(tuple[0]) != family || at > len(tuple) {
		return tuple
	}
	return append(bytes.Clone(tuple[:at]), value...)
}

// addressOf returns a struct sockaddr as events have it, less the family; nil for families that they do not have.
func addressOf(raw []byte) (family int, value []byte) {
	if len(raw) < 2 {
		return 0, nil
	}
	family = int(binary.NativeEndian.Uint16(raw))
	port := func() []byte { return []byte{raw[3], raw[2]} }
	switch {
	case family == unix.AF_INET && len(raw) >= 8:
		return family, append(bytes.Clone(raw[4:8]), port()...)
	case family == unix.AF_INET6 && len(raw) >= 24:
		return family, append(bytes.Clone(raw[8:24]), port()...)
	case family == unix.AF_UNIX:
		path := raw[2:min(len(raw), 2+108)]
		if len(path) > 1 && path[0] == 0 {
			path = append([]byte{'@'}, path[1:]...)
		}
		if end := bytes.IndexByte(path, 0); end >= 0 {
			path = path[:end]
		}
		return family, append(bytes.Clone(path), 0)
	}
	return family, nil
}
