package probe

import (
	"runtime"

	"rollcage/internal/observe/event"
)

// Indexes of the calls table: see MAX_SYSCALLS and COMPAT_CALLS in bpf/record.h.
const (
	maxSyscalls = 512
	compatCalls = 512
	maxCalls    = 2048
)

// socketcallNr is the 32-bit x86 call that stands for all on sockets.
const socketcallNr = 102

// call is what the programs do with one system call.
type call struct {
	index int    // in the programs' tables: the number, plus compatCalls for 32-bit ones
	code  uint16 // platform independent code
	row   bpfCall
}

// wholeMakers are the events that a program makes as a whole.
var wholeMakers = map[event.Type]bpfMaker{
	event.SYSCALL_EXECVE_19_X: bpfMakerMAKER_EXEC,
	event.SYSCALL_EXECVEAT_X:  bpfMakerMAKER_EXEC,
	event.SYSCALL_CLONE_20_X:  bpfMakerMAKER_CLONE,
	event.SYSCALL_CLONE3_X:    bpfMakerMAKER_CLONE,
	event.SYSCALL_FORK_20_X:   bpfMakerMAKER_CLONE,
	event.SYSCALL_VFORK_20_X:  bpfMakerMAKER_CLONE,
	event.SOCKET_SENDMMSG_X:   bpfMakerMAKER_MESSAGES,
	event.SOCKET_RECVMMSG_X:   bpfMakerMAKER_MESSAGES,
}

// lifecycle are the calls of the lifecycle lane: what changes who a process
// is. The second word says whether it voids what was known about its image.
var lifecycle = map[string]bool{
	"clone": false, "clone3": false, "fork": false, "vfork": false, "execve": false, "execveat": false,
	"setuid": true, "setgid": true, "setreuid": true, "setregid": true, "setresuid": true, "setresgid": true,
	"capset": true, "setsid": true, "setpgid": true, "setns": true, "unshare": true, "prctl": true,
	"chroot": true, "chdir": false, "fchdir": false, "pivot_root": true,
}

// arguments are the calls whose argument is compared with what they reached: what they do with it, and which
// parameter it is.
var arguments = map[event.Type]struct {
	flags bpfCallFlags
	param uint8
}{
	event.SYSCALL_OPEN_X:      {bpfCallFlagsCALL_OPENS, 1},
	event.SYSCALL_CREAT_X:     {bpfCallFlagsCALL_OPENS, 1},
	event.SYSCALL_OPENAT_2_X:  {bpfCallFlagsCALL_OPENS | bpfCallFlagsCALL_AT, 2},
	event.SYSCALL_OPENAT2_X:   {bpfCallFlagsCALL_OPENS | bpfCallFlagsCALL_AT, 2},
	event.SOCKET_CONNECT_X:    {bpfCallFlagsCALL_CONNECTS, 3},
	event.SYSCALL_EXECVE_19_X: {bpfCallFlagsCALL_EXECUTES, 30},
}

// architecture is the name that package event has for the platform's system calls.
func architecture() string {
	if runtime.GOARCH == "arm64" {
		return "aarch64"
	}
	return "x86_64"
}

// buildCalls makes the rows of the calls table for arch ("x86_64", "aarch64").
func buildCalls(t *tables, arch string) []call {
	var calls []call
	native := map[int]event.NativeSyscall{}
	for _, n := range event.NativeSyscalls(arch) {
		if n.Nr < maxSyscalls {
			native[n.Nr] = n
			calls = append(calls, newCall(t, n.Nr, n, n.Exit, t.recipes[n.Exit]))
		}
	}
	if arch != "x86_64" {
		return calls
	}
	for nr := range maxSyscalls {
		if c, ok := ia32Call(t, nr, native); ok {
			calls = append(calls, c)
		}
	}
	for nr, as := range t.x32 {
		n := native[as]
		calls = append(calls, newCall(t, nr+compatCalls, n, n.Exit, t.recipes[n.Exit]))
	}
	return calls
}

// ia32Call makes the row of a 32-bit x86 call, if it corresponds to a 64-bit one.
func ia32Call(t *tables, nr int, native map[int]event.NativeSyscall) (call, bool) {
	if nr == socketcallNr {
		return call{index: nr + compatCalls, row: bpfCall{Maker: uint8(bpfMakerMAKER_SOCKETCALL)}}, true
	}
	as, ok := event.IA32ToX8664(nr)
	own, special := t.ia32[nr]
	if special && own.native >= 0 {
		as, ok = own.native, true
	}
	n, known := native[as]
	if special && own.recipes != nil {
		if !ok || !known || n.Exit != own.exit {
			n.Syscall = syscallOf(own.exit)
		}
		return newCall(t, nr+compatCalls, n, own.exit, own.recipes), true
	}
	if special && own.name != nil {
		return newCall(t, nr+compatCalls, event.NativeSyscall{Syscall: own.name}, event.GENERIC_X, nil), true
	}
	if !ok || !known {
		return call{}, false
	}
	return newCall(t, nr+compatCalls, n, n.Exit, t.recipes[n.Exit]), true
}

// syscallOf returns the system call that an event type is for.
func syscallOf(t event.Type) *event.Syscall {
	for _, s := range event.Syscalls() {
		if s.Exit() == t {
			return s
		}
	}
	return event.SyscallByCode(0)
}

func newCall(t *tables, index int, n event.NativeSyscall, exit event.Type, recipes []bpfRecipe) call {
	c := call{index: index, code: n.Syscall.Code}
	c.row.Type, c.row.Code = uint16(exit), n.Syscall.Code
	c.row.Nparams = uint8(len(exit.Info().Params))
	copy(c.row.Params[:], recipes)
	c.row.Maker = uint8(makerOf(exit, recipes))
	switch exit {
	case event.SOCKET_SENDMSG_X, event.SOCKET_RECVMSG_X, event.SOCKET_SENDMMSG_X, event.SOCKET_RECVMMSG_X:
		c.row.Flags |= uint8(bpfCallFlagsCALL_MESSAGE)
	}
	if a, ok := arguments[exit]; ok {
		c.row.Flags |= uint8(a.flags)
	}
	image, ok := lifecycle[n.Syscall.Name]
	if ok {
		c.row.Flags |= uint8(bpfCallFlagsCALL_LIFECYCLE)
	}
	if image {
		c.row.Flags |= uint8(bpfCallFlagsCALL_IMAGE)
	}
	if m := bpfMaker(c.row.Maker); m == bpfMakerMAKER_EXEC || m == bpfMakerMAKER_CLONE {
		c.row.Flags |= uint8(bpfCallFlagsCALL_SKIP_ZERO)
	}
	return c
}

// makerOf returns the program that can make all parameters of an event.
func makerOf(exit event.Type, recipes []bpfRecipe) bpfMaker {
	if m, ok := wholeMakers[exit]; ok {
		return m
	}
	if exit == event.GENERIC_X {
		return bpfMakerMAKER_GENERIC
	}
	maker := bpfMakerMAKER_PLAIN
	for _, r := range recipes {
		switch k := bpfKind(r.Kind); {
		case k > bpfKindKIND_LAST_RICH:
			return bpfMakerMAKER_SOCKET
		case k > bpfKindKIND_LAST_PLAIN:
			maker = bpfMakerMAKER_RICH
		}
	}
	return maker
}

// socketcalls are the calls that socketcall stands for, in its order from 1 on
// (include/uapi/linux/net.h): the index in the calls table of the same call
// made directly, and for send and recv, which are none, one that no number has.
func socketcalls(t *tables, calls []call) ([]uint32, []call) {
	names := []string{
		"", "socket", "bind", "connect", "listen", "accept", "getsockname", "getpeername", "socketpair",
		"send", "recv", "sendto", "recvfrom", "shutdown", "setsockopt", "getsockopt", "sendmsg", "recvmsg",
		"accept4", "recvmmsg", "sendmmsg",
	}
	var extra []call
	index := make([]uint32, len(names))
	for i, name := range names {
		s := event.SyscallByName(name)
		index[i] = maxCalls - 1
		if s == nil {
			continue
		}
		if exit := s.Exit(); t.recipes[exit] != nil || wholeMakers[exit] != 0 {
			index[i] = uint32(maxCalls - 1 - len(names) + i)
			n := event.NativeSyscall{Syscall: s, Exit: exit}
			extra = append(extra, newCall(t, int(index[i]), n, exit, t.recipes[exit]))
		}
	}
	return index, extra
}
