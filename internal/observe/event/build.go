package event

import (
	"encoding/binary"
	"fmt"
)

// Append appends an event of the given type to b and returns the longer slice.
// ts is in ns since the epoch. Each value is one parameter: nil for not
// available, an integer or bool stored in the width of the parameter's type, a
// string stored with a NUL (without one for BYTEBUF), or bytes stored as they
// are. Fewer values than parameters make a shorter event. It is meant for
// tests and for the few events that are made in user space.
func Append(b []byte, ts uint64, tid int64, t Type, values ...any) ([]byte, error) {
	info := t.Info()
	if info == nil {
		return b, fmt.Errorf("no event type %s", t)
	}
	if len(values) > len(info.Params) {
		return b, fmt.Errorf("%s takes at most %d parameters, %d given", t, len(info.Params), len(values))
	}
	start := len(b)
	b = binary.LittleEndian.AppendUint64(b, ts)
	b = binary.LittleEndian.AppendUint64(b, uint64(tid))
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(t))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(values)))
	width := 2
	if info.LargePayload() {
		width = 4
	}
	lens := len(b)
	b = append(b, make([]byte, width*len(values))...)
	for i, v := range values {
		from := len(b)
		var err error
		if b, err = appendValue(b, &info.Params[i], v); err != nil {
			return b[:start], fmt.Errorf("%s parameter %s: %w", t, info.Params[i].Name, err)
		}
		n := len(b) - from
		if width == 4 {
			binary.LittleEndian.PutUint32(b[lens+4*i:], uint32(n))
		} else if n > MaxParamSize {
			return b[:start], fmt.Errorf("%s parameter %s: %d bytes are too many", t, info.Params[i].Name, n)
		} else {
			binary.LittleEndian.PutUint16(b[lens+2*i:], uint16(n))
		}
	}
	binary.LittleEndian.PutUint32(b[start+16:], uint32(len(b)-start))
	return b, nil
}

func appendValue(b []byte, p *ParamInfo, v any) ([]byte, error) {
	var n uint64
	switch v := v.(type) {
	case nil:
		return b, nil
	case []byte:
		return append(b, v...), nil
	case string:
		b = append(b, v...)
		if p.Type != TypeBytebuf {
			b = append(b, 0)
		}
		return b, nil
	case bool:
		if v {
			n = 1
		}
	case int:
		n = uint64(v)
	case int32:
		n = uint64(v)
	case int64:
		n = uint64(v)
	case uint16:
		n = uint64(v)
	case uint32:
		n = uint64(v)
	case uint64:
		n = v
	default:
		return b, fmt.Errorf("cannot store a %T", v)
	}
	switch p.Type.Size() {
	case 1:
		return append(b, byte(n)), nil
	case 2:
		return binary.LittleEndian.AppendUint16(b, uint16(n)), nil
	case 4:
		return binary.LittleEndian.AppendUint32(b, uint32(n)), nil
	case 8:
		return binary.LittleEndian.AppendUint64(b, n), nil
	}
	return b, fmt.Errorf("a number does not fit %s", p.Type)
}
