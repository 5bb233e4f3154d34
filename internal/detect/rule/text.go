package rule

import (
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

// add appends a text.
func (t *text) add(o text) {
	for _, sp := range o.spans {
		sp.at += len(t.s)
		t.spans = append(t.spans, sp)
	}
	t.s += o.s
}

// addString appends a string that stands for a scalar without being in it.
func (t *text) addString(s string, from *scalar) {
	t.spans = append(t.spans, span{at: len(t.s), from: from, fixed: true})
	t.s += s
}

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
	if len(t.spans) == 0 {
		return nil, 0
	}
	sp := t.spans[t.spanAt(i)]
	switch {
	case sp.from == nil:
		return nil, 0
	case sp.fixed:
		return sp.from.file, sp.from.locate(sp.off)
	}
	return sp.from.file, sp.from.locate(sp.off + i - sp.at)
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

// substitute replaces every bounded occurrence of name by the joined items,
// wherever it stands, and reports whether there was one. Blanks around the
// name become one on each side; without items a comma beside it goes as well.
func (t text) substitute(name string, items []string) (text, bool) {
	used := false
	for i := 0; name != ""; {
		n := strings.Index(t.s[i:], name)
		if n < 0 {
			break
		}
		i += n
		if !bounded(t.s, i, i+len(name)) {
			i++
			continue
		}
		used = true
		t, i = t.replace(i, i+len(name), items)
	}
	return t, used
}

// listWords are the words after which a list is written in parentheses or named.
var listWords = []string{"in", "intersects", "pmatch", "oneof", "anyof", "allof"}

// listExpected reports whether s ends in a word after which a list is named
// without parentheses.
func listExpected(s string) bool {
	s = s[strings.LastIndexAny(s, bounds)+1:]
	return slices.Contains(listWords, s)
}

// replace puts the items in place of [i, j) and returns where to go on.
func (t text) replace(i, j int, items []string) (text, int) {
	from, off := (*scalar)(nil), 0
	if sp := t.spans[t.spanAt(i)]; sp.from != nil {
		from, off = sp.from, sp.off
		if !sp.fixed {
			off += i - sp.at
		}
	}
	for i > 0 && isBlank(t.s[i-1]) {
		i--
	}
	for j < len(t.s) && isBlank(t.s[j]) {
		j++
	}
	if len(items) == 0 {
		if i > 0 && t.s[i-1] == ',' {
			i--
		} else if j < len(t.s) && t.s[j] == ',' {
			j++
		}
	}
	joined := strings.Join(items, ", ")
	if listExpected(t.s[:i]) {
		joined = "(" + joined + ")"
	}
	if i > 0 {
		joined = " " + joined
	}
	out := t.slice(0, i)
	out.spans = append(out.spans, span{at: len(out.s), from: from, off: off, fixed: true})
	out.s += joined + " "
	next := len(out.s)
	out.add(t.slice(j, len(t.s)))
	return out, next
}
