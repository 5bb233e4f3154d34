package filter

import (
	"slices"
	"strings"

	"rollcage/internal/observe/event"
)

// Selection is the events that a condition can be true for: by type, and for
// system calls, some of which share a type, by code.
type Selection struct {
	Types event.TypeSet
	Codes event.CodeSet
}

// latencyFields begins the names of the fields that a source must measure for.
const latencyFields = "evt.latency"

// UsesLatency reports whether a condition reads how long calls took.
func UsesLatency(n Node) bool {
	return slices.ContainsFunc(UsedFields(n), func(f string) bool { return strings.HasPrefix(f, latencyFields) })
}

// UsesLatency reports whether the format shows how long calls took.
func (f *Format) UsesLatency() bool {
	return slices.ContainsFunc(f.fields, func(f *FormatField) bool { return strings.HasPrefix(f.Name, latencyFields) })
}

// Select returns the events that the condition n can be true for. Only checks
// of evt.type and syscall.type restrict them.
func Select(n Node) Selection { return choose(n).yes }

// Types returns the types of [Select].
func Types(n Node) event.TypeSet { return choose(n).yes.Types }

// Codes returns the system calls of [Select].
func Codes(n Node) event.CodeSet { return choose(n).yes.Codes }

// Names returns the names of the selected events and system calls, sorted.
func (s *Selection) Names() []string {
	var names []string
	for _, i := range event.All() {
		if s.Types.Has(i.Type) && !dynamicName(i.Type) && i.Flags&event.Unused == 0 {
			names = append(names, i.Name)
		}
	}
	for _, c := range event.Syscalls() {
		if s.Codes.Has(c.Code) && c.Generic() && !strings.HasPrefix(c.Name, "$") {
			names = append(names, c.Name)
		}
	}
	if s.Types.Has(event.ASYNCEVENT_E) {
		names = append(names, event.ASYNCEVENT_E.Info().Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Len returns the number of event types.
func (s *Selection) Len() int {
	n := 0
	for _, i := range event.All() {
		if s.Types.Has(i.Type) {
			n++
		}
	}
	return n
}

func (s *Selection) union(o *Selection) {
	s.Types.Union(&o.Types)
	s.Codes.Union(&o.Codes)
}

func (s *Selection) intersect(o *Selection) {
	for i := range s.Types {
		s.Types[i] &= o.Types[i]
	}
	for i := range s.Codes {
		s.Codes[i] &= o.Codes[i]
	}
}

// everything selects all events.
var everything = func() (s Selection) {
	for _, i := range event.All() {
		s.Types.Add(i.Type)
	}
	for _, c := range event.Syscalls() {
		s.Codes.Add(c.Code)
	}
	return s
}()

// choice is the events for which something can be true and for which it can be false.
type choice struct{ yes, no Selection }

// open is the choice of what may be true or false for every event.
var open = choice{everything, everything}

func (c choice) not() choice { return choice{c.no, c.yes} }

func (c *choice) and(o *choice) {
	c.yes.intersect(&o.yes)
	c.no.union(&o.no)
}

func (c *choice) or(o *choice) {
	c.yes.union(&o.yes)
	c.no.intersect(&o.no)
}

func choose(n Node) choice {
	switch n := n.(type) {
	case *And:
		c := choice{yes: everything}
		for _, kid := range n.Children {
			k := choose(kid)
			c.and(&k)
		}
		return c
	case *Or:
		c := choice{no: everything}
		for _, kid := range n.Children {
			k := choose(kid)
			c.or(&k)
		}
		return c
	case *Not:
		return choose(n.Child).not()
	case *Ident:
		if n.Expr != nil {
			return choose(n.Expr)
		}
	case *Check:
		return chooseCheck(n)
	}
	return open
}

func chooseCheck(c *Check) choice {
	f, ok := c.Left.(*FieldRef)
	if !ok || f.Name != evtType && f.Name != syscallType {
		return open
	}
	var names []*Value
	switch r := c.Right.(type) {
	case *Value:
		names = []*Value{r}
	case *List:
		names = r.Values
	}
	switch {
	case c.Op == Exists:
		return choice{yes: everything}
	case c.Op == In, c.Op == Eq && c.Modifier != AllOf:
		return chooseNames(names)
	case c.Op == Ne && (c.Modifier == NoModifier || c.Modifier == AllOf):
		return chooseNames(names).not()
	}
	return open
}

// chooseNames is the choice of a type name being one of names.
func chooseNames(names []*Value) choice {
	is := func(name string) bool {
		return slices.ContainsFunc(names, func(v *Value) bool { return v.Text == name })
	}
	var c choice
	for _, info := range event.All() {
		if dynamicName(info.Type) {
			continue
		}
		if is(info.Name) {
			c.yes.Types.Add(info.Type)
		} else {
			c.no.Types.Add(info.Type)
		}
	}
	for _, call := range event.Syscalls() {
		yes, no := nameable(call, is)
		if yes {
			c.yes.Codes.Add(call.Code)
			if call.Generic() {
				c.yes.Types.Add(event.GENERIC_E)
				c.yes.Types.Add(event.GENERIC_X)
			}
		}
		if no {
			c.no.Codes.Add(call.Code)
		}
	}
	for _, name := range asyncNames {
		if is(name) {
			c.yes.Types.Add(event.ASYNCEVENT_E)
		}
	}
	// There are always other names for these.
	for _, t := range []event.Type{event.GENERIC_E, event.GENERIC_X, event.ASYNCEVENT_E} {
		c.no.Types.Add(t)
	}
	return c
}

// nameable reports whether the events of a system call can have a name that
// is wanted, and one that is not. A call may be carried by types with different names.
func nameable(call *event.Syscall, is func(string) bool) (yes, no bool) {
	for _, t := range call.Events {
		name := t.Info().Name
		if dynamicName(t) {
			name = call.Name
		}
		if is(name) {
			yes = true
		} else {
			no = true
		}
	}
	if len(call.Events) == 0 {
		return is(call.Name), !is(call.Name)
	}
	return yes, no
}
