package field

import (
	"strings"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// Short names for the types of most fields.
const (
	str     = event.TypeCharbuf
	boolean = event.TypeBool
	i64     = event.TypeInt64
	u64     = event.TypeUint64
	u32     = event.TypeUint32
	ns      = event.TypeRelTime
	when    = event.TypeAbsTime
)

// class is a group of fields that are about one thing.
type class struct {
	name   string
	fields []Def
}

// registry holds all fields in the order in which they are listed.
var registry = newRegistry(
	class{"evt", eventFields},
	class{"evt", eventTypeFields},
	class{"evt", eventArgFields},
	class{"evt", eventResultFields},
	class{"process", processFields},
	class{"process", ancestorFields},
	class{"process", threadFields},
	class{"user", userFields},
	class{"group", groupFields},
	class{"fd", fdFields},
	class{"fd", fdAddrFields},
	class{"fs.path", pathFields},
	class{"fdlist", fdListFields},
	class{"util", utilFields},
	class{"container", containerFields},
	class{"container", checkFields},
	class{"container", k8sFields},
)

type fieldRegistry struct {
	defs   []*Def
	byName map[string]*Def
}

func newRegistry(classes ...class) *fieldRegistry {
	r := &fieldRegistry{byName: map[string]*Def{}}
	for _, c := range classes {
		for i := range c.fields {
			d := &c.fields[i]
			d.Class = c.name
			r.defs = append(r.defs, d)
			r.byName[d.Name] = d
		}
	}
	return r
}

// All returns the definitions of all fields, class by class. The slice is shared.
func All() []*Def { return registry.defs }

// Lookup returns the field with exactly that name, without argument, or nil.
func Lookup(name string) *Def { return registry.byName[name] }

// owner returns the field of which name is the .ARGUMENT form and the argument, or nil.
func owner(name string) (*Def, string) {
	for end := strings.LastIndexByte(name, '.'); end > 0; end = strings.LastIndexByte(name[:end], '.') {
		if d := registry.byName[name[:end]]; d != nil && d.Args&ArgName != 0 {
			return d, name[end+1:]
		}
	}
	return nil, ""
}

// The readers below become binders of fields without argument.

// text binds a reader of a string that somebody else holds.
func text(read func(e *host.Event) (string, bool)) binder {
	return func(f *Field) error {
		f.Read = func(e *host.Event, v *Value) (ok bool) {
			v.Str, ok = read(e)
			return ok
		}
		return nil
	}
}

// built binds a reader that puts a string together, appending it to b.
func built(read func(b []byte, e *host.Event, s *Style) ([]byte, bool)) binder {
	return func(f *Field) error {
		f.Read = func(e *host.Event, v *Value) bool {
			b, ok := read(v.buf[:0], e, f.style())
			return v.set(b) && ok
		}
		return nil
	}
}

// number binds a reader of a number.
func number[T int | int64 | uint16 | uint32 | uint64](read func(e *host.Event) (T, bool)) binder {
	return func(f *Field) error {
		f.Read = func(e *host.Event, v *Value) bool {
			n, ok := read(e)
			v.Num = uint64(n)
			return ok
		}
		return nil
	}
}

// always binds a reader of a number that every event has.
func always[T int | int64 | uint16 | uint32 | uint64](read func(e *host.Event) T) binder {
	return number(func(e *host.Event) (T, bool) { return read(e), true })
}

// truth binds a reader of a boolean that every event has.
func truth(read func(e *host.Event) bool) binder {
	return always(func(e *host.Event) uint64 { return bit(read(e)) })
}

// never binds a field that has lost its meaning and never has a value.
func never(f *Field) error {
	f.Read = func(*host.Event, *Value) bool { return false }
	return nil
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
