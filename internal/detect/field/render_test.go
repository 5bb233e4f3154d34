package field

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// sample returns a plausible value of a parameter.
func sample(p *event.ParamInfo) any {
	switch p.Type {
	case event.TypeCharbuf, event.TypeFSPath, event.TypeFSRelPath:
		return "some/" + p.Name
	case event.TypeBytebuf, event.TypeCharbufArray, event.TypeCharbufPairArray:
		return []byte("one\x00two\x00")
	case event.TypeSockaddr:
		return inetAddr("10.0.0.1:80")
	case event.TypeSocktuple:
		return inetTuple("10.0.0.1:80", "10.0.0.2:443")
	case event.TypeFDList:
		return pollFDs(3, 1, 5, 4)
	case event.TypeDyn:
		return []byte{1, 3, 0, 0, 0, 0, 0, 0, 0}
	case event.TypeIPv6Addr:
		return make([]byte, 16)
	case event.TypeFD, event.TypeFD32:
		return 3
	case event.TypePID, event.TypePID32:
		return workPID
	case event.TypeUID, event.TypeGID:
		return 1000
	}
	return 1
}

// samples returns an event of every type.
func samples(t testing.TB) (all [][]byte) {
	for _, info := range event.All() {
		var values []any
		for i := range info.Params {
			values = append(values, sample(&info.Params[i]))
		}
		b, err := event.Append(nil, start, workPID, info.Type, values...)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// everyField returns each field at least once, with and without its optional argument.
func everyField(t testing.TB) (all []*Field) {
	for _, d := range All() {
		if d.Args&ArgRequired == 0 {
			all = append(all, mustParse(t, d.Name))
		}
		if d.Args == 0 {
			continue
		}
		example := strings.TrimPrefix(d.Example, "not ")
		written, _, _ := strings.Cut(example, " ")
		all = append(all, mustParse(t, written))
	}
	for _, more := range []string{"evt.arg[0]", "evt.arg[1]", "evt.arg.data", "evt.arg.tuple", "evt.arg.name", "evt.rawarg.name",
		"evt.rawarg.val", "evt.rawarg.data", "evt.rawarg.fds", "evt.rawarg.flags", "proc.aname[1]", "proc.args[0]", "fd.types[3]"} {
		all = append(all, mustParse(t, more))
	}
	return all
}

// attach makes he the event in b of one of the world's threads, without
// applying it to the state.
func (w *world) attach(b []byte, tid int64, fd *host.FD) (*host.Event, error) {
	if err := w.ev.Reset(b); err != nil {
		return nil, err
	}
	w.he = host.Event{Event: &w.ev, State: w.state, Thread: w.state.Thread(tid), FD: fd, FDNum: -1, Prev: start, First: start}
	if fd != nil {
		w.he.FDNum = fd.Num
	}
	return &w.he, nil
}

// render reads and prints all fields and parameters of an event. It fails if
// what they print cannot be shown or is no JSON.
func render(t testing.TB, e *host.Event, fields []*Field, b []byte) {
	var v Value
	for _, f := range fields {
		if f.EachAncestor != nil {
			f.EachAncestor(e, &v, func() bool { return true })
		}
		if f.EachValue != nil {
			f.EachValue(e, &v, func() bool { return true })
		}
		if !f.Read(e, &v) {
			continue
		}
		text := AppendText(b[:0], f, &v)
		if f.Def.Flags&Raw == 0 {
			for _, r := range string(text) {
				if unicode.IsControl(r) {
					t.Fatalf("%s of %s has a control character: %q", f.Name, e.Type(), text)
				}
			}
		}
		if text = AppendJSON(b[:0], f, &v); !json.Valid(text) {
			t.Fatalf("%s of %s is no JSON: %q", f.Name, e.Type(), text)
		}
	}
	for i := range e.NumParams() {
		b = AppendRaw(b[:0], e, i, nil)
		b = AppendResolved(b, e, i, nil)
		b = AppendParam(b, e, i, nil)
	}
}

func TestEveryFieldOfEveryEventCanBePrinted(t *testing.T) {
	w := newWorld(t)
	fields := everyField(t)
	table := w.state.Thread(workPID).FDs
	for _, b := range samples(t) {
		for _, fd := range []*host.FD{nil, table.Get(3), table.Get(5), table.Get(6), table.Get(7)} {
			for _, tid := range []int64{-1, workPID, boxPID} {
				e, err := w.attach(b, tid, fd)
				if err != nil {
					t.Fatal(err)
				}
				render(t, e, fields, nil)
			}
		}
	}
}

func FuzzRender(f *testing.F) {
	for _, b := range samples(f) {
		f.Add(b, uint8(0))
	}
	w := newWorld(f)
	fields := everyField(f)
	tids := []int64{-1, workPID, workTID, boxPID}
	f.Fuzz(func(t *testing.T, b []byte, choice uint8) {
		var fd *host.FD
		if choice&8 != 0 {
			fd = w.state.Thread(workPID).FDs.Get(int64(choice >> 4 & 7))
		}
		e, err := w.attach(b, tids[choice&3], fd)
		if err != nil {
			return
		}
		render(t, e, fields, nil)
	})
}

func TestReadingAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	w := newWorld(t)
	fields := everyField(t)
	events := samples(t)
	fd := w.state.Thread(workPID).FDs.Get(5)
	buf := make([]byte, 0, 1<<16)
	for _, f := range fields {
		if f.Def.Name == "fd.types" {
			continue // walks the whole table; no rule of the hot path does
		}
		var v Value
		all := func() {
			for _, b := range events {
				for _, tid := range [...]int64{workPID, boxPID} {
					e, err := w.attach(b, tid, fd)
					if err == nil && f.Read(e, &v) {
						AppendText(buf, f, &v)
					}
				}
			}
		}
		all() // buffers grow
		if n := testing.AllocsPerRun(5, all); n > 0 {
			t.Errorf("%s allocates %v times for %d events", f.Name, n, 2*len(events))
		}
	}
}

func BenchmarkRead(b *testing.B) {
	w := newWorld(b)
	open := func() *host.Event {
		return w.happen(workPID, event.SYSCALL_OPENAT_2_X, 8, -100, "data/report.txt", 4097, 0o644, 0x801, 42)
	}
	for _, name := range []string{
		"evt.type", "evt.res", "evt.time", "evt.args", "evt.arg.flags", "evt.is_open_write",
		"proc.name", "proc.cmdline", "proc.aname[2]", "proc.env[LD_PRELOAD]",
		"fd.name", "fd.directory", "fd.typechar", "fs.path.name", "user.name", "container.id",
	} {
		f := mustParse(b, name)
		e := open()
		var v Value
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f.Read(e, &v)
			}
		})
	}
}

func BenchmarkAppendText(b *testing.B) {
	e := newWorld(b).happen(workPID, event.SYSCALL_OPENAT_2_X, 8, -100, "data/report.txt", 4097, 0o644, 0x801, 42)
	buf := make([]byte, 0, 4096)
	for _, name := range []string{"evt.args", "fd.name", "proc.pid", "proc.cmdline"} {
		f := mustParse(b, name)
		var v Value
		f.Read(e, &v)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				AppendText(buf, f, &v)
			}
		})
	}
}
