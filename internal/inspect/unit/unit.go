// Package unit prints numbers of bytes and spans of time as the tables of the
// sysdig family show them: short, in the unit that fits.
package unit

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Bytes returns a number of bytes in the largest unit that it is more than one
// of, with two decimals: 12B, 1.50KB, 3.25M. Units are powers of 1024.
func Bytes(n float64) string {
	for _, u := range [...]struct {
		size float64
		name string
	}{{1 << 50, "P"}, {1 << 40, "T"}, {1 << 30, "G"}, {1 << 20, "M"}, {1 << 10, "KB"}} {
		if n > u.size {
			return fmt.Sprintf("%.2f%s", n/u.size, u.name)
		}
	}
	return fmt.Sprintf("%dB", int64(n))
}

// Time returns a span of time in three digits or so: 1.50s, 12ms, 1.25ms, 17us,
// 3.40us, 950ns. What is cut off is not rounded.
func Time(d time.Duration) string {
	whole := func(unit time.Duration, name string) string { return fmt.Sprintf("%d%s", d/unit, name) }
	decimals := func(unit time.Duration, name string) string {
		return fmt.Sprintf("%d.%02d%s", d/unit, d%unit/(unit/100), name)
	}
	switch {
	case d >= time.Second:
		return decimals(time.Second, "s")
	case d >= 10*time.Millisecond:
		return whole(time.Millisecond, "ms")
	case d >= time.Millisecond:
		return decimals(time.Millisecond, "ms")
	case d >= 10*time.Microsecond:
		return whole(time.Microsecond, "us")
	case d >= time.Microsecond:
		return decimals(time.Microsecond, "us")
	}
	return whole(time.Nanosecond, "ns")
}

// Cut returns at most so many bytes of a text. No character is cut in two.
func Cut(text string, width int) string {
	if len(text) <= width {
		return text
	}
	for width > 0 && !utf8.RuneStart(text[width]) {
		width--
	}
	return text[:width]
}

// Cell returns text as wide as a column of so many bytes: padded with blanks, or
// cut, with a blank at the end.
func Cell(text string, width int) string {
	if len(text) >= width {
		text = Cut(text, width-1)
	}
	return text + strings.Repeat(" ", width-len(text))
}
