package filter

import (
	"cmp"
	"slices"

	"rollcage/internal/detect/field"
	"rollcage/internal/observe/event"
)

// fold is a program as it is for the events of one type. Checks of the type
// are answered once for all, and with them what they decide: most conditions
// name several types and ask something else for each, so that for one type
// about half of the nodes is left. Groups with one operand left become that
// operand, groups in groups of the same kind become one, and what many
// conditions share is asked first, as it is likely known. The nodes lie together in
// the order in which they are asked: a program of hundreds of rules does not
// fit the first cache, what one event needs of it does.
type fold struct {
	cells []cell
	conds []cellID // by CondID: what has the answer
	as    []cellID // the same by nodeID, notAsked for some
}

// cell is a node that is left.
type cell struct {
	gen    uint64 // reading that val is for
	val    bool
	kind   nodeKind
	answer int32    // as in node
	kids   []cellID // the operands that are left
	leaf   leaf
}

// cellID is a cell of a fold, isFalse or isTrue.
type cellID int32

// What stands for nodes that are no cell.
const (
	isFalse  cellID = -1
	isTrue   cellID = -2
	notAsked cellID = -3
)

// folded returns the program for a type. It is made with the first event of
// the type after conditions were added.
func (p *Program) folded(t event.Type) *fold {
	if p.folds == nil {
		p.folds = make([]*fold, event.Count())
	}
	if p.folds[t] == nil {
		p.folds[t] = p.newFold(t)
	}
	return p.folds[t]
}

func (p *Program) newFold(t event.Type) *fold {
	n := len(p.nodes)
	f := &folder{nodes: p.nodes, typ: t, same: make([]nodeID, n), kids: make([][]nodeID, n), uses: make([]int, n)}
	for id := range p.nodes { // operands were made before the nodes that have them
		f.node(nodeID(id))
	}
	for _, root := range p.conds {
		f.use(f.same[root])
	}
	f.out.as = slices.Repeat([]cellID{notAsked}, n)
	for _, root := range p.conds {
		f.out.conds = append(f.out.conds, f.place(root))
	}
	for id := range p.nodes {
		if p.nodes[id].scope == field.ScopeProcess {
			f.place(nodeID(id)) // for ProcessSelection, which asks about all types
		}
	}
	return &f.out
}

// folder makes a fold.
type folder struct {
	nodes []node
	typ   event.Type
	same  []nodeID   // by node: what has the same answer, itself, an operand or one of the two below
	kids  [][]nodeID // by node: the operands that are left
	uses  []int      // by node: conditions and nodes that ask it
	out   fold
}

const (
	falseNode nodeID = -1
	trueNode  nodeID = -2
)

// node finds out what is left of a node.
func (f *folder) node(id nodeID) {
	n := &f.nodes[id]
	f.same[id] = id
	switch n.kind {
	case leafNode:
		if l, ok := n.leaf.(*typeLeaf); ok && l.fixed.Has(f.typ) {
			f.same[id] = falseNode
			if l.yes.Has(f.typ) {
				f.same[id] = trueNode
			}
		}
	case notNode:
		switch kid := f.same[n.kids[0]]; kid {
		case falseNode:
			f.same[id] = trueNode
		case trueNode:
			f.same[id] = falseNode
		default:
			f.kids[id] = []nodeID{kid}
		}
	case andNode:
		f.group(id, falseNode, trueNode)
	case orNode:
		f.group(id, trueNode, falseNode)
	}
}

// group does so for one that is decided by an operand with one answer and
// needs none with the other.
func (f *folder) group(id nodeID, decides, idle nodeID) {
	var left []nodeID
	for _, kid := range f.nodes[id].kids {
		switch kid = f.same[kid]; kid {
		case decides:
			f.same[id] = decides
			return
		case idle:
		default:
			left = append(left, kid)
		}
	}
	switch len(left) {
	case 0:
		f.same[id] = idle
	case 1:
		f.same[id] = left[0]
	default:
		f.kids[id] = left
	}
}

// use counts who asks the nodes of a condition.
func (f *folder) use(id nodeID) {
	if id < 0 {
		return
	}
	if f.uses[id]++; f.uses[id] > 1 {
		return
	}
	for _, kid := range f.kids[id] {
		f.use(kid)
	}
}

// place gives a node its cell, and its operands theirs behind it.
func (f *folder) place(id nodeID) cellID {
	if f.out.as[id] != notAsked {
		return f.out.as[id]
	}
	switch same := f.same[id]; same {
	case id:
	case falseNode:
		f.out.as[id] = isFalse
		return isFalse
	case trueNode:
		f.out.as[id] = isTrue
		return isTrue
	default:
		f.out.as[id] = f.place(same)
		return f.out.as[id]
	}
	n, at := &f.nodes[id], cellID(len(f.out.cells))
	f.out.as[id] = at
	f.out.cells = append(f.out.cells, cell{kind: n.kind, leaf: n.leaf, answer: n.answer})
	operands := f.operands(nil, id)
	slices.SortStableFunc(operands, func(a, b nodeID) int { return cmp.Compare(f.price(a), f.price(b)) })
	kids := make([]cellID, len(operands))
	for i, kid := range operands {
		kids[i] = f.place(kid)
	}
	f.out.cells[at].kids = kids
	return at
}

// operands appends the operands of a node, and in the place of one that is a
// group of the same kind and nobody else's, its operands.
func (f *folder) operands(to []nodeID, id nodeID) []nodeID {
	for _, kid := range f.kids[id] {
		if k := &f.nodes[kid]; k.kind == f.nodes[id].kind && k.kind != notNode && k.answer < 0 && f.uses[kid] == 1 {
			to = f.operands(to, kid)
		} else {
			to = append(to, kid)
		}
	}
	return to
}

// price is what an operand costs where it stands: the first who asks pays,
// for the others it is known.
func (f *folder) price(id nodeID) int {
	n := &f.nodes[id]
	if n.answer >= 0 {
		return costMemo
	}
	return n.cost / max(1, f.uses[id])
}
