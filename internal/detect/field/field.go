// Package field knows every filter and output field: its name, type and
// documentation, and how to read it from an event and the state around it.
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
	// ScopeProcess depends only on the process, its ancestors, users and
	// container: it stays while host.Thread.Image of the process stays.
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
type Flags uint8

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
)

// Def documents a field. It is shared and must not be changed.
type Def struct {
	Name  string
	Class string // evt, process, user, group, fd, fs.path, container …
	Type  event.ParamType
	Args  ArgKind
	Flags Flags
	Scope Scope
	Doc   string // one sentence
}

// Value is what a field gives. Which member holds it follows from the field's
// type: Str for strings, paths and bytes; Num for numbers, booleans (0, 1),
// ports, times, flags (signed ones sign-extended); Float for DOUBLE; Addr for
// addresses; List for list fields. Str may share memory with the event and is
// valid until the next event; a Value is reused, so List's backing array is too.
type Value struct {
	Str   string
	Num   uint64
	Float float64
	Addr  netip.Addr
	List  []Value
}

// Field is a field with its argument, ready to be read. It holds no state and
// may be used by many goroutines with different events.
type Field struct {
	Def *Def
	// Arg is the argument as written, "" if none; HasArg tells an empty one apart.
	Arg    string
	HasArg bool
	// Type is the type of the value: the definition's, or for evt.rawarg that of the parameter.
	Type event.ParamType
	// Format says how a number is printed.
	Format event.Format

	// Read stores the value into v and reports whether there is one.
	Read func(e *host.Event, v *Value) bool
	// EachAncestor is set for proc.aname and the like without argument, whose
	// check is true if it is true for some ancestor: it calls yield for each
	// until yield returns false. Read gives the parent's value then.
	EachAncestor func(e *host.Event, v *Value, yield func() bool)
	// EachValue is set for filter-only fields that stand for two values
	// (fd.ip, fd.port, fd.proto, fd.net): it calls yield for each end.
	EachValue func(e *host.Event, v *Value, yield func() bool)
}
