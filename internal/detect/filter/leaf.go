package filter

import (
	"rollcage/internal/detect/field"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// leaf is a check, ready to be evaluated.
type leaf interface {
	holds(r *reading) bool
}

// valueLeaf tests a value. It does not hold if there is none.
type valueLeaf struct {
	src  *source
	test test
}

func (l *valueLeaf) holds(r *reading) bool {
	v := l.src.value(r)
	return v != nil && l.test.holds(v)
}

// existsLeaf holds if there is a value.
type existsLeaf struct{ src *source }

func (l existsLeaf) holds(r *reading) bool { return l.src.value(r) != nil }

// pairLeaf compares two values of the event. It does not hold if one is missing.
type pairLeaf struct {
	left, right *source
	compare     func(a, b *field.Value) bool
}

func (l *pairLeaf) holds(r *reading) bool {
	a, b := l.left.value(r), l.right.value(r)
	return a != nil && b != nil && l.compare(a, b)
}

// eachLeaf tests the values of a field that stands for several: the ancestors
// of the process or the ends of a connection.
type eachLeaf struct {
	each func(e *host.Event, v *field.Value, yield func() bool)
	test test
	// all is set when the test must hold for each value, and there must be one.
	all bool

	v     field.Value
	yield func() bool // made once, so that Eval allocates nothing
	found bool        // a value decided
	some  bool        // there was a value
}

func newEachLeaf(each func(*host.Event, *field.Value, func() bool), t test, all bool) *eachLeaf {
	l := &eachLeaf{each: each, test: t, all: all}
	l.yield = func() bool {
		l.some = true
		l.found = l.test.holds(&l.v) != l.all
		return !l.found
	}
	return l
}

func (l *eachLeaf) holds(r *reading) bool {
	l.found, l.some = false, false
	l.each(r.event, &l.v, l.yield)
	if l.all {
		return l.some && !l.found
	}
	return l.found
}

// typeLeaf tests the name of the event's type, which for most types is known
// beforehand.
type typeLeaf struct {
	fixed   event.TypeSet // types for which the answer is known
	yes     event.TypeSet // the known answers
	dynamic valueLeaf     // for the other types
}

// evtType and syscallType are the fields with the name of the event.
const (
	evtType     = "evt.type"
	syscallType = "syscall.type"
)

// dynamicName reports whether the name is in the event and not in its type.
func dynamicName(t event.Type) bool {
	switch t {
	case event.GENERIC_E, event.GENERIC_X, event.ASYNCEVENT_E:
		return true
	}
	return false
}

func newTypeLeaf(src *source, t test) *typeLeaf {
	l := &typeLeaf{dynamic: valueLeaf{src, t}}
	var v field.Value
	for _, info := range event.All() {
		if dynamicName(info.Type) {
			continue
		}
		l.fixed.Add(info.Type)
		missing := src.field.Def.Name == syscallType && info.Origin != event.OriginSyscall
		if v.Str = info.Name; !missing && t.holds(&v) {
			l.yes.Add(info.Type)
		}
	}
	return l
}

func (l *typeLeaf) holds(r *reading) bool {
	if t := r.event.Type(); l.fixed.Has(t) {
		return l.yes.Has(t)
	}
	return l.dynamic.holds(r)
}

// countLeaf holds if exactly one, at least one or all of its leaves do.
type countLeaf struct {
	modifier Modifier
	leaves   []leaf
}

func (l *countLeaf) holds(r *reading) bool {
	n := 0
	for _, kid := range l.leaves {
		if kid.holds(r) {
			n++
		}
	}
	switch l.modifier {
	case OneOf:
		return n == 1
	case AnyOf:
		return n > 0
	}
	return n == len(l.leaves)
}
