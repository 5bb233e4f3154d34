package rule

import (
	"slices"
	"strings"

	"rollcage/internal/detect/field"
	"rollcage/internal/detect/filter"
	"rollcage/internal/observe/host"
)

// Explainer tells part by part why the condition of a rule is true for an
// event or not. It is used by one goroutine.
type Explainer struct {
	set      *Ruleset
	program  *filter.Program
	root     *explained
	selected filter.Selection
	// exception is set while parts of an exception are prepared.
	exception bool
}

// explained is a part of a condition, ready to be explained.
type explained struct {
	Part
	cond   filter.CondID // of a check
	fields []*field.Field
	kids   []*explained
	value  field.Value
}

// Kinds of steps.
const (
	StepAnd       = "and"
	StepOr        = "or"
	StepNot       = "not"
	StepMacro     = "macro"
	StepException = "exception"
	StepCheck     = "check"
)

// Part is a part of a condition.
type Part struct {
	Kind string `json:"kind"` // and, or, not, macro, exception, check
	// Name is that of a macro or exception; Text is a check as it is compiled.
	Name string `json:"name,omitempty"`
	Text string `json:"text,omitempty"`
	// Position is where the part is written; of a check in an exception its value.
	Position Position `json:"position"`
}

// Step is a part of a condition and its answer for an event.
type Step struct {
	Part
	// Holds is the answer. An exception holds if it does not apply.
	Holds bool `json:"holds"`
	// Skipped is set for what is not needed, as what stands before it in the
	// same and or or gives the answer.
	Skipped bool `json:"skipped,omitempty"`
	// Values are those of the fields in a check.
	Values []StepValue `json:"values,omitempty"`
	Steps  []*Step     `json:"steps,omitempty"`

	// nearness is how much of the part is true, from 0 to 1.
	nearness float64
}

// StepValue is the value of a field: of several, as of ancestors, all.
type StepValue struct {
	Field   string `json:"field"`
	Text    string `json:"text,omitempty"`
	Missing bool   `json:"missing,omitempty"`
}

// NewExplainer prepares the explanation of a rule of the set.
func NewExplainer(set *Ruleset, r *Rule) *Explainer {
	x := &Explainer{set: set, program: set.NewProgram(), selected: filter.Select(r.node)}
	exceptions := r.activeExceptions()
	and, ok := r.node.(*filter.And)
	if !ok || len(exceptions) == 0 || len(and.Children) <= len(exceptions) {
		x.root = x.prepare(r.node, r.written)
		return x
	}
	own := len(and.Children) - len(exceptions)
	x.root = &explained{Part: Part{Kind: StepAnd, Position: r.written.position(and.Pos().Index)}}
	for i, k := range and.Children {
		x.exception = i >= own
		kid := x.prepare(k, r.written)
		if x.exception {
			def := exceptions[i-own]
			kid.Part = Part{Kind: StepException, Name: def.name, Position: def.at.file.position(def.at.offset)}
		}
		x.root.kids = append(x.root.kids, kid)
	}
	return x
}

// activeExceptions returns the exceptions that have values, in the order in
// which they stand at the end of the condition.
func (r *Rule) activeExceptions() []*exceptionDef {
	return slices.DeleteFunc(slices.Clone(r.exceptions), func(e *exceptionDef) bool { return len(e.rows) == 0 })
}

// position returns where in a file byte index of the expression is written.
func (x *expr) position(index int) Position {
	file, offset := x.at.in(kindExpression, x.source(), index).exact()
	return file.position(offset)
}

func (s *Ruleset) macro(name string) *Macro {
	for _, m := range s.Macros {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// prepare makes a part of the text of x ready.
func (x *Explainer) prepare(n filter.Node, in *expr) *explained {
	e := &explained{}
	e.Position = in.position(n.Pos().Index)
	add := func(n filter.Node, in *expr) { e.kids = append(e.kids, x.prepare(n, in)) }
	switch n := n.(type) {
	case *filter.And:
		e.Kind = StepAnd
		for _, k := range n.Children {
			add(k, in)
		}
	case *filter.Or:
		e.Kind = StepOr
		for _, k := range n.Children {
			add(k, in)
		}
	case *filter.Not:
		e.Kind = StepNot
		add(n.Child, in)
	case *filter.Ident:
		e.Kind, e.Name = StepMacro, n.Name
		if m := x.set.macro(n.Name); m != nil {
			in = m.expr
			e.Position = m.Position
		}
		add(n.Expr, in)
	default:
		e.Kind, e.Text = StepCheck, filter.Print(n)
		if c, ok := n.(*filter.Check); ok && x.exception && c.Right != nil {
			e.Position = in.position(c.Right.Pos().Index)
			if l, ok := c.Right.(*filter.List); ok && len(l.Values) > 0 && !in.shared {
				e.Position = in.position(l.Values[0].At.Index)
			}
		}
		x.check(e, n)
	}
	return e
}

// check compiles a check and the fields in it.
func (x *Explainer) check(e *explained, n filter.Node) {
	// It was compiled before, when the rule was loaded.
	e.cond, _, _ = x.program.Add(n)
	filter.Walk(n, func(n filter.Node) bool {
		if ref, ok := n.(*filter.FieldRef); ok {
			if f, err := x.set.fields().Field(ref.Name, ref.Arg, ref.HasArg); err == nil {
				e.fields = append(e.fields, f)
			}
		}
		return true
	})
}

// Asked reports whether the rule is asked about events of e's type.
func (x *Explainer) Asked(e *host.Event) bool { return x.selected.Types.Has(e.Type()) }

// Events returns the names of the events that the rule is asked about.
func (x *Explainer) Events() []string { return x.selected.Names() }

// Explain returns why the condition is true for an event or not.
func (x *Explainer) Explain(e *host.Event) *Step { return x.explain(x.root, e) }

func (x *Explainer) explain(p *explained, e *host.Event) *Step {
	s := Step{Part: p.Part}
	for _, k := range p.kids {
		s.Steps = append(s.Steps, x.explain(k, e))
	}
	switch p.Kind {
	case StepCheck:
		s.Holds = x.program.Eval(p.cond, e)
		s.Values = p.values(e)
	case StepAnd:
		s.Holds = s.settle(false)
	case StepOr:
		s.Holds = s.settle(true)
	case StepNot, StepException:
		s.Holds = !s.Steps[0].Holds
	case StepMacro:
		s.Holds = s.Steps[0].Holds
	}
	s.nearness = s.near()
	return &s
}

// settle returns the answer of a group and marks what was not needed for it:
// what stands behind the first part whose answer is decisive.
func (s *Step) settle(decisive bool) bool {
	settled := false
	for _, k := range s.Steps {
		k.Skipped = settled
		settled = settled || k.Holds == decisive
	}
	return settled == decisive
}

// near returns how much of the part is true.
func (s *Step) near() float64 {
	switch {
	case s.Holds:
		return 1
	case s.Kind == StepAnd:
		sum := 0.0
		for _, k := range s.Steps {
			sum += k.nearness
		}
		return sum / float64(len(s.Steps))
	case s.Kind == StepOr:
		best := 0.0
		for _, k := range s.Steps {
			best = max(best, k.nearness)
		}
		return best
	case s.Kind == StepMacro:
		return s.Steps[0].nearness
	}
	return 0
}

// Nearness returns how much of the condition is true, from 0 to 1: of two
// events that do not match the one with more came nearer.
func (s *Step) Nearness() float64 { return s.nearness }

// values reads the fields of a check.
func (p *explained) values(e *host.Event) []StepValue {
	var out []StepValue
	for _, f := range p.fields {
		var texts []string
		add := func() bool {
			texts = append(texts, string(field.AppendText(nil, f, &p.value)))
			return true
		}
		switch {
		case f.EachAncestor != nil:
			f.EachAncestor(e, &p.value, add)
		case f.EachValue != nil:
			f.EachValue(e, &p.value, add)
		case f.Read(e, &p.value):
			add()
		}
		out = append(out, StepValue{Field: f.Name, Text: strings.Join(texts, ", "), Missing: texts == nil})
	}
	return out
}
