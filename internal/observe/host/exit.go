package host

// exitReaper is the parameter of procexit with the process that gets the children.
const exitReaper = 4

// applyExit marks the thread that ends. It stays until the event was looked at.
func (s *State) applyExit(he *Event) {
	t := he.Thread
	if t == nil {
		return
	}
	if s.ended != nil {
		// One that ended at the same time. With it a whole process may be gone.
		if s.bury(); s.threads[t.TID] != t {
			return
		}
	}
	s.reaper = 0
	if r, ok := he.Int(exitReaper); ok {
		s.reaper = r
	}
	if !t.Dead {
		t.Dead = true
		t.Leader.Threads--
	}
	s.ended = t
}

// bury removes the thread that ended with the last event. A main thread stays
// until the last thread of its process is gone, as in the kernel: the process
// goes on under its id.
func (s *State) bury() {
	t, l := s.ended, s.ended.Leader
	s.ended = nil
	if t != l {
		s.remove(t)
	}
	if len(l.members) > 0 || !l.Dead {
		return
	}
	if len(l.Children) > 0 {
		s.orphan(l, s.reaperOf(l, s.reaper))
	}
	s.remove(l)
}

// reaperOf returns the process that gets the children of t when it ends: the
// one that the kernel told; else the next ancestor that asked for them or is
// the init of a pid namespace; else the host's init.
func (s *State) reaperOf(t *Thread, told int64) *Thread {
	if told > 0 {
		if r := s.threads[told]; r != nil && r.Leader != t && !r.Leader.Dead {
			return r.Leader
		}
	}
	for a := t.Parent; a != nil; a = a.Parent {
		if !a.Dead && (a.subreaper || a.VPID == 1) {
			return a
		}
	}
	if init := s.threads[1]; init != nil && init.Leader != t && !init.Dead {
		return init.Leader
	}
	return nil
}
