package procfs

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// parseDirents appends the names that are numbers in a buffer of struct
// linux_dirent64 to list: u64 ino, i64 off, u16 reclen, u8 type, name.
func parseDirents(list []int64, b []byte) []int64 {
	const header = 19
	for len(b) >= header {
		size := int(binary.NativeEndian.Uint16(b[16:]))
		if size < header || size > len(b) {
			return list
		}
		name := b[header:size]
		if end := bytes.IndexByte(name, 0); end >= 0 {
			name = name[:end]
		}
		if n, rest := decimal(name); len(rest) == 0 && len(name) > 0 {
			list = append(list, int64(n))
		}
		b = b[size:]
	}
	return list
}

// decimal reads the digits at the start of b and returns the rest. A number
// that does not fit 64 bits becomes the largest.
func decimal(b []byte) (uint64, []byte) {
	var n uint64
	for i, c := range b {
		if c < '0' || c > '9' {
			return n, b[i:]
		}
		if n > (1<<64-1-9)/10 {
			n = 1<<64 - 1
			continue
		}
		n = n*10 + uint64(c-'0')
	}
	return n, nil
}

// signed is decimal with an optional sign in front.
func signed(b []byte) (int64, []byte) {
	if len(b) > 0 && b[0] == '-' {
		n, rest := decimal(b[1:])
		return -int64(n), rest
	}
	n, rest := decimal(b)
	return int64(n), rest
}

// octal reads a number in base 8.
func octal(b []byte) uint64 {
	var n uint64
	for _, c := range b {
		if c < '0' || c > '7' {
			break
		}
		n = n<<3 | uint64(c-'0')
	}
	return n
}

// hex reads the hexadecimal digits at the start of b and returns the rest.
func hex(b []byte) (uint64, []byte) {
	var n uint64
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return n, b[i:]
		}
		n = n<<4 | uint64(c)
	}
	return n, nil
}

// word cuts the next word off b, skipping blanks in front of it.
func word(b []byte) (w, rest []byte) {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for i, c := range b {
		if c == ' ' || c == '\t' || c == '\n' {
			return b[:i], b[i:]
		}
	}
	return b, nil
}

// lastWord returns the last word of a line.
func lastWord(b []byte) []byte {
	b = bytes.TrimRight(b, " \t\n")
	return b[bytes.LastIndexAny(b, " \t")+1:]
}

// line cuts the next line off b.
func line(b []byte) (l, rest []byte) {
	l, rest, _ = bytes.Cut(b, []byte{'\n'})
	return l, rest
}

// List splits NUL-separated text. A last item without NUL counts, and so
// does an empty one. The strings share one copy of b.
func List(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	s := strings.TrimSuffix(string(b), "\x00")
	list := make([]string, 0, strings.Count(s, "\x00")+1)
	for item := range strings.SplitSeq(s, "\x00") {
		list = append(list, item)
	}
	return list
}

// CutPadding removes the empty arguments that a process leaves behind when it
// writes a title over its arguments. A single empty last argument is a real one.
func CutPadding(args []string) []string {
	n := len(args)
	for n > 0 && args[n-1] == "" {
		n--
	}
	if len(args)-n < 2 {
		return args
	}
	return args[:n]
}

// unescape undoes the octal escapes (\040) of mountinfo.
func unescape(b []byte) string {
	if bytes.IndexByte(b, '\\') < 0 {
		return string(b)
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+3 < len(b) && isOctal(b[i+1:i+4]) {
			out = append(out, byte(octal(b[i+1:i+4])))
			i += 3
			continue
		}
		out = append(out, b[i])
	}
	return string(out)
}

func isOctal(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '7' {
			return false
		}
	}
	return true
}

const deletedMark = " (deleted)"

// clip cuts a path to the length that captures allow.
func clip(b []byte) string { return string(b[:min(len(b), MaxPath)]) }
