package event

import "unicode/utf8"

const replacement = "�"

// AppendPrintable appends s as it is shown to people: valid UTF-8 stays, and
// each control character (C0, DEL, C1), non-character and broken sequence
// becomes one U+FFFD.
func AppendPrintable(b []byte, s string) []byte {
	from := 0
	for i := 0; i < len(s); {
		if c := s[i]; c >= 0x20 && c < 0x7f {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			n = brokenLength(s[i:])
		case !unprintable(r):
			i += n
			continue
		}
		b = append(append(b, s[from:i]...), replacement...)
		i += n
		from = i
	}
	return append(b, s[from:]...)
}

func unprintable(r rune) bool {
	return r < 0x20 || r >= 0x7f && r <= 0x9f || r >= 0xfdd0 && r <= 0xfdef || r&0xfffe == 0xfffe
}

// brokenLength returns the length of the broken sequence that s begins with:
// the longest start of some valid sequence, at least one byte.
func brokenLength(s string) int {
	low, high, want := byte(0x80), byte(0xbf), 0
	switch c := s[0]; {
	case c >= 0xc2 && c <= 0xdf:
		want = 1
	case c >= 0xe0 && c <= 0xef:
		want = 2
		if c == 0xe0 {
			low = 0xa0 // less would be overlong
		} else if c == 0xed {
			high = 0x9f // more would be a surrogate
		}
	case c >= 0xf0 && c <= 0xf4:
		want = 3
		if c == 0xf0 {
			low = 0x90
		} else if c == 0xf4 {
			high = 0x8f // more would be above U+10FFFF
		}
	}
	n := 1
	for ; n <= want && n < len(s) && s[n] >= low && s[n] <= high; n++ {
		low, high = 0x80, 0xbf
	}
	return n
}
