package filter

import (
	"rollcage/internal/detect/field"
)

// pair makes the leaf that compares two values of the event.
func (c *compiler) pair(n *Check, left, right *source) (leaf, error) {
	if err := c.checkPair(n, left, right); err != nil {
		return nil, err
	}
	return &pairLeaf{left, right, pairCompare(n.Op, left)}, nil
}

func (c *compiler) checkPair(n *Check, left, right *source) error {
	if n.Op == Regex || n.Op == PMatch {
		return errorAt(n.Right.Pos(), "operator '%s' takes constants only on its right side", n.Op)
	}
	if groupOf(left.typ) == groupNet || groupOf(right.typ) == groupNet {
		return errorAt(n.Right.Pos(), "networks cannot be compared with another field")
	}
	for _, side := range []Node{n.Left, n.Right} {
		if err := c.checkRHS(side); err != nil {
			return err
		}
	}
	if left.typ != right.typ || left.list != right.list {
		return errorAt(n.Right.Pos(), "'%s' of type %s has incompatible type with '%s' of type %s",
			Print(n.Right), typeName(right), Print(n.Left), typeName(left))
	}
	return nil
}

func typeName(s *source) string {
	if s.list {
		return s.typ.String() + " list"
	}
	return s.typ.String()
}

// checkRHS is the error of a side with a field that cannot be compared with another.
func (c *compiler) checkRHS(side Node) (err error) {
	Walk(side, func(n Node) bool {
		ref, ok := n.(*FieldRef)
		if !ok || err != nil {
			return err == nil
		}
		src, _ := c.sources.get(ref) // made before
		switch d := src.field.Def; {
		case d.Flags&(field.NoRHS|field.PrintOnly) != 0:
			err = errorAt(ref.At, "field '%s' does not support right-hand side fields", Print(ref))
		case d.Name == evtType:
			err = errorAt(ref.At, "'%s' can only be compared with constants", evtType)
		}
		return false
	})
	return err
}

// pairCompare returns the comparison of two values of the left side's type.
func pairCompare(op Op, left *source) func(a, b *field.Value) bool {
	compare := comparison(left.typ)
	contains := func(list, v *field.Value) bool {
		for i := range list.List {
			if compare(&list.List[i], v) == 0 {
				return true
			}
		}
		return false
	}
	switch {
	case left.list && op == In:
		return func(a, b *field.Value) bool {
			for i := range a.List {
				if !contains(b, &a.List[i]) {
					return false
				}
			}
			return len(a.List) > 0
		}
	case left.list:
		return func(a, b *field.Value) bool {
			for i := range a.List {
				if contains(b, &a.List[i]) {
					return true
				}
			}
			return false
		}
	case op == In, op == Intersects:
		op = Eq
	}
	if accept := acceptOrder[op]; accept != nil {
		return func(a, b *field.Value) bool { return accept(compare(a, b)) }
	}
	text := textOps[op]
	return func(a, b *field.Value) bool { return text(a.Str, b.Str) }
}
