package field

import (
	"strconv"
	"strings"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// fdFields are the fields of the descriptor that the event works on. Its
// addresses are in fdaddr.go.
var fdFields = []Def{
	{Name: "fd.num", Type: i64, Format: event.FormatID, Doc: "Number of the descriptor, -1 if the call that works on one has none.",
		Example: "fd.num in (0, 1, 2)", bind: number(func(e *host.Event) (int64, bool) { return e.FDNum, usesFD(e) })},
	{Name: "fd.type", Type: str, Doc: "Type of the descriptor: file, directory, ipv4, ipv6, unix, pipe, event, signalfd, eventpoll, inotify and more.",
		Example: "fd.type = unix", bind: fdString(typeWord)},
	{Name: "fd.typechar", Type: str, Doc: "Type of the descriptor as one character: f file, d directory, 4 and 6 IP socket, u unix socket, p pipe and more.",
		Example: "fd.typechar in (4, 6)", bind: text(typeLetter)},
	{Name: "fd.name", Type: str, Doc: "Path of a file, or the two ends of a connection.",
		Example: "fd.name startswith /etc/", bind: readFD(fdName)},
	{Name: "fd.directory", Type: str, Doc: "Directory of the file, or the path of the directory.",
		Example: "fd.directory in (/bin, /usr/bin)", bind: fdPart(directory, "")},
	{Name: "fd.filename", Type: str, Doc: "Last part of the file's path.",
		Example: "fd.filename = authorized_keys", bind: text(filename)},
	{Name: "fd.nameraw", Type: str, Doc: "Path of the file as the program passed it.",
		Example: "fd.nameraw contains ../", bind: built(fdNameRaw)},
	{Name: "fd.uid", Type: str, Doc: "Thread id and number of the descriptor, one after the other.",
		Example: "fd.uid = 12343", bind: built(fdUID)},
	{Name: "fd.containername", Type: str, Doc: "Container id, a colon and the name of the descriptor.",
		Example: `fd.containername = "3ad7b26ded6d:/etc/passwd"`, bind: fdPart(whole, ":")},
	{Name: "fd.containerdirectory", Type: str, Doc: "Container id, a colon and the directory of the file.",
		Example: `fd.containerdirectory = "3ad7b26ded6d:/etc"`, bind: fdPart(directory, ":")},
	{Name: "fd.name_changed", Type: boolean, Doc: "Whether the event changed the name of the descriptor, as connect does.",
		Example: "fd.name_changed = true", bind: number(func(e *host.Event) (uint64, bool) { return bit(e.NameChanged), hasFD(e) })},
	{Name: "fd.dev", Type: event.TypeInt32, Format: event.FormatHex, Doc: "Device that the file is on, major and minor number in one.",
		Example: "fd.dev > 0", bind: fdNumber(func(fd *host.FD) uint64 { return uint64(int32(fd.Dev)) })},
	{Name: "fd.dev.major", Type: event.TypeInt32, Doc: "Major number of the device that the file is on.",
		Example: "fd.dev.major = 8", bind: fdNumber(func(fd *host.FD) uint64 { return uint64(fd.Dev >> 8 & 0xfff) })},
	{Name: "fd.dev.minor", Type: event.TypeInt32, Doc: "Minor number of the device that the file is on.",
		Example: "fd.dev.minor = 1", bind: fdNumber(func(fd *host.FD) uint64 { return uint64(fd.Dev&0xff | fd.Dev>>12&0xfff00) })},
	{Name: "fd.ino", Type: i64, Doc: "Inode of the file.",
		Example: "fd.ino = 131074", bind: fdNumber(func(fd *host.FD) uint64 { return fd.Ino })},
	{Name: "fd.types", Type: str, Args: ArgIndex, Flags: List | NoRHS, Doc: "Types of all open descriptors of the process, each once, or the type of the one with the number in brackets.",
		Example: "fd.types intersects (ipv4, ipv6)", bind: fdTypes},
	{Name: "fd.is_upper_layer", Type: boolean, Doc: "Whether the file is in the upper layer of an overlay, so not from the container's image.",
		Example: "fd.is_upper_layer = true", bind: fdTruth(func(fd *host.FD) bool { return fd.UpperLayer })},
	{Name: "fd.is_lower_layer", Type: boolean, Doc: "Whether the file is in a lower layer of an overlay, so from the container's image.",
		Example: "fd.is_lower_layer = true", bind: fdTruth(func(fd *host.FD) bool { return fd.LowerLayer })},
}

// usesFD reports whether the event creates, works on or closes a descriptor of a known thread.
func usesFD(e *host.Event) bool {
	return e.Thread != nil && e.Info().Flags&(event.CreatesFD|event.UsesFD|event.DestroysFD) != 0
}

func hasFD(e *host.Event) bool { return e.FD != nil && usesFD(e) }

func fdString(read func(fd *host.FD) string) binder {
	return text(func(e *host.Event) (string, bool) {
		if !hasFD(e) {
			return "", false
		}
		return read(e.FD), true
	})
}

func fdNumber(read func(fd *host.FD) uint64) binder {
	return number(func(e *host.Event) (uint64, bool) {
		if !hasFD(e) {
			return 0, false
		}
		return read(e.FD), true
	})
}

func fdTruth(read func(fd *host.FD) bool) binder {
	return fdNumber(func(fd *host.FD) uint64 { return bit(read(fd)) })
}

// typeWord returns the word for the type of a descriptor.
func typeWord(fd *host.FD) string {
	if w := fd.Type.Word(); w != "" {
		return w
	}
	return notAvailable
}

// ascii holds all ASCII characters in order: a part of it is a string of one
// character that need not be allocated.
var ascii = func() (s string) {
	for c := range 128 {
		s += string(rune(c))
	}
	return s
}()

// typeLetter returns the letter of the descriptor's type. When the call that
// should have created the descriptor failed, it is the type that it would have had.
func typeLetter(e *host.Event) (string, bool) {
	if !usesFD(e) {
		return "", false
	}
	letter := failedLetter(e.Type())
	if e.FD != nil {
		letter = e.FD.Type.Letter()
	}
	return ascii[letter : letter+1], true
}

func failedLetter(t event.Type) byte {
	switch t | 1 { // the exit event
	case event.SYSCALL_OPEN_X, event.SYSCALL_OPENAT_X, event.SYSCALL_OPENAT_2_X, event.SYSCALL_OPENAT2_X, event.SYSCALL_CREAT_X:
		return event.FDFile.Letter()
	case event.SOCKET_SOCKET_X, event.SOCKET_ACCEPT_X, event.SOCKET_ACCEPT_5_X,
		event.SOCKET_ACCEPT4_X, event.SOCKET_ACCEPT4_5_X, event.SOCKET_ACCEPT4_6_X:
		return event.FDIPv4.Letter() // a guess: nothing tells the family
	case event.SYSCALL_PIPE_X, event.SYSCALL_PIPE2_X:
		return event.FDPipe.Letter()
	case event.SYSCALL_EVENTFD_X, event.SYSCALL_EVENTFD2_X:
		return event.FDEvent.Letter()
	case event.SYSCALL_SIGNALFD_X, event.SYSCALL_SIGNALFD4_X:
		return event.FDSignal.Letter()
	case event.SYSCALL_TIMERFD_CREATE_X:
		return event.FDTimer.Letter()
	case event.SYSCALL_INOTIFY_INIT_X, event.SYSCALL_INOTIFY_INIT1_X:
		return event.FDInotify.Letter()
	}
	return event.FDUnknown.Letter()
}

// readFD binds a reader that stores into the value itself.
func readFD(read func(e *host.Event, v *Value, s *Style) bool) binder {
	return func(f *Field) error {
		f.Read = func(e *host.Event, v *Value) bool { return read(e, v, f.style()) }
		return nil
	}
}

// fdName stores the name of the event's descriptor. A call that failed to
// create or connect it still says which name it was about.
func fdName(e *host.Event, v *Value, s *Style) bool {
	fd := e.FD
	switch {
	case !usesFD(e):
		return false
	case fd == nil:
		return v.set(appendIntended(v.buf[:0], e, s))
	case e.Type() == event.SOCKET_CONNECT_X:
		if res, _ := e.Result(); res < 0 && len(e.Param(1)) > 0 {
			return v.set(AppendParam(v.buf[:0], e, 1, s))
		}
	}
	if fd.Name == "" || s.Services {
		return v.set(s.appendFDName(v.buf[:0], fd))
	}
	v.Str = fd.Name
	return true
}

// intended is the parameter with the name of what a call wants to open,
// accept or connect.
func intended(t event.Type) int {
	switch t {
	case event.SYSCALL_OPEN_X, event.SYSCALL_CREAT_X, event.SOCKET_CONNECT_X,
		event.SOCKET_ACCEPT_X, event.SOCKET_ACCEPT_5_X, event.SOCKET_ACCEPT4_X, event.SOCKET_ACCEPT4_5_X, event.SOCKET_ACCEPT4_6_X:
		return 1
	case event.SYSCALL_OPENAT_2_X, event.SYSCALL_OPENAT2_X:
		return 2
	case event.SYSCALL_OPEN_BY_HANDLE_AT_X:
		return 3
	}
	return -1
}

func appendIntended(b []byte, e *host.Event, s *Style) []byte {
	i := intended(e.Type())
	if i < 0 || i >= e.NumParams() {
		return b
	}
	if t := e.Info().Params[i].Type; t == event.TypeFSPath || t == event.TypeFSRelPath {
		if full, ok := appendResolvedPath(b, e, i); ok {
			return full
		}
	}
	return AppendParam(b, e, i, s)
}

func fdNameRaw(b []byte, e *host.Event, _ *Style) ([]byte, bool) {
	if !usesFD(e) {
		return b, false
	}
	raw := ""
	if e.FD != nil {
		raw = e.FD.Raw
	} else if i := intended(e.Type()); i >= 0 && e.Info().Params[i].Type != event.TypeSocktuple {
		raw, _ = e.Str(i)
	}
	return appendSqueezed(b, raw), true
}

// appendSqueezed appends a path with one slash where there are several.
func appendSqueezed(b []byte, path string) []byte {
	for i := range len(path) {
		if path[i] != '/' || i == 0 || path[i-1] != '/' {
			b = append(b, path[i])
		}
	}
	return b
}

func whole(name string, _ *host.FD) (string, bool) { return name, true }

// directory returns the directory of a file's name; fd is nil if opening it failed.
func directory(name string, fd *host.FD) (string, bool) {
	if fd != nil {
		if fd.Type == event.FDDirectory {
			return name, true
		}
		if !fd.Type.IsFile() {
			return "", false
		}
	}
	slash := strings.LastIndexByte(name, '/')
	switch {
	case name == "":
		return "", false
	case slash <= 0:
		return "/", true
	case slash == len(name)-1:
		return name, true
	}
	return name[:slash], true
}

func filename(e *host.Event) (string, bool) {
	if !hasFD(e) || !e.FD.Type.IsFile() {
		return "", false
	}
	name := e.FD.Name
	if slash := strings.LastIndexByte(name, '/'); slash < len(name)-1 {
		name = name[slash+1:]
	}
	return name, true
}

// fdPart binds a part of the descriptor's name, behind the container's id and
// a separator if that is not empty.
func fdPart(part func(name string, fd *host.FD) (string, bool), separator string) binder {
	return readFD(func(e *host.Event, v *Value, s *Style) (ok bool) {
		v.buf = v.buf[:0]
		if !fdName(e, v, s) {
			return false
		}
		if v.Str, ok = part(v.Str, e.FD); !ok || separator == "" {
			return ok
		}
		start := len(v.buf) // the name may be in what is before
		v.buf = append(append(v.buf, e.Thread.ContainerID()...), separator...)
		v.buf = append(v.buf, v.Str...)
		v.Str = event.String(v.buf[start:])
		return true
	})
}

func fdUID(b []byte, e *host.Event, _ *Style) ([]byte, bool) {
	if !usesFD(e) {
		return b, false
	}
	return appendInt(appendInt(b, e.TID()), e.FDNum), true
}

func appendInt(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) }

// fdTypes binds fd.types: the types of all descriptors in order of their
// numbers, each once, or that of one descriptor.
func fdTypes(f *Field) error {
	f.Read = func(e *host.Event, v *Value) bool {
		v.List = v.List[:0]
		if !usesFD(e) || e.Thread.FDs == nil {
			return false
		}
		if f.HasArg {
			if fd := openFD(e.Thread, int64(f.number)); fd != nil {
				v.List = append(v.List, Value{Str: typeWord(fd)})
			}
			return len(v.List) > 0
		}
		seen := uint64(0)
		for _, fd := range e.Thread.FDs.All() {
			if t := uint64(1) << (fd.Type & 63); seen&t == 0 {
				seen |= t
				v.addType(typeWord(fd))
			}
		}
		return len(v.List) > 0
	}
	return nil
}

// addType adds a word to the list unless it is there: several types have the same.
func (v *Value) addType(word string) {
	for i := range v.List {
		if v.List[i].Str == word {
			return
		}
	}
	v.List = append(v.List, Value{Str: word})
}
