package capture

import "encoding/binary"

// Options behind the event in its block hold what the format has no place for:
// u16 code, u16 length, mark, value, padding; after the last one follow four
// zero bytes. Codes from 0x8000 on are for local use, so the mark tells ours
// from another's. Other readers skip them.
const (
	optionEvent   = 0x8A6E // the event itself, in a form that older readers do not know
	optionLatency = 0x8A6F // u64: ns from the call's entry to its return
	optionMark    = "rollcage"
	optionHeader  = 4
)

// options are those of one event. What it points to is the block's.
type options struct {
	event   []byte // nil if there is none
	latency uint64
}

// appendOption appends an option; endOptions must follow the last one.
func appendOption(b []byte, code uint16, value []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, code)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(optionMark)+len(value)))
	b = append(append(b, optionMark...), value...)
	return append(b, zeroes[:padding(len(optionMark)+len(value))]...)
}

func endOptions(b []byte) []byte { return append(b, zeroes[:optionHeader]...) }

// readOptions reads the options at the start of b. What makes no sense is as
// if it was not there.
func readOptions(b []byte) (o options) {
	for len(b) >= optionHeader {
		code, n := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		b = b[optionHeader:]
		if code == 0 || n > len(b) {
			break
		}
		if v := b[:n]; n > len(optionMark) && string(v[:len(optionMark)]) == optionMark {
			v = v[len(optionMark):]
			switch {
			case code == optionEvent && o.event == nil:
				o.event = v
			case code == optionLatency && len(v) == 8:
				o.latency = binary.LittleEndian.Uint64(v)
			}
		}
		b = b[min(n+padding(n), len(b)):]
	}
	return o
}
