package policy

import (
	"fmt"
	"slices"
	"strings"

	"rollcage/internal/detect/filter"
)

// Execs are acts that the kernel can tell as exactly as a rule does: a program was executed whose path is one of Exes, or whose name
// is one of Names. One of the two is empty.
type Execs struct {
	Exes, Names []string
}

// The longest that the kernel compares, in bytes.
const (
	maxExe  = 255
	maxName = 15
)

// reduction walks a condition that must be a conjunction of what the kernel can match.
type reduction struct {
	Execs
	exec bool // it is about execs alone
}

// Reduce returns what a condition comes to for the kernel. The error says which part of it does not reduce, and why; a kill that
// was wider than the condition would be worse than none.
//
// Only execs reduce. Later a program may have another path and another name than those that rules see, which are those of its exec.
func Reduce(n filter.Node) (Execs, error) {
	var r reduction
	if err := r.all(n); err != nil {
		return Execs{}, err
	}
	if !r.exec {
		return Execs{}, fmt.Errorf("the condition must have evt.type = execve or evt.type in (execve, execveat): only execs are judged in the kernel")
	}
	if len(r.Exes)+len(r.Names) == 0 {
		return Execs{}, fmt.Errorf("the condition must say which programs, by proc.exepath or proc.name with = or in")
	}
	return r.Execs, nil
}

func (r *reduction) all(n filter.Node) error {
	switch n := n.(type) {
	case *filter.And:
		for _, c := range n.Children {
			if err := r.all(c); err != nil {
				return err
			}
		}
		return nil
	case *filter.Ident:
		if n.Expr != nil {
			return r.all(n.Expr)
		}
	case *filter.Check:
		return r.check(n)
	case *filter.Or:
		return fmt.Errorf("%q: the kernel cannot match \"or\"; write \"in (…)\", or rules of their own", filter.Print(n))
	case *filter.Not:
		return fmt.Errorf("%q: the kernel cannot match \"not\", which exceptions are made of, too", filter.Print(n))
	}
	return fmt.Errorf("%q cannot be matched in the kernel", filter.Print(n))
}

func (r *reduction) check(c *filter.Check) error {
	field, ok := c.Left.(*filter.FieldRef)
	if !ok || field.HasArg || c.Modifier != filter.NoModifier {
		return fmt.Errorf("%q cannot be matched in the kernel", filter.Print(c))
	}
	values, equal := constants(c)
	switch text := strings.Join(values, ","); {
	// Kills are for containers in any case.
	case field.Name == "container.id" && c.Op == filter.Ne && text == "host":
		return nil
	// Only what succeeded is judged.
	case field.Name == "evt.rawres" && equal && text == "0", field.Name == "evt.dir" && equal && text == "<":
		return nil
	case !equal:
		return fmt.Errorf("%q: the kernel can match = and in alone", filter.Print(c))
	case field.Name == "evt.type":
		return r.types(c, values)
	case field.Name == "proc.exepath":
		return r.programs(c, &r.Exes, values)
	case field.Name == "proc.name":
		return r.programs(c, &r.Names, values)
	}
	return fmt.Errorf("%q: the kernel can match evt.type, proc.exepath and proc.name, evt.rawres = 0 and container.id != host, and nothing else", filter.Print(c))
}

// constants returns what a value must be equal to one of.
func constants(c *filter.Check) (values []string, equal bool) {
	switch right := c.Right.(type) {
	case *filter.Value:
		return []string{right.Text}, c.Op == filter.Eq
	case *filter.List:
		for _, v := range right.Values {
			values = append(values, v.Text)
		}
		return values, c.Op == filter.In && len(values) > 0
	}
	return nil, false
}

// types takes the names of execs. What an execveat did is told as execve, so that must be among them.
func (r *reduction) types(c *filter.Check, names []string) error {
	for _, name := range names {
		if name != "execve" && name != "execveat" {
			return fmt.Errorf("%q: only execve and execveat are judged in the kernel", filter.Print(c))
		}
	}
	if !slices.Contains(names, "execve") {
		return fmt.Errorf("%q: an execveat that succeeds is an event of the type execve", filter.Print(c))
	}
	r.exec = true
	return nil
}

func (r *reduction) programs(c *filter.Check, to *[]string, values []string) error {
	if len(r.Exes)+len(r.Names) > 0 {
		return fmt.Errorf("%q: the kernel can match one list of programs, and there is one before it", filter.Print(c))
	}
	isPath := to == &r.Exes
	for _, v := range values {
		switch {
		case isPath && (!strings.HasPrefix(v, "/") || len(v) > maxExe):
			return fmt.Errorf("%q: %q is not an absolute path of at most %d bytes", filter.Print(c), v, maxExe)
		case !isPath && (v == "" || len(v) > maxName):
			return fmt.Errorf("%q: %q is not a name of 1 to %d bytes, which is what the kernel keeps", filter.Print(c), v, maxName)
		case strings.ContainsRune(v, 0):
			return fmt.Errorf("%q: a zero byte", filter.Print(c))
		}
	}
	*to = values
	return nil
}
