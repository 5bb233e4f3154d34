package host

import "rollcage/internal/observe/event"

// Parameters of execve and execveat.
const (
	execEnv      = 15
	execTTY      = 16
	execVPGID    = 17
	execLoginUID = 18
	execFlags    = 19
	execCapInh   = 20
	execCapPrm   = 21
	execCapEff   = 22
	execIno      = 23
	execCtime    = 24
	execMtime    = 25
	execUID      = 26
	execPath     = 27
	execPGID     = 28
	execGID      = 29
)

// Bits of execve_flags.
const (
	exeWritable   = 1 << 0
	exeUpperLayer = 1 << 1
	exeFromMemfd  = 1 << 2
	exeLowerLayer = 1 << 3
)

// applyExec makes the thread run another program.
func (s *State) applyExec(he *Event) {
	if !succeeded(he) {
		return
	}
	s.takeOver(he)
	t := he.Thread
	path := s.execPath(he)
	for len(t.members) > 0 {
		s.remove(t.members[len(t.members)-1])
	}
	if t.Dead {
		// It had ended before the thread that called exec took its place.
		t.Dead = false
		t.Leader.Threads++
	}
	// What is left of the clone flags: where the thread lives.
	t.Flags &= cloneInPidns
	t.awaitsChild = false
	s.describe(he, t)
	if path != "" {
		t.ExePath = path
	}
	if env := he.Param(execEnv); len(env) > 0 {
		t.Env = s.list(t.Env, env)
	}
	s.execIdentity(he, t)
	execFile(he, t)
	s.setCgroups(t, he.Param(procCgroups), nil)
	s.closeOnExec(t)
	s.changed(t)
}

// takeOver finds the thread that goes on after an exec: whichever thread
// called it, that is the main one. One of which nothing was known is filled.
func (s *State) takeOver(he *Event) {
	t := he.Thread
	pid, ok := he.Int(procPID)
	if !ok || pid <= 0 {
		return
	}
	if t.Inferred && t.PID == -1 {
		t.PTID, _ = he.Int(procPTID)
		if t.Flags&cloneInPidns == 0 {
			t.VTID, t.VPID = t.TID, pid
		}
		s.setPID(t, pid)
		s.place(t)
	}
	if l := t.Leader; l != t && l.TID == pid {
		l.UID, l.GID, l.Comm = t.UID, t.GID, t.Comm
		l.LastSeen = s.now
		l.enter, l.enterType = append(l.enter[:0], t.enter...), t.enterType
		he.Thread, s.current = l, l
	}
}

// execPath returns the path of the executable, "" if it is not known: the one
// that the kernel resolved, else, in old captures, the one in the enter event.
func (s *State) execPath(he *Event) string {
	if v, ok := he.Str(execPath); ok {
		return s.strings.get(he.Param(execPath)[:len(v)])
	}
	var enter event.Event
	if !s.entered(he, &enter) {
		return ""
	}
	if enter.Type() == event.SYSCALL_EXECVE_19_E {
		if name, ok := knownPath(&enter, 0); ok {
			return s.pathAt(he.Thread, AtCWD, name)
		}
		return ""
	}
	dir, ok := enter.Int(0)
	name, named := knownPath(&enter, 1)
	const emptyPath = 1 // AT_EMPTY_PATH of execveat_flags
	if flags, _ := enter.Uint(2); !named && flags&emptyPath == 0 || !ok {
		return ""
	}
	if fd := he.Thread.FDs.Get(dir); dir != AtCWD && (fd == nil) && (name == "" || name[0] != '/') {
		return ""
	}
	return s.pathAt(he.Thread, dir, name)
}

// execIdentity fills who the process is after the exec.
func (s *State) execIdentity(he *Event, t *Thread) {
	setUint32(&t.TTY, he, execTTY)
	setUint32(&t.LoginUID, he, execLoginUID)
	setUint32(&t.UID, he, execUID)
	setUint32(&t.GID, he, execGID)
	if v, ok := he.Int(execVPGID); ok {
		t.VPGID = v
	}
	if v, ok := he.Int(execPGID); ok {
		t.PGID = v
	}
	setCaps(he, t, execCapInh, execCapPrm, execCapEff)
}

// setCaps sets the capabilities to those in the parameters, if all are there.
func setCaps(he *Event, t *Thread, inheritable, permitted, effective int) {
	i, ok1 := he.Uint(inheritable)
	p, ok2 := he.Uint(permitted)
	e, ok3 := he.Uint(effective)
	if ok1 && ok2 && ok3 {
		t.CapInheritable, t.CapPermitted, t.CapEffective = i, p, e
	}
}

// execFile fills the facts about the executable's file.
func execFile(he *Event, t *Thread) {
	if flags, ok := he.Uint(execFlags); ok {
		t.ExeWritable = flags&exeWritable != 0
		t.ExeUpperLayer = flags&exeUpperLayer != 0
		t.ExeLowerLayer = flags&exeLowerLayer != 0
		t.ExeFromMemfd = flags&exeFromMemfd != 0
	}
	if mtime, ok := he.Uint(execMtime); ok {
		t.ExeMtime = mtime
		t.ExeCtime, _ = he.Uint(execCtime)
		t.ExeIno, _ = he.Uint(execIno)
	}
}

// closeOnExec gives the process a descriptor table of its own without those
// that are marked to be closed.
func (s *State) closeOnExec(t *Thread) {
	if t.FDs.users > 1 {
		own := t.FDs.fork()
		s.releaseFDs(t.FDs)
		t.FDs = own
	}
	for num, fd := range t.FDs.All() {
		if fd.CloseOnExec {
			s.removeFD(t.FDs, num)
		}
	}
}
