package chisel

import (
	"strings"

	"rollcage/internal/detect/field"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// reader reads a field, again and again into the same place.
type reader struct {
	field *field.Field
	value field.Value
	text  []byte
}

// read returns a reader of a field that exists, with the run's style.
func (e *Env) read(name string) *reader {
	r, err := e.readAny(name)
	if err != nil {
		panic("chisel: " + err.Error()) // the names are constants
	}
	return r
}

// readAny returns a reader of a field that may not exist.
func (e *Env) readAny(name string) (*reader, error) {
	base, arg, hasArg := strings.Cut(strings.TrimSuffix(name, "]"), "[")
	f, err := field.Parse(base, arg, hasArg)
	if err != nil {
		return nil, err
	}
	f.Style = e.Style
	return &reader{field: f}, nil
}

// get returns the value, nil if there is none.
func (r *reader) get(he *host.Event) *field.Value {
	if !r.field.Read(he, &r.value) {
		return nil
	}
	return &r.value
}

// number returns the value as a signed number.
func (r *reader) number(he *host.Event) (int64, bool) {
	v := r.get(he)
	if v == nil {
		return 0, false
	}
	return int64(v.Num), true
}

// is reports whether the value is there and true.
func (r *reader) is(he *host.Event) bool {
	n, ok := r.number(he)
	return ok && n != 0
}

// string returns the value as outputs show it, <NA> if there is none. It is
// valid until the next call.
func (r *reader) string(he *host.Event) string {
	if s, ok := r.lookup(he); ok {
		return s
	}
	return missing
}

// lookup is string that tells a missing value apart.
func (r *reader) lookup(he *host.Event) (string, bool) {
	v := r.get(he)
	if v == nil {
		return "", false
	}
	r.text = field.AppendText(r.text[:0], r.field, v)
	return event.String(r.text), true
}

// raw returns the bytes of a string or buffer as they are.
func (r *reader) raw(he *host.Event) (string, bool) {
	v := r.get(he)
	if v == nil {
		return "", false
	}
	return v.Str, true
}

// missing stands for a value that is not there.
const missing = "<NA>"
