package field

import (
	"runtime"
	"strconv"
	"sync"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// eventTypeFields are the fields of what kind of event it is.
var eventTypeFields = []Def{
	{Name: "evt.dir", Type: str, Flags: Deprecated, Doc: "Direction of the event: > for enter events, < for exit events.",
		Example: `evt.dir = "<"`, bind: text(direction)},
	{Name: "evt.type", Type: str, Doc: "Name of the event, for system calls without an event of their own that of the system call.",
		Example: "evt.type in (open, openat, openat2)", bind: text(typeName)},
	{Name: "evt.type.is", Type: u32, Args: ArgName | ArgRequired, Doc: "1 if the event has that name or number, else 0.",
		Example: "evt.type.is.open = 1", bind: typeIs},
	{Name: "syscall.type", Type: str, Doc: "Name of the system call; events that are none have no value.",
		Example: "syscall.type = execve", bind: text(syscallName)},
	{Name: "evt.category", Type: str, Doc: "What the event is about, for instance file, net, process or memory; for reads and writes it follows from the descriptor.",
		Example: "evt.category = net", bind: text(category)},
	{Name: "evt.is_io", Type: boolean, Doc: "Whether the event reads or writes a descriptor.",
		Example: "evt.is_io = true", bind: truth(hasFlags(event.ReadsFromFD | event.WritesToFD))},
	{Name: "evt.is_io_read", Type: boolean, Doc: "Whether the event reads a descriptor.",
		Example: "evt.is_io_read = true", bind: truth(hasFlags(event.ReadsFromFD))},
	{Name: "evt.is_io_write", Type: boolean, Doc: "Whether the event writes a descriptor.",
		Example: "evt.is_io_write = true", bind: truth(hasFlags(event.WritesToFD))},
	{Name: "evt.io_dir", Type: str, Doc: "read or write for events that read or write a descriptor.",
		Example: "evt.io_dir = write", bind: text(ioDirection)},
	{Name: "evt.is_wait", Type: boolean, Doc: "Whether the event makes the thread wait, for instance poll or nanosleep.",
		Example: "evt.is_wait = true", bind: truth(hasFlags(event.Waits))},
	{Name: "evt.wait_latency", Type: ns, Flags: Deprecated, Doc: "Nanoseconds that the system call took if it is one that makes the thread wait, 0 if that is not known.",
		Example: "evt.wait_latency > 1000000000", bind: always(waitLatency)},
	{Name: "evt.is_syslog", Type: boolean, Doc: "Whether the event writes to the system log's socket /dev/log.",
		Example: "evt.is_syslog = true", bind: truth(isSyslog)},
	{Name: "evt.count.exit", Type: u32, Doc: "1 for exit events, to be summed up.",
		Example: "evt.count.exit = 1", bind: number(func(e *host.Event) (uint64, bool) { return 1, !e.Type().IsEnter() })},
	{Name: "evt.count.open", Type: u32, Flags: Hidden, Doc: "1 for exit events of calls that open a file by a name or handle, to be summed up.",
		Example: "evt.count.open = 1", bind: always(func(e *host.Event) uint64 { return bit(opening.Has(e.Type())) })},
	{Name: "evt.count.procinfo", Type: u32, Flags: Hidden, Doc: "1 for procinfo events of main threads, to be summed up.",
		Example: "evt.count.procinfo = 1", bind: always(func(e *host.Event) uint64 {
			return bit(e.Type() == event.PROCINFO_E && e.Thread != nil && e.Thread == e.Thread.Leader)
		})},
	{Name: "evt.count.threadinfo", Type: u32, Flags: Hidden, Doc: "1 for procinfo events, to be summed up.",
		Example: "evt.count.threadinfo = 1", bind: always(func(e *host.Event) uint64 { return bit(e.Type() == event.PROCINFO_E) })},
}

// opening are the exits of calls that open a file.
var opening = func() (types event.TypeSet) {
	for _, name := range []string{"open", "openat", "openat2", "creat", "open_by_handle_at"} {
		for _, i := range event.Lookup(name) {
			if !i.Type.IsEnter() {
				types.Add(i.Type)
			}
		}
	}
	return types
}()

func waitLatency(e *host.Event) uint64 {
	if e.Info().Flags&event.Waits == 0 {
		return 0
	}
	return e.Latency
}

func direction(e *host.Event) (string, bool) {
	if e.Type().IsEnter() {
		return ">", true
	}
	return "<", true
}

func hasFlags(any event.Flags) func(e *host.Event) bool {
	return func(e *host.Event) bool { return e.Info().Flags&any != 0 }
}

func isGeneric(t event.Type) bool { return t == event.GENERIC_E || t == event.GENERIC_X }

func typeName(e *host.Event) (string, bool) {
	switch t := e.Type(); {
	case isGeneric(t):
		return genericName(e), true
	case t == event.ASYNCEVENT_E:
		return e.Str(1)
	}
	return e.Info().Name, true
}

func syscallName(e *host.Event) (string, bool) {
	if isGeneric(e.Type()) {
		return genericName(e), true
	}
	return e.Info().Name, e.Info().Origin == event.OriginSyscall
}

// genericName returns the name of the system call of a generic event. One that
// the recorder did not know is looked up by its native number, which is right
// if it ran on this machine's architecture.
func genericName(e *host.Event) string {
	code, _ := e.Uint(0)
	if code == 0 {
		if nr, ok := e.Uint(1); ok {
			if name := nativeNames()[int(nr)]; name != "" {
				return name
			}
		}
	}
	if s := event.SyscallByCode(uint16(code)); s != nil {
		return s.Name
	}
	return "unknown"
}

// nativeNames returns the names of this machine's system calls by number.
var nativeNames = sync.OnceValue(func() map[int]string {
	names := map[int]string{}
	arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	for _, n := range event.NativeSyscalls(arch) {
		names[n.Nr] = n.Syscall.Name
	}
	return names
})

// typeIs binds evt.type.is: the argument is the name of an event, of whichever
// version, or the number of a type.
func typeIs(f *Field) error {
	var types event.TypeSet
	for _, i := range event.Lookup(f.Arg) {
		types.Add(i.Type)
	}
	if types == (event.TypeSet{}) {
		n, err := strconv.ParseUint(f.Arg, 10, 16)
		if err != nil || event.Type(n).Info() == nil {
			return f.argError("knows no event type " + strconv.Quote(f.Arg))
		}
		types.Add(event.Type(n))
	}
	f.Read = func(e *host.Event, v *Value) bool {
		v.Num = bit(types.Has(e.Type()))
		return true
	}
	return nil
}

// category returns the word for what the event is about.
func category(e *host.Event) (string, bool) {
	switch c := e.Info().Category; c {
	case event.CategoryIORead, event.CategoryIOWrite, event.CategoryIOOther:
		return ioCategory(e.FD), true
	default:
		return c.String(), true
	}
}

// ioCategory returns what an event is about that reads, writes or otherwise
// works on a descriptor.
func ioCategory(fd *host.FD) string {
	if fd == nil {
		return "unknown"
	}
	switch t := fd.Type; {
	case isFileOrDir(fd):
		return "file"
	case t.IsIP():
		return "net"
	case t == event.FDPipe, t == event.FDUnix, t == event.FDEvent, t == event.FDSignal,
		t == event.FDInotify, t == event.FDUserfault:
		return "ipc"
	}
	return "unknown"
}

func isFileOrDir(fd *host.FD) bool { return fd.Type.IsFile() || fd.Type == event.FDDirectory }

func ioDirection(e *host.Event) (string, bool) {
	switch f := e.Info().Flags; {
	case f&event.WritesToFD != 0:
		return "write", true
	case f&event.ReadsFromFD != 0:
		return "read", true
	}
	return "", false
}

func isSyslog(e *host.Event) bool {
	const path = "/dev/log"
	if e.Info().Flags&event.WritesToFD == 0 || e.FD == nil {
		return false
	}
	name := e.FD.Name
	return len(name) >= len(path) && name[len(name)-len(path):] == path
}
