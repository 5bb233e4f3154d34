// Package field knows every filter and output field: its name, type and
// documentation, and how to read it from an event and the state around it.
//
// [All] lists the fields, [Parse] turns a name with its argument into a
// [Field], whose Read stores the value of an event into a [Value] without
// allocating. [AppendText] and [AppendJSON] print a value, [AppendParam] a
// parameter of an event. What a field is called and gives follows the field
// classes of the Falco and sysdig ecosystem, so that published rules and
// formats work unchanged.
package field

import (
	"net/netip"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// Scope says what a field's value depends on, and so how long it may be remembered.
type Scope uint8

const (
	// ScopeEvent is everything that may differ from one event to the next.
	ScopeEvent Scope = iota
	// ScopeProcess depends only on the thread, its process and ancestors,
	// users and container: it stays while host.Thread.Image of the event's
	// thread stays.
	ScopeProcess
)

// ArgKind says which forms of argument a field takes.
type ArgKind uint8

// The forms of arguments; a field may take several.
const (
	ArgIndex    ArgKind = 1 << iota // field[2]
	ArgKey                          // field[NAME]
	ArgName                         // field.NAME
	ArgRequired                     // the field is nothing without
)

// Flags are properties of a field.
type Flags uint16

// The properties of fields.
const (
	List          Flags = 1 << iota // gives several values
	FilterOnly                      // cannot be printed
	PrintOnly                       // cannot be compared
	Hidden                          // left out of listings
	NoTransformer                   // not inside a transformer
	NoRHS                           // not inside val()
	Deprecated
	Suggested // offered by append_output.suggested_output
	Unstable  // the text may change from one version of the event schema to the next
	Timestamp // text of the event's time; Value.Num holds its ns, which JSON shows
	Raw       // in JSON strings are as they are, control characters included
	Styled    // printable as it is built, with the line ends that a format of buffers asks for
	AtMost    // takes only =, which is true for values up to the constant (evt.around)
)

// Def documents a field. It is shared and must not be changed.
type Def struct {
	Name    string
	Class   string // evt, process, user, group, fd, fs.path, container …
	Type    event.ParamType
	Format  event.Format // how a number is printed
	Args    ArgKind
	Flags   Flags
	Scope   Scope
	Doc     string // one sentence
	Example string // a condition that uses the field; for a PrintOnly field its name

	bind binder
}

// binder completes a field whose Def, Arg, Type and Format are set: it checks
// the argument and sets Read and, where it applies, EachAncestor or EachValue.
type binder func(f *Field) error

// Value is what a field gives. Which member holds it follows from the field's
// type: Str for strings, paths and bytes; Num for numbers, booleans (0, 1),
// ports, times, flags (signed ones sign-extended); Float for DOUBLE; Addr for
// addresses; List for list fields. Str may share memory with the event or with
// the Value and is valid until the next event or the next Read into the same
// Value; a Value is reused, so List's backing array is too.
type Value struct {
	Str   string
	Num   uint64
	Float float64
	Addr  netip.Addr
	List  []Value

	buf  []byte   // holds Str when it had to be put together
	keys []string // scratch
	// typ and format are those of a value of evt.rawarg.
	typ    event.ParamType
	format event.Format
}

// set makes b, which was built on v.buf[:0], the value's string.
func (v *Value) set(b []byte) bool {
	v.buf = b
	v.Str = event.String(b)
	return true
}

// Field is a field with its argument, ready to be read. It holds no state and
// may be used by many goroutines with different events; only the few fields
// that add up over events (util.cnt and those of cputime.go) belong to one.
type Field struct {
	Def *Def
	// Name is the field as it is written: evt.arg.flags, proc.aname[2].
	Name string
	// Arg is the argument as written, "" if none; HasArg tells an empty one apart.
	Arg    string
	HasArg bool
	// Type is the type of the value: the definition's, or for evt.rawarg that of the parameter.
	Type event.ParamType
	// Format says how a number is printed.
	Format event.Format
	// Style says how buffers, ports and times become text, nil for the
	// default. It may be set between Parse and the first Read.
	Style *Style

	// Read stores the value into v and reports whether there is one.
	Read func(e *host.Event, v *Value) bool
	// EachAncestor is set for proc.aname and the like without argument, whose
	// check is true if it is true for some ancestor: it calls yield for each
	// until yield returns false. Read gives the parent's value then.
	EachAncestor func(e *host.Event, v *Value, yield func() bool)
	// EachValue is set for filter-only fields that stand for two values
	// (fd.ip, fd.port, fd.proto, fd.net): it calls yield for each end.
	EachValue func(e *host.Event, v *Value, yield func() bool)

	named  bool // the argument was written .NAME, not [ARG]
	number uint64
}

// Style says how values become text where there is a choice. The zero Style
// is that of rule outputs.
type Style struct {
	Buffer BufferFormat
	// Limit is the longest text of a data buffer in the normal format, 0 for no limit.
	Limit int
	// Time is the form of evt.outputtime.
	Time TimeFormat
	// Services prints ports of connections by the names of their services.
	Services bool
}

var defaultStyle Style

func (f *Field) style() *Style {
	if f.Style != nil {
		return f.Style
	}
	return &defaultStyle
}
