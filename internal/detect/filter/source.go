package filter

import (
	"rollcage/internal/detect/field"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// reading is the event that values are read from. Its generation tells the
// values of this event from those of earlier ones.
type reading struct {
	event     *host.Event
	gen       uint64
	num, time uint64 // of the event
}

// begin turns to an event, unless it is the one that is being read: the same
// e, number and time. An event without number is always a new one.
func (r *reading) begin(e *host.Event) {
	if e == r.event && e.Num == r.num && e.Num != 0 && e.Time() == r.time {
		return
	}
	r.event, r.num, r.time = e, e.Num, e.Time()
	r.gen++
}

// source is where a value comes from: a field, a transformer over other
// sources, or a constant. It is read at most once per event.
type source struct {
	typ   event.ParamType
	list  bool
	scope field.Scope
	cost  int
	field *field.Field // set for a field itself
	// compute stores the value into v and reports whether there is one.
	compute func(r *reading, v *field.Value) bool

	gen uint64 // of value and ok
	ok  bool
	v   field.Value
}

// value returns the value for the event, nil if it is missing. It is valid
// until the next event.
func (s *source) value(r *reading) *field.Value {
	if s.gen != r.gen {
		s.gen = r.gen
		if s.field != nil {
			s.ok = s.field.Read(r.event, &s.v)
		} else {
			s.ok = s.compute(r, &s.v)
		}
	}
	if !s.ok {
		return nil
	}
	return &s.v
}

// stringType reports whether values of the type are text.
func stringType(t event.ParamType) bool {
	return t == event.TypeCharbuf || t == event.TypeFSPath || t == event.TypeFSRelPath
}

// Costs of reading a value and of checks, relative to a comparison of numbers.
// They only order the operands of and and or.
const (
	costType      = 1 // a bit of the event's type
	costMemo      = 2 // a remembered answer
	costNumber    = 4
	costString    = 8
	costPerCall   = 10
	costAncestors = 60
)

func newFieldSource(f *field.Field) *source {
	s := &source{typ: f.Type, list: f.Def.Flags&field.List != 0, scope: f.Def.Scope, field: f, cost: costNumber}
	if stringType(f.Type) || f.Type == event.TypeBytebuf {
		s.cost = costString
	}
	if f.EachAncestor != nil || s.list {
		s.cost = costAncestors
	}
	return s
}

// newConstant returns the source of a string that never changes.
func newConstant(text string) *source {
	return &source{
		typ: event.TypeCharbuf, scope: field.ScopeProcess, cost: 1,
		compute: func(_ *reading, v *field.Value) bool {
			v.Str = text
			return true
		},
	}
}

// sources are the sources of a program or format by their written form.
type sources struct {
	schema *Schema
	byText map[string]*source
}

func newSources(schema *Schema) sources { return sources{schema, map[string]*source{}} }

// get returns the source of a field, transformer or constant argument. Each
// is made once.
func (ss *sources) get(n Node) (*source, error) {
	if v, ok := n.(*Value); ok {
		return newConstant(v.Text), nil
	}
	text := Print(n)
	if s := ss.byText[text]; s != nil {
		return s, nil
	}
	var s *source
	var err error
	switch n := n.(type) {
	case *FieldRef:
		s, err = ss.field(n)
	case *Call:
		s, err = ss.call(n)
	default:
		return nil, errorAt(n.Pos(), "a field or transformer is expected here")
	}
	if err != nil {
		return nil, err
	}
	ss.byText[text] = s
	return s, nil
}

func (ss *sources) field(n *FieldRef) (*source, error) {
	f, err := ss.schema.Field(n.Name, n.Arg, n.HasArg)
	if err != nil {
		return nil, fieldError(n, err)
	}
	return newFieldSource(f), nil
}

// inner returns the source of an argument of a transformer.
func (ss *sources) inner(n Node) (*source, error) {
	s, err := ss.get(n)
	if err != nil {
		return nil, err
	}
	if s.field == nil {
		return s, nil
	}
	switch d := s.field.Def; {
	case d.Flags&(field.NoTransformer|field.FilterOnly|field.PrintOnly) != 0:
		return nil, errorAt(n.Pos(), "field '%s' does not support transformers", Print(n))
	case d.Name == evtType:
		return nil, errorAt(n.Pos(), "'%s' cannot be used inside of a transformer", evtType)
	}
	return s, nil
}
