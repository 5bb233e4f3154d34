package host

import "rollcage/internal/observe/event"

// maxDepth bounds the length of a chain of ancestors. No real process tree
// comes near; it keeps a forged one from making walks long.
const maxDepth = 1024

// newThread returns a thread that is in no table yet.
func newThread(tid int64) *Thread {
	t := &Thread{ThreadInfo: event.ThreadInfo{
		TID: tid, PID: -1, PTID: -1, SID: -1, PGID: -1, VPGID: -1, VTID: -1, VPID: -1, LoginUID: 0xffffffff,
	}}
	t.Leader, t.Threads = t, 1
	return t
}

// insert puts a thread into the table, in place of one with the same id. It
// reports false if there is no room. The thread gets a descriptor table if it
// has none.
func (s *State) insert(t *Thread) bool {
	if old := s.threads[t.TID]; old != nil {
		s.remove(old)
	}
	if len(s.threads) >= s.opt.MaxThreads && !s.evict() {
		s.stats.RefusedThreads++
		return false
	}
	if t.FDs == nil {
		t.FDs = newFDTable()
	}
	t.ringSlot = len(s.ring)
	s.ring = append(s.ring, t)
	s.threads[t.TID] = t
	s.stats.AddedThreads++
	s.touch(t)
	return true
}

// remove takes a thread out of the table and every link to it. With the main
// thread goes the process: its other threads too, and its children get a new parent.
func (s *State) remove(t *Thread) {
	for len(t.members) > 0 {
		s.remove(t.members[len(t.members)-1])
	}
	if len(t.Children) > 0 {
		s.orphan(t, s.reaperOf(t, 0))
	}
	s.leave(t)
	s.setParent(t, nil)
	s.setContainer(t, nil)
	s.releaseFDs(t.FDs)
	delete(s.threads, t.TID)
	last := len(s.ring) - 1
	s.ring[t.ringSlot] = s.ring[last]
	s.ring[t.ringSlot].ringSlot = t.ringSlot
	s.ring[last] = nil
	s.ring = s.ring[:last]
	if s.ended == t {
		s.ended = nil
	}
	s.stats.RemovedThreads++
}

// join makes t a thread of leader's process, with its descriptors.
func (s *State) join(t, leader *Thread) {
	if t == leader || t.Leader == leader || leader.Leader != leader || len(t.members) > 0 {
		return
	}
	s.leave(t)
	s.orphan(t, leader)
	s.setParent(t, nil)
	t.Leader, t.memberSlot = leader, len(leader.members)
	t.Parent = leader.Parent
	if t.FDs != leader.FDs && !t.ownFDs {
		s.releaseFDs(t.FDs)
		t.FDs = leader.FDs.share()
	}
	leader.members = append(leader.members, t)
	if !t.Dead {
		leader.Threads++
	}
}

// leave makes a thread that is not the main one a process of its own.
func (s *State) leave(t *Thread) {
	l := t.Leader
	if l == t {
		return
	}
	last := len(l.members) - 1
	l.members[t.memberSlot] = l.members[last]
	l.members[t.memberSlot].memberSlot = t.memberSlot
	l.members[last] = nil
	l.members = l.members[:last]
	if !t.Dead {
		l.Threads--
	}
	t.Leader, t.Parent, t.Threads = t, nil, 1
}

// setParent makes t's process a child of parent's process, of none if nil.
func (s *State) setParent(t, parent *Thread) {
	t = t.Leader
	if parent != nil {
		if parent = parent.Leader; !canParent(parent, t) {
			return
		}
	}
	if t.Parent == parent {
		return
	}
	if old := t.Parent; old != nil {
		last := len(old.Children) - 1
		old.Children[t.childSlot] = old.Children[last]
		old.Children[t.childSlot].childSlot = t.childSlot
		old.Children[last] = nil
		old.Children = old.Children[:last]
	}
	t.Parent = parent
	if parent != nil {
		t.childSlot = len(parent.Children)
		parent.Children = append(parent.Children, t)
	}
	for _, m := range t.members {
		m.Parent = parent
	}
}

// canParent reports whether a link from t to parent makes neither a ring nor
// a chain without end.
func canParent(parent, t *Thread) bool {
	depth := 0
	for a := parent; a != nil; a = a.Parent {
		if depth++; a == t || depth >= maxDepth {
			return false
		}
	}
	return true
}

// orphan gives the children of t to another process, or to none if nil.
func (s *State) orphan(t, to *Thread) {
	for len(t.Children) > 0 {
		c := t.Children[len(t.Children)-1]
		s.setParent(c, nil)
		if to != nil {
			c.PTID = to.TID
			s.setParent(c, to)
		}
		s.touchProcess(c)
	}
}

// touch gives a thread a new image.
func (s *State) touch(t *Thread) {
	s.image++
	t.Image = s.image
}

// touchOwn gives all threads of a process new images, for what its children do not see.
func (s *State) touchOwn(leader *Thread) {
	s.touch(leader)
	for _, m := range leader.members {
		s.touch(m)
	}
}

// touchProcess gives a process and all its descendants new images.
func (s *State) touchProcess(leader *Thread) {
	s.touchOwn(leader)
	for _, c := range leader.Children {
		s.touchProcess(c)
	}
}

// changed gives new images to all that see a change of t: when t is a main
// thread, to its process and its descendants, else to itself.
func (s *State) changed(t *Thread) {
	if t.Leader == t {
		s.touchProcess(t)
	} else {
		s.touch(t)
	}
}

// link finds the relatives of all threads of a snapshot.
func (s *State) link() {
	for _, t := range s.ring {
		if l := s.threads[t.PID]; l != nil && t.PID != t.TID {
			s.join(t, l)
		}
	}
	for _, t := range s.ring {
		if p := s.threads[t.PTID]; t.Leader == t && p != nil {
			s.setParent(t, p)
		}
	}
}
