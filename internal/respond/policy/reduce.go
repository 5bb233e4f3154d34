package policy

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"rollcage/internal/detect/filter"
	"rollcage/internal/observe/event"
)

// Acts are what the kernel can tell as exactly as a rule does, one of three kinds:
//
//   - execs of programs whose path is one of Exes, or whose name is one of Names;
//   - opens of files whose name is one of Files, or begins with one of Below;
//   - connects to an address in one of Nets, and one of Ports if there are any.
type Acts struct {
	// Types are the exit events that the acts have.
	Types []event.Type

	Exes, Names  []string
	Files, Below []string
	// Reads and Writes are whether files must be opened for that.
	Reads, Writes bool
	Nets          []netip.Prefix
	Ports         []uint16
	// Done is whether a connect must have returned 0.
	Done bool
}

// The longest that the kernel compares, in bytes.
const (
	maxExe  = 255
	maxName = 15
	maxFile = 247
)

// kind is what a condition is about.
type kind struct {
	what  string
	types map[string]event.Type // by the name that rules have; 0 is left to user space
}

var (
	execs = &kind{"execs", map[string]event.Type{"execve": event.SYSCALL_EXECVE_19_X, "execveat": 0}}
	opens = &kind{"opens", map[string]event.Type{
		"open": event.SYSCALL_OPEN_X, "openat": event.SYSCALL_OPENAT_2_X, "openat2": event.SYSCALL_OPENAT2_X, "creat": 0, "open_by_handle_at": 0,
	}}
	connects = &kind{"connects", map[string]event.Type{"connect": event.SOCKET_CONNECT_X}}
)

// reduction walks a condition that must be a conjunction of what the kernel can match.
type reduction struct {
	Acts
	kind   *kind
	listed bool     // programs or files
	starts []string // what names of files must begin with, too
}

// Reduce returns what a condition comes to for the kernel. The error says which part of it does not reduce, and why; a kill that
// was wider than the condition would be worse than none. One that is narrower is not: user space acts on the rest.
//
// Programs are compared at their exec alone. Later one may have another path and another name than those that rules see, which are
// those of its exec.
func Reduce(n filter.Node) (Acts, error) {
	var r reduction
	if r.kind = kindOf(n); r.kind == nil {
		return Acts{}, fmt.Errorf("the condition must have evt.type = or in, with execve, or with open, openat and openat2, or with connect: nothing else is judged in the kernel")
	}
	if err := r.all(n); err != nil {
		return Acts{}, err
	}
	return r.Acts, r.finish()
}

// kindOf returns what a conjunction is about, nil if it does not say so.
func kindOf(n filter.Node) *kind {
	switch n := n.(type) {
	case *filter.And:
		for _, c := range n.Children {
			if k := kindOf(c); k != nil {
				return k
			}
		}
	case *filter.Ident:
		if n.Expr != nil {
			return kindOf(n.Expr)
		}
	case *filter.Check:
		if name, values, ok := constants(n); ok && name == "evt.type" {
			for _, k := range []*kind{execs, opens, connects} {
				if _, ok := k.types[values[0]]; ok {
					return k
				}
			}
		}
	}
	return nil
}

// finish looks at what all parts come to.
func (r *reduction) finish() error {
	switch {
	case r.kind == execs && len(r.Exes)+len(r.Names) == 0:
		return fmt.Errorf("the condition must say which programs, by proc.exepath or proc.name with = or in")
	case r.kind == opens && !r.listed && len(r.starts) == 0:
		return fmt.Errorf("the condition must say which files, by fd.name with =, in or startswith")
	case r.kind == connects && len(r.Nets)+len(r.Ports) == 0:
		return fmt.Errorf("the condition must say where to, by fd.sip, fd.snet or fd.sport with = or in")
	}
	if len(r.Nets) == 0 && len(r.Ports) > 0 {
		r.Nets = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	}
	begins := func(name string) bool { // with all that it must
		return !slices.ContainsFunc(r.starts, func(s string) bool { return !strings.HasPrefix(name, s) })
	}
	if r.listed {
		r.Files = slices.DeleteFunc(r.Files, func(name string) bool { return !begins(name) })
	} else if longest := slices.MaxFunc(append(r.starts, ""), func(a, b string) int { return len(a) - len(b) }); longest != "" && begins(longest) {
		r.Below = []string{longest}
	}
	if r.kind == opens && len(r.Files)+len(r.Below) == 0 {
		return fmt.Errorf("no name can be all that the condition says")
	}
	return nil
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

// always are the checks that say no more than what is true of all that the kernel judges: kills are for containers, and
// only calls that succeeded are judged, of connects those as well that go on in the background.
var always = map[string][]*kind{
	"container.id != host": {execs, opens, connects},
	"evt.dir = <":          {execs, opens, connects},
	"evt.rawres = 0":       {execs},
	"evt.rawres >= 0":      {execs, opens},
	"fd.num >= 0":          {opens, connects},
	"fd.typechar = f":      {opens},
	"fd.type = file":       {opens},
	"fd.l4proto = tcp":     {connects},
}

func (r *reduction) check(c *filter.Check) error {
	field, ok := c.Left.(*filter.FieldRef)
	if !ok || field.HasArg || c.Modifier != filter.NoModifier {
		return fmt.Errorf("%q cannot be matched in the kernel", filter.Print(c))
	}
	if v, ok := c.Right.(*filter.Value); ok && slices.Contains(always[field.Name+" "+c.Op.String()+" "+v.Text], r.kind) {
		return nil
	}
	if v, ok := c.Right.(*filter.Value); ok && c.Op == filter.StartsWith && field.Name == "fd.name" && r.kind == opens {
		r.starts = append(r.starts, v.Text)
		return r.names(c, []string{v.Text}, false)
	}
	_, values, ok := constants(c)
	if !ok {
		return fmt.Errorf("%q: the kernel can match = and in alone, and startswith of the name of a file that is opened", filter.Print(c))
	}
	take := r.taker(field.Name)
	if take == nil {
		return fmt.Errorf("%q: of %s the kernel cannot match that; docs/policies.md has what it can", filter.Print(c), r.kind.what)
	}
	return take(c, values)
}

// taker returns what takes the constants that a field must be one of, nil if the kernel does not know the field.
func (r *reduction) taker(field string) func(c *filter.Check, values []string) error {
	switch {
	case field == "evt.type":
		return r.types
	case r.kind == execs && field == "proc.exepath":
		return r.exes
	case r.kind == execs && field == "proc.name":
		return r.programs
	case r.kind == opens && field == "fd.name":
		return r.files
	case r.kind == opens && field == "evt.is_open_read":
		return r.truth(&r.Reads)
	case r.kind == opens && field == "evt.is_open_write":
		return r.truth(&r.Writes)
	case r.kind == connects && (field == "fd.sip" || field == "fd.snet"):
		return r.nets
	case r.kind == connects && field == "fd.sport":
		return r.ports
	case r.kind == connects && field == "evt.rawres":
		return func(c *filter.Check, values []string) error {
			if len(values) != 1 || values[0] != "0" {
				return fmt.Errorf("%q: of a connect, the kernel can match evt.rawres = 0", filter.Print(c))
			}
			r.Done = true
			return nil
		}
	}
	return nil
}

// constants returns the field and what it must be equal to one of.
func constants(c *filter.Check) (field string, values []string, equal bool) {
	ref, ok := c.Left.(*filter.FieldRef)
	if !ok || ref.HasArg || c.Modifier != filter.NoModifier {
		return "", nil, false
	}
	switch right := c.Right.(type) {
	case *filter.Value:
		return ref.Name, []string{right.Text}, c.Op == filter.Eq
	case *filter.List:
		for _, v := range right.Values {
			values = append(values, v.Text)
		}
		return ref.Name, values, c.Op == filter.In && len(values) > 0
	}
	return "", nil, false
}

// types takes the names of calls. What an execveat did is told as execve, so that must be among them.
func (r *reduction) types(c *filter.Check, names []string) error {
	var types []event.Type
	for _, name := range names {
		t, ok := r.kind.types[name]
		if !ok {
			return fmt.Errorf("%q: %s is none of the %s that are judged in the kernel", filter.Print(c), name, r.kind.what)
		}
		if t != 0 {
			types = append(types, t)
		}
	}
	if r.Types != nil {
		return fmt.Errorf("%q: the kernel can match one list of types, and there is one before it", filter.Print(c))
	}
	if len(types) == 0 {
		return fmt.Errorf("%q: the kernel judges none of them; an execveat that succeeds is an event of the type execve", filter.Print(c))
	}
	r.Types = types
	return nil
}

// once refuses a second list.
func (r *reduction) once(c *filter.Check) error {
	if r.listed {
		return fmt.Errorf("%q: the kernel can match one list of programs or files, and there is one before it", filter.Print(c))
	}
	r.listed = true
	return nil
}

func (r *reduction) exes(c *filter.Check, values []string) error {
	for _, v := range values {
		if !strings.HasPrefix(v, "/") || len(v) > maxExe || strings.ContainsRune(v, 0) {
			return fmt.Errorf("%q: %q is not an absolute path of at most %d bytes", filter.Print(c), v, maxExe)
		}
	}
	r.Exes = values
	return r.once(c)
}

func (r *reduction) programs(c *filter.Check, values []string) error {
	for _, v := range values {
		if v == "" || len(v) > maxName || strings.ContainsRune(v, 0) {
			return fmt.Errorf("%q: %q is not a name of 1 to %d bytes, which is what the kernel keeps", filter.Print(c), v, maxName)
		}
	}
	r.Names = values
	return r.once(c)
}

func (r *reduction) files(c *filter.Check, values []string) error {
	if err := r.names(c, values, true); err != nil {
		return err
	}
	r.Files = slices.Clone(values)
	return r.once(c)
}

// names refuses what is no name that the kernel can compare, or no beginning of one.
func (r *reduction) names(c *filter.Check, values []string, whole bool) error {
	for _, v := range values {
		if !strings.HasPrefix(v, "/") || len(v) > maxFile || whole && (v == "/" || path.Clean(v) != v) || strings.ContainsFunc(v, unprintable) {
			return fmt.Errorf("%q: %q is not an absolute path in its shortest form, printable and of at most %d bytes", filter.Print(c), v, maxFile)
		}
	}
	return nil
}

// unprintable tells runes that names do not have in fd.name as they have in the kernel.
func unprintable(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }

func (r *reduction) truth(to *bool) func(c *filter.Check, values []string) error {
	return func(c *filter.Check, values []string) error {
		if len(values) != 1 || values[0] != "true" {
			return fmt.Errorf("%q: the kernel can match = true alone", filter.Print(c))
		}
		*to = true
		return nil
	}
}

func (r *reduction) nets(c *filter.Check, values []string) error {
	if r.Nets != nil {
		return fmt.Errorf("%q: the kernel can match one list of addresses or networks, and there is one before it", filter.Print(c))
	}
	for _, v := range values {
		net, err := netip.ParsePrefix(v)
		if addr, bad := netip.ParseAddr(v); bad == nil {
			net, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil || net.Addr().Is4In6() || net.Addr().Zone() != "" {
			return fmt.Errorf("%q: %q is not an address or network of IPv4 or IPv6", filter.Print(c), v)
		}
		r.Nets = append(r.Nets, net.Masked())
	}
	return nil
}

func (r *reduction) ports(c *filter.Check, values []string) error {
	if r.Ports != nil {
		return fmt.Errorf("%q: the kernel can match one list of ports, and there is one before it", filter.Print(c))
	}
	for _, v := range values {
		n, err := strconv.ParseUint(v, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("%q: %q is not the number of a port", filter.Print(c), v)
		}
		r.Ports = append(r.Ports, uint16(n))
	}
	return nil
}
