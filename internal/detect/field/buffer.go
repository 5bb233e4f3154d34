package field

import (
	"encoding/base64"
	"strings"
	"unsafe"
)

// BufferFormat says how data buffers become text.
type BufferFormat uint8

// The formats of data buffers.
const (
	BufferDots        BufferFormat = iota // one character per byte, '.' for what is not printable
	BufferLines                           // printable text with its line ends, after a newline
	BufferLinesInline                     // the same without the newline in front
	BufferHex                             // rows of 16 bytes
	BufferHexASCII                        // the same with their characters
	BufferBase64
)

// appendBuffer appends a data buffer in the style's format.
func (s *Style) appendBuffer(b []byte, data string) []byte {
	switch s.Buffer {
	case BufferLines:
		// The newline in front stands for one that the data begins with.
		return appendLines(append(b, '\n'), strings.TrimPrefix(data, "\n"))
	case BufferLinesInline:
		return appendLines(b, data)
	case BufferHex:
		return appendHexRows(b, data, false)
	case BufferHexASCII:
		return appendHexRows(b, data, true)
	case BufferBase64:
		return base64.StdEncoding.AppendEncode(b, unsafe.Slice(unsafe.StringData(data), len(data)))
	}
	if s.Limit > 0 && len(data) > s.Limit {
		b = appendDots(b, data[:max(s.Limit-3, 0)])
		return append(b, "..."...)
	}
	return appendDots(b, data)
}

// multiline reports whether buffers are printed on lines of their own.
func (s *Style) multiline() bool {
	return s.Buffer == BufferLines || s.Buffer == BufferLinesInline || s.Buffer == BufferHex || s.Buffer == BufferHexASCII
}

func printableByte(c byte) bool { return c >= 0x20 && c < 0x7f }

func appendDots(b []byte, data string) []byte {
	for i := range len(data) {
		c := data[i]
		if !printableByte(c) {
			c = '.'
		}
		b = append(b, c)
	}
	return b
}

// appendLines keeps printable bytes and line ends: CR and CR LF become LF.
func appendLines(b []byte, data string) []byte {
	for i := range len(data) {
		switch c := data[i]; {
		case printableByte(c):
			b = append(b, c)
		case c == '\r', c == '\n' && (i == 0 || data[i-1] != '\r'):
			b = append(b, '\n')
		}
	}
	return b
}

const hexDigits = "0123456789abcdef"

func appendHexRows(b []byte, data string, ascii bool) []byte {
	const row = 16
	for from := 0; from < len(data); from += row {
		b = append(b, "\n\t0x"...)
		for shift := 12; shift >= 0; shift -= 4 {
			b = append(b, hexDigits[from>>shift&15])
		}
		b = append(b, ':')
		end := min(from+row, len(data))
		for i := from; i < end; i++ {
			if (i-from)%2 == 0 {
				b = append(b, ' ')
			}
			b = append(b, hexDigits[data[i]>>4], hexDigits[data[i]&15])
		}
		if !ascii {
			continue
		}
		// The other half of a pair that has one byte only is not padded: the
		// tools' text is compared with.
		for i := end + end%2; i < from+row; i++ {
			b = append(b, "   "[i%2:]...) // as wide as the byte that is not there
		}
		b = appendDots(append(b, "  "...), data[from:end])
	}
	return append(b, '\n')
}
