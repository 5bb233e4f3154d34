package filter

import (
	"sync/atomic"

	"rollcage/internal/detect/field"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// Program is a set of compiled conditions that share their parts. It is used
// by one goroutine at a time.
type Program struct {
	id      uint64 // tells the answers of this program in host.Memo
	sources sources
	nodes   []node
	index   map[string]nodeID
	lists   map[listCheck]checkedList
	conds   []nodeID
	answers int // numbered questions about processes
	hosts   map[string]*hostName
	folds   []*fold // by event type, nil until there is an event of the type

	reading
	fold    *fold      // for the event's type
	memoGen uint64     // reading for which memo is set
	memo    *host.Memo // of the event's thread, nil if there is none
}

// CondID is a condition of a program.
type CondID int

type nodeID int32

type nodeKind uint8

const (
	leafNode nodeKind = iota
	andNode
	orNode
	notNode
)

// node is a part of conditions. What is evaluated are the cells of a [fold].
type node struct {
	kind   nodeKind
	scope  field.Scope
	answer int32 // number of the question about the process, -1 if the answer is not remembered
	kids   []nodeID
	leaf   leaf

	cost   int
	choice *choice // events for which it can be true and false, nil if that depends on the process
}

var programs atomic.Uint64

// NewProgram returns an empty program over the standard schema.
func NewProgram() *Program { return Standard.NewProgram() }

// NewProgram returns an empty program.
func (s *Schema) NewProgram() *Program {
	return &Program{
		id: programs.Add(1), sources: newSources(s),
		index: map[string]nodeID{}, lists: map[listCheck]checkedList{}, hosts: map[string]*hostName{},
	}
}

// Add compiles a condition and returns its number, with warnings about what
// is likely not meant. The error is an *Error; the program stays usable.
func (p *Program) Add(n Node) (CondID, []Warning, error) {
	c := &compiler{Program: p}
	root, err := c.node(n)
	if err != nil {
		return 0, nil, err
	}
	p.remember(root)
	p.num = 0 // the event that was begun has no room for new answers
	p.folds = nil
	p.conds = append(p.conds, root)
	return CondID(len(p.conds) - 1), c.warnings, nil
}

// Len returns the number of conditions.
func (p *Program) Len() int { return len(p.conds) }

// Size returns the number of distinct parts that the conditions consist of.
func (p *Program) Size() int { return len(p.nodes) }

// Eval reports whether the condition is true for the event. Work is shared
// among the calls for one event: those with the same e, number and time,
// without another event in between. An event without number shares nothing.
func (p *Program) Eval(id CondID, e *host.Event) bool {
	p.begin(e)
	return p.answer(p.fold.conds[id])
}

// begin turns to an event, as reading.begin does.
func (p *Program) begin(e *host.Event) {
	gen := p.gen
	p.reading.begin(e)
	if p.gen != gen {
		p.fold = p.folded(e.Type())
	}
}

// answer returns the answer of a cell, which may be known for all events of the type.
func (p *Program) answer(at cellID) bool {
	if at < 0 {
		return at == isTrue
	}
	return p.holds(p.fold, at)
}

// holds returns the answer of a cell of f, which is p.fold.
func (p *Program) holds(f *fold, at cellID) bool {
	c := &f.cells[at]
	if c.gen == p.gen {
		return c.val
	}
	var val bool
	if c.answer >= 0 {
		val = p.recall(f, c)
	} else {
		val = p.compute(f, c)
	}
	c.gen, c.val = p.gen, val
	return val
}

func (p *Program) compute(f *fold, c *cell) bool {
	switch c.kind {
	case leafNode:
		return c.leaf.holds(&p.reading)
	case notNode:
		return !p.holds(f, c.kids[0])
	case andNode:
		for _, k := range c.kids {
			if !p.holds(f, k) {
				return false
			}
		}
		return true
	}
	for _, k := range c.kids {
		if p.holds(f, k) {
			return true
		}
	}
	return false
}

// recall returns the answer to a question about the process: the remembered
// one, or a new one that it remembers.
func (p *Program) recall(f *fold, c *cell) bool {
	m := p.memory()
	if m == nil {
		return p.compute(f, c)
	}
	word, bit := c.answer>>6, uint64(1)<<(c.answer&63)
	if m.Known[word]&bit != 0 {
		return m.Value[word]&bit != 0
	}
	val := p.compute(f, c)
	m.Known[word] |= bit
	if val {
		m.Value[word] |= bit
	} else {
		m.Value[word] &^= bit
	}
	return val
}

// memory returns the remembered answers about the event's thread, with room
// for all questions, or nil if nothing can be remembered: the thread is not
// known or nobody says when it changes. Each thread has its own, as its name,
// user and capabilities may differ from those of its process.
func (p *Program) memory() *host.Memo {
	if p.memoGen == p.gen {
		return p.memo
	}
	p.memoGen, p.memo = p.gen, nil
	t := p.event.Thread
	if t == nil || t.Image == 0 {
		return nil
	}
	m := &t.Memo
	if m.Image != t.Image || m.Program != p.id {
		m.Image, m.Program = t.Image, p.id
		clear(m.Known)
	}
	if words := (p.answers + 63) / 64; len(m.Known) < words {
		room := make([]uint64, 2*words)
		copy(room, m.Known)
		copy(room[words:], m.Value)
		m.Known, m.Value = room[:words:words], room[words:]
	}
	p.memo = m
	return m
}

// remember makes the answers of a node that depends on the process alone
// outlive the event.
func (p *Program) remember(id nodeID) {
	n := &p.nodes[id]
	if n.scope == field.ScopeProcess && n.answer < 0 {
		n.answer = int32(p.answers)
		p.answers++
	}
}

// ProcessSelection returns the events of e's process for which the condition
// can still be true, given all that depends on the process alone. It holds
// for as long as the image of the process stays.
func (p *Program) ProcessSelection(id CondID, e *host.Event) Selection {
	p.begin(e)
	return p.choose(p.conds[id]).yes
}

// ProcessTypes returns the types of [Program.ProcessSelection].
func (p *Program) ProcessTypes(id CondID, e *host.Event) event.TypeSet {
	return p.ProcessSelection(id, e).Types
}

func (p *Program) choose(id nodeID) choice {
	n := &p.nodes[id]
	if n.choice != nil {
		return *n.choice
	}
	if n.scope == field.ScopeProcess {
		if p.answer(p.fold.as[id]) {
			return choice{yes: everything}
		}
		return choice{no: everything}
	}
	if n.kind == notNode {
		return p.choose(n.kids[0]).not()
	}
	c := choice{yes: everything}
	if n.kind == orNode {
		c = choice{no: everything}
	}
	for _, k := range n.kids {
		kid := p.choose(k)
		if n.kind == orNode {
			c.or(&kid)
		} else {
			c.and(&kid)
		}
	}
	return c
}
