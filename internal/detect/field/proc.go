package field

import (
	"strings"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// processFields are the fields of the event's process: what was started, and
// by whom. Fields of its ancestors are in ancestor.go, of its threads in thread.go.
var processFields = []Def{
	{Name: "proc.name", Type: str, Scope: ScopeProcess, Doc: "Name of the process, at most 15 bytes; a thread may have given itself another.",
		Example: "proc.name = bash", bind: threadText(threadOf, comm)},
	{Name: "proc.exe", Type: str, Scope: ScopeProcess, Doc: "First word of the command line (argv[0]), which whoever starts the program chooses.",
		Example: "proc.exe = -bash", bind: processText(exe)},
	{Name: "proc.exepath", Type: str, Scope: ScopeProcess, Doc: "Path of the executable, with symbolic links resolved.",
		Example: "proc.exepath startswith /usr/bin/", bind: processText(exePath)},
	{Name: "proc.args", Type: str, Args: ArgIndex, Scope: ScopeProcess, Doc: "Arguments of the command line, joined by blanks, or the one with the number in brackets.",
		Example: `proc.args contains "-c"`, bind: processArgs},
	{Name: "proc.cmdline", Type: str, Scope: ScopeProcess, Doc: "Name of the process and its arguments, joined by blanks.",
		Example: `proc.cmdline startswith "curl http"`, bind: threadBuilt(threadOf, appendCmdline)},
	{Name: "proc.exeline", Type: str, Scope: ScopeProcess, Doc: "Whole command line, argv[0] and arguments, joined by blanks.",
		Example: `proc.exeline contains "python3 -m http.server"`, bind: processBuilt(appendExeline)},
	{Name: "proc.cmdnargs", Type: u64, Scope: ScopeProcess, Doc: "Number of arguments of the command line.",
		Example: "proc.cmdnargs > 10", bind: processNumber(func(t *host.Thread) (uint64, bool) { return uint64(len(t.Args)), true })},
	{Name: "proc.cmdlenargs", Type: u64, Scope: ScopeProcess, Doc: "Length in bytes of all arguments of the command line, without blanks between them.",
		Example: "proc.cmdlenargs > 1000", bind: processNumber(argsLength)},
	{Name: "proc.env", Type: str, Args: ArgKey, Scope: ScopeProcess, Doc: "Environment as NAME=value, joined by blanks, or the value of the variable in brackets.",
		Example: "proc.env[LD_PRELOAD] exists", bind: processEnv},
	{Name: "proc.cwd", Type: str, Scope: ScopeProcess, Doc: "Working directory, with a slash at the end.",
		Example: "proc.cwd startswith /tmp/", bind: processBuilt(appendCwd)},
	{Name: "proc.tty", Type: u32, Format: event.FormatID, Scope: ScopeProcess, Doc: "Number of the controlling terminal, 0 if there is none.",
		Example: "proc.tty != 0", bind: processNumber(func(t *host.Thread) (uint64, bool) { return uint64(t.TTY), true })},
	{Name: "proc.pid", Type: i64, Format: event.FormatID, Scope: ScopeProcess, Doc: "Id of the process on the host.",
		Example: "proc.pid = 1", bind: processNumber(pid)},
	{Name: "proc.ppid", Type: i64, Format: event.FormatID, Scope: ScopeProcess, Doc: "Id of the parent process on the host.",
		Example: "proc.ppid = 1", bind: processNumber(func(t *host.Thread) (int64, bool) { return t.PTID, true })},
	{Name: "proc.vpid", Type: i64, Format: event.FormatID, Scope: ScopeProcess, Doc: "Id of the process in its own pid namespace.",
		Example: "proc.vpid = 1", bind: processNumber(vpid)},
	{Name: "proc.pvpid", Type: i64, Format: event.FormatID, Scope: ScopeProcess, Doc: "Id of the parent process in its own pid namespace.",
		Example: "proc.pvpid = 1", bind: parentNumber(vpid)},
	{Name: "proc.sid", Type: i64, Format: event.FormatID, Scope: ScopeProcess, Doc: "Id of the session, in the pid namespace of the process.",
		Example: "proc.sid = 1", bind: processNumber(func(t *host.Thread) (int64, bool) { return t.SID, true })},
	{Name: "proc.vpgid", Type: i64, Format: event.FormatID, Scope: ScopeProcess, Doc: "Id of the process group in the pid namespace of the process.",
		Example: "proc.vpgid = 1", bind: processNumber(func(t *host.Thread) (int64, bool) { return t.VPGID, true })},
	{Name: "proc.pgid", Type: i64, Format: event.FormatID, Scope: ScopeProcess, Doc: "Id of the process group on the host.",
		Example: "proc.pgid = 1", bind: processNumber(func(t *host.Thread) (int64, bool) { return t.PGID, true })},
	{Name: "proc.is_sid_leader", Type: boolean, Scope: ScopeProcess, Doc: "Whether the process leads its session.",
		Example: "proc.is_sid_leader = true", bind: processTruth(func(t *host.Thread) bool { return t.SID == t.VPID })},
	{Name: "proc.is_vpgid_leader", Type: boolean, Scope: ScopeProcess, Doc: "Whether the process leads its process group, as seen in its pid namespace.",
		Example: "proc.is_vpgid_leader = true", bind: processTruth(func(t *host.Thread) bool { return t.VPGID == t.VPID })},
	{Name: "proc.is_pgid_leader", Type: boolean, Scope: ScopeProcess, Doc: "Whether the process leads its process group, as seen on the host.",
		Example: "proc.is_pgid_leader = true", bind: processTruth(func(t *host.Thread) bool { return t.PGID == t.PID })},
	{Name: "proc.duration", Type: ns, Doc: "Nanoseconds since the process was started; in another thread than the main one, since that was.",
		Example: "proc.duration < 1000000000", bind: number(func(e *host.Event) (uint64, bool) { return age(e, e.Thread) })},
	{Name: "proc.ppid.duration", Type: ns, Doc: "Nanoseconds since the parent process was started.",
		Example: "proc.ppid.duration < 1000000000", bind: number(func(e *host.Event) (uint64, bool) { return age(e, parent(e)) })},
	{Name: "proc.pid.ts", Type: ns, Scope: ScopeProcess, Doc: "Start of the process in nanoseconds since the epoch.",
		Example: "proc.pid.ts > 1700000000000000000", bind: processNumber(startTime)},
	{Name: "proc.ppid.ts", Type: ns, Scope: ScopeProcess, Doc: "Start of the parent process in nanoseconds since the epoch.",
		Example: "proc.ppid.ts > 1700000000000000000", bind: parentNumber(startTime)},
	{Name: "proc.is_exe_writable", Type: boolean, Scope: ScopeProcess, Doc: "Whether the user of the process could write the executable.",
		Example: "proc.is_exe_writable = true", bind: processTruth(func(t *host.Thread) bool { return t.ExeWritable })},
	{Name: "proc.is_exe_upper_layer", Type: boolean, Scope: ScopeProcess, Doc: "Whether the executable is in the upper layer of an overlay, so not from the container's image.",
		Example: "proc.is_exe_upper_layer = true", bind: processTruth(func(t *host.Thread) bool { return t.ExeUpperLayer })},
	{Name: "proc.is_exe_lower_layer", Type: boolean, Scope: ScopeProcess, Doc: "Whether the executable is in a lower layer of an overlay, so from the container's image.",
		Example: "proc.is_exe_lower_layer = true", bind: processTruth(func(t *host.Thread) bool { return t.ExeLowerLayer })},
	{Name: "proc.is_exe_from_memfd", Type: boolean, Scope: ScopeProcess, Doc: "Whether the executable is in memory only, made by memfd_create.",
		Example: "proc.is_exe_from_memfd = true", bind: processTruth(func(t *host.Thread) bool { return t.ExeFromMemfd })},
	{Name: "proc.exe_ino", Type: i64, Scope: ScopeProcess, Doc: "Inode of the executable.",
		Example: "proc.exe_ino = 131074", bind: processNumber(func(t *host.Thread) (uint64, bool) { return t.ExeIno, t.ExeIno != 0 })},
	{Name: "proc.exe_ino.ctime", Type: when, Scope: ScopeProcess, Doc: "Last status change of the executable in nanoseconds since the epoch.",
		Example: "proc.exe_ino.ctime > 1700000000000000000", bind: processNumber(func(t *host.Thread) (uint64, bool) { return t.ExeCtime, t.ExeCtime != 0 })},
	{Name: "proc.exe_ino.mtime", Type: when, Scope: ScopeProcess, Doc: "Last modification of the executable in nanoseconds since the epoch.",
		Example: "proc.exe_ino.mtime > 1700000000000000000", bind: processNumber(func(t *host.Thread) (uint64, bool) { return t.ExeMtime, t.ExeMtime != 0 })},
	{Name: "proc.exe_ino.ctime_duration_proc_start", Type: when, Scope: ScopeProcess, Doc: "Nanoseconds from the last status change of the executable to the start of the process.",
		Example: "proc.exe_ino.ctime_duration_proc_start < 60000000000", bind: processNumber(func(t *host.Thread) (uint64, bool) { return between(t.ExeCtime, t.StartTime) })},
	{Name: "proc.exe_ino.ctime_duration_pidns_start", Type: when, Scope: ScopeProcess, Doc: "Nanoseconds from the start of the pid namespace to the last status change of the executable, if that came later.",
		Example: "proc.exe_ino.ctime_duration_pidns_start > 0", bind: processNumber(func(t *host.Thread) (uint64, bool) { return between(t.PidnsInitStart, t.ExeCtime) })},
	{Name: "proc.pidns_init_start_ts", Type: u64, Scope: ScopeProcess, Doc: "Start of the first process of the pid namespace in nanoseconds since the epoch.",
		Example: "proc.pidns_init_start_ts > 1700000000000000000", bind: threadNumber(threadOf, pidnsStart)},
}

// The readers below take a thread that is never nil, mostly the main one.

func comm(t *host.Thread) string           { return t.Comm }
func exe(t *host.Thread) string            { return t.Exe }
func exePath(t *host.Thread) string        { return t.ExePath }
func pid(t *host.Thread) (int64, bool)     { return t.PID, true }
func vpid(t *host.Thread) (int64, bool)    { return t.VPID, t.VPID != -1 }
func parent(e *host.Event) *host.Thread    { return ancestor(e, 1) }
func processOf(e *host.Event) *host.Thread { return e.Process() }

// pidnsStart is what the event that made the thread said, if it said so.
func pidnsStart(t *host.Thread) (uint64, bool) {
	start := t.PidnsInitStart
	if start == 0 {
		start = t.Leader.PidnsInitStart
	}
	return start, start != 0
}

func startTime(t *host.Thread) (uint64, bool) { return t.StartTime, t.StartTime != 0 }

// between returns the time from one moment to a later one.
func between(from, to uint64) (uint64, bool) {
	if from == 0 || to <= from {
		return 0, false
	}
	return to - from, true
}

// age returns the time from the start of a process to the event.
func age(e *host.Event, t *host.Thread) (uint64, bool) {
	if t == nil || t.StartTime == 0 {
		return 0, false
	}
	return since(e.Time(), t.StartTime), true
}

func argsLength(t *host.Thread) (n uint64, _ bool) {
	for _, a := range t.Args {
		n += uint64(len(a))
	}
	return n, true
}

func appendJoined(b []byte, items []string) []byte {
	for i, item := range items {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(b, item...)
	}
	return b
}

func appendArgs(b []byte, t *host.Thread) ([]byte, bool) { return appendJoined(b, t.Args), true }

// appendCmdline appends the name of a thread and the arguments of its process.
func appendCmdline(b []byte, t *host.Thread) ([]byte, bool) {
	return appendLine(b, t.Comm, t.Leader.Args), true
}

func appendExeline(b []byte, t *host.Thread) ([]byte, bool) {
	return appendLine(b, t.Exe, t.Args), true
}

func appendLine(b []byte, first string, args []string) []byte {
	b = append(b, first...)
	if len(args) > 0 {
		b = append(b, ' ')
	}
	return appendJoined(b, args)
}

func appendEnv(b []byte, t *host.Thread) ([]byte, bool) { return appendJoined(b, t.Env), true }

func appendCwd(b []byte, t *host.Thread) ([]byte, bool) {
	b = append(b, t.Cwd...)
	if !strings.HasSuffix(t.Cwd, "/") {
		b = append(b, '/')
	}
	return b, t.Cwd != ""
}

// variable returns the value of an environment variable.
func variable(t *host.Thread, name string) (string, bool) {
	for _, entry := range t.Env {
		if len(entry) > len(name) && entry[len(name)] == '=' && entry[:len(name)] == name {
			return entry[len(name)+1:], true
		}
	}
	return "", false
}

// nthArg returns a reader of argument n.
func nthArg(n uint64) func(t *host.Thread) (string, bool) {
	return func(t *host.Thread) (string, bool) {
		if n >= uint64(len(t.Args)) {
			return "", false
		}
		return t.Args[n], true
	}
}

func processArgs(f *Field) error {
	if !f.HasArg {
		return processBuilt(appendArgs)(f)
	}
	return threadString(processOf, nthArg(f.number))(f)
}

func processEnv(f *Field) error {
	if !f.HasArg {
		return processBuilt(appendEnv)(f)
	}
	name := f.Arg
	return threadString(processOf, func(t *host.Thread) (string, bool) { return variable(t, name) })(f)
}

// The binders below read from one thread that the event leads to, if there is one.

type choice func(e *host.Event) *host.Thread

func threadString(who choice, read func(t *host.Thread) (string, bool)) binder {
	return text(func(e *host.Event) (string, bool) {
		if t := who(e); t != nil {
			return read(t)
		}
		return "", false
	})
}

func threadText(who choice, read func(t *host.Thread) string) binder {
	return threadString(who, func(t *host.Thread) (string, bool) { return read(t), true })
}

func threadBuilt(who choice, read func(b []byte, t *host.Thread) ([]byte, bool)) binder {
	return built(func(b []byte, e *host.Event, _ *Style) ([]byte, bool) {
		if t := who(e); t != nil {
			return read(b, t)
		}
		return b, false
	})
}

func threadNumber[T int64 | uint64](who choice, read func(t *host.Thread) (T, bool)) binder {
	return number(func(e *host.Event) (T, bool) {
		if t := who(e); t != nil {
			return read(t)
		}
		return 0, false
	})
}

func processText(read func(t *host.Thread) string) binder { return threadText(processOf, read) }

func processBuilt(read func(b []byte, t *host.Thread) ([]byte, bool)) binder {
	return threadBuilt(processOf, read)
}

func processNumber[T int64 | uint64](read func(t *host.Thread) (T, bool)) binder {
	return threadNumber(processOf, read)
}

func parentNumber[T int64 | uint64](read func(t *host.Thread) (T, bool)) binder {
	return threadNumber(parent, read)
}

func processTruth(read func(t *host.Thread) bool) binder {
	return processNumber(func(t *host.Thread) (uint64, bool) { return bit(read(t)), true })
}
