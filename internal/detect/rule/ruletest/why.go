package ruletest

import (
	"fmt"
	"slices"
	"strings"

	"rollcage/internal/detect/filter"
	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// explainer finds out why a rule does not fire: the part of its condition that
// is false for the event that comes nearest.
type explainer struct {
	program *filter.Program
	types   event.TypeSet
	names   []string // of the types
	parts   []part

	best  int // how many parts were true for the nearest event, -1 if none was of the rule's types
	where string
	part  string
	seen  string // values of the fields in the part
}

// part is an operand of the condition's outermost and.
type part struct {
	node   filter.Node
	cond   filter.CondID
	values []value
}

type value struct {
	name   string
	format *filter.Format
}

func newExplainer(set *rule.Ruleset, r *rule.Rule) *explainer {
	selected := filter.Select(r.Node())
	x := &explainer{program: set.NewProgram(), types: selected.Types, names: selected.Names(), best: -1}
	for _, n := range conjuncts(nil, r.Node()) {
		cond, _, err := x.program.Add(n)
		if err != nil {
			continue // the rule would not have been loaded
		}
		p := part{node: n, cond: cond}
		for _, name := range filter.UsedFields(n) {
			if format, err := set.ParseFormat("*%" + name); err == nil {
				p.values = append(p.values, value{name, format})
			}
		}
		x.parts = append(x.parts, p)
	}
	return x
}

// conjuncts appends the operands of an and, those of the macros in it included.
func conjuncts(list []filter.Node, n filter.Node) []filter.Node {
	switch n := n.(type) {
	case *filter.And:
		for _, kid := range n.Children {
			list = conjuncts(list, kid)
		}
		return list
	case *filter.Ident:
		if n.Expr != nil {
			return conjuncts(list, n.Expr)
		}
	}
	return append(list, n)
}

// look notes the first part that is false for an event if more before it are
// true than for the events so far.
func (x *explainer) look(where string, he *host.Event) {
	if !x.types.Has(he.Type()) {
		return
	}
	for i, p := range x.parts {
		if x.program.Eval(p.cond, he) {
			continue
		}
		if i > x.best {
			x.best, x.where, x.part = i, where, filter.Print(p.node)
			var seen []string
			for _, v := range p.values {
				text, _ := v.format.AppendText(nil, he)
				seen = append(seen, v.name+"="+string(text))
			}
			x.seen = strings.Join(seen, " ")
		}
		return
	}
}

// String says why the rule did not fire.
func (x *explainer) String() string {
	switch {
	case x.best >= 0 && x.seen != "":
		return fmt.Sprintf("%s: false is %s, as %s", x.where, shorten(x.part, 200), shorten(x.seen, 300))
	case x.best >= 0:
		return fmt.Sprintf("%s: false is %s", x.where, shorten(x.part, 200))
	}
	const most = 8
	names := slices.DeleteFunc(slices.Clone(x.names), func(n string) bool { return n == event.ASYNCEVENT_E.Info().Name })
	more := ""
	if len(names) > most {
		names, more = names[:most], " …"
	}
	return "there was no event of the types that it looks at: " + strings.Join(names, ", ") + more
}

// shorten cuts a text to n bytes or a little more.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
