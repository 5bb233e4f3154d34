package filter

import "fmt"

// MaxNodes is how many parts a condition may have once its macros are put in.
const MaxNodes = 100_000

// Expand returns n with its macros and lists put in. lookup returns what a
// name stands for: a condition for a macro, a *List for a list, nil for a name
// that nobody defined. What it returns is expanded in turn. Names of lists are
// put in where a list is expected and for elements of lists that are written
// without quotes. The result shares what did not change with n.
func Expand(n Node, lookup func(name string) (Node, error)) (Node, error) {
	e := &expander{lookup: lookup, done: map[string]*macro{}}
	out, err := e.expand(n)
	if err != nil {
		return nil, err
	}
	return out, nil
}

type expander struct {
	lookup func(string) (Node, error)
	done   map[string]*macro
	size   int // parts so far
}

// macro is a macro that was looked up.
type macro struct {
	node Node // nil while it is being expanded
	size int
}

// count adds n parts to the size of the result.
func (e *expander) count(at Pos, n int) error {
	if e.size += n; e.size > MaxNodes {
		return errorAt(at, "the condition has more than %d parts once its macros are put in", MaxNodes)
	}
	return nil
}

func (e *expander) expand(n Node) (Node, error) {
	if err := e.count(n.Pos(), 1); err != nil {
		return nil, err
	}
	switch n := n.(type) {
	case *And:
		kids, err := e.expandAll(n.Children)
		return &And{n.At, kids}, err
	case *Or:
		kids, err := e.expandAll(n.Children)
		return &Or{n.At, kids}, err
	case *Not:
		kid, err := e.expand(n.Child)
		return &Not{n.At, kid}, err
	case *Ident:
		if n.Expr != nil {
			_, err := e.expand(n.Expr) // counts it
			return n, err
		}
		expr, err := e.macro(n)
		return &Ident{n.At, n.Name, expr}, err
	case *Check:
		return e.check(n)
	}
	return n, nil
}

func (e *expander) expandAll(nodes []Node) ([]Node, error) {
	out := make([]Node, len(nodes))
	for i, n := range nodes {
		var err error
		if out[i], err = e.expand(n); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (e *expander) macro(n *Ident) (Node, error) {
	if m := e.done[n.Name]; m != nil {
		if m.node == nil {
			return nil, errorAt(n.At, "reference loop in macro '%s'", n.Name)
		}
		return m.node, e.count(n.At, m.size)
	}
	expr, err := e.lookup(n.Name)
	if err != nil {
		return nil, &Error{Msg: err.Error(), Pos: n.At, err: err}
	}
	if _, list := expr.(*List); expr == nil || list {
		return nil, errorAt(n.At, "Undefined macro '%s' used in filter.", n.Name)
	}
	m, before := &macro{}, e.size
	e.done[n.Name] = m
	node, err := e.expand(expr)
	if err != nil {
		return nil, inMacro(err, n.Name)
	}
	m.node, m.size = node, e.size-before
	return m.node, nil
}

// inMacro notes the macro in whose text the position of err is.
func inMacro(err error, name string) error {
	if fe, ok := err.(*Error); ok && fe.Macro == "" {
		fe.Macro = name
	}
	return err
}

func (e *expander) check(c *Check) (Node, error) {
	out := *c
	switch r := c.Right.(type) {
	case *Ident:
		l, err := e.list(r.Name)
		if err != nil {
			return nil, &Error{Msg: err.Error(), Pos: r.At, err: err}
		}
		if l == nil {
			return nil, errorAt(r.At, "unexpected identifier '%s'", r.Name)
		}
		out.Right = &List{r.At, l.Values}
	case *List:
		values, err := e.elements(r)
		if err != nil {
			return nil, err
		}
		out.Right = values
	}
	if l, ok := out.Right.(*List); ok {
		return &out, e.count(c.At, len(l.Values))
	}
	return &out, nil
}

// list returns the list with that name, nil if the name is not that of a list.
func (e *expander) list(name string) (*List, error) {
	n, err := e.lookup(name)
	if err != nil {
		return nil, err
	}
	l, _ := n.(*List)
	return l, nil
}

func (e *expander) elements(l *List) (*List, error) {
	var out []*Value
	for i, v := range l.Values {
		var named *List
		if !v.Quoted && identifierLen(v.Text) == len(v.Text) {
			var err error
			if named, err = e.list(v.Text); err != nil {
				return nil, &Error{Msg: fmt.Sprintf("list element '%s': %v", v.Text, err), Pos: v.At, err: err}
			}
		}
		if named != nil && out == nil {
			out = append(make([]*Value, 0, len(l.Values)+len(named.Values)), l.Values[:i]...)
		}
		switch {
		case named != nil:
			out = append(out, named.Values...)
		case out != nil:
			out = append(out, v)
		}
	}
	if out == nil {
		return l, nil
	}
	return &List{l.At, out}, nil
}
