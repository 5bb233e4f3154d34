package noise

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The fields that say who did something.
const (
	fieldImage      = "container.image.repository"
	fieldContainer  = "container.id"
	fieldProgram    = "proc.exepath"
	fieldParentPath = "proc.pexepath"
	fieldParent     = "proc.pname"
	fieldCommand    = "proc.cmdline"
)

// narrowing are the fields that narrow an exception where their values are
// few, in this order.
var narrowing = []string{
	"k8s.ns.name", "user.name", "user.uid", "fd.name", "fs.path.name", "fd.sip", "fd.rip", "fd.sport", "fd.rport",
	"evt.arg.path", "evt.arg.name", "evt.arg.target", "evt.arg.oldpath", "evt.arg.newpath", "evt.arg.linkpath",
}

// few is how many values a field of an exception may have.
const few = 4

// identity returns what says who raised an alert: the place and the program,
// with its parent to narrow it. Or why that is not possible.
func identity(a Alert) (who []cell, why string) {
	is := func(field string) bool {
		v := a.Fields[field]
		if !usable(v) {
			return false
		}
		who = append(who, cell{field, "=", []string{v}})
		return true
	}
	switch {
	case is(fieldImage):
	case a.Fields[fieldContainer] == "host":
		is(fieldContainer)
	case a.Fields[fieldContainer] != "":
		return nil, "a container whose image is not known (" + fieldImage + ") is no place to name: was the runtime asked? See the logs of the time"
	default:
		return nil, "the alerts do not tell where it happened: add %" + fieldContainer + " and %" + fieldImage + " to the output of the rule and record again"
	}
	switch p := a.Fields[fieldProgram]; {
	case !is(fieldProgram):
		return nil, "the alerts do not tell the path of the program, and its name (proc.name) can be chosen by whoever runs it: add %" + fieldProgram + " to the output of the rule and record again"
	case writable(p):
		return nil, fmt.Sprintf("%s lies where anybody may write, so an exception for it would be one for everybody", p)
	}
	if !is(fieldParentPath) {
		is(fieldParent)
	}
	return who, ""
}

// usable reports whether an exception can name a value: one in which something
// was made printable is not the value itself.
func usable(v string) bool {
	return v != "" && len(v) <= longest && utf8.ValidString(v) && !strings.ContainsFunc(v, func(r rune) bool {
		return unicode.IsControl(r) || r == unicode.ReplacementChar || r == '\ufeff' || r == '\u2028' || r == '\u2029'
	})
}

// longest is how long a constant of a condition may be, in bytes.
const longest = 255

// writable reports whether anybody can put a program at a path.
func writable(p string) bool {
	for _, dir := range []string{"/tmp/", "/var/tmp/", "/dev/shm/", "/run/user/", "/home/", "/proc/", "memfd:"} {
		if strings.HasPrefix(p, dir) {
			return true
		}
	}
	return p == "" || p[0] != '/'
}

// interpreters are programs whose path says nothing of what they do.
var interpreters = []string{
	"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "busybox", "toybox", "python", "perl", "ruby", "node", "nodejs", "php", "lua",
	"java", "env", "sudo", "su", "docker", "kubectl", "curl", "wget", "nc", "ncat", "socat", "ssh", "awk", "gawk", "mawk", "find", "xargs", "tclsh",
}

// interprets reports whether a program does what its arguments say.
func interprets(program string) bool {
	base := strings.TrimRight(path.Base(program), "0123456789.")
	return slices.Contains(interpreters, base)
}

// narrow returns the cells of an exception for a group of alerts, or why
// there is none that is narrow enough.
func (g *group) narrow() (cells []cell, why string) {
	cells = slices.Clone(g.who)
	for _, name := range narrowing {
		if c, ok := g.cell(name); ok {
			cells = append(cells, c)
		}
	}
	program := g.alerts[0].Fields[fieldProgram]
	if !interprets(program) {
		return cells, ""
	}
	prefix, ok := g.command()
	if !ok {
		return nil, fmt.Sprintf("%s does what its arguments say, and those of its %d alerts do not begin alike (or %s is not in the alerts): "+
			"an exception would be one for anything that it does", program, len(g.alerts), fieldCommand)
	}
	return append(cells, cell{fieldCommand, "startswith", []string{prefix}}), ""
}

// cell returns the values that a field has in all alerts, if they are few or
// paths below one folder.
func (g *group) cell(name string) (cell, bool) {
	var values []string
	for _, a := range g.alerts {
		v := a.Fields[name]
		if !usable(v) {
			return cell{}, false
		}
		if !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	slices.Sort(values)
	switch {
	case len(values) == 1:
		return cell{name, "=", values}, true
	case len(values) <= few && !strings.Contains(values[0], "->"):
		return cell{name, "in", values}, true
	case slices.ContainsFunc(values, func(v string) bool { return v[0] != '/' }):
		return cell{}, false
	}
	if folder := common(values); folder != "" {
		return cell{name, "pmatch", []string{folder}}, true
	}
	return cell{}, false
}

// command returns how all command lines of the alerts begin: whole words, at
// least one after the program.
func (g *group) command() (string, bool) {
	words := strings.Split(g.alerts[0].Fields[fieldCommand], " ")
	whole := true
	for _, a := range g.alerts[1:] {
		other := strings.Split(a.Fields[fieldCommand], " ")
		n := 0
		for n < len(words) && n < len(other) && words[n] == other[n] {
			n++
		}
		whole = whole && n == len(words) && n == len(other)
		words = words[:n]
	}
	prefix := strings.Join(words, " ")
	if !whole {
		prefix += " "
	}
	// The flag that a command follows says nothing.
	said := slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "" || w[0] == '-' })
	return prefix, len(said) >= 2 && len(prefix) <= 200 && usable(prefix)
}
