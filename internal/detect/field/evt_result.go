package field

import (
	"strconv"
	"strings"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// eventResultFields are the fields of what came of the event: result, data, access.
var eventResultFields = []Def{
	{Name: "evt.res", Type: str, Flags: Unstable, Doc: "SUCCESS, or the name of the error that the system call returned.",
		Example: "evt.res = EACCES", bind: built(result)},
	{Name: "evt.rawres", Type: i64, Doc: "Number that the system call returned, a negative errno if it failed.",
		Example: "evt.rawres >= 0", bind: number(returned)},
	{Name: "evt.failed", Type: boolean, Doc: "Whether the system call failed.",
		Example: "evt.failed = true", bind: number(failed)},
	{Name: "evt.buffer", Type: event.TypeBytebuf, Flags: Unstable, Doc: "Data that the event read or wrote, as far as it was recorded.",
		Example: `evt.buffer contains "GET /"`, bind: text(data)},
	{Name: "evt.buflen", Type: u64, Doc: "Number of bytes that the event read or wrote.",
		Example: "evt.buflen > 4096", bind: number(moved(anyIO, anyFD))},
	{Name: "evt.buflen.in", Type: u64, Flags: Hidden, Doc: "Number of bytes that the event read.",
		Example: "evt.buflen.in > 4096", bind: number(moved(readIO, anyFD))},
	{Name: "evt.buflen.out", Type: u64, Flags: Hidden, Doc: "Number of bytes that the event wrote.",
		Example: "evt.buflen.out > 4096", bind: number(moved(writeIO, anyFD))},
	{Name: "evt.buflen.file", Type: u64, Flags: Hidden, Doc: "Number of bytes that the event read from or wrote to a file.",
		Example: "evt.buflen.file > 4096", bind: number(moved(anyIO, event.FDType.IsFile))},
	{Name: "evt.buflen.file.in", Type: u64, Flags: Hidden, Doc: "Number of bytes that the event read from a file.",
		Example: "evt.buflen.file.in > 4096", bind: number(moved(readIO, event.FDType.IsFile))},
	{Name: "evt.buflen.file.out", Type: u64, Flags: Hidden, Doc: "Number of bytes that the event wrote to a file.",
		Example: "evt.buflen.file.out > 4096", bind: number(moved(writeIO, event.FDType.IsFile))},
	{Name: "evt.buflen.net", Type: u64, Flags: Hidden, Doc: "Number of bytes that the event received from or sent to the network.",
		Example: "evt.buflen.net > 4096", bind: number(moved(anyIO, event.FDType.IsIP))},
	{Name: "evt.buflen.net.in", Type: u64, Flags: Hidden, Doc: "Number of bytes that the event received from the network.",
		Example: "evt.buflen.net.in > 4096", bind: number(moved(readIO, event.FDType.IsIP))},
	{Name: "evt.buflen.net.out", Type: u64, Flags: Hidden, Doc: "Number of bytes that the event sent to the network.",
		Example: "evt.buflen.net.out > 4096", bind: number(moved(writeIO, event.FDType.IsIP))},
	{Name: "evt.count.error", Type: u32, Doc: "1 for events that failed, to be summed up.",
		Example: "evt.count.error = 1", bind: number(failed)},
	{Name: "evt.count.error.file", Type: u32, Doc: "1 for events on files that failed, to be summed up.",
		Example: "evt.count.error.file = 1", bind: number(failedOn(aboutFile))},
	{Name: "evt.count.error.net", Type: u32, Doc: "1 for events on sockets that failed, to be summed up.",
		Example: "evt.count.error.net = 1", bind: number(failedOn(aboutNet))},
	{Name: "evt.count.error.memory", Type: u32, Doc: "1 for events on memory that failed, to be summed up.",
		Example: "evt.count.error.memory = 1", bind: number(failedOn(aboutMemory))},
	{Name: "evt.count.error.other", Type: u32, Doc: "1 for all other events that failed, to be summed up.",
		Example: "evt.count.error.other = 1", bind: number(failedOn(aboutOther))},
	{Name: "evt.is_open_read", Type: boolean, Doc: "Whether the event opens a file for reading.",
		Example: "evt.is_open_read = true", bind: truth(opens(openRead))},
	{Name: "evt.is_open_write", Type: boolean, Doc: "Whether the event opens a file for writing.",
		Example: "evt.is_open_write = true", bind: truth(opens(openWrite))},
	{Name: "evt.is_open_exec", Type: boolean, Doc: "Whether the event creates a file that may be executed.",
		Example: "evt.is_open_exec = true", bind: truth(createsExecutable)},
	{Name: "evt.is_open_create", Type: boolean, Doc: "Whether the event opened a file that was not there before.",
		Example: "evt.is_open_create = true", bind: truth(createsFile)},
}

// returned returns what the system call returned. For calls like getuid, that
// cannot fail, it is the id.
func returned(e *host.Event) (int64, bool) {
	if res, ok := e.Result(); ok {
		return res, true
	}
	info := e.Info()
	if info.Origin != event.OriginSyscall || info.Type.IsEnter() || len(info.Params) == 0 {
		return 0, false
	}
	switch info.Params[0].Type {
	case event.TypeUID, event.TypeGID:
		n, ok := e.Uint(0)
		return int64(n), ok
	}
	return 0, false
}

func result(b []byte, e *host.Event, _ *Style) ([]byte, bool) {
	res, ok := returned(e)
	if !ok {
		return b, false
	}
	if res >= 0 {
		return append(b, "SUCCESS"...), true
	}
	if name := event.ErrnoName(-res); name != "" {
		return append(b, name...), true
	}
	return strconv.AppendInt(b, res, 10), true
}

func failed(e *host.Event) (uint64, bool) {
	res, ok := returned(e)
	return bit(res < 0), ok
}

// dataParam is where events have the data that they moved.
var dataParam = indexParam("data")

func data(e *host.Event) (string, bool) {
	i := dataParam.of(e)
	if i < 0 {
		return "", false
	}
	b := e.Param(i)
	return event.String(b), len(b) > 0
}

func anyFD(event.FDType) bool { return true }

func anyIO(c event.Category) bool {
	return c == event.CategoryIORead || c == event.CategoryIOWrite || c == event.CategoryIOOther
}
func readIO(c event.Category) bool  { return c == event.CategoryIORead }
func writeIO(c event.Category) bool { return c == event.CategoryIOWrite }

// moved returns a reader of the number of bytes moved by events of certain
// categories on certain descriptors.
func moved(category func(event.Category) bool, fd func(event.FDType) bool) func(e *host.Event) (int64, bool) {
	return func(e *host.Event) (int64, bool) {
		if e.FD == nil || !category(e.Info().Category) || !fd(e.FD.Type) {
			return 0, false
		}
		n, ok := e.Result()
		return n, ok && n >= 0
	}
}

// about is what a failed event is counted as.
type about uint8

const (
	aboutOther about = iota
	aboutFile
	aboutNet
	aboutMemory
)

// failedOn returns a reader of whether an event about one thing failed.
func failedOn(what about) func(e *host.Event) (uint64, bool) {
	return func(e *host.Event) (uint64, bool) {
		if subject(e) != what {
			return 0, false
		}
		return failed(e)
	}
}

// subject says what an event is about by its descriptor, or without one, as
// when opening or connecting failed, by its type.
func subject(e *host.Event) about {
	if fd := e.FD; fd != nil {
		switch {
		case isFileOrDir(fd):
			return aboutFile
		case fd.Type.IsIP(), fd.Type == event.FDUnix:
			return aboutNet
		}
	} else {
		switch e.Type() {
		case event.SYSCALL_OPEN_X, event.SYSCALL_CREAT_X, event.SYSCALL_OPENAT_2_X,
			event.SYSCALL_OPENAT2_X, event.SYSCALL_OPEN_BY_HANDLE_AT_X:
			return aboutFile
		case event.SOCKET_ACCEPT_5_X, event.SOCKET_ACCEPT4_6_X, event.SOCKET_CONNECT_X:
			return aboutNet
		}
	}
	if e.Info().Category == event.CategoryMemory {
		return aboutMemory
	}
	return aboutOther
}

// Bits of the flags of open in events (table file_flags): reading and writing
// have a bit each.
const (
	openRead    = 1 << 0
	openWrite   = 1 << 1
	openCreate  = 1 << 2
	openTmpfile = 1 << 13
	openCreated = 1 << 14
	modeExec    = 0o111
)

// openParams is where events that open files have flags and mode, -1 where not.
type openParams struct{ flags, mode int8 }

// opened returns where an event that opens a file has its parameters.
func opened(t event.Type) openParams {
	switch t {
	case event.SYSCALL_OPEN_X:
		return openParams{2, 3}
	case event.SYSCALL_OPENAT_2_X, event.SYSCALL_OPENAT2_X:
		return openParams{3, 4}
	case event.SYSCALL_OPEN_BY_HANDLE_AT_X:
		return openParams{2, -1}
	}
	return openParams{-1, -1}
}

func openFlags(e *host.Event) (flags uint64, p openParams) {
	if p = opened(e.Type()); p.flags >= 0 {
		flags, _ = e.Uint(int(p.flags))
	}
	return flags, p
}

// opens returns a reader of whether a file is opened with a certain flag.
func opens(flag uint64) func(e *host.Event) bool {
	return func(e *host.Event) bool {
		flags, _ := openFlags(e)
		return flags&flag != 0
	}
}

func createsFile(e *host.Event) bool {
	flags, _ := openFlags(e)
	if flags&openTmpfile != 0 {
		res, ok := e.Result()
		return ok && res >= 0 || flags&openCreated != 0
	}
	return flags&openCreated != 0
}

func createsExecutable(e *host.Event) bool {
	flags, p := openFlags(e)
	at := int(p.mode)
	switch {
	case e.Type() == event.SYSCALL_CREAT_X:
		at = 2
	case at < 0 || flags&(openCreate|openTmpfile) == 0:
		return false
	}
	mode, _ := e.Uint(at)
	return mode&modeExec != 0
}

// listValue returns the value of key in a list KEY:VALUE;KEY:VALUE.
func listValue(list, key string) (string, bool) {
	for list != "" {
		var item string
		item, list, _ = strings.Cut(list, ";")
		if k, v, ok := strings.Cut(item, ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v), true
		}
	}
	return "", false
}

// withoutDigest cuts the @sha256:… off the name of an image.
func withoutDigest(image string) string {
	name, _, _ := strings.Cut(image, "@")
	return name
}
