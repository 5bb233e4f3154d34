package rule

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"
)

// Position is a place in a file. Line and Column count from 1, columns in
// bytes; Column 0 means that only the line is known, Line 0 the whole file.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column,omitempty"`
}

// content is the text of a file with what is needed to find places in it.
type content struct {
	name   string
	data   string
	lines  []int // where each line starts, as the YAML parser counts lines
	starts []int // where each line starts, as editors do: after an LF
}

func newContent(name string, data []byte) *content {
	c := &content{name: name, data: string(bytes.TrimPrefix(data, []byte("\uFEFF"))), lines: []int{0}, starts: []int{0}}
	for i := 0; i < len(c.data); {
		n := lineBreak(c.data[i:])
		if n == 0 {
			i++
			continue
		}
		i += n
		c.lines = append(c.lines, i)
		if c.data[i-1] == '\n' {
			c.starts = append(c.starts, i)
		}
	}
	return c
}

// lineBreak returns the length of the line break at the start of s, 0 if
// there is none. YAML also breaks lines at NEL, LS and PS.
func lineBreak(s string) int {
	switch {
	case s[0] == '\n', s[0] == '\r' && (len(s) == 1 || s[1] != '\n'):
		return 1
	case s[0] == '\r', len(s) > 1 && s[:2] == "\u0085":
		return 2
	case len(s) > 2 && (s[:3] == "\u2028" || s[:3] == "\u2029"):
		return 3
	}
	return 0
}

// offset translates the YAML parser's line and column, which count from 1 and
// the latter in characters, to a byte offset.
func (c *content) offset(line, column int) int {
	if line < 1 {
		return 0
	}
	if line > len(c.lines) {
		return len(c.data)
	}
	i := c.lines[line-1]
	for ; column > 1 && i < len(c.data); column-- {
		_, n := utf8.DecodeRuneInString(c.data[i:])
		i += n
	}
	return i
}

// place returns line and column of a byte offset, both from 0, as an editor
// counts lines and with the column in bytes.
func (c *content) place(offset int) (line, column int) {
	offset = min(max(offset, 0), len(c.data))
	n, found := slices.BinarySearch(c.starts, offset)
	if !found {
		n--
	}
	return n, offset - c.starts[n]
}

// position is place as people count.
func (c *content) position(offset int) Position {
	line, column := c.place(offset)
	return Position{c.name, line + 1, column + 1}
}

// line returns the text of a line, which counts from 1.
func (c *content) line(n int) string {
	if n < 1 || n > len(c.starts) {
		return ""
	}
	s, _, _ := strings.Cut(c.data[c.starts[n-1]:], "\n")
	return strings.TrimSuffix(s, "\r")
}
