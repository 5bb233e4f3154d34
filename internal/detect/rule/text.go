package rule

import (
	"bytes"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// scalar is a YAML scalar in a file.
type scalar struct {
	file *content
	node *yaml.Node
}

// offset returns where in the file the scalar starts.
func (s *scalar) offset() int { return s.file.offset(s.node.Line, s.node.Column) }

// locate returns where in the file byte i of the scalar's value is written.
// The value is matched with the file's text word by word, which finds the
// place in plain, quoted, literal and folded scalars alike; where an escape
// sequence makes them differ the scalar's start has to do.
func (s *scalar) locate(i int) int {
	start := s.offset()
	at, src := start, s.file.data
	var escape byte
	switch {
	case s.node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		at += strings.IndexByte(src[at:]+"\n", '\n')
	case s.node.Style&yaml.DoubleQuotedStyle != 0:
		at, escape = at+1, '\\'
	case s.node.Style&yaml.SingleQuotedStyle != 0:
		at, escape = at+1, '\''
	}
	value := s.node.Value
	for n := 0; n <= min(i, len(value)-1); n++ {
		if isBlank(value[n]) && n != i {
			continue
		}
		for at < len(src) && isBlank(src[at]) && !isBlank(value[n]) {
			at++
		}
		if escape != 0 && at < len(src) && src[at] == escape && n != i {
			at++
		}
		switch {
		case n == i:
			return min(at, len(src))
		case at >= len(src) || src[at] != value[n]:
			return start
		}
		at++
	}
	return min(at, len(src))
}

// text is a string put together from scalars that knows where each of its
// bytes comes from.
type text struct {
	s     string
	spans []span // in order; the first starts at 0 unless the text is empty
}

// span says where the bytes of a text from at on come from: byte off of a
// scalar's value and those after it, or all from off if fixed.
type span struct {
	at    int
	from  *scalar // nil if nobody wrote them
	off   int
	fixed bool
}

// textOf returns the whole value of a scalar.
func textOf(s *scalar) text {
	return text{s.node.Value, []span{{from: s}}}
}

// builder puts a text together.
type builder struct {
	b     []byte
	spans []span
}

// add appends a text.
func (b *builder) add(t text) {
	for _, sp := range t.spans {
		sp.at += len(b.b)
		b.spans = append(b.spans, sp)
	}
	b.b = append(b.b, t.s...)
}

// addString appends a string that stands for byte off of a scalar without being in it.
func (b *builder) addString(s string, from *scalar, off int) {
	b.spans = append(b.spans, span{at: len(b.b), from: from, off: off, fixed: true})
	b.b = append(b.b, s...)
}

// generated appends a string that nobody wrote.
func (b *builder) generated(s string) { b.addString(s, nil, 0) }

// cut takes bytes off the end.
func (b *builder) cut(n int) {
	b.b = b.b[:len(b.b)-n]
	for len(b.spans) > 0 && b.spans[len(b.spans)-1].at >= len(b.b) {
		b.spans = b.spans[:len(b.spans)-1]
	}
}

func (b *builder) endsIn(accept func(c byte) bool) bool {
	return len(b.b) > 0 && accept(b.b[len(b.b)-1])
}

func (b *builder) text() text { return text{string(b.b), b.spans} }

// slice returns the part [i, j) of the text.
func (t text) slice(i, j int) text {
	out := text{s: t.s[i:j]}
	if i == j {
		return out
	}
	first := t.spanAt(i)
	for n, sp := range t.spans[first:] {
		if sp.at >= j {
			break
		}
		if n == 0 {
			if !sp.fixed {
				sp.off += i - sp.at
			}
			sp.at = i
		}
		sp.at -= i
		out.spans = append(out.spans, sp)
	}
	return out
}

// spanAt returns the index of the span that byte i belongs to, 0 if there are none.
func (t text) spanAt(i int) int {
	n, found := slices.BinarySearchFunc(t.spans, i, func(sp span, i int) int { return sp.at - i })
	if !found && n > 0 {
		n--
	}
	return n
}

// trim returns the text without blanks at both ends.
func (t text) trim() text {
	s := strings.TrimLeft(t.s, blanks)
	start := len(t.s) - len(s)
	return t.slice(start, start+len(strings.TrimRight(s, blanks)))
}

// locate returns the file and offset in it that byte i comes from, or nil.
func (t text) locate(i int) (*content, int) {
	from, off := t.origin(i)
	if from == nil {
		return nil, 0
	}
	return from.file, from.locate(off)
}

const (
	blanks = " \t\n\r"
	bounds = blanks + "(),=" // what the name of a list stands between
)

func isBlank(c byte) bool { return strings.IndexByte(blanks, c) >= 0 }

// bounded reports whether the word at [i, j) of s stands alone: where a list
// is looked for by its name.
func bounded(s string, i, j int) bool {
	return (i == 0 || strings.IndexByte(bounds, s[i-1]) >= 0) && (j == len(s) || strings.IndexByte(bounds, s[j]) >= 0)
}

// maxExpanded is how long a condition may be, in bytes, once its lists are put in.
const maxExpanded = 1 << 20

// substitute replaces every bounded occurrence of name by the joined items,
// wherever it stands, and reports whether there was one. Blanks around the
// name become one on each side; without items a comma beside it goes as well.
// It stops when the text gets longer than maxExpanded.
func (t text) substitute(name string, items []string) (text, bool) {
	if !strings.Contains(t.s, name) { // most conditions name few of the lists
		return t, false
	}
	joined := strings.Join(items, ", ")
	var out builder
	last := 0
	for i := 0; name != "" && len(out.b) <= maxExpanded; {
		n := strings.Index(t.s[i:], name)
		if n < 0 {
			break
		}
		start, end := i+n, i+n+len(name)
		if i = start + 1; !bounded(t.s, start, end) {
			continue
		}
		out.add(t.slice(last, start))
		for out.endsIn(isBlank) {
			out.cut(1)
		}
		for end < len(t.s) && isBlank(t.s[end]) {
			end++
		}
		if joined == "" {
			if out.endsIn(func(c byte) bool { return c == ',' }) {
				out.cut(1)
			} else if end < len(t.s) && t.s[end] == ',' {
				end++
			}
		}
		from, off := t.origin(start)
		out.addString(surround(joined, out.b), from, off)
		i, last = end, end
	}
	if last == 0 {
		return t, false
	}
	out.add(t.slice(last, len(t.s)))
	return out.text(), true
}

// surround puts blanks around the items of a list that come behind before,
// and parentheses where the list was named without.
func surround(joined string, before []byte) string {
	if listExpected(before) {
		joined = "(" + joined + ")"
	}
	if len(before) > 0 {
		joined = " " + joined
	}
	return joined + " "
}

// origin returns the scalar that byte i comes from and the place in its value.
func (t text) origin(i int) (*scalar, int) {
	if len(t.spans) == 0 {
		return nil, 0
	}
	sp := t.spans[t.spanAt(i)]
	if sp.fixed {
		return sp.from, sp.off
	}
	return sp.from, sp.off + i - sp.at
}

// listWords are the words after which a list is written in parentheses or named.
var listWords = []string{"in", "intersects", "pmatch", "oneof", "anyof", "allof"}

// listExpected reports whether b ends in a word after which a list is named
// without parentheses.
func listExpected(b []byte) bool {
	return slices.Contains(listWords, string(b[bytes.LastIndexAny(b, bounds)+1:]))
}
