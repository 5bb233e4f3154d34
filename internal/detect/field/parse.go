package field

import (
	"fmt"
	"strconv"
	"strings"

	"rollcage/internal/observe/event"
)

// UnknownError says that there is no field of that name.
type UnknownError struct {
	Name string
	// Nearest is the name of the field that looks most like it, "" if none does.
	Nearest string
}

func (e *UnknownError) Error() string {
	if e.Nearest == "" {
		return fmt.Sprintf("unknown field %q", e.Name)
	}
	return fmt.Sprintf("unknown field %q, did you mean %s?", e.Name, e.Nearest)
}

// ArgError says that a field was given no argument though it needs one, an
// argument though it takes none, or one that it does not understand.
type ArgError struct {
	Field  string // the field's name without argument
	Arg    string
	Reason string
}

func (e *ArgError) Error() string { return "field " + e.Field + " " + e.Reason }

// Parse returns the field with that name and argument. The argument is what
// stood in brackets; the form with a dot (evt.arg.flags, container.label.app)
// is told by the name. Errors are *UnknownError and *ArgError.
func Parse(name, arg string, hasArg bool) (*Field, error) {
	d, named := Lookup(name), false
	if d == nil {
		var rest string
		if d, rest = owner(name); d == nil || hasArg {
			return nil, &UnknownError{name, nearest(name)}
		}
		arg, hasArg, named = rest, true, true
	}
	f := &Field{
		Def: d, Name: name, Arg: arg, HasArg: hasArg, named: named,
		Type: d.Type, Format: d.Format,
	}
	if hasArg && !named {
		f.Name = name + "[" + arg + "]"
	}
	if err := f.checkArg(); err != nil {
		return nil, err
	}
	if err := d.bind(f); err != nil {
		return nil, err
	}
	return f, nil
}

// checkArg checks the form of the argument and sets number if it is an index.
func (f *Field) checkArg() error {
	d := f.Def
	switch {
	case !f.HasArg && d.Args&ArgRequired != 0:
		return f.argError("needs an argument: " + argForms(d))
	case !f.HasArg || f.named:
		return nil
	case d.Args&(ArgIndex|ArgKey) == 0:
		if d.Args&ArgName != 0 {
			return f.argError("takes its argument as " + argForms(d))
		}
		return f.argError("takes no argument")
	case f.Arg == "":
		return f.argError("has an empty argument")
	}
	n, err := strconv.ParseUint(f.Arg, 10, 64)
	if err != nil && d.Args&ArgKey == 0 {
		return f.argError(fmt.Sprintf("takes a number in brackets, not %q", f.Arg))
	}
	f.number = n
	return nil
}

func (f *Field) argError(reason string) error { return &ArgError{f.Def.Name, f.Arg, reason} }

// argForms names the ways to write the argument of a field.
func argForms(d *Def) string {
	var forms []string
	for _, k := range []struct {
		kind ArgKind
		form string
	}{{ArgName, d.Name + ".NAME"}, {ArgKey, d.Name + "[NAME]"}, {ArgIndex, d.Name + "[N]"}} {
		if d.Args&k.kind != 0 {
			forms = append(forms, k.form)
		}
	}
	return strings.Join(forms, " or ")
}

// Longest finds the longest field that text begins with, without an argument
// in brackets but with one behind a dot. It returns its name, which is
// text[:n], or "" and 0 if there is none.
func Longest(text string) (name string, n int) {
	end := nameLength(text)
	for end > 0 {
		if known(text[:end]) {
			return text[:end], end
		}
		end--
	}
	return "", 0
}

// known reports whether name alone could be a field; it may still need an argument.
func known(name string) bool {
	if Lookup(name) != nil {
		return true
	}
	d, arg := owner(name)
	if d == nil || arg == "" {
		return false
	}
	f := Field{Def: d, Arg: arg, HasArg: true, named: true}
	return d.bind(&f) == nil
}

// nameLength returns how much of text is made of words joined by single dots.
func nameLength(text string) int {
	end := 0
	for i := 0; i < len(text); {
		if !letter(text[i]) {
			break
		}
		for i < len(text) && (letter(text[i]) || text[i] >= '0' && text[i] <= '9' || text[i] == '_') {
			i++
		}
		if end = i; i == len(text) || text[i] != '.' {
			break
		}
		i++
	}
	return end
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// nearest returns the field whose name differs least from name, "" if none is near.
func nearest(name string) string {
	var names []string
	for _, d := range registry.defs {
		if d.Flags&(Hidden|Deprecated) == 0 {
			names = append(names, d.Name)
		}
	}
	return event.Nearest(name, names)
}
