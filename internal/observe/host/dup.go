package host

import "rollcage/internal/observe/event"

func (s *State) applyClose(he *Event) {
	const badFD = -9 // EBADF: any other error comes after the descriptor was freed
	if res, ok := he.Int(0); !ok || res == badFD || he.FDNum < 0 {
		return
	}
	s.removeFD(he.Thread.FDs, he.FDNum)
}

func (s *State) applyCloseRange(he *Event) {
	const unshare, cloexec = 2, 4 // close_range_flags
	first, ok1 := he.Uint(1)
	last, ok2 := he.Uint(2)
	flags, _ := he.Uint(3)
	if !ok1 || !ok2 || !succeeded(he) {
		return
	}
	t := he.Thread
	if flags&unshare != 0 && t.FDs.users > 1 {
		own := t.FDs.fork()
		s.releaseFDs(t.FDs)
		t.FDs = own
	}
	for num, fd := range t.FDs.All() {
		switch {
		case num < int64(first) || num > int64(last):
		case flags&cloexec == 0:
			s.removeFD(t.FDs, num)
		case !fd.CloseOnExec:
			s.editFD(t.FDs, fd).CloseOnExec = true
		}
	}
}

// applyDup handles dup, dup2 and dup3. With equal numbers dup2 does nothing.
func (s *State) applyDup(he *Event) {
	flags := uint64(0)
	if he.Type() == event.SYSCALL_DUP3_X {
		flags, _ = he.Uint(3)
	}
	s.duplicate(he, flags&flagCloexec != 0)
}

// duplicate makes the result of the event a copy of the descriptor it uses.
func (s *State) duplicate(he *Event, cloexec bool) {
	num, ok := he.Int(0)
	if !ok || num < 0 || num == he.FDNum {
		return
	}
	if he.FD == nil {
		// Whatever had the number is closed now.
		s.removeFD(he.Thread.FDs, num)
		return
	}
	fd := s.cloneFD(he.FD)
	fd.CloseOnExec = cloexec
	fd.OpenFlags &^= flagCloexec
	if cloexec {
		fd.OpenFlags |= flagCloexec
	}
	s.created(he, num, fd)
	he.NameChanged = false
}

func (s *State) applyFcntl(he *Event) {
	const dupFD, setFD, dupFDCloexec = 1, 3, 26 // fcntl_commands
	cmd, _ := he.Uint(2)
	switch cmd {
	case dupFD, dupFDCloexec:
		s.duplicate(he, cmd == dupFDCloexec)
	case setFD:
		arg, ok := he.Uint(3)
		if !ok || he.FD == nil || !succeeded(he) || he.FD.CloseOnExec == (arg&1 != 0) {
			return
		}
		he.FD = s.editFD(he.Thread.FDs, he.FD)
		he.FD.CloseOnExec = arg&1 != 0
	}
}
