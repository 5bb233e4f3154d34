package filter

import (
	"rollcage/internal/detect/field"
	"rollcage/internal/observe/event"
)

// Verdict is what is known of a condition without its event.
type Verdict uint8

// The verdicts.
const (
	Open Verdict = iota // it may hold or not
	Never
	Always
)

func verdict(holds bool) Verdict {
	if holds {
		return Always
	}
	return Never
}

// Fact tells a value that is the same for many events. known is false if it
// is not such a field, exists if the events have the value, which is then in v.
type Fact func(f *field.Field, v *field.Value) (exists, known bool)

// Foresee tells what a condition says of all events of a type for which the
// facts are true. What the facts do not decide is Open.
func (p *Program) Foresee(id CondID, t event.Type, fact Fact) Verdict {
	f := p.folded(t)
	return f.foresee(f.conds[id], fact)
}

func (f *fold) foresee(at cellID, fact Fact) Verdict {
	if at < 0 {
		return verdict(at == isTrue)
	}
	c := &f.cells[at]
	switch c.kind {
	case leafNode:
		return foreseeLeaf(c.leaf, fact)
	case notNode:
		switch f.foresee(c.kids[0], fact) {
		case Never:
			return Always
		case Always:
			return Never
		}
		return Open
	}
	decides, out := Never, Always // of and
	if c.kind == orNode {
		decides, out = Always, Never
	}
	for _, k := range c.kids {
		switch f.foresee(k, fact) {
		case decides:
			return decides
		case Open:
			out = Open
		}
	}
	return out
}

// foreseeLeaf asks a leaf about a fact. What needs more than one plain field is open.
func foreseeLeaf(l leaf, fact Fact) Verdict {
	switch l := l.(type) {
	case *valueLeaf:
		var v field.Value
		if exists, known := l.src.fact(fact, &v); known {
			return verdict(exists && l.test.holds(&v))
		}
	case existsLeaf:
		var v field.Value
		if exists, known := l.src.fact(fact, &v); known {
			return verdict(exists)
		}
	case *countLeaf:
		return l.foresee(fact)
	}
	return Open
}

func (l *countLeaf) foresee(fact Fact) Verdict {
	n := 0
	for _, kid := range l.leaves {
		switch foreseeLeaf(kid, fact) {
		case Open:
			return Open
		case Always:
			n++
		}
	}
	switch l.modifier {
	case OneOf:
		return verdict(n == 1)
	case AnyOf:
		return verdict(n > 0)
	}
	return verdict(n == len(l.leaves))
}

func (s *source) fact(fact Fact, v *field.Value) (exists, known bool) {
	if s.field == nil {
		return false, false
	}
	return fact(s.field, v)
}
