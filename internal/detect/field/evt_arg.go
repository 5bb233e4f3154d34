package field

import (
	"strconv"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// eventArgFields are the fields of the event's parameters.
var eventArgFields = []Def{
	{Name: "evt.args", Type: str, Flags: Styled, Doc: "All parameters of the event as name=value, with what a number stands for in parentheses.",
		Example: "evt.args contains O_CREAT", bind: built(allArgs)},
	{Name: "evt.info", Type: str, Flags: Styled, Doc: "The same text as evt.args.", Example: "evt.info contains O_CREAT", bind: built(allArgs)},
	{Name: "evt.arg", Type: str, Args: ArgIndex | ArgName | ArgRequired, Flags: Unstable | Styled,
		Doc:     "One parameter of the event as text, with names instead of numbers where there are any.",
		Example: "evt.arg.flags contains CLONE_NEWUSER", bind: oneArg},
	{Name: "evt.rawarg", Type: event.TypeDyn, Args: ArgName | ArgRequired, Flags: NoTransformer | NoRHS | Raw,
		Doc: "One parameter of the event with its own type.", Example: "evt.rawarg.res = -13", bind: rawArg},
	{Name: "evt.abspath", Type: str, Args: ArgName, Doc: "Absolute path of a system call that takes a directory's descriptor and a path; .src and .dst choose one of two.",
		Example: "evt.abspath.dst startswith /etc/", bind: absPath},
	{Name: "evt.infra.docker.name", Type: str, Flags: Hidden, Doc: "Name of a Docker event in old captures.",
		Example: "evt.infra.docker.name = start", bind: text(infra("Event", 0))},
	{Name: "evt.infra.docker.container.id", Type: str, Flags: Hidden, Doc: "Container of a Docker event in old captures.",
		Example: "evt.infra.docker.container.id = 3ad7b26ded6d", bind: text(infra("ID", 12))},
	{Name: "evt.infra.docker.container.name", Type: str, Flags: Hidden, Doc: "Name of the container of a Docker event in old captures.",
		Example: "evt.infra.docker.container.name = web", bind: text(infra("name", 0))},
	{Name: "evt.infra.docker.container.image", Type: str, Flags: Hidden, Doc: "Image of the container of a Docker event in old captures.",
		Example: "evt.infra.docker.container.image = nginx", bind: text(infraImage)},
}

// appendRaw is AppendRaw for a text that is not made printable after: what is
// no buffer is, if buffers have line ends that must stay.
func (s *Style) appendRaw(b []byte, e *host.Event, i int) []byte {
	start := len(b)
	b = AppendRaw(b, e, i, s)
	if p := paramOf(e, i); !s.multiline() || p.typ == event.TypeBytebuf {
		return b
	}
	return event.AppendPrintable(b[:start], string(b[start:]))
}

func allArgs(b []byte, e *host.Event, s *Style) ([]byte, bool) {
	if isGeneric(e.Type()) {
		return b, true // their parameters only say which system call it is
	}
	for i := range e.NumParams() {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(append(b, e.Info().Params[i].Name...), '=')
		b = append(s.appendRaw(b, e, i), '(')
		start := len(b)
		if b = AppendResolved(b, e, i, s); len(b) > start {
			b = append(b, ')')
		} else {
			b = b[:start-1]
		}
	}
	return b, true
}

// paramIndex holds for each type of event where it has a certain parameter, -1 where it has not.
type paramIndex []int8

func indexParam(name string) paramIndex {
	index := make(paramIndex, event.Count())
	for i, info := range event.All() {
		index[i] = int8(info.ParamIndex(name))
	}
	return index
}

// of returns the index of the event's parameter, -1 if it has none.
func (x paramIndex) of(e *host.Event) int {
	if i := int(x[e.Type()]); i < e.NumParams() {
		return i
	}
	return -1
}

// checkParam checks that some event has a parameter of the argument's name and
// returns the first such parameter's description.
func (f *Field) checkParam() (*event.ParamInfo, error) {
	var names []string
	for _, info := range event.All() {
		for i := range info.Params {
			p := &info.Params[i]
			if p.Name == f.Arg {
				return p, nil
			}
			names = append(names, p.Name)
		}
	}
	reason := "knows no parameter " + strconv.Quote(f.Arg)
	if best := event.Nearest(f.Arg, names); best != "" {
		reason += ", did you mean " + best + "?"
	}
	return nil, f.argError(reason)
}

// oneArg binds evt.arg, by name or by index.
func oneArg(f *Field) error {
	index := func(*host.Event) int { return int(min(f.number, event.MaxParams)) }
	if f.named {
		if _, err := f.checkParam(); err != nil {
			return err
		}
		index = indexParam(f.Arg).of
	}
	f.Read = func(e *host.Event, v *Value) bool {
		i := index(e)
		if i < 0 || i >= e.NumParams() {
			return false
		}
		b := AppendResolved(v.buf[:0], e, i, f.style())
		if len(b) == 0 {
			b = f.style().appendRaw(b, e, i)
		}
		return v.set(b)
	}
	return nil
}

// rawArg binds evt.rawarg. The same name may have different types in
// different events: the field has the first, a value prints as what it is.
func rawArg(f *Field) error {
	info, err := f.checkParam()
	if err != nil {
		return err
	}
	f.Type, f.Format = info.Type, info.Format
	index, first := indexParam(f.Arg), kindOf(info.Type)
	f.Read = func(e *host.Event, v *Value) bool {
		i := index.of(e)
		if i < 0 {
			return false
		}
		p := paramOf(e, i)
		v.typ, v.format = p.typ, p.format
		return kindOf(p.Type) == first && f.readRaw(e, i, &p, v)
	}
	return nil
}

// readRaw stores parameter i, which is p, with its own type.
func (f *Field) readRaw(e *host.Event, i int, p *param, v *Value) bool {
	switch p.typ {
	case event.TypeCharbuf, event.TypeFSPath, event.TypeFSRelPath:
		if len(p.data) == 0 {
			v.Str = notAvailable
		} else {
			v.Str = stringOf(p.data)
		}
		return true
	case event.TypeBytebuf:
		v.Str = event.String(p.data)
		return len(p.data) > 0
	}
	if len(p.data) == 0 {
		return false
	}
	if kindOf(p.typ) == kindNumber || kindOf(p.typ) == kindBool {
		n, ok := p.number()
		v.Num = n
		return ok
	}
	v.typ = event.TypeCharbuf
	return v.set(AppendRaw(v.buf[:0], e, i, f.style()))
}

// absParams are the path parameters that evt.abspath gives, of the events that
// take a directory's descriptor.
var absParams = func() (out [][2]int8) {
	out = make([][2]int8, event.Count())
	for i, info := range event.All() {
		out[i] = [2]int8{-1, -1}
		if info.Type.IsEnter() || !info.Current() {
			continue
		}
		n := 0
		for j := range info.Params {
			if p := &info.Params[j]; p.Type == event.TypeFSRelPath && n < 2 {
				out[i][n] = int8(j)
				n++
			}
		}
	}
	return out
}()

// absPath binds evt.abspath: without argument and with .src it gives the first
// path, with .dst the second, or the only one.
func absPath(f *Field) error {
	second := false
	switch {
	case !f.HasArg, f.named && f.Arg == "src":
	case f.named && f.Arg == "dst":
		second = true
	default:
		return f.argError("takes only .src or .dst, not " + strconv.Quote(f.Arg))
	}
	f.Read = func(e *host.Event, v *Value) bool {
		at := absParams[e.Type()]
		i := int(at[0])
		if second && at[1] >= 0 {
			i = int(at[1])
		}
		if e.Type() == event.SYSCALL_OPEN_BY_HANDLE_AT_X {
			if res, ok := e.Result(); !ok || res < 0 {
				return false
			}
			i = 3 // path
		}
		if i < 0 || e.Thread == nil {
			return false
		}
		b, ok := appendResolvedPath(v.buf[:0], e, i)
		return v.set(b) && ok
	}
	return nil
}

// infra returns a reader of one KEY:VALUE of the description of a Docker event,
// at most limit bytes of it unless that is 0.
func infra(key string, limit int) func(e *host.Event) (string, bool) {
	return func(e *host.Event) (string, bool) {
		if e.Type() != event.INFRASTRUCTURE_EVENT_E {
			return "", false
		}
		text, _ := e.Str(2)
		v, ok := listValue(text, key)
		if limit > 0 && len(v) > limit {
			v = v[:limit]
		}
		return v, ok
	}
}

func infraImage(e *host.Event) (string, bool) {
	image, ok := infra("Image", 0)(e)
	return withoutDigest(image), ok
}
