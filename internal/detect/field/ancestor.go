package field

import (
	"strings"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// ancestorFields are the fields of processes that the event's process
// descends from, or shares a session or group with.
var ancestorFields = []Def{
	{Name: "proc.pname", Type: str, Scope: ScopeProcess, Doc: "Name of the parent process.",
		Example: "proc.pname = sshd", bind: threadText(parent, comm)},
	{Name: "proc.pexe", Type: str, Scope: ScopeProcess, Doc: "argv[0] of the parent process.",
		Example: "proc.pexe endswith java", bind: threadText(parent, exe)},
	{Name: "proc.pexepath", Type: str, Scope: ScopeProcess, Doc: "Path of the parent's executable.",
		Example: "proc.pexepath = /usr/sbin/sshd", bind: threadText(parent, exePath)},
	{Name: "proc.pcmdline", Type: str, Scope: ScopeProcess, Doc: "Name and arguments of the parent process.",
		Example: `proc.pcmdline startswith "cron -f"`, bind: threadBuilt(parent, appendCmdline)},
	{Name: "proc.aname", Type: str, Args: ArgIndex, Flags: NoTransformer | NoRHS, Scope: ScopeProcess,
		Doc:     "Name of the ancestor with the number in brackets (0 is the process itself, 1 its parent); without number, of any ancestor.",
		Example: "proc.aname = sshd", bind: ancestors(asBuilt(comm))},
	{Name: "proc.aexe", Type: str, Args: ArgIndex, Flags: NoTransformer | NoRHS, Scope: ScopeProcess,
		Doc:     "argv[0] of an ancestor by number, or of any.",
		Example: "proc.aexe[2] endswith java", bind: ancestors(asBuilt(exe))},
	{Name: "proc.aexepath", Type: str, Args: ArgIndex, Flags: NoTransformer | NoRHS, Scope: ScopeProcess,
		Doc:     "Path of the executable of an ancestor by number, or of any.",
		Example: "proc.aexepath[1] = /usr/bin/dockerd", bind: ancestors(asBuilt(exePath))},
	{Name: "proc.aargs", Type: str, Args: ArgIndex, Scope: ScopeProcess,
		Doc:     "Arguments of an ancestor by number, or of any, joined by blanks.",
		Example: `proc.aargs[1] contains "-c"`, bind: ancestors(appendArgs)},
	{Name: "proc.acmdline", Type: str, Args: ArgIndex, Flags: NoTransformer | NoRHS, Scope: ScopeProcess,
		Doc:     "Name and arguments of an ancestor by number, or of any.",
		Example: "proc.acmdline contains base64", bind: ancestors(appendCmdline)},
	{Name: "proc.aenv", Type: str, Args: ArgIndex | ArgKey, Flags: NoTransformer | NoRHS, Scope: ScopeProcess,
		Doc:     "Environment of an ancestor by number, or of any; with the name of a variable, its value in the nearest ancestor that has it.",
		Example: "proc.aenv[SSH_CONNECTION] exists", bind: ancestorEnv},
	{Name: "proc.apid", Type: i64, Format: event.FormatID, Args: ArgIndex, Flags: NoTransformer | NoRHS, Scope: ScopeProcess,
		Doc:     "Process id of an ancestor by number, or of any.",
		Example: "proc.apid[1] = 1", bind: ancestorPID},
	{Name: "proc.loginshellid", Type: i64, Format: event.FormatID, Scope: ScopeProcess, Doc: "Process id of the oldest shell among the process and its ancestors.",
		Example: "proc.loginshellid exists", bind: number(loginShell)},
	{Name: "proc.sname", Type: str, Doc: "Name of the process that leads the session, or of the oldest ancestor that is in it.",
		Example: "proc.sname = sshd", bind: threadText(sessionLeader, comm)},
	{Name: "proc.sid.exe", Type: str, Doc: "argv[0] of the process that leads the session.",
		Example: "proc.sid.exe = -bash", bind: threadText(sessionLeader, exe)},
	{Name: "proc.sid.exepath", Type: str, Doc: "Path of the executable of the process that leads the session.",
		Example: "proc.sid.exepath = /usr/sbin/sshd", bind: threadText(sessionLeader, exePath)},
	{Name: "proc.vpgid.name", Type: str, Doc: "Name of the process that leads the process group, or of the oldest ancestor that is in it.",
		Example: "proc.vpgid.name = make", bind: threadText(vgroupLeader, comm)},
	{Name: "proc.vpgid.exe", Type: str, Doc: "argv[0] of the process that leads the process group.",
		Example: "proc.vpgid.exe = make", bind: threadText(vgroupLeader, exe)},
	{Name: "proc.vpgid.exepath", Type: str, Doc: "Path of the executable of the process that leads the process group.",
		Example: "proc.vpgid.exepath = /usr/bin/make", bind: threadText(vgroupLeader, exePath)},
	{Name: "proc.pgid.name", Type: str, Doc: "Name of the process that leads the process group on the host.",
		Example: "proc.pgid.name = make", bind: threadText(groupLeader, comm)},
	{Name: "proc.pgid.exe", Type: str, Doc: "argv[0] of the process that leads the process group on the host.",
		Example: "proc.pgid.exe = make", bind: threadText(groupLeader, exe)},
	{Name: "proc.pgid.exepath", Type: str, Doc: "Path of the executable of the process that leads the process group on the host.",
		Example: "proc.pgid.exepath = /usr/bin/make", bind: threadText(groupLeader, exePath)},
}

// maxAncestors is how far up the ancestors are followed.
const maxAncestors = 1024

// envAncestors is how far up proc.aenv[NAME] looks for a variable.
const envAncestors = 20

// ancestor returns the ancestor n levels up from the event's process, 0 being
// the process, nil if it is not known.
func ancestor(e *host.Event, n uint64) *host.Thread {
	t := e.Process()
	for ; n > 0 && t != nil; n-- {
		t = t.Parent
	}
	return t
}

// eachAncestor calls yield for the parent, its parent and so on until it returns false.
func eachAncestor(e *host.Event, yield func(t *host.Thread) bool) {
	t := e.Process()
	for range maxAncestors {
		if t == nil {
			return
		}
		if t = t.Parent; t == nil || !yield(t) {
			return
		}
	}
}

// asBuilt makes a reader of text one that appends it.
func asBuilt(read func(t *host.Thread) string) func(b []byte, t *host.Thread) ([]byte, bool) {
	return func(b []byte, t *host.Thread) ([]byte, bool) { return append(b, read(t)...), true }
}

// ancestors binds a field of one ancestor, or with EachAncestor of any.
func ancestors(read func(b []byte, t *host.Thread) ([]byte, bool)) binder {
	return func(f *Field) error {
		n := uint64(1)
		if f.HasArg {
			n = f.number
		} else {
			f.EachAncestor = func(e *host.Event, v *Value, yield func() bool) {
				eachAncestor(e, func(t *host.Thread) bool {
					b, ok := read(v.buf[:0], t)
					return v.set(b) && (!ok || yield())
				})
			}
		}
		return threadBuilt(func(e *host.Event) *host.Thread { return ancestor(e, n) }, read)(f)
	}
}

func ancestorPID(f *Field) error {
	n := uint64(1)
	if f.HasArg {
		n = f.number
	} else {
		f.EachAncestor = func(e *host.Event, v *Value, yield func() bool) {
			eachAncestor(e, func(t *host.Thread) bool {
				v.Num = uint64(t.PID)
				return yield()
			})
		}
	}
	return threadNumber(func(e *host.Event) *host.Thread { return ancestor(e, n) }, pid)(f)
}

func ancestorEnv(f *Field) error {
	if !f.HasArg || strings.Trim(f.Arg, "0123456789") == "" {
		return ancestors(appendEnv)(f)
	}
	name := f.Arg
	return text(func(e *host.Event) (value string, ok bool) {
		t := e.Process()
		for range envAncestors {
			if t == nil || ok {
				break
			}
			if t = t.Parent; t != nil {
				value, ok = variable(t, name)
			}
		}
		return value, ok
	})(f)
}

// loginShell returns the pid of the oldest process of the line whose name ends in sh.
func loginShell(e *host.Event) (pid int64, ok bool) {
	look := func(t *host.Thread) bool {
		if strings.HasSuffix(t.Comm, "sh") {
			pid, ok = t.PID, true
		}
		return true
	}
	if t := e.Process(); t != nil {
		look(t)
	}
	eachAncestor(e, look)
	return pid, ok
}

func sessionLeader(e *host.Event) *host.Thread {
	return leader(e, func(t *host.Thread) int64 { return t.SID })
}

func vgroupLeader(e *host.Event) *host.Thread {
	return leader(e, func(t *host.Thread) int64 { return t.VPGID })
}

func groupLeader(e *host.Event) *host.Thread {
	id := func(t *host.Thread) int64 { return t.PGID }
	p := e.Process()
	if p == nil || id(p) <= 0 {
		return nil
	}
	if t := threadByID(e, id(p)); t != nil {
		return t
	}
	return oldest(e, id)
}

// leader returns the process whose pid is the id of the process's session or
// group. In a pid namespace, where the id cannot be looked up, and when the
// leader is gone, the oldest of the unbroken line of ancestors with the same id
// stands for it.
func leader(e *host.Event, id func(t *host.Thread) int64) *host.Thread {
	p := e.Process()
	if p == nil || id(p) <= 0 { // not known, or outside of the namespace
		return nil
	}
	if !namespaced(p) {
		if t := threadByID(e, id(p)); t != nil {
			return t
		}
	}
	return oldest(e, id)
}

// namespaced reports whether a process is in a pid namespace of its own.
func namespaced(t *host.Thread) bool { return t.VPID != t.PID && t.VPID != -1 }

// oldest returns the last of the unbroken line of ancestors with the same id.
// It ends where a pid namespace does, as outside the id means another.
func oldest(e *host.Event, id func(t *host.Thread) int64) *host.Thread {
	p := e.Process()
	want, found := id(p), p
	eachAncestor(e, func(t *host.Thread) bool {
		if id(t) != want || namespaced(t) != namespaced(p) {
			return false
		}
		found = t
		return true
	})
	return found
}
