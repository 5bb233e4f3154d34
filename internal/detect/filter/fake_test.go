package filter

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"rollcage/internal/detect/field"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// fakeDefs are the fields of tests, named and typed as the real ones.
var fakeDefs = map[string]*field.Def{}

func init() {
	def := func(t event.ParamType, scope field.Scope, flags field.Flags, args field.ArgKind, names ...string) {
		for _, n := range names {
			fakeDefs[n] = &field.Def{Name: n, Type: t, Scope: scope, Flags: flags, Args: args}
		}
	}
	const process, perEvent = field.ScopeProcess, field.ScopeEvent
	const filterOnly = field.FilterOnly | field.NoTransformer | field.NoRHS
	def(event.TypeCharbuf, process, 0, 0, "proc.name", "proc.pname", "proc.exepath", "proc.cmdline",
		"proc.cwd", "user.name", "container.id", "container.image.repository")
	def(event.TypeCharbuf, process, 0, field.ArgIndex, "proc.args")
	def(event.TypeCharbuf, process, 0, field.ArgKey, "proc.env")
	def(event.TypeInt64, process, 0, 0, "proc.pid", "proc.ppid", "user.loginuid")
	def(event.TypeUint32, process, 0, 0, "user.uid", "proc.tty")
	def(event.TypeUint64, process, 0, 0, "proc.cmdnargs")
	def(event.TypeBool, process, 0, 0, "container.privileged")
	def(event.TypeCharbuf, process, field.NoTransformer|field.NoRHS, field.ArgIndex, "proc.aname")
	def(event.TypeInt64, process, field.NoTransformer|field.NoRHS, field.ArgIndex, "proc.apid")
	def(event.TypeCharbuf, perEvent, 0, 0, "evt.type", "syscall.type", "evt.res", "fd.name", "fd.directory",
		"fd.sproto", "fd.l4proto", "fs.path.name")
	def(event.TypeCharbuf, perEvent, 0, field.ArgIndex|field.ArgName|field.ArgRequired, "evt.arg")
	def(event.TypeDyn, perEvent, field.NoTransformer|field.NoRHS, field.ArgName|field.ArgRequired, "evt.rawarg")
	def(event.TypeInt64, perEvent, 0, 0, "fd.num", "evt.rawres")
	def(event.TypeInt16, perEvent, 0, 0, "evt.cpu")
	def(event.TypeUint32, perEvent, 0, 0, "evt.count")
	def(event.TypeUint64, perEvent, 0, 0, "evt.num")
	def(event.TypeRelTime, perEvent, 0, 0, "evt.deltatime")
	def(event.TypeBool, perEvent, 0, 0, "evt.failed", "fd.connected")
	def(event.TypeDouble, perEvent, 0, 0, "proc.fdusage")
	def(event.TypeBytebuf, perEvent, 0, 0, "evt.buffer")
	def(event.TypePort, perEvent, 0, 0, "fd.sport", "fd.lport")
	def(event.TypePort, perEvent, filterOnly, 0, "fd.port")
	def(event.TypeIPAddr, perEvent, 0, 0, "fd.sip", "fd.cip")
	def(event.TypeIPAddr, perEvent, filterOnly, 0, "fd.ip")
	def(event.TypeIPNet, perEvent, filterOnly, 0, "fd.net", "fd.snet")
	def(event.TypeCharbuf, perEvent, field.NoTransformer|field.NoRHS, 0, "fd.sip.name")
	def(event.TypeCharbuf, perEvent, field.List|field.NoRHS, field.ArgIndex, "fd.types")
	def(event.TypeCharbuf, perEvent, field.List, 0, "test.words", "test.letters")
	def(event.TypeCharbuf, perEvent, field.PrintOnly, 0, "evt.outputtime")
	def(event.TypeCharbuf, perEvent, 0, 0, "ka.verb")
}

// fakeHost gives fields the values of a test by their written form. Values
// of a field that stands for several are separated by commas.
type fakeHost struct {
	values map[string]string
	reads  int
}

func (h *fakeHost) schema() *Schema {
	return &Schema{
		Field: h.field, Longest: longestFake, Service: servicePort,
		Resolve: func(_ context.Context, name string) ([]netip.Addr, error) {
			if name == "one.test" {
				return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil
			}
			return nil, errors.New("no such host")
		},
	}
}

func longestFake(text string) (string, int) {
	for end := fieldNameLen(text); end > 0; end-- {
		name := text[:end]
		if fakeDefs[name] != nil || strings.HasPrefix(name, "evt.arg.") && fakeParam(name[len("evt.arg."):]) != nil {
			return name, end
		}
	}
	return "", 0
}

func fakeParam(name string) *event.ParamInfo {
	for _, i := range event.All() {
		if n := i.ParamIndex(name); n >= 0 {
			return &i.Params[n]
		}
	}
	return nil
}

func (h *fakeHost) field(name, arg string, hasArg bool) (*field.Field, error) {
	d := fakeDefs[name]
	f := &field.Field{Def: d, Name: name, Arg: arg, HasArg: hasArg}
	for _, prefix := range []string{"evt.arg", "evt.rawarg"} {
		param, ok := strings.CutPrefix(name, prefix+".")
		if !ok {
			continue
		}
		info := fakeParam(param)
		if info == nil {
			return nil, &field.UnknownError{Name: name}
		}
		d = fakeDefs[prefix]
		f.Def, f.Type = d, info.Type
	}
	switch {
	case d == nil:
		return nil, &field.UnknownError{Name: name, Nearest: "proc.name"}
	case hasArg && d.Args&(field.ArgIndex|field.ArgKey) == 0:
		return nil, &field.ArgError{Field: name, Arg: arg, Reason: "takes no argument"}
	case !hasArg && d.Name == name && d.Args&field.ArgRequired != 0:
		return nil, &field.ArgError{Field: name, Reason: "needs an argument"}
	}
	if d.Type != event.TypeDyn {
		f.Type = d.Type
	}
	if hasArg {
		f.Name = name + "[" + arg + "]"
	}
	h.bind(f)
	return f, nil
}

func (h *fakeHost) bind(f *field.Field) {
	isList := f.Def.Flags&field.List != 0
	f.Read = func(e *host.Event, v *field.Value) bool {
		h.reads++
		if f.Name == evtType || f.Name == syscallType {
			return readName(e, v)
		}
		text, ok := h.values[f.Name]
		if !ok {
			return false
		}
		if !isList {
			return fakeValue(f.Type, text, v)
		}
		v.List = v.List[:0]
		for _, s := range strings.Split(text, ",") {
			var item field.Value
			fakeValue(f.Type, s, &item)
			v.List = append(v.List, item)
		}
		return true
	}
	each := func(_ *host.Event, v *field.Value, yield func() bool) {
		text, ok := h.values[f.Name]
		for ok && text != "" {
			var one string
			one, text, _ = strings.Cut(text, ",")
			if fakeValue(f.Type, one, v) && !yield() {
				return
			}
		}
	}
	switch f.Name {
	case "proc.aname", "proc.apid":
		f.EachAncestor = each
	case "fd.ip", "fd.port", "fd.net":
		f.EachValue = each
	}
}

// readName reads evt.type and syscall.type for events that tests make.
func readName(e *host.Event, v *field.Value) bool {
	switch e.Type() {
	case event.GENERIC_E, event.GENERIC_X:
		code, _ := e.Uint(0)
		v.Str = event.SyscallByCode(uint16(code)).Name
	case event.ASYNCEVENT_E:
		v.Str, _ = e.Str(1)
	default:
		v.Str = e.Info().Name
	}
	return true
}

func fakeValue(t event.ParamType, text string, v *field.Value) bool {
	var err error
	switch groupOf(t) {
	case groupNumber, groupBool:
		if text == "true" || text == "false" {
			v.Num = map[string]uint64{"true": 1}[text]
			return true
		}
		var n int64
		if n, err = strconv.ParseInt(text, 10, 64); err == nil {
			v.Num = uint64(n)
		} else {
			v.Num, err = strconv.ParseUint(text, 10, 64)
		}
	case groupFloat:
		v.Float, err = strconv.ParseFloat(text, 64)
	case groupAddr, groupNet:
		v.Addr, err = netip.ParseAddr(text)
	default:
		v.Str = text
	}
	if err != nil {
		panic(fmt.Sprintf("test value %q: %v", text, err))
	}
	return true
}

// fakeEvent makes an event with that name: of a type, a system call without
// own type, or an asynchronous event.
func fakeEvent(name string, num uint64) *host.Event {
	t, params := event.GENERIC_X, []any(nil)
	switch infos := event.Lookup(name); {
	case len(infos) > 0:
		t = infos[len(infos)-1].Type
	case name == "container":
		t, params = event.ASYNCEVENT_E, []any{uint32(0), name, ""}
	default:
		params = []any{event.SyscallByName(name).Code, uint16(0)}
	}
	b, err := event.Append(nil, 1000+num, 1, t, params...)
	if err != nil {
		panic(err)
	}
	ev := &event.Event{Num: num}
	if err := ev.Reset(b); err != nil {
		panic(err)
	}
	return &host.Event{Event: ev, FDNum: -1}
}
