package host

import (
	"math"
	"strings"

	"rollcage/internal/observe/event"
)

// allCaps are the capabilities that one has in a new user namespace: all that
// Linux knows today (up to CAP_CHECKPOINT_RESTORE).
const allCaps = 1<<41 - 1

// noID stands for "leave this id alone" in the calls that set several.
const noID = math.MaxUint32

// setUID returns the action of a call that sets the user id of a thread to
// that in a parameter.
func setUID(param int) func(*State, *Event) {
	return func(s *State, he *Event) {
		if v, ok := he.Uint(param); ok && v < noID && succeeded(he) && he.Thread.UID != uint32(v) {
			he.Thread.UID = uint32(v)
			s.changed(he.Thread)
		}
	}
}

func setGID(param int) func(*State, *Event) {
	return func(s *State, he *Event) {
		if v, ok := he.Uint(param); ok && v < noID && succeeded(he) && he.Thread.GID != uint32(v) {
			he.Thread.GID = uint32(v)
			s.changed(he.Thread)
		}
	}
}

func (s *State) applyCapset(he *Event) {
	if succeeded(he) {
		setCaps(he, he.Thread, 1, 2, 3)
		s.changed(he.Thread)
	}
}

// namespaces returns the action of unshare and setns, whose flags are in a parameter.
func namespaces(param int) func(*State, *Event) {
	return func(s *State, he *Event) {
		flags, _ := he.Uint(param)
		if !succeeded(he) {
			return
		}
		t := he.Thread
		if flags&cloneNewUser != 0 {
			t.CapInheritable, t.CapPermitted, t.CapEffective = allCaps, allCaps, allCaps
			s.changed(t)
		}
		if he.Type() == event.SYSCALL_UNSHARE_X && flags&cloneFiles != 0 && t.FDs.users > 1 {
			own := t.FDs.fork()
			s.releaseFDs(t.FDs)
			t.FDs = own
		}
	}
}

func (s *State) applyPrctl(he *Event) {
	const setName, setSubreaper, getSubreaper = 15, 36, 37 // prctl_options
	option, ok := he.Uint(1)
	if !ok || !succeeded(he) {
		return
	}
	switch option {
	case setName:
		if name, ok := he.Str(2); ok && name != he.Thread.Comm {
			he.Thread.Comm = s.strings.get(he.Param(2)[:min(len(name), 15)])
			s.changed(he.Thread)
		}
	case setSubreaper, getSubreaper:
		v, _ := he.Int(3)
		he.Thread.Leader.subreaper = v != 0
	}
}

func (s *State) applySetsid(he *Event) {
	sid, ok := he.Int(0)
	if !ok || sid < 0 {
		return
	}
	// The result is in the caller's pid namespace, as captures have it. The
	// caller leads a new group as well and has no terminal any more.
	l := he.Thread.Leader
	l.SID, l.VPGID, l.PGID, l.TTY = sid, sid, l.PID, 0
	for _, m := range l.members {
		m.SID, m.VPGID, m.PGID, m.TTY = sid, sid, l.PID, 0
	}
	s.touchProcess(l)
}

// applySetpgid follows setpgid: pid 0 is the caller, group 0 the process itself.
func (s *State) applySetpgid(he *Event) {
	pid, ok1 := he.Int(1)
	group, ok2 := he.Int(2)
	if !ok1 || !ok2 || !succeeded(he) {
		return
	}
	caller := he.Thread.Leader
	target := s.byVPID(caller, pid)
	if target == nil {
		return
	}
	host := int64(-1)
	switch leader := s.byVPID(caller, group); {
	case group == 0:
		group, host = target.VPID, target.PID
	case leader != nil:
		host = leader.PID
	}
	for _, t := range append(target.members[:len(target.members):len(target.members)], target) {
		t.VPGID, t.PGID = group, host
	}
	s.touchProcess(target)
}

// byVPID returns the process with that id in the caller's pid namespace, as
// far as it is the caller, its child, or on the host. 0 is the caller.
func (s *State) byVPID(caller *Thread, vpid int64) *Thread {
	if vpid == 0 || vpid == caller.VPID {
		return caller
	}
	for _, c := range caller.Children {
		if c.VPID == vpid {
			return c
		}
	}
	if t := s.threads[vpid]; t != nil && caller.VPID == caller.PID && t.VPID == vpid {
		return t.Leader
	}
	return nil
}

// applyChdir follows chdir, and getcwd, which tells the same of what was missed.
func (s *State) applyChdir(he *Event) {
	if path, ok := he.Str(1); ok && succeeded(he) {
		s.setCwd(he.Thread, path)
	}
}

func (s *State) applyFchdir(he *Event) {
	if he.FD != nil && succeeded(he) {
		s.setCwd(he.Thread, he.FD.Name)
	}
}

func (s *State) setCwd(t *Thread, path string) {
	l := t.Leader
	s.scratch = AppendPath(s.scratch[:0], l.Cwd, path)
	if string(s.scratch) != l.Cwd {
		l.Cwd = s.strings.get(s.scratch)
		s.touchOwn(l)
	}
}

// applyChroot keeps the new root as the host sees it.
func (s *State) applyChroot(he *Event) {
	path, ok := he.Str(1)
	if !ok || !succeeded(he) {
		return
	}
	l := he.Thread.Leader
	s.scratch = AppendPath(s.scratch[:0], l.Cwd, path)
	s.clean = AppendPath(s.clean[:0], l.Root, strings.TrimPrefix(event.String(s.scratch), "/"))
	s.setRoot(l, s.strings.get(s.clean))
}

func (s *State) setRoot(l *Thread, root string) {
	if l.Root == root {
		return
	}
	l.Root = root
	for _, m := range l.members {
		m.Root = root
	}
	s.touchOwn(l)
}

// pivotRoot is the code of a call that has no event type of its own.
var pivotRoot = event.SyscallByName("pivot_root").Code

// applyGeneric follows the one call that matters among those of which only the
// number is told: after pivot_root the process is at the root of its mounts,
// which is where /proc shows it then.
func (s *State) applyGeneric(he *Event) {
	if code, ok := he.Uint(0); ok && uint16(code) == pivotRoot {
		s.setRoot(he.Thread.Leader, "/")
	}
}

// limit returns the action of a call that gets or sets a resource limit, by
// the parameters with the limit, the resource and the process (-1: the caller).
func limit(current, resource, process int) func(*State, *Event) {
	const files = 7 // RLIMIT_NOFILE of rlimit_resources
	return func(s *State, he *Event) {
		cur, ok := he.Int(current)
		if res, found := he.Uint(resource); !ok || cur < 0 || !found || res != files || !succeeded(he) {
			return
		}
		t := he.Thread.Leader
		if process >= 0 {
			pid, _ := he.Int(process)
			if t = s.byVPID(t, pid); t == nil {
				return
			}
		}
		t.FDLimit = uint64(cur)
	}
}

// memory returns the action of events that tell the size of the process, in
// three parameters from first on.
func memory(first int) func(*State, *Event) {
	return func(_ *State, he *Event) {
		l := he.Thread.Leader
		setUint32(&l.VMSize, he, first)
		setUint32(&l.VMRSS, he, first+1)
		setUint32(&l.VMSwap, he, first+2)
	}
}

func (s *State) applySwitch(he *Event) {
	if he.Thread == nil || len(he.Param(5)) == 0 {
		return
	}
	he.Thread.PFMajor, _ = he.Uint(1)
	he.Thread.PFMinor, _ = he.Uint(2)
	memory(3)(s, he)
}
