package filter

import (
	"fmt"
	"strings"
)

// Warning is about something in a condition that is likely not meant.
type Warning struct {
	Msg   string
	Macro string // the macro whose text the position is in, "" for the text itself
	Pos
}

func (c *compiler) warnAt(at Pos, format string, args ...any) {
	c.warnings = append(c.warnings, Warning{fmt.Sprintf(format, args...), c.macro, at})
}

// warn looks for constants that seem to be something else.
func (c *compiler) warn(n *Check, src *source) {
	var values []*Value
	switch r := n.Right.(type) {
	case *Value:
		values = []*Value{r}
	case *List:
		values = r.Values
	}
	if g := groupOf(src.typ); g != groupText && g != groupBytes {
		return
	}
	for _, v := range values {
		switch {
		case c.isField(v.Text):
			c.warnAt(v.At, "'%s' may be a valid field misused as a const string value", v.Text)
		case isCall(v.Text):
			c.warnAt(v.At, "'%s' may be a valid field transformer misused as a const string value", v.Text)
		}
		if n.Op == Regex && plainRegex(v.Text) {
			c.warnAt(v.At, "regex check with '%s' may be optimized with simpler operators such as "+
				"'=', 'contains', 'startswith', 'endswith'", v.Text)
		}
	}
}

// isField reports whether the text reads as a field that exists.
func (c *compiler) isField(text string) bool {
	if _, n := c.sources.schema.Longest(text); n == 0 || n != fieldNameLen(text) {
		return false
	}
	p := &parser{lexer: newLexer(text)}
	n, err := p.field()
	if err != nil || p.rest() != "" {
		return false
	}
	f := n.(*FieldRef)
	_, err = c.sources.schema.Field(f.Name, f.Arg, f.HasArg)
	return err == nil
}

// isCall reports whether the text reads as a transformer with its arguments.
func isCall(text string) bool {
	p := &parser{lexer: newLexer(text)}
	if !p.callAhead() {
		return false
	}
	_, err := p.call()
	return err == nil && p.rest() == ""
}

// UnsafeNA returns the fields of plugins' JSON (ka.…, jevt.…) that the
// condition compares with the text <NA>, which they do not have.
func UnsafeNA(n Node) []string {
	var out []string
	Walk(n, func(n Node) bool {
		c, ok := n.(*Check)
		if !ok {
			return true
		}
		f, ok := c.Left.(*FieldRef)
		if !ok || !strings.HasPrefix(f.Name, "ka.") && !strings.HasPrefix(f.Name, "jevt.") ||
			!ops(Eq, Ne, In, Intersects, PMatch).has(c.Op) {
			return false
		}
		na := false
		Walk(c.Right, func(n Node) bool {
			v, ok := n.(*Value)
			na = na || ok && v.Text == "<NA>"
			return true
		})
		if na {
			out = append(out, Print(f))
		}
		return false
	})
	return out
}
