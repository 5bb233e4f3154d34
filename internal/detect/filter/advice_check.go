package filter

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"rollcage/internal/detect/field"
	"rollcage/internal/observe/event"
)

// This file holds what [Schema.Advise] says about a single comparison.

// constantFields is about fields that have the same value for all events.
func (a *adviser) constantFields(c *Check, f *field.Field, _ scope) {
	name := f.Def.Name
	switch {
	case name == "evt.dir":
		want := ""
		if v, ok := c.Right.(*Value); ok {
			want = v.Text
		}
		if always := (want == "<") == (c.Op == Eq); always && c.Right != nil {
			a.add("dead-direction", c.At, "rules see an event when its call returns, so evt.dir is always <; the check is always true", "leave it out")
		} else {
			a.add("dead-direction", c.At, "rules see an event when its call returns, so evt.dir is always <; the check is never true",
				"leave it out: what the call was given is in the same event")
		}
	case strings.HasPrefix(name, "evt.latency"), name == "evt.wait_latency":
		a.add("zero-latency", c.At, fmt.Sprintf("%s is always 0: there is one event for each call and nothing to measure between", name),
			"leave it out; proc.duration is the age of the process")
	}
}

// inequality is about != where a value may be missing or there are several.
func (a *adviser) inequality(c *Check, f *field.Field, in scope) {
	if c.Op != Ne || c.Modifier != NoModifier || c.Right == nil {
		return
	}
	positive := *c
	positive.Op = Eq
	instead := "write not " + shortPrint(&positive)
	switch class := missingClass(f); {
	case f.EachAncestor != nil:
		a.add("not-equal-ancestor", c.At, fmt.Sprintf("this is true as soon as one of the ancestors differs, so nearly always (%s)", f.Name), instead)
	case in.negated || class == "" || f.Def.Name == "container.id" || slices.Contains(in.required, class):
	case class == "a descriptor" && !someWithoutDescriptor(in.events):
	default:
		a.add("not-equal-missing", c.At, fmt.Sprintf("a comparison with a missing value is false, != too: without %s this does not match", class),
			instead+", which also matches where there is none")
	}
}

// someWithoutDescriptor reports whether an event of the selection is about no descriptor.
func someWithoutDescriptor(s Selection) bool {
	const about = event.CreatesFD | event.UsesFD | event.DestroysFD | event.ReadsFromFD | event.WritesToFD
	for _, i := range event.All() {
		if s.Types.Has(i.Type) && i.Current() && i.Flags&about == 0 && i.Type != event.ASYNCEVENT_E {
			return true
		}
	}
	return false
}

// portability is about conditions that Falco answers otherwise.
func (a *adviser) portability(c *Check, f *field.Field, _ scope) {
	name, values := f.Def.Name, constantsOf(c)
	switch {
	case neverInList(c, f):
		a.add("falco-never-in", c.At, fmt.Sprintf("Falco never matches %s with a list, Rollcage does", f.Name),
			fmt.Sprintf("for rules that run in both write %s = A or %s = B", f.Name, f.Name))
	case firstOfList(c, f) && len(values) > 1:
		a.add("falco-first-element", c.At, fmt.Sprintf("Falco looks only at the first network of a list for %s, Rollcage at all", f.Name),
			fmt.Sprintf("for rules that run in both write %s = A or %s = B", f.Name, f.Name))
	case c.Op == Exists && f.EachValue != nil:
		a.add("falco-exists", c.At, fmt.Sprintf("in Falco %s exists for descriptors of every kind, also files; in Rollcage only where there is such a value", f.Name),
			"for rules that run in both test the type: fd.typechar in (4, 6)")
	case name == evtType && c.Op == Ne && c.Modifier == NoModifier && isGeneric(values):
		a.add("falco-excludes-generic", c.At, fmt.Sprintf("%s has no event type of its own: Falco excludes with it all other calls that have none, Rollcage does not", values[0].Text),
			"for rules that run in both name the event types that are wanted")
	}
}

func isGeneric(values []*Value) bool {
	if len(values) != 1 {
		return false
	}
	s := event.SyscallByName(values[0].Text)
	return s != nil && s.Generic() && event.Lookup(values[0].Text) == nil
}

// commLength is how many bytes of a program's name the kernel keeps.
const commLength = 15

// shortNames are the fields that hold such a name.
var shortNames = []string{"proc.name", "proc.pname", "proc.aname", "proc.sname", "proc.vpgid.name", "proc.pgid.name", "thread.name"}

// constants is about constants that a field never has.
func (a *adviser) constants(c *Check, f *field.Field, _ scope) {
	if c.Op == Exists || !stringType(f.Type) {
		return
	}
	name := f.Def.Name
	exact := c.Op == Eq || c.Op == Ne || c.Op == In || c.Op == Intersects
	for _, v := range constantsOf(c) {
		switch {
		case v.Text == "<NA>" && exact:
			a.add("na-text", v.At, "<NA> is how a missing value is printed, not a value: the comparison is about the text", "write not "+Print(c.Left)+" exists")
		case strings.ContainsRune(v.Text, unicode.ReplacementChar):
			a.add("printed-value", v.At, "� stands in alerts for bytes that cannot be printed; conditions see the bytes themselves",
				"compare the part before or after it, with startswith, endswith or contains")
		case strings.ContainsFunc(v.Text, unicode.IsControl) && (strings.HasPrefix(name, "fd.") || strings.HasPrefix(name, "user.") || strings.HasPrefix(name, "group.")):
			a.add("cleaned-value", v.At, fmt.Sprintf("%s never holds a control character: it is kept with � in its place", f.Name),
				"compare the part before or after it; fd.nameraw and evt.arg.NAME hold the bytes")
		case slices.Contains(shortNames, name) && len(v.Text) > commLength && c.Op != PMatch && c.Op != Regex && c.Op != Glob && c.Op != IGlob:
			a.add("name-too-long", v.At, fmt.Sprintf("the kernel keeps %d bytes of a program's name, so %s is never '%s'", commLength, f.Name, v.Text),
				"write "+QuoteValue(strings.ToValidUTF8(v.Text[:commLength], ""))+", or compare proc.exepath")
		case name == "container.id" && exact && len(v.Text) > 12:
			a.add("container-id-length", v.At, "container.id holds the first 12 digits of an id", "write "+v.Text[:12]+", or use container.full_id")
		case exact:
			a.enumeration(f, v)
		}
	}
}

// enumerations holds the values of fields that have few.
var enumerations = map[string][]string{
	"fd.type":     append(fdWords(event.FDType.Word), missing),
	"fd.typechar": fdWords(func(t event.FDType) string { return string(rune(t.Letter())) }),
	"fd.l4proto":  {"tcp", "udp", "icmp", "raw", missing},
	"evt.io_dir":  {"read", "write"},
	"evt.category": {"file", "net", "IPC", "ipc", "memory", "process", "sleep", "system", "signal", "user", "time", "processing",
		"other", "unknown", "internal", "wait", "scheduler", "plugin"},
}

// fdWords returns what word says of each type of descriptor, each once.
func fdWords(word func(event.FDType) string) []string {
	var out []string
	for t := event.FDUnknown; t <= event.FDPidfd; t++ {
		if w := word(t); w != "" && !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

// resultText reports whether evt.res can be a text: SUCCESS, the name of an
// error, or a number that has no name.
func resultText(s string) bool {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return event.ErrnoName(max(n, -n)) == "" && n != 0
	}
	return s == "SUCCESS" || len(s) > 1 && s[0] == 'E' && s == strings.ToUpper(s)
}

// enumeration is about a value that a field with few of them never has.
func (a *adviser) enumeration(f *field.Field, v *Value) {
	never := fmt.Sprintf("%s is never '%s'", f.Name, v.Text)
	switch name := f.Def.Name; {
	case name == evtType:
		a.oldType(v)
	case name == "evt.res" && !resultText(v.Text):
		a.add("value-never-seen", v.At, never,
			"evt.res is SUCCESS or the name of an error like ENOENT; the number is evt.rawres, and evt.failed tells errors apart")
	case enumerations[name] != nil && !slices.Contains(enumerations[name], v.Text):
		a.add("value-never-seen", v.At, never, "possible are "+strings.Join(enumerations[name], ", "))
	}
}

// oldType is about types that are in old captures only.
func (a *adviser) oldType(v *Value) {
	infos := event.Lookup(v.Text)
	if len(infos) == 0 || event.SyscallByName(v.Text) != nil {
		return
	}
	for _, i := range infos {
		if i.Current() {
			return
		}
	}
	a.add("event-never-seen", v.At, fmt.Sprintf("no event of today is called %s", v.Text), "'rollcage events' lists those that are")
}

// patterns is about wildcards and expressions that do not do what they seem to.
func (a *adviser) patterns(c *Check, f *field.Field, _ scope) {
	if !stringType(f.Type) {
		return
	}
	path := strings.HasSuffix(f.Def.Name, "path") || strings.HasPrefix(f.Def.Name, "fd.") || f.Def.Name == "proc.name" || f.Def.Name == "proc.cwd"
	for _, v := range constantsOf(c) {
		wild := strings.ContainsAny(v.Text, "*?")
		switch c.Op {
		case Eq, Ne, In, StartsWith, EndsWith:
			if path && wild && len(v.Text) > 1 {
				a.add("wildcard-literal", v.At, fmt.Sprintf("'%s' takes the wildcard in %s for an ordinary character", c.Op, v.Text), "use glob, or pmatch for paths")
			}
		case Glob, IGlob:
			if !strings.ContainsAny(v.Text, `*?[\`) {
				a.add("glob-without-wildcard", v.At, "a pattern without wildcards is compared as a whole", "write =, or put * where anything may stand")
			}
		case Regex:
			if !strings.HasPrefix(v.Text, "^") && !strings.HasSuffix(v.Text, "$") && !strings.Contains(v.Text, ".*") && !strings.Contains(v.Text, ".+") {
				a.add("regex-whole", v.At, "the expression must match the whole value, not a part of it", "put .* where anything may stand, or ^ and $ around it to say that it is meant")
			}
		}
	}
	if ordering.has(c.Op) {
		a.add("text-order", c.At, fmt.Sprintf("%s is text: it is compared byte by byte, so 9 is more than 10", f.Name), "use a field that is a number; 'rollcage fields' shows the types")
	}
}

// ranges is about constants that a number cannot be.
func (a *adviser) ranges(c *Check, f *field.Field, _ scope) {
	bits := 8 * f.Type.Size()
	if groupOf(f.Type) != groupNumber || f.Type == event.TypePort || bits == 0 || bits >= 64 {
		return
	}
	for _, v := range constantsOf(c) {
		n, err := strconv.ParseInt(strings.TrimSpace(v.Text), 10, 64)
		if err != nil {
			continue
		}
		low, high := int64(0), int64(1)<<bits-1
		if f.Type.Signed() {
			low, high = -(int64(1) << (bits - 1)), int64(1)<<(bits-1)-1
		}
		if n < low || n > high {
			a.add("number-wraps", v.At, fmt.Sprintf("%s has %d bits: %s is taken for another number", f.Name, bits, v.Text), fmt.Sprintf("%d to %d are possible", low, high))
		}
	}
}
