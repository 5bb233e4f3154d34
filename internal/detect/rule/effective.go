package rule

import (
	"slices"
)

// Contribution is what an item of a rules file did to a rule, macro or list.
type Contribution struct {
	Position
	What string `json:"what"` // for instance: condition appended
}

// Effective is a rule after all redefinitions, appends, overrides, exceptions,
// macros and lists, with where each part of it comes from.
type Effective struct {
	Rule *Rule
	// Condition is the condition as it is judged.
	Condition *Outline
	// Macros and Lists are those that the condition uses, also through others.
	Macros []*Macro
	Lists  []*List
}

// Effective returns what a rule of the set is made of.
func (s *Ruleset) Effective(r *Rule) *Effective {
	e := &Effective{Rule: r, Condition: NewExplainer(s, r).root.outline()}
	e.collect(s, r.written)
	return e
}

// Outline is a part of a condition with what is below it.
type Outline struct {
	Part
	Parts []*Outline `json:"parts,omitempty"`
}

// outline returns the parts alone.
func (p *explained) outline() *Outline {
	o := &Outline{Part: p.Part}
	for _, k := range p.kids {
		o.Parts = append(o.Parts, k.outline())
	}
	return o
}

// collect adds the macros and lists that an expression uses.
func (e *Effective) collect(s *Ruleset, x *expr) {
	for _, name := range x.lists {
		e.list(s, name)
	}
	for _, name := range x.macros {
		m := s.macro(name)
		if m == nil || slices.Contains(e.Macros, m) {
			continue
		}
		e.Macros = append(e.Macros, m)
		e.collect(s, m.expr)
	}
}

func (e *Effective) list(s *Ruleset, name string) {
	for _, l := range s.Lists {
		if l.Name != name || slices.Contains(e.Lists, l) {
			continue
		}
		e.Lists = append(e.Lists, l)
		for _, inner := range l.lists {
			e.list(s, inner)
		}
	}
}

// Exception returns fields and operators of an exception of the rule, and
// whether there is one of that name.
func (r *Rule) Exception(name string) (fields, comps []string, ok bool) {
	for _, x := range r.exceptions {
		if x.name != name {
			continue
		}
		for i := range x.fields {
			fields, comps = append(fields, x.fields[i].node.Value), append(comps, x.comps[i].node.Value)
		}
		return fields, comps, !x.single
	}
	return nil, nil, false
}
