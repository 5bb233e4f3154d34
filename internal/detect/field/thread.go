package field

import (
	"strings"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// threadFields are the fields of the event's thread, and what a process uses.
var threadFields = []Def{
	{Name: "thread.tid", Type: i64, Format: event.FormatID, Doc: "Id of the thread on the host.",
		Example: "thread.tid = 1", bind: always(func(e *host.Event) int64 { return e.TID() })},
	{Name: "thread.vtid", Type: i64, Format: event.FormatID, Doc: "Id of the thread in its own pid namespace.",
		Example: "thread.vtid = 1", bind: threadNumber(threadOf, func(t *host.Thread) (int64, bool) { return t.VTID, t.VTID != -1 })},
	{Name: "thread.ismain", Type: boolean, Doc: "Whether the thread is the main one of its process.",
		Example: "thread.ismain = false", bind: threadNumber(threadOf, func(t *host.Thread) (uint64, bool) { return bit(t.TID == t.PID), true })},
	{Name: "thread.nametid", Type: str, Flags: Hidden, Doc: "Name and id of the thread.",
		Example: "thread.nametid = bash1234", bind: built(nameTID)},
	{Name: "thread.cap_permitted", Type: str, Scope: ScopeProcess, Doc: "Names of the thread's permitted capabilities, joined by blanks.",
		Example: "thread.cap_permitted contains CAP_SYS_ADMIN", bind: capabilities(func(t *host.Thread) uint64 { return t.CapPermitted })},
	{Name: "thread.cap_inheritable", Type: str, Scope: ScopeProcess, Doc: "Names of the thread's inheritable capabilities, joined by blanks.",
		Example: "thread.cap_inheritable contains CAP_SYS_ADMIN", bind: capabilities(func(t *host.Thread) uint64 { return t.CapInheritable })},
	{Name: "thread.cap_effective", Type: str, Scope: ScopeProcess, Doc: "Names of the thread's effective capabilities, joined by blanks.",
		Example: "thread.cap_effective contains CAP_SYS_PTRACE", bind: capabilities(func(t *host.Thread) uint64 { return t.CapEffective })},
	{Name: "thread.cgroups", Type: str, Doc: "Cgroups of the thread as subsystem=path, joined by blanks.",
		Example: "thread.cgroups contains kubepods", bind: threadBuilt(threadOf, func(b []byte, t *host.Thread) ([]byte, bool) {
			return appendJoined(b, t.Cgroups), len(t.Cgroups) > 0
		})},
	{Name: "thread.cgroup", Type: str, Args: ArgName | ArgRequired, Doc: "Path of the thread's cgroup in one subsystem.",
		Example: "thread.cgroup.cpu startswith /docker/", bind: cgroup},
	{Name: "thread.pfmajor", Type: u64, Doc: "Number of page faults of the thread that had to read from disk.",
		Example: "thread.pfmajor > 1000", bind: threadNumber(threadOf, func(t *host.Thread) (uint64, bool) { return t.PFMajor, true })},
	{Name: "thread.pfminor", Type: u64, Doc: "Number of page faults of the thread that did not.",
		Example: "thread.pfminor > 1000", bind: threadNumber(threadOf, func(t *host.Thread) (uint64, bool) { return t.PFMinor, true })},
	{Name: "thread.vmsize", Type: u64, Doc: "Virtual memory of the process in kB for its main thread, 0 for others.",
		Example: "thread.vmsize > 1000000", bind: ofMain(func(t *host.Thread) uint64 { return uint64(t.VMSize) })},
	{Name: "thread.vmrss", Type: u64, Doc: "Resident memory of the process in kB for its main thread, 0 for others.",
		Example: "thread.vmrss > 1000000", bind: ofMain(func(t *host.Thread) uint64 { return uint64(t.VMRSS) })},
	{Name: "thread.vmsize.b", Type: u64, Flags: Hidden, Doc: "thread.vmsize in bytes.",
		Example: "thread.vmsize.b > 1000000", bind: ofMain(func(t *host.Thread) uint64 { return uint64(t.VMSize) << 10 })},
	{Name: "thread.vmrss.b", Type: u64, Flags: Hidden, Doc: "thread.vmrss in bytes.",
		Example: "thread.vmrss.b > 1000000", bind: ofMain(func(t *host.Thread) uint64 { return uint64(t.VMRSS) << 10 })},
	{Name: "thread.exectime", Type: ns, Doc: "Nanoseconds that the thread ran before it was switched out, on switch events.",
		Example: "thread.exectime > 1000000", bind: execTime},
	{Name: "thread.totexectime", Type: ns, Doc: "Nanoseconds that the thread ran since the beginning, summed up on switch events.",
		Example: "thread.totexectime > 1000000", bind: totalExecTime},
	{Name: "thread.cpu", Type: event.TypeDouble, Doc: "Processor time of the thread in the last second as a percentage, on procinfo events.",
		Example: "thread.cpu > 50", bind: cpuShare(0, 1)},
	{Name: "thread.cpu.user", Type: event.TypeDouble, Doc: "The part of thread.cpu that was spent in the program.",
		Example: "thread.cpu.user > 50", bind: cpuShare(0)},
	{Name: "thread.cpu.system", Type: event.TypeDouble, Doc: "The part of thread.cpu that was spent in the kernel.",
		Example: "thread.cpu.system > 50", bind: cpuShare(1)},
	{Name: "proc.nthreads", Type: u64, Doc: "Number of living threads of the process.",
		Example: "proc.nthreads > 100", bind: processNumber(func(t *host.Thread) (uint64, bool) { return uint64(t.Threads), true })},
	{Name: "proc.nchilds", Type: u64, Doc: "Number of living threads of the process apart from the main one.",
		Example: "proc.nchilds > 100", bind: processNumber(otherThreads)},
	{Name: "proc.fdopencount", Type: u64, Doc: "Number of open descriptors of the process.",
		Example: "proc.fdopencount > 1000", bind: processNumber(openFDs)},
	{Name: "proc.fdlimit", Type: i64, Doc: "Number of descriptors that the process may open.",
		Example: "proc.fdlimit < 1024", bind: processNumber(func(t *host.Thread) (uint64, bool) { return t.FDLimit, true })},
	{Name: "proc.fdusage", Type: event.TypeDouble, Doc: "Open descriptors of the process as a percentage of its limit.",
		Example: "proc.fdusage > 90", bind: fdUsage},
	{Name: "proc.vmsize", Type: u64, Doc: "Virtual memory of the process in kB.",
		Example: "proc.vmsize > 1000000", bind: processNumber(func(t *host.Thread) (uint64, bool) { return uint64(t.VMSize), true })},
	{Name: "proc.vmrss", Type: u64, Doc: "Resident memory of the process in kB.",
		Example: "proc.vmrss > 1000000", bind: processNumber(func(t *host.Thread) (uint64, bool) { return uint64(t.VMRSS), true })},
	{Name: "proc.vmswap", Type: u64, Doc: "Swapped memory of the process in kB.",
		Example: "proc.vmswap > 1000000", bind: processNumber(func(t *host.Thread) (uint64, bool) { return uint64(t.VMSwap), true })},
	{Name: "proc.stdin.type", Type: str, Doc: "Type of the descriptor that is standard input, as fd.type.",
		Example: "proc.stdin.type = ipv4", bind: stdType(0)},
	{Name: "proc.stdout.type", Type: str, Doc: "Type of the descriptor that is standard output, as fd.type.",
		Example: "proc.stdout.type = ipv4", bind: stdType(1)},
	{Name: "proc.stderr.type", Type: str, Doc: "Type of the descriptor that is standard error, as fd.type.",
		Example: "proc.stderr.type = ipv4", bind: stdType(2)},
	{Name: "proc.stdin.name", Type: str, Doc: "Name of the descriptor that is standard input, as fd.name.",
		Example: "proc.stdin.name = /dev/null", bind: stdName(0)},
	{Name: "proc.stdout.name", Type: str, Doc: "Name of the descriptor that is standard output, as fd.name.",
		Example: "proc.stdout.name startswith /tmp/", bind: stdName(1)},
	{Name: "proc.stderr.name", Type: str, Doc: "Name of the descriptor that is standard error, as fd.name.",
		Example: "proc.stderr.name startswith /tmp/", bind: stdName(2)},
}

func threadOf(e *host.Event) *host.Thread { return e.Thread }

func nameTID(b []byte, e *host.Event, _ *Style) ([]byte, bool) {
	if e.Thread == nil {
		return b, false
	}
	return appendInt(append(b, e.Thread.Comm...), e.TID()), true
}

// ofMain binds a number that only main threads have; others have 0.
func ofMain(read func(t *host.Thread) uint64) binder {
	return threadNumber(threadOf, func(t *host.Thread) (uint64, bool) {
		if t.TID != t.PID {
			return 0, true
		}
		return read(t), true
	})
}

func otherThreads(t *host.Thread) (uint64, bool) {
	if t.Dead || t.Threads == 0 {
		return uint64(t.Threads), true
	}
	return uint64(t.Threads - 1), true
}

func openFDs(t *host.Thread) (uint64, bool) {
	if t.FDs == nil {
		return 0, false
	}
	return uint64(t.FDs.Len()), true
}

func fdUsage(f *Field) error {
	f.Read = func(e *host.Event, v *Value) bool {
		t := e.Process()
		if t == nil || t.FDs == nil || t.FDLimit == 0 {
			return false
		}
		v.Float = float64(t.FDs.Len()) * 100 / float64(t.FDLimit)
		return true
	}
	return nil
}

// cgroup binds thread.cgroup: its entries are SUBSYSTEM=PATH.
func cgroup(f *Field) error {
	prefix := f.Arg + "="
	return threadString(threadOf, func(t *host.Thread) (string, bool) {
		for _, c := range t.Cgroups {
			if strings.HasPrefix(c, prefix) {
				return c[len(prefix):], true
			}
		}
		return "", false
	})(f)
}

func stdType(n int64) binder {
	return processString(n, func(fd *host.FD) string { return typeWord(fd) })
}

func stdName(n int64) binder {
	return threadFD(n, func(b []byte, fd *host.FD, s *Style) []byte { return s.appendFDName(b, fd) })
}

// processString binds a text that a descriptor of the process holds.
func processString(n int64, read func(fd *host.FD) string) binder {
	return threadString(processOf, func(t *host.Thread) (string, bool) {
		if fd := openFD(t, n); fd != nil {
			return read(fd), true
		}
		return "", false
	})
}

// threadFD binds a text that is made from a descriptor of the process.
func threadFD(n int64, read func(b []byte, fd *host.FD, s *Style) []byte) binder {
	return built(func(b []byte, e *host.Event, s *Style) ([]byte, bool) {
		if fd := openFD(e.Process(), n); fd != nil {
			return read(b, fd, s), true
		}
		return b, false
	})
}

// capabilityNames are the names of the capabilities by number, see linux/capability.h.
var capabilityNames = strings.Fields(`
CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID
CAP_SETPCAP CAP_LINUX_IMMUTABLE CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_ADMIN CAP_NET_RAW CAP_IPC_LOCK CAP_IPC_OWNER
CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_CHROOT CAP_SYS_PTRACE CAP_SYS_PACCT CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_NICE
CAP_SYS_RESOURCE CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_MKNOD CAP_LEASE CAP_AUDIT_WRITE CAP_AUDIT_CONTROL CAP_SETFCAP
CAP_MAC_OVERRIDE CAP_MAC_ADMIN CAP_SYSLOG CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_AUDIT_READ CAP_PERFMON CAP_BPF
CAP_CHECKPOINT_RESTORE`)

// capabilities binds the names of a set of capabilities.
func capabilities(set func(t *host.Thread) uint64) binder {
	return threadBuilt(threadOf, func(b []byte, t *host.Thread) ([]byte, bool) {
		start, caps := len(b), set(t)
		for n, name := range capabilityNames {
			if caps>>n&1 == 0 {
				continue
			}
			if len(b) > start {
				b = append(b, ' ')
			}
			b = append(b, name...)
		}
		return b, true
	})
}
