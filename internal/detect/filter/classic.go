package filter

import "rollcage/internal/detect/field"

// neverLeaf is a check that never holds.
type neverLeaf struct{}

func (neverLeaf) holds(*reading) bool { return false }

// neverInList reports whether Falco never finds a value of the field in a list.
func neverInList(c *Check, f *field.Field) bool {
	name := f.Def.Name
	return (c.Op == In || c.Op == Intersects) && (name == "fd.ip" || name == "proc.apid" || name == rawArg && groupOf(f.Type) == groupNumber)
}

// firstOfList reports whether Falco looks at no more than the first network of a list.
func firstOfList(c *Check, f *field.Field) bool {
	return (c.Op == In || c.Op == Intersects) && groupOf(f.Type) == groupNet && f.EachValue != nil
}

// anyDescriptor is the field that has a value where Falco thinks that fields
// of both ends of a connection exist.
var anyDescriptor = &FieldRef{Name: "fd.type"}

// classic makes the node of a check that Falco answers in a way of its own
// (see Schema.Classic), if it is one. What it returns otherwise is the check to
// go on with.
func (c *compiler) classic(n *Check, src *source) (rest *Check, id nodeID, done bool, err error) {
	f := src.field
	if !c.sources.schema.Classic || f == nil {
		return n, 0, false, nil
	}
	switch {
	case neverInList(n, f):
		id = c.intern("never: "+Print(n), func() node {
			return node{kind: leafNode, scope: field.ScopeProcess, leaf: neverLeaf{}}
		})
		return n, id, true, nil
	case n.Op == Exists && f.EachValue != nil:
		at := *anyDescriptor
		at.At = n.Left.Pos()
		id, err = c.check(&Check{At: n.At, Left: &at, Op: Exists})
		return n, id, true, err
	case firstOfList(n, f):
		if l, ok := n.Right.(*List); ok && len(l.Values) > 1 {
			first := *n
			first.Right = &List{l.At, l.Values[:1]}
			return &first, 0, false, nil
		}
	}
	return n, 0, false, nil
}
