package filter

import (
	"cmp"
	"errors"
	"strconv"
	"strings"

	"rollcage/internal/detect/field"
	"rollcage/internal/observe/host"
)

// Format is a compiled output format: text with fields and transformers in
// it. It is used by one goroutine at a time.
type Format struct {
	text    string
	lenient bool // began with *
	parts   []part
	fields  []*FormatField
	sources
	reading
}

// part is a piece of text or, if src is set, a value.
type part struct {
	text  string
	src   *source
	print *field.Field // how to print the value
	width int          // bytes to pad or cut to, 0 for as it is
}

// FormatField is a field that stands in a format.
type FormatField struct {
	// Name is the field as written, for instance proc.aname[2].
	Name   string
	format *Format
	src    *source
}

// maxWidth is the largest width that a format can ask for.
const maxWidth = 4096

// missing is what stands for a value that is not there.
const missing = "<NA>"

// ParseFormat compiles a format over the standard schema.
func ParseFormat(text string) (*Format, error) { return Standard.ParseFormat(text) }

// ParseFormat compiles a format. The error is an *Error with a position in text.
//
// A field begins with % and is as long as its name can be read; a number in
// between is the width to pad or cut its text to. A * at the start of the
// format prints missing values as <NA>.
func (s *Schema) ParseFormat(text string) (*Format, error) {
	f := &Format{text: text, sources: newSources(s)}
	l := newLexer(text)
	f.lenient = l.symbol("*")
	for l.rest() != "" {
		n := strings.IndexByte(l.rest(), '%')
		if n < 0 {
			n = len(l.rest())
		}
		if n > 0 {
			f.parts = append(f.parts, part{text: l.take(n)})
			continue
		}
		l.take(1)
		if err := f.parseValue(&l); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// parseValue parses what follows a %.
func (f *Format) parseValue(l *lexer) error {
	var p part
	at := l.at
	if digits := spanLen(l.rest(), isDigit); digits > 0 {
		n, err := strconv.Atoi(l.take(digits))
		if err != nil || n > maxWidth {
			return errorAt(at, "a width of %s is too large, %d is the most", l.last, maxWidth)
		}
		p.width = n
	}
	node, err := f.longest(l)
	if err != nil {
		return err
	}
	if p.src, err = f.get(node); err != nil {
		return unknownInFormat(err)
	}
	if p.print = p.src.field; p.print == nil {
		p.print = printerOf(Print(node), p.src)
	} else if err := f.addField(node, p.src); err != nil {
		return err
	}
	f.parts = append(f.parts, p)
	return nil
}

// unknownInFormat words an error of a field or transformer for formats.
func unknownInFormat(err error) error {
	var e *Error
	if errors.As(err, &e) {
		e.Msg = "unknown filter: " + e.Msg
	}
	return err
}

// longest moves over the longest field or transformer at the cursor.
func (f *Format) longest(l *lexer) (Node, error) {
	p := &parser{lexer: *l}
	if p.callAhead() {
		n, err := p.call()
		*l = p.lexer
		if err != nil {
			return nil, unknownInFormat(err)
		}
		return n, nil
	}
	name, n := f.schema.Longest(l.rest())
	if n == 0 {
		return nil, f.noField(l)
	}
	if strings.HasPrefix(l.rest()[n:], "[") {
		node, err := p.field()
		if ref, ok := node.(*FieldRef); err == nil && ok && ref.Name == name {
			if _, err = f.get(node); err == nil {
				*l = p.lexer
				return node, nil
			}
		}
		bare := &FieldRef{At: l.at, Name: name}
		if _, bad := f.get(bare); bad != nil {
			return nil, unknownInFormat(cmp.Or(err, bad))
		}
	}
	at := l.at
	l.take(n)
	return &FieldRef{At: at, Name: name}, nil
}

// noField is the error of a % that no field follows.
func (f *Format) noField(l *lexer) error {
	word := l.rest()[:fieldNameLen(l.rest())]
	if word == "" {
		return errorAt(l.at, "unknown filter: a field must follow '%%'")
	}
	_, err := f.schema.Field(word, "", false)
	if err == nil {
		err = ErrUnknown
	}
	return unknownInFormat(fieldError(&FieldRef{At: l.at, Name: word}, err))
}

func (f *Format) addField(n Node, src *source) error {
	name := Print(n)
	if src.field.Def.Flags&field.FilterOnly != 0 {
		return errorAt(n.Pos(), "field '%s' can be compared but not printed", name)
	}
	for _, other := range f.fields {
		if other.src == src {
			return nil
		}
	}
	f.fields = append(f.fields, &FormatField{name, f, src})
	return nil
}

// printerOf returns a field that prints the values of a transformer.
func printerOf(text string, s *source) *field.Field {
	d := &field.Def{Name: text, Type: s.typ}
	if s.list {
		d.Flags = field.List
	}
	return &field.Field{Def: d, Name: text, Type: s.typ}
}

// String returns the format as written.
func (f *Format) String() string { return f.text }

// Fields returns the fields that stand in the format, each once. Those that
// stand only inside of transformers are not among them.
func (f *Format) Fields() []*FormatField { return f.fields }

// SetStyle says how buffers, ports and times become text. It must be called
// before the first event.
func (f *Format) SetStyle(style *field.Style) {
	for _, s := range f.byText {
		if s.field != nil {
			s.field.Style = style
		}
	}
	for i := range f.parts {
		if p := f.parts[i].print; p != nil {
			p.Style = style
		}
	}
}

// AppendText appends the text for an event. If a value is missing, a format
// that began with * has <NA> in its place, and any other gives nothing: b as
// it was, and false.
func (f *Format) AppendText(b []byte, e *host.Event) ([]byte, bool) {
	f.begin(e)
	start := len(b)
	for i := range f.parts {
		p := &f.parts[i]
		if p.src == nil {
			b = append(b, p.text...)
			continue
		}
		from := len(b)
		if v := p.src.value(&f.reading); v != nil {
			b = field.AppendText(b, p.print, v)
		} else if f.lenient {
			b = append(b, missing...)
		} else {
			return b[:start], false
		}
		if p.width > 0 {
			b = fit(b, from, p.width)
		}
	}
	return b, true
}

// fit pads or cuts b[from:] to width bytes.
func fit(b []byte, from, width int) []byte {
	for len(b) < from+width {
		b = append(b, ' ')
	}
	return b[:from+width]
}

// AppendJSON appends the field's value for an event as JSON, null if it is missing.
func (f *FormatField) AppendJSON(b []byte, e *host.Event) []byte {
	f.format.begin(e)
	v := f.src.value(&f.format.reading)
	if v == nil {
		return append(b, "null"...)
	}
	return field.AppendJSON(b, f.src.field, v)
}

// AppendText appends the text of the field's value for an event and reports
// whether there is one.
func (f *FormatField) AppendText(b []byte, e *host.Event) ([]byte, bool) {
	f.format.begin(e)
	v := f.src.value(&f.format.reading)
	if v == nil {
		return b, false
	}
	return field.AppendText(b, f.src.field, v), true
}
