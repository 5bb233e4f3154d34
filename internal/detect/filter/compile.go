package filter

import (
	"cmp"
	"slices"
	"strconv"

	"rollcage/internal/detect/field"
)

// compiler adds one condition to a program.
type compiler struct {
	*Program
	warnings []Warning
	macro    string // the macro whose text is compiled, "" for the condition's own
}

func (c *compiler) node(n Node) (nodeID, error) {
	switch n := n.(type) {
	case *And:
		return c.group(andNode, flatten(andNode, n.Children))
	case *Or:
		return c.group(orNode, flatten(orNode, n.Children))
	case *Not:
		return c.not(n)
	case *Check:
		return c.check(n)
	case *Ident:
		if n.Expr == nil {
			return 0, errorAt(n.At, "unexpected identifier '%s'", n.Name)
		}
		outer := c.macro
		c.macro = n.Name
		id, err := c.node(n.Expr)
		c.macro = outer
		if err != nil {
			return 0, inMacro(err, n.Name)
		}
		return id, nil
	}
	return 0, errorAt(n.Pos(), "a check is expected here")
}

// flatten returns the operands of a group with those of groups of the same
// kind right below it. A macro is left whole: other conditions share it.
func flatten(kind nodeKind, operands []Node) []Node {
	var out []Node
	for _, o := range operands {
		below := leafNode
		switch o.(type) {
		case *And:
			below = andNode
		case *Or:
			below = orNode
		}
		if below == kind {
			out = append(out, flatten(kind, children(o))...)
		} else {
			out = append(out, o)
		}
	}
	return out
}

func (c *compiler) not(n *Not) (nodeID, error) {
	kid, err := c.node(n.Child)
	if err != nil {
		return 0, err
	}
	if k := &c.nodes[kid]; k.kind == notNode {
		return k.kids[0], nil
	}
	return c.intern("!"+strconv.Itoa(int(kid)), func() node {
		k := &c.nodes[kid]
		out := node{kind: notNode, scope: k.scope, kids: []nodeID{kid}, cost: k.cost}
		if k.choice != nil {
			choice := k.choice.not()
			out.choice = &choice
		}
		return out
	}), nil
}

// group makes an and or or node. What depends on the process alone becomes
// one operand, whose answer is remembered; cheap operands come first. The
// order makes no difference to the result, as checks have no effects.
func (c *compiler) group(kind nodeKind, operands []Node) (nodeID, error) {
	var process, others []nodeID
	for _, o := range operands {
		id, err := c.node(o)
		if err != nil {
			return 0, err
		}
		if c.nodes[id].scope == field.ScopeProcess {
			process = append(process, id)
		} else {
			others = append(others, id)
		}
	}
	if len(others) == 0 {
		return c.internGroup(kind, process), nil
	}
	if len(process) > 0 {
		id := c.internGroup(kind, process)
		c.remember(id)
		others = append(others, id)
	}
	return c.internGroup(kind, others), nil
}

// price is what an operand costs where it stands.
func (c *compiler) price(id nodeID) int {
	if n := &c.nodes[id]; n.answer < 0 {
		return n.cost
	}
	return costMemo
}

func (c *compiler) internGroup(kind nodeKind, kids []nodeID) nodeID {
	slices.SortFunc(kids, func(a, b nodeID) int {
		return cmp.Or(cmp.Compare(c.price(a), c.price(b)), cmp.Compare(a, b))
	})
	kids = slices.Compact(kids)
	if len(kids) == 1 {
		return kids[0]
	}
	members := slices.Sorted(slices.Values(kids)) // prices change, the key must not
	key := []byte{'&'}
	if kind == orNode {
		key[0] = '|'
	}
	for _, k := range members {
		key = append(strconv.AppendInt(key, int64(k), 10), ',')
	}
	return c.intern(string(key), func() node { return c.newGroup(kind, kids) })
}

func (c *compiler) newGroup(kind nodeKind, kids []nodeID) node {
	n := node{kind: kind, scope: field.ScopeProcess, kids: kids}
	all := choice{yes: everything}
	if kind == orNode {
		all = choice{no: everything}
	}
	known := true
	for _, id := range kids {
		k := &c.nodes[id]
		n.scope = min(n.scope, k.scope)
		n.cost += c.price(id)
		switch {
		case k.choice == nil:
			known = false
		case kind == orNode:
			all.or(k.choice)
		default:
			all.and(k.choice)
		}
	}
	if known {
		n.choice = &all
	}
	return n
}

// intern returns the node with that key and makes it if there is none.
func (c *compiler) intern(key string, build func() node) nodeID {
	if id, ok := c.index[key]; ok {
		return id
	}
	n := build()
	n.answer = -1
	id := nodeID(len(c.nodes))
	c.nodes = append(c.nodes, n)
	c.index[key] = id
	return id
}

// newCheck makes the node of a check.
func (c *compiler) newCheck(n *Check) (nodeID, error) {
	src, err := c.sources.get(n.Left)
	if err != nil {
		return 0, err
	}
	if err := checkOperator(n, src); err != nil {
		return 0, err
	}
	c.warn(n, src)
	n, id, done, err := c.classic(n, src)
	if err != nil || done {
		return id, err
	}
	n = canonical(n, src)
	key := Print(n)
	if id, ok := c.index[key]; ok {
		return id, nil
	}
	leaf, scope, cost, err := c.leaf(n, src)
	if err != nil {
		return 0, err
	}
	return c.intern(key, func() node {
		out := node{kind: leafNode, scope: scope, leaf: leaf, cost: cost}
		if scope == field.ScopeProcess {
			return out
		}
		out.choice = &open // most are, and share it
		if c := chooseCheck(n); c != open {
			out.choice = &c
		}
		return out
	}), nil
}

// canonical returns the form of a check that checks with the same meaning share.
func canonical(n *Check, src *source) *Check {
	l, ok := n.Right.(*List)
	if !ok {
		return n
	}
	out := *n
	if n.Op == Intersects && !src.list || n.Op == Eq && n.Modifier == AnyOf {
		out.Op, out.Modifier = In, NoModifier
	}
	if out.Modifier == OneOf {
		return &out // a value that is named twice counts twice
	}
	values := slices.Clone(l.Values)
	slices.SortStableFunc(values, func(a, b *Value) int { return cmp.Compare(a.Text, b.Text) })
	values = slices.CompactFunc(values, func(a, b *Value) bool { return a.Text == b.Text })
	out.Right = &List{l.At, values}
	if len(values) != 1 || src.list {
		return &out
	}
	switch {
	case out.Op == In:
		out.Op, out.Right = Eq, values[0]
	case out.Modifier != NoModifier:
		out.Modifier, out.Right = NoModifier, values[0]
	}
	return &out
}
