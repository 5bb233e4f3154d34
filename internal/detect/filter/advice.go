package filter

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"rollcage/internal/detect/field"
	"rollcage/internal/observe/event"
)

// Advice is about a condition that is valid and hardly means what it says:
// its author should look again. docs/rule-warnings.md explains each name.
type Advice struct {
	Name  string // short and stable, for instance not-equal-missing
	Msg   string
	Hint  string // what to write instead
	Macro string // the macro whose text the position is in, "" for the text itself
	Pos
}

// Advise looks at a condition, with its macros put in, for what can never be
// true, is always true, means something else than it reads as, or means
// something else in Falco.
func (s *Schema) Advise(n Node) []Advice {
	a := &adviser{schema: s}
	a.look(n, scope{events: choose(n).yes})
	slices.SortStableFunc(a.found, func(x, y Advice) int {
		return cmp.Or(cmp.Compare(x.Macro, y.Macro), cmp.Compare(x.Index, y.Index))
	})
	return a.found
}

type adviser struct {
	schema *Schema
	macro  string
	found  []Advice
}

// scope is what is known where a part of a condition stands.
type scope struct {
	events   Selection // for which the part matters
	negated  bool      // behind a not
	required []string  // classes of fields of which another check needs a value
}

func (a *adviser) add(name string, at Pos, msg, hint string) {
	a.found = append(a.found, Advice{name, msg, hint, a.macro, at})
}

func (a *adviser) look(n Node, in scope) {
	switch n := n.(type) {
	case *And:
		kids := flattenMacros(n, nil)
		for _, k := range n.Children {
			c := choose(k)
			in.events.intersect(&c.yes)
		}
		in.required = append(slices.Clip(in.required), a.requiredBy(kids)...)
		if !in.negated {
			a.conflicts(n, kids)
		}
		for _, k := range n.Children {
			a.look(k, in)
		}
	case *Or:
		a.alternatives(n)
		for _, k := range n.Children {
			alternative := in
			c := choose(k)
			alternative.events.intersect(&c.yes)
			a.look(k, alternative)
		}
	case *Not:
		in.negated = !in.negated
		a.look(n.Child, in)
	case *Ident:
		if n.Expr != nil {
			outer := a.macro
			a.macro = n.Name
			a.look(n.Expr, in)
			a.macro = outer
		}
	case *Check:
		a.check(n, in)
	}
}

// flattenMacros returns the operands of an and with those of ands and macros below it.
func flattenMacros(n Node, list []Node) []Node {
	switch n := behindMacros(n).(type) {
	case *And:
		for _, k := range n.Children {
			list = flattenMacros(k, list)
		}
		return list
	default:
		return append(list, n)
	}
}

// fieldOf returns the field on the left side of a check, nil if there is none.
func (a *adviser) fieldOf(c *Check) *field.Field {
	ref, ok := c.Left.(*FieldRef)
	if !ok {
		return nil
	}
	f, err := a.schema.Field(ref.Name, ref.Arg, ref.HasArg)
	if err != nil {
		return nil
	}
	return f
}

// single reports whether a field gives one value, which a check is about.
func single(f *field.Field) bool {
	return f != nil && f.EachAncestor == nil && f.EachValue == nil && f.Def.Flags&field.List == 0
}

// requiredBy returns the classes of fields of which the operands of an and need a value.
func (a *adviser) requiredBy(kids []Node) []string {
	var out []string
	for _, k := range kids {
		c, ok := k.(*Check)
		if !ok {
			continue
		}
		f := a.fieldOf(c)
		if f == nil {
			continue
		}
		if c.Op != Ne || f.Def.Name == "container.id" {
			out = append(out, missingClass(f))
		}
	}
	return out
}

// missingClass names what must be there for a field to have a value, "" for
// what nearly always is.
func missingClass(f *field.Field) string {
	name := f.Def.Name
	class, _, _ := strings.Cut(name, ".")
	switch {
	case class == "fd", class == "fs":
		return "a descriptor"
	case class == "k8s":
		return "a pod"
	case class == "container":
		return "a container"
	case f.EachAncestor == nil && (name == "proc.aname" || name == "proc.aexe" || name == "proc.aexepath" ||
		name == "proc.acmdline" || name == "proc.apid"):
		return "that ancestor"
	case name == "proc.env":
		return "that variable"
	}
	return ""
}

// constantsOf returns the constants that a check compares with.
func constantsOf(c *Check) []*Value {
	switch r := c.Right.(type) {
	case *Value:
		return []*Value{r}
	case *List:
		return r.Values
	}
	return nil
}

// allowed returns the values that a check lets a field have, and false if it
// does not name them all.
func allowed(c *Check) ([]string, bool) {
	if c.Right == nil || c.Op != In && (c.Op != Eq || c.Modifier != NoModifier) {
		return nil, false
	}
	var out []string
	for _, v := range constantsOf(c) {
		out = append(out, v.Text)
	}
	return out, len(out) > 0
}

// conflicts looks for fields that would need two values at once.
func (a *adviser) conflicts(n *And, kids []Node) {
	first := map[string]*Check{}
	for _, k := range kids {
		c, ok := k.(*Check)
		if !ok {
			continue
		}
		f := a.fieldOf(c)
		values, ok := allowed(c)
		if !ok || !single(f) || groupOf(f.Type) == groupNet {
			continue
		}
		other := first[f.Name]
		if other == nil {
			first[f.Name] = c
			continue
		}
		before, _ := allowed(other)
		if !slices.ContainsFunc(values, func(v string) bool { return slices.Contains(before, v) }) {
			a.add("never-true", n.At, fmt.Sprintf("this is never true: %s would have to be two things at once, by '%s' and '%s'",
				f.Name, shortPrint(other), shortPrint(c)), "write or between the two, or put the values into one list: "+f.Name+" in (…)")
			return
		}
	}
}

// alternatives looks for an or that excludes nothing.
func (a *adviser) alternatives(n *Or) {
	first := map[string]string{}
	for _, k := range n.Children {
		c, ok := behindMacros(k).(*Check)
		if !ok || c.Op != Ne || c.Modifier != NoModifier {
			continue
		}
		f := a.fieldOf(c)
		v, ok := c.Right.(*Value)
		if !ok || !single(f) {
			continue
		}
		if other, twice := first[f.Name]; twice && other != v.Text {
			a.add("always-true", n.At, fmt.Sprintf("this is true for every value of %s: none is both %s and %s",
				f.Name, other, v.Text), fmt.Sprintf("write not %s in (%s, %s)", f.Name, QuoteValue(other), QuoteValue(v.Text)))
			return
		}
		first[f.Name] = v.Text
	}
}

func shortPrint(n Node) string {
	s := Print(n)
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}

// check gives advice about one comparison.
func (a *adviser) check(c *Check, in scope) {
	f := a.fieldOf(c)
	if f == nil {
		return
	}
	for _, look := range []func(*Check, *field.Field, scope){
		a.constantFields, a.inequality, a.portability, a.constants, a.patterns, a.ranges, a.arguments,
	} {
		before := len(a.found)
		if look(c, f, in); len(a.found) > before {
			return // one thing at a time
		}
	}
}

// arguments is about what the selected events do not have. In a macro that
// other rules use it may be there.
func (a *adviser) arguments(c *Check, f *field.Field, in scope) {
	if a.macro != "" || in.events == everything {
		return
	}
	some, descriptor, argument := false, false, false
	for _, i := range event.All() {
		if !in.events.Types.Has(i.Type) || !i.Current() {
			continue
		}
		some = true
		descriptor = descriptor || i.Flags&(event.CreatesFD|event.UsesFD|event.DestroysFD|event.ReadsFromFD|event.WritesToFD) != 0
		argument = argument || i.ParamIndex(f.Arg) >= 0
	}
	if !some {
		return
	}
	names := eventWords(in.events)
	class, _, _ := strings.Cut(f.Def.Name, ".")
	switch {
	case class == "fd" && !descriptor:
		a.add("no-descriptor", c.At, fmt.Sprintf("%s has no value for %s, which is about no descriptor; the check is never true", f.Name, names),
			"use a parameter of the event, evt.arg.NAME; 'rollcage events' lists them")
	case (f.Def.Name == "evt.arg" || f.Def.Name == rawArg) && f.Arg != "" && !isDigit(f.Arg[0]) && !argument:
		a.add("no-argument", c.At, fmt.Sprintf("%s has no parameter %s; the check is never true", names, f.Arg),
			"'rollcage events' lists the parameters of each event")
	}
}

// eventWords names the events of a selection.
func eventWords(s Selection) string {
	names := s.Names()
	if len(names) > 3 {
		return strings.Join(names[:3], ", ") + " …"
	}
	return strings.Join(names, ", ")
}
