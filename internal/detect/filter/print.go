package filter

import "strings"

// Print writes a condition in its compiled form: groups of and and or in
// parentheses, macros that were put in replaced by their expressions, values
// quoted where they must be. Parsing the text gives an equal tree again.
func Print(n Node) string { return string(appendNode(nil, n)) }

func appendNode(b []byte, n Node) []byte {
	switch n := n.(type) {
	case *And:
		return appendGroup(b, n.Children, " and ")
	case *Or:
		return appendGroup(b, n.Children, " or ")
	case *Not:
		b = append(b, "not "...)
		if _, twice := behindMacros(n.Child).(*Not); twice {
			b = append(b, '(') // two nots in a row would cancel
			return append(appendNode(b, n.Child), ')')
		}
		return appendNode(b, n.Child)
	case *Ident:
		if n.Expr != nil {
			return appendNode(b, n.Expr)
		}
		return append(b, n.Name...)
	case *Check:
		return appendCheck(b, n)
	case *FieldRef:
		return appendField(b, n)
	case *Call:
		return appendCall(b, n)
	case *Tuple:
		return append(appendArgs(append(b, '('), n.Items), ')')
	case *Value:
		return appendValue(b, n.Text)
	case *List:
		b = append(b, '(')
		for i, v := range n.Values {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = appendValue(b, v.Text)
		}
		return append(b, ')')
	}
	return b
}

// behindMacros returns what the name of a macro stands for, n itself if it is none.
func behindMacros(n Node) Node {
	for {
		i, ok := n.(*Ident)
		if !ok || i.Expr == nil {
			return n
		}
		n = i.Expr
	}
}

func appendGroup(b []byte, kids []Node, word string) []byte {
	b = append(b, '(')
	for i, k := range kids {
		if i > 0 {
			b = append(b, word...)
		}
		b = appendNode(b, k)
	}
	return append(b, ')')
}

func appendCheck(b []byte, c *Check) []byte {
	b = appendNode(b, c.Left)
	b = append(append(b, ' '), c.Op.String()...)
	if c.Modifier != NoModifier {
		b = append(append(b, ' '), c.Modifier.String()...)
	}
	if c.Right == nil {
		return b
	}
	b = append(b, ' ')
	if f, ok := c.Right.(*FieldRef); ok {
		return append(appendField(append(b, "val("...), f), ')')
	}
	return appendNode(b, c.Right)
}

func appendField(b []byte, f *FieldRef) []byte {
	b = append(b, f.Name...)
	if !f.HasArg {
		return b
	}
	b = append(b, '[')
	if f.Arg != "" && fieldArgLen(f.Arg) == len(f.Arg) {
		b = append(b, f.Arg...)
	} else {
		b = appendQuoted(b, f.Arg)
	}
	return append(b, ']')
}

func appendCall(b []byte, c *Call) []byte {
	b = append(append(b, c.Name...), '(')
	b = append(appendArgs(b, c.Args), ')')
	if c.HasArg {
		b = append(append(append(b, '['), c.Arg...), ']')
	}
	return b
}

func appendArgs(b []byte, args []Node) []byte {
	for i, a := range args {
		if i > 0 {
			b = append(b, ", "...)
		}
		if v, ok := a.(*Value); ok && !v.Number {
			b = appendQuoted(b, v.Text)
		} else {
			b = appendNode(b, a)
		}
	}
	return b
}

// appendValue writes a constant, in quotes if it could not be read back without.
func appendValue(b []byte, s string) []byte {
	if bareLen(s) == len(s) && s != "" && !strings.ContainsFunc(s, needsQuotes) {
		return append(b, s...)
	}
	return appendQuoted(b, s)
}

// needsQuotes reports whether a character that may stand in a bare string is
// quoted nevertheless.
func needsQuotes(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' }

// QuoteValue returns a constant as it is written in a condition, in quotes if
// it needs them.
func QuoteValue(s string) string { return string(appendValue(nil, s)) }

func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		case '"':
			b = append(b, `\"`...)
		case '\\':
			if i+1 == len(s) {
				b = append(b, `\ `...) // a backslash right before the quote would take it in
			} else {
				b = append(b, `\\`...)
			}
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
