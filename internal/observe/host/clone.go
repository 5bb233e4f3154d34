package host

import "math"

// Bits of clone_flags.
const (
	cloneFiles   = 1 << 0
	cloneNewPID  = 1 << 6
	cloneParent  = 1 << 8
	cloneThread  = 1 << 13
	cloneNewUser = 1 << 20
	cloneVfork   = 1 << 27
	cloneInPidns = 1 << 29 // the child is in a pid namespace that is not the host's
)

// Parameters that clone, clone3, fork, vfork, execve and execveat have in common.
const (
	procExe     = 1
	procArgs    = 2
	procPID     = 4
	procPTID    = 5
	procCwd     = 6
	procFDLimit = 7
	procMajor   = 8
	procMinor   = 9
	procVMSize  = 10
	procVMRSS   = 11
	procVMSwap  = 12
	procComm    = 13
	procCgroups = 14
)

// Parameters of the clone family.
const (
	cloneFlags  = 15
	cloneUID    = 16
	cloneGID    = 17
	cloneVTID   = 18
	cloneVPID   = 19
	clonePidnsT = 20
)

// cloneFresh is the time in ns within which the two events of one clone come.
// A thread that is older has an id that was used again.
const cloneFresh = 2e9

// applyClone handles both events of a clone: the parent's, whose result is the
// child's id, and the child's, whose result is 0. They come in either order.
func (s *State) applyClone(he *Event) { s.clone(he, false) }

// applyVfork is applyClone for a call that holds the parent until the child
// runs another program or ends: the parent's event comes too late to matter,
// it may even come after the child's end.
func (s *State) applyVfork(he *Event) { s.clone(he, true) }

func (s *State) clone(he *Event, vfork bool) {
	res, ok := he.Int(0)
	switch {
	case !ok || res < 0:
	case res == 0:
		s.cloneChild(he)
	default:
		s.cloneParent(he, res, vfork)
	}
}

// cloneParent handles the event of the thread that called clone.
func (s *State) cloneParent(he *Event, child int64, vfork bool) {
	caller := he.Thread
	if caller == nil {
		s.stats.MissingThreads++
		if caller = s.heal(he.TID(), true); caller == nil {
			return
		}
		he.Thread, s.current = caller, caller
	}
	if caller.Inferred {
		s.completeCaller(he, caller)
	}
	flags, _ := he.Uint(cloneFlags)
	// The result is the id in the caller's pid namespace: of no use unless that is the host's.
	foreign := flags&(cloneInPidns|cloneNewPID|cloneParent) != 0 || caller.VTID != -1 && caller.VTID != caller.TID
	if foreign || vfork || flags&cloneVfork != 0 || child == caller.TID {
		return
	}
	if old := s.threads[child]; old != nil && old.awaitsParent {
		old.awaitsParent = false
		return
	}
	t := newThread(child)
	t.Flags = uint32(flags)
	t.awaitsChild = true
	t.VTID = child
	if flags&cloneThread != 0 {
		t.PID, t.PTID = caller.PID, caller.PTID
	} else {
		t.PID, t.PTID = child, caller.Leader.TID
	}
	t.VPID = t.PID
	t.PidnsInitStart = s.machine.BootTime
	s.spawn(he, t, caller, flags)
}

// completeCaller fills a caller that was made up with what its clone event
// says about it.
func (s *State) completeCaller(he *Event, t *Thread) {
	defer s.changed(t)
	t.VTID = t.TID
	if vpid, ok := he.Int(cloneVPID); ok {
		t.VTID, _ = he.Int(cloneVTID)
		t.VPID = vpid
	}
	if t.PID != -1 {
		return
	}
	pid, _ := he.Int(procPID)
	t.PTID, _ = he.Int(procPTID)
	s.setString(&t.Exe, he, procExe)
	s.setString(&t.Comm, he, procComm)
	t.Args = s.list(t.Args, he.Param(procArgs))
	s.setPID(t, pid)
	s.place(t)
}

// cloneChild handles the event of the new thread itself.
func (s *State) cloneChild(he *Event) {
	tid := he.TID()
	if tid <= 0 {
		return
	}
	if t := he.Thread; t != nil && t.awaitsChild && int64(s.now-t.StartTime) < cloneFresh {
		t.awaitsChild = false
		// The parent's event told the parent's: a child may be made in another
		// one (CLONE_INTO_CGROUP).
		s.setCgroups(t, he.Param(procCgroups), nil)
		return
	}
	flags, _ := he.Uint(cloneFlags)
	t := newThread(tid)
	t.Flags, t.awaitsParent = uint32(flags), true
	t.PID, _ = he.Int(procPID)
	t.PTID, _ = he.Int(procPTID)
	t.VTID, t.VPID = tid, t.PID
	if vpid, ok := he.Int(cloneVPID); ok {
		t.VTID, _ = he.Int(cloneVTID)
		t.VPID = vpid
	}
	t.PidnsInitStart = s.machine.BootTime
	if start, ok := he.Uint(clonePidnsT); ok && (flags&(cloneInPidns|cloneNewPID) != 0 || t.VTID != tid) {
		t.PidnsInitStart += start
	}
	from := s.cloneSource(he, t, flags)
	he.Thread = nil
	s.spawn(he, t, from, flags)
	he.Thread = s.threads[tid]
}

// cloneSource returns the thread that a new one is a copy of: the main thread
// for a thread, the parent for a process. One that is missing is healed; for a
// thread at least its process is made up.
func (s *State) cloneSource(he *Event, t *Thread, flags uint64) *Thread {
	id := t.PTID
	if flags&cloneThread != 0 {
		id = t.PID
	}
	if id <= 0 || id == t.TID {
		return nil
	}
	from := s.threads[id]
	if from != nil && !(from.Inferred && flags&cloneThread != 0) {
		return from
	}
	if from == nil {
		s.stats.MissingThreads++
		if from = s.heal(id, flags&cloneThread != 0); from == nil || !from.Inferred {
			return from
		}
	}
	if flags&cloneThread == 0 || from.PID != -1 {
		return from
	}
	from.PTID, from.VPID, from.VTID = t.PTID, t.VPID, t.VPID
	s.setString(&from.Exe, he, procExe)
	s.setString(&from.Comm, he, procComm)
	from.Args = s.list(from.Args, he.Param(procArgs))
	s.setPID(from, t.PID)
	s.place(from)
	s.changed(from)
	return from
}

// spawn completes a new thread with what it inherits and what the event says,
// and puts it into the table in place of an older one with its id.
func (s *State) spawn(he *Event, t, from *Thread, flags uint64) {
	t.StartTime, t.LastSeen = s.now, s.now
	if old := s.threads[t.TID]; old != nil {
		if old == from {
			from = nil
		}
		s.remove(old)
	}
	if from != nil && s.threads[from.TID] == from {
		inherit(t, from)
		switch {
		case flags&cloneFiles != 0:
			t.FDs = from.FDs.share()
		default:
			t.FDs, t.ownFDs = from.FDs.fork(), true
		}
	} else {
		from = nil
	}
	s.describe(he, t)
	if v, ok := he.Uint(cloneUID); ok {
		t.UID = uint32(v)
	}
	if v, ok := he.Uint(cloneGID); ok {
		t.GID = uint32(v)
	}
	s.keep = from
	ok := s.insert(t)
	s.keep = nil
	if !ok {
		if t.FDs != nil {
			s.releaseFDs(t.FDs)
		}
		return
	}
	s.place(t)
	s.setCgroups(t, he.Param(procCgroups), from)
}

// inherit gives a new thread what it has from the one that it is a copy of.
func inherit(t, from *Thread) {
	l := from.Leader
	t.SID, t.PGID, t.VPGID = l.SID, l.PGID, l.VPGID
	t.Exe, t.ExePath, t.Args, t.Comm = l.Exe, l.ExePath, l.Args, from.Comm
	t.Root, t.TTY, t.LoginUID, t.FDLimit = l.Root, l.TTY, l.LoginUID, l.FDLimit
	t.UID, t.GID = from.UID, from.GID
	t.CapInheritable, t.CapPermitted, t.CapEffective = from.CapInheritable, from.CapPermitted, from.CapEffective
	t.ExeIno, t.ExeCtime, t.ExeMtime = l.ExeIno, l.ExeCtime, l.ExeMtime
	t.ExeWritable, t.ExeFromMemfd = l.ExeWritable, l.ExeFromMemfd
	t.ExeUpperLayer, t.ExeLowerLayer = l.ExeUpperLayer, l.ExeLowerLayer
	if t.Flags&cloneThread == 0 {
		t.Env, t.Cwd = l.Env, l.Cwd
	}
}

// describe fills what the events of clone and exec both say about a thread.
func (s *State) describe(he *Event, t *Thread) {
	s.setString(&t.Exe, he, procExe)
	if len(he.Param(procComm)) > 0 {
		s.setString(&t.Comm, he, procComm)
	} else {
		t.Comm = t.Exe // captures of long ago have no comm
	}
	t.Args = s.list(t.Args, he.Param(procArgs))
	if cwd, ok := he.Str(procCwd); ok && cwd != "" && t.Flags&cloneThread == 0 {
		s.scratch = AppendPath(s.scratch[:0], t.Cwd, cwd)
		t.Cwd = s.strings.get(s.scratch)
	}
	if v, ok := he.Int(procFDLimit); ok && v >= 0 {
		t.FDLimit = uint64(v)
	}
	if len(he.Param(procVMSwap)) > 0 {
		t.PFMajor, _ = he.Uint(procMajor)
		t.PFMinor, _ = he.Uint(procMinor)
		setUint32(&t.VMSize, he, procVMSize)
		setUint32(&t.VMRSS, he, procVMRSS)
		setUint32(&t.VMSwap, he, procVMSwap)
	}
}

// setString sets a string to that of a parameter, if there is one.
func (s *State) setString(p *string, he *Event, i int) {
	b := he.Param(i)
	if v, ok := he.Str(i); ok && v != *p {
		*p = s.strings.get(b[:len(v)])
	}
}

// list returns the items of a NUL-separated list: the old ones if they are the same.
func (s *State) list(old []string, raw []byte) []string {
	if sameList(old, raw) {
		return old
	}
	return s.lists.get(raw)
}

func setUint32(p *uint32, he *Event, i int) {
	if v, ok := he.Uint(i); ok && v <= math.MaxUint32 {
		*p = uint32(v)
	}
}

// setPID says which process an inferred thread belongs to.
func (s *State) setPID(t *Thread, pid int64) {
	if pid <= 0 || t.PID == pid {
		return
	}
	s.leave(t)
	t.PID = pid
}

// place links a thread to its process and its process to the parent.
func (s *State) place(t *Thread) {
	if t.PID != t.TID && t.Leader == t {
		if l := s.threads[t.PID]; l != nil && l.Leader == l {
			s.join(t, l)
		}
	}
	if t.Leader != t {
		return
	}
	if p := s.threads[t.PTID]; p != nil {
		s.setParent(t, p)
	}
}
