package filter

import (
	"slices"

	"rollcage/internal/detect/field"
)

// collect returns what pick finds in a condition, each once, in the order of
// the text.
func collect(n Node, pick func(Node) (string, bool)) []string {
	var out []string
	Walk(n, func(n Node) bool {
		if s, ok := pick(n); ok && !slices.Contains(out, s) {
			out = append(out, s)
		}
		return true
	})
	return out
}

// byUse are all operators, those first that are used most.
var byUse = []Op{
	Eq, Ne, In, Contains, StartsWith, EndsWith, IContains, Glob, IGlob, Regex, Lt, Le, Gt, Ge, Exists, PMatch,
	Intersects, BContains, BStartsWith,
}

// OperatorsFor returns the operators that a field can be compared with, as they
// are written, those first that are used most; none for one that can only be printed.
func OperatorsFor(d *field.Def) []string {
	switch {
	case d.Flags&field.PrintOnly != 0:
		return nil
	case d.Flags&field.AtMost != 0:
		return []string{Eq.String()}
	}
	allowed := supported[groupOf(d.Type)]
	if d.Flags&field.List != 0 {
		allowed &= supportedByLists
	}
	var out []string
	for _, op := range byUse {
		if allowed.has(op) {
			out = append(out, op.String())
		}
	}
	return out
}

// UsedFields returns the fields of a condition with their arguments.
func UsedFields(n Node) []string {
	return collect(n, func(n Node) (string, bool) {
		f, ok := n.(*FieldRef)
		if !ok {
			return "", false
		}
		return Print(f), true
	})
}

// UsedOperators returns the operators of a condition.
func UsedOperators(n Node) []string {
	return collect(n, func(n Node) (string, bool) {
		c, ok := n.(*Check)
		if !ok {
			return "", false
		}
		return c.Op.String(), true
	})
}

// UsedTransformers returns the names of the transformers of a condition.
func UsedTransformers(n Node) []string {
	return collect(n, func(n Node) (string, bool) {
		c, ok := n.(*Call)
		if !ok {
			return "", false
		}
		return c.Name, true
	})
}

// UsedNames returns the macros that a condition names itself, and the names
// that stand where a list is expected.
func UsedNames(n Node) (macros, lists []string) {
	Walk(n, func(n Node) bool {
		switch n := n.(type) {
		case *Ident:
			if !slices.Contains(macros, n.Name) {
				macros = append(macros, n.Name)
			}
			return false
		case *Check:
			if i, ok := n.Right.(*Ident); ok && !slices.Contains(lists, i.Name) {
				lists = append(lists, i.Name)
			}
			return false
		}
		return true
	})
	return macros, lists
}

// deprecatedFields are the fields that rules are told not to use.
var deprecatedFields = []string{
	"evt.dir", "evt.latency", "evt.latency.s", "evt.latency.ns", "evt.latency.human", "evt.wait_latency",
}

// Deprecated returns those of the fields that rules should not use any more.
func Deprecated(fields []string) []string {
	var out []string
	for _, f := range fields {
		if slices.Contains(deprecatedFields, f) {
			out = append(out, f)
		}
	}
	return out
}
