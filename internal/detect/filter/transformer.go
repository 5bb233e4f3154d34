package filter

import (
	"encoding/base64"
	"slices"
	"strings"

	"rollcage/internal/detect/field"
	"rollcage/internal/observe/event"
)

// transformer makes a value of other values.
type transformer struct {
	min, max int // number of arguments
	// build checks the arguments and returns the source of the result, whose
	// scope and cost the caller sets.
	build func(c *Call, args []*source) (*source, error)
}

// transformers are the transformers by name.
var transformers map[string]*transformer

var transformerWords = []string{"tolower", "toupper", "b64", "basename", "len", "join", "concat", "getopt", "val"}

const anyNumber = 1 << 30

func init() { // the parser looks names up here, and builders print calls
	transformers = map[string]*transformer{
		"tolower":  {1, 1, textTransformer(appendLower, stringType)},
		"toupper":  {1, 1, textTransformer(appendUpper, stringType)},
		"basename": {1, 1, textTransformer(appendBase, stringType)},
		"b64":      {1, 1, textTransformer(appendDecoded, textOrBytes)},
		"len":      {1, 1, buildLen},
		"join":     {2, 2, buildJoin},
		"concat":   {2, anyNumber, buildConcat},
		"getopt":   {2, 2, buildGetopt},
	}
}

// call returns the source of a transformer's result.
func (ss *sources) call(n *Call) (*source, error) {
	t := transformers[n.Name]
	if t == nil {
		return nil, errorAt(n.At, "unknown transformer '%s'", n.Name)
	}
	if len(n.Args) < t.min || len(n.Args) > t.max {
		return nil, errorAt(n.At, "transformer '%s' takes %s, %d given", n.Name, countArgs(t), len(n.Args))
	}
	if n.HasArg && n.Name != "getopt" {
		return nil, errorAt(n.At, "transformer '%s' takes no argument in brackets", n.Name)
	}
	args := make([]*source, len(n.Args))
	scope, cost := field.ScopeProcess, costPerCall
	for i, a := range n.Args {
		var err error
		if tuple, ok := a.(*Tuple); ok {
			args[i], err = ss.tuple(tuple)
		} else {
			args[i], err = ss.inner(a)
		}
		if err != nil {
			return nil, err
		}
		scope, cost = min(scope, args[i].scope), cost+args[i].cost
	}
	s, err := t.build(n, args)
	if err != nil {
		return nil, err
	}
	s.scope, s.cost = scope, cost
	return s, nil
}

func countArgs(t *transformer) string {
	switch {
	case t.max == anyNumber:
		return "two arguments or more"
	case t.max == 1:
		return "one argument"
	}
	return "two arguments"
}

// tuple returns the list of the values of strings in parentheses.
func (ss *sources) tuple(n *Tuple) (*source, error) {
	items := make([]*source, len(n.Items))
	out := &source{typ: event.TypeCharbuf, list: true, scope: field.ScopeProcess}
	for i, item := range n.Items {
		s, err := ss.inner(item)
		if err != nil {
			return nil, err
		}
		if s.list || !stringType(s.typ) {
			return nil, errorAt(item.Pos(), "%s is not a single string", Print(item))
		}
		items[i] = s
		out.scope, out.cost = min(out.scope, s.scope), out.cost+s.cost
	}
	out.compute = func(r *reading, v *field.Value) bool {
		v.List = v.List[:0]
		for _, s := range items {
			in := s.value(r)
			if in == nil {
				return false
			}
			v.List = append(v.List, field.Value{Str: in.Str})
		}
		return len(v.List) > 0
	}
	return out, nil
}

func textOrBytes(t event.ParamType) bool { return stringType(t) || t == event.TypeBytebuf }

// textTransformer builds a transformer that turns each string of its argument
// into another one. change appends the new string to b and reports whether there is one.
func textTransformer(change func(b []byte, s string) ([]byte, bool), accepts func(event.ParamType) bool) func(*Call, []*source) (*source, error) {
	return func(c *Call, args []*source) (*source, error) {
		arg := args[0]
		if !accepts(arg.typ) {
			return nil, errorAt(c.At, "transformer '%s' does not support %s of type %s", c.Name, Print(c.Args[0]), arg.typ)
		}
		out := &source{typ: arg.typ, list: arg.list}
		var buf []byte
		out.compute = func(r *reading, v *field.Value) bool {
			in := arg.value(r)
			if in == nil {
				return false
			}
			var ok bool
			if !arg.list {
				buf, ok = change(buf[:0], in.Str)
				v.Str = event.String(buf)
				return ok
			}
			buf, v.List = buf[:0], v.List[:0]
			for i := range in.List {
				start := len(buf)
				if buf, ok = change(buf, in.List[i].Str); !ok {
					return false
				}
				v.List = append(v.List, field.Value{Str: event.String(buf[start:])})
			}
			return true
		}
		return out, nil
	}
}

func appendLower(b []byte, s string) ([]byte, bool) {
	start := len(b)
	b = append(b, s...)
	for i, c := range b[start:] {
		b[start+i] = lower(c)
	}
	return b, true
}

func appendUpper(b []byte, s string) ([]byte, bool) {
	start := len(b)
	b = append(b, s...)
	for i, c := range b[start:] {
		if c >= 'a' && c <= 'z' {
			b[start+i] = c - 'a' + 'A'
		}
	}
	return b, true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func appendBase(b []byte, s string) ([]byte, bool) {
	return append(b, s[strings.LastIndexByte(s, '/')+1:]...), true
}

// appendDecoded decodes base64 with or without padding.
func appendDecoded(b []byte, s string) ([]byte, bool) {
	s = strings.TrimRight(s, "=")
	start, room := len(b), base64.RawStdEncoding.DecodedLen(len(s))
	b = slices.Grow(b, room+len(s))
	encoded := append(b[:start+room], s...)[start+room:]
	n, err := base64.RawStdEncoding.Decode(b[start:start+room], encoded)
	return b[:start+n], err == nil
}

func buildLen(c *Call, args []*source) (*source, error) {
	arg := args[0]
	if !arg.list && !textOrBytes(arg.typ) {
		return nil, errorAt(c.At, "transformer 'len' does not support %s of type %s", Print(c.Args[0]), arg.typ)
	}
	return &source{typ: event.TypeUint64, compute: func(r *reading, v *field.Value) bool {
		in := arg.value(r)
		if in == nil {
			return false
		}
		v.Num = uint64(len(in.Str))
		if arg.list {
			v.Num = uint64(len(in.List))
		}
		return true
	}}, nil
}

// wantString is the error of an argument that is not a single string.
func wantString(c *Call, args []*source, i int) error {
	if args[i].list || !stringType(args[i].typ) {
		return errorAt(c.Args[i].Pos(), "argument %d of transformer '%s' must be a single string", i+1, c.Name)
	}
	return nil
}

// wantList is the error of an argument that is not a list of strings.
func wantList(c *Call, args []*source, i int) error {
	if !args[i].list || !stringType(args[i].typ) {
		return errorAt(c.Args[i].Pos(), "argument %d of transformer '%s' must be a list of strings", i+1, c.Name)
	}
	return nil
}

func buildJoin(c *Call, args []*source) (*source, error) {
	if err := wantString(c, args, 0); err != nil {
		return nil, err
	}
	if err := wantList(c, args, 1); err != nil {
		return nil, err
	}
	var buf []byte
	return &source{typ: event.TypeCharbuf, compute: func(r *reading, v *field.Value) bool {
		sep, list := args[0].value(r), args[1].value(r)
		if sep == nil || list == nil {
			return false
		}
		buf = buf[:0]
		for i := range list.List {
			if i > 0 {
				buf = append(buf, sep.Str...)
			}
			buf = append(buf, list.List[i].Str...)
		}
		v.Str = event.String(buf)
		return true
	}}, nil
}

func buildConcat(c *Call, args []*source) (*source, error) {
	for i := range args {
		if err := wantString(c, args, i); err != nil {
			return nil, err
		}
	}
	var buf []byte
	return &source{typ: event.TypeCharbuf, compute: func(r *reading, v *field.Value) bool {
		buf = buf[:0]
		for _, a := range args {
			in := a.value(r)
			if in == nil {
				return false
			}
			buf = append(buf, in.Str...)
		}
		v.Str = event.String(buf)
		return true
	}}, nil
}

func buildGetopt(c *Call, args []*source) (*source, error) {
	if err := wantList(c, args, 0); err != nil {
		return nil, err
	}
	if err := wantString(c, args, 1); err != nil {
		return nil, err
	}
	if c.HasArg && len(c.Arg) != 1 {
		return nil, errorAt(c.At, "transformer 'getopt' takes one option letter in brackets, not '%s'", c.Arg)
	}
	return &source{typ: event.TypeCharbuf, list: !c.HasArg, compute: func(r *reading, v *field.Value) bool {
		words, options := args[0].value(r), args[1].value(r)
		if words == nil || options == nil {
			return false
		}
		v.List = appendOptions(v.List[:0], words.List, options.Str)
		if !c.HasArg {
			return len(v.List) > 0
		}
		return lastOption(v, c.Arg, options.Str)
	}}, nil
}

// takesValue reports whether the option string knows the letter and wants a value with it.
func takesValue(options string, letter byte) (known, value bool) {
	i := strings.IndexByte(options, letter)
	if i < 0 || letter == ':' {
		return false, false
	}
	return true, i+1 < len(options) && options[i+1] == ':'
}

// appendOptions appends the options in words as getopt(3) finds them: each
// letter, followed by its value if it takes one. Words that start with two
// dashes are skipped.
func appendOptions(out, words []field.Value, options string) []field.Value {
	for i := 0; i < len(words); i++ {
		w := words[i].Str
		if len(w) < 2 || w[0] != '-' || w == "--" {
			break
		}
		if w[1] == '-' {
			continue
		}
		for j := 1; j < len(w); j++ {
			known, value := takesValue(options, w[j])
			if !known {
				out = append(out, field.Value{Str: "?"})
				continue
			}
			out = append(out, field.Value{Str: w[j : j+1]})
			if !value {
				continue
			}
			arg := w[j+1:]
			if arg == "" && i+1 < len(words) {
				i++
				arg = words[i].Str
			}
			out = append(out, field.Value{Str: arg})
			break
		}
	}
	return out
}

// lastOption stores the value of the last option with that letter into v, or
// the letter itself if it takes none.
func lastOption(v *field.Value, letter, options string) bool {
	found := false
	for i := 0; i < len(v.List); i++ {
		l := v.List[i].Str
		_, value := takesValue(options, l[0])
		if l == letter && (!value || i+1 < len(v.List)) {
			found = true
			v.Str = l
			if value {
				v.Str = v.List[i+1].Str
			}
		}
		if value {
			i++
		}
	}
	return found
}
