package rule

import (
	"fmt"
	"strings"
)

// Location is one level of where a problem is, as Falco's tools report it:
// lines, columns and offsets count from 0.
type Location struct {
	ItemType string   `json:"item_type"`
	ItemName string   `json:"item_name"`
	Position position `json:"position"`
}

type position struct {
	Name   string `json:"name"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Offset int    `json:"offset"`
}

// The words for the levels.
const (
	kindValue          = "value for"
	kindExceptions     = "exceptions"
	kindException      = "exception"
	kindExValues       = "exception values"
	kindExValue        = "exception value"
	kindContent        = "rules content"
	kindContentItem    = "rules content item"
	kindEngineVersion  = "required_engine_version"
	kindPluginVersions = "required plugin versions"
	kindPluginEntry    = "required plugin versions entry"
	kindPluginAlt      = "required plugin versions alternative"
	kindList           = "list"
	kindListItem       = "list item"
	kindMacro          = "macro"
	kindMacroCondition = "macro condition"
	kindRule           = "rule"
	kindRuleCondition  = "rule condition"
	kindExpression     = "condition expression"
	kindOutput         = "rule output"
	kindOutputExpr     = "rule output expression"
	kindPriority       = "rule priority"
	kindOverrides      = "overrides"
)

// where is a place in a rules file and the levels around it.
type where struct {
	parent *where
	kind   string
	name   string
	file   *content
	offset int // in the file
	// expr is set for a place inside a condition or output, after lists and
	// exceptions were put in; index is the byte in it.
	expr  *text
	index int
}

// top is the outermost level of a file.
func top(file *content) *where { return &where{kind: kindContent, file: file} }

// at returns a level below w.
func (w *where) at(kind, name string, s *scalar) *where {
	return &where{parent: w, kind: kind, name: name, file: s.file, offset: s.offset()}
}

// in returns the level of byte index of an expression below w.
func (w *where) in(kind string, expr text, index int) *where {
	return &where{parent: w, kind: kind, file: w.file, offset: w.offset, expr: &expr, index: min(index, len(expr.s))}
}

// exact returns the file and the offset that w is about.
func (w *where) exact() (*content, int) {
	if w.expr != nil {
		if file, offset := w.expr.locate(w.index); file != nil {
			return file, offset
		}
	}
	return w.file, w.offset
}

// location is w as Falco reports it: a place in an expression is added to that of its parent.
func (w *where) location() Location {
	line, column := w.file.place(w.offset)
	l := Location{ItemType: w.kind, ItemName: w.name, Position: position{w.file.name, line, column, w.offset}}
	if w.expr != nil {
		line, column := exprPlace(w.expr.s, w.index)
		l.Position.Name = exprName(w.expr.s)
		l.Position.Line += line
		l.Position.Column += column
		l.Position.Offset += w.index
	}
	return l
}

func (w *where) locations() []Location {
	if w == nil {
		return []Location{}
	}
	return append(w.parent.locations(), w.location())
}

// exprPlace returns line and column of a byte in an expression as the filter
// language counts: from 1, a CR or LF ends a line.
func exprPlace(s string, index int) (line, column int) {
	line, column = 1, 1
	for _, c := range []byte(s[:index]) {
		if c == '\n' || c == '\r' {
			line, column = line+1, 1
		} else {
			column++
		}
	}
	return line, column
}

// exprName names an expression by its first 20 characters.
func exprName(s string) string {
	if r := []rune(s); len(r) > 20 {
		s = string(r[:17]) + "..."
	}
	return `"` + strings.NewReplacer("\n", " ", "\r", " ").Replace(s) + `"`
}

// String renders the levels, outermost first, one per line.
func (w *where) String() string {
	var b strings.Builder
	for i, l := range w.locations() {
		b.WriteString([]string{"In ", "    "}[min(i, 1)] + l.ItemType)
		if l.ItemName != "" {
			b.WriteString(" '" + l.ItemName + "'")
		}
		fmt.Fprintf(&b, ": (%s:%d:%d)\n", l.Position.Name, l.Position.Line, l.Position.Column)
	}
	return b.String()
}

// snippet returns the line around w, at most 80 bytes to each side, with a
// caret below the place.
func (w *where) snippet() string {
	const width = 80
	s, at := w.file.data, min(w.offset, len(w.file.data))
	if w.expr != nil {
		s, at = w.expr.s, w.index
	}
	// The end of an item may be the start of the next line.
	for at > 0 && (at == len(s) || s[at] == '\n') {
		at--
	}
	from := max(strings.LastIndexByte(s[:at], '\n')+1, at-width)
	to := len(s)
	if n := strings.IndexByte(s[at:], '\n'); n >= 0 {
		to = at + n
	}
	to = min(to, at+width)
	part := strings.TrimRight(s[from:to], "\r")
	if part == "" {
		return "<No context available>\n"
	}
	if at-from == width && len(part) >= 3 {
		part = "..." + part[3:]
	}
	if to-at == width && len(part) >= 3 {
		part = part[:len(part)-3] + "..."
	}
	return part + "\n" + strings.Repeat(" ", at-from) + "^\n"
}
