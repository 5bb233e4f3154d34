package host

import (
	"net/netip"
	"strings"

	"rollcage/internal/observe/event"
)

// Healer finds on the running host what the stream of events did not tell.
// Errors mean that it is not there or must not be read.
type Healer interface {
	// Thread returns what is known about a thread; a main thread comes with
	// its descriptors. The result is the caller's.
	Thread(tid int64) (*event.ThreadInfo, error)
	// FD returns a descriptor of a process.
	FD(pid, num int64) (event.FDInfo, error)
	// Alive reports whether the thread exists.
	Alive(tid int64) bool
}

// maxAncestors bounds how many missing ancestors are healed with a thread.
const maxAncestors = 16

// healBudget bounds the look-ups in a second of the events' time, so that a
// storm of unknown threads costs little.
type healBudget struct {
	second uint64
	left   int
}

// maySearch reports whether one more look-up on the host is in the budget.
func (s *State) maySearch() bool {
	if second := s.now / 1e9; second != s.budget.second {
		s.budget = healBudget{second, s.opt.HealRate}
	}
	if s.budget.left == 0 {
		s.stats.HealsRefused++
		return false
	}
	s.budget.left--
	return true
}

func (s *State) canHeal() bool { return s.live && s.opt.Healer != nil }

// heal finds a missing thread on the running host. If it cannot and infer is
// set, it makes up an entry, so that nothing is searched for twice. It returns
// nil if there is none.
func (s *State) heal(tid int64, infer bool) *Thread {
	due := false
	if s.canHeal() {
		if due = !s.maySearch(); !due {
			if t := s.searchThread(tid, maxAncestors); t != nil {
				return t
			}
		}
	}
	if !infer {
		return nil
	}
	t := newThread(tid)
	t.Comm, t.Exe, t.UID, t.GID, t.Root = "<NA>", "<NA>", noID, noID, "/"
	t.Inferred, t.healDue, t.LastSeen = true, due, s.now
	if !s.insert(t) {
		return nil
	}
	s.stats.InferredThreads++
	return t
}

// healAgain tries once more what the budget did not allow.
func (s *State) healAgain(t *Thread) *Thread {
	if t.PID != -1 || !s.canHeal() {
		t.healDue = false
		return t
	}
	if !s.maySearch() {
		return t
	}
	t.healDue = false
	if info, err := s.opt.Healer.Thread(t.TID); err == nil && info.TID == t.TID {
		t.Inferred = false
		s.fill(t, info)
		s.place(t)
		s.changed(t)
		s.stats.HealedThreads++
	}
	return t
}

// searchThread looks for a thread on the host, and for its main thread and
// ancestors as far as they are missing too.
func (s *State) searchThread(tid int64, ancestors int) *Thread {
	info, err := s.opt.Healer.Thread(tid)
	if err != nil || info.TID != tid {
		return nil
	}
	s.stats.HealedThreads++
	t := s.adopt(info)
	if t == nil {
		return nil
	}
	t.LastSeen = s.now
	keep := s.keep
	s.keep = t
	for _, id := range [2]int64{t.PID, t.PTID} {
		if id > 0 && s.threads[id] == nil && ancestors > 0 && s.maySearch() {
			s.searchThread(id, ancestors-1)
		}
	}
	s.keep = keep
	if s.threads[tid] != t {
		return nil
	}
	s.place(t)
	s.adoptOrphans(t)
	return t
}

// adoptOrphans makes a healed process the parent of those that were born from
// it while it was missing.
func (s *State) adoptOrphans(parent *Thread) {
	if parent.Leader != parent {
		return
	}
	for _, t := range s.ring {
		if t.PTID == parent.TID && t.Parent == nil && t.Leader == t && t != parent {
			s.setParent(t, parent)
			if t.Parent == parent {
				s.touchProcess(t)
			}
		}
	}
}

// adopt puts a thread of a snapshot, or one found on the host, into the table.
// It stands alone until link or place finds its relatives.
func (s *State) adopt(info *event.ThreadInfo) *Thread {
	t := newThread(info.TID)
	// Its parent may still be on the way out of clone: that event adds nothing.
	t.awaitsParent = true
	if !s.insert(t) {
		return nil
	}
	s.fill(t, info)
	return t
}

// fill takes over what a snapshot or the host says about a thread.
func (s *State) fill(t *Thread, info *event.ThreadInfo) {
	t.ThreadInfo = *info
	t.ThreadInfo.FDs = nil
	if t.PID <= 0 {
		t.PID = t.TID
	}
	if t.VTID <= 0 {
		t.VTID, t.VPID = t.TID, t.PID
	}
	if t.Root == "" {
		t.Root = "/"
	}
	t.Cwd = string(AppendPath(nil, "", t.Cwd))
	for i := range info.FDs {
		s.adoptFD(t, &info.FDs[i])
	}
	s.findContainer(t)
}

// missingFD handles an event that uses a descriptor that is not known.
func (s *State) missingFD(he *Event, a *action, num int64) *FD {
	const badFD = -9 // EBADF: there is none
	s.stats.MissingFDs++
	if res, _ := he.Int(0); !s.canHeal() || res == badFD || a.flags&event.DestroysFD != 0 || he.Thread.PID <= 0 {
		return nil
	}
	if !s.maySearch() {
		return nil
	}
	if !s.searchFD(he.Thread, num) {
		fd := s.newFD()
		fd.missing = true
		s.putFD(he.Thread.FDs, num, fd)
		return nil
	}
	return he.Thread.FDs.Get(num)
}

// healFD finds a descriptor on the running host and reports whether it did.
func (s *State) healFD(t *Thread, num int64) bool {
	return s.canHeal() && t.PID > 0 && s.maySearch() && s.searchFD(t, num)
}

func (s *State) searchFD(t *Thread, num int64) bool {
	info, err := s.opt.Healer.FD(t.PID, num)
	if err != nil {
		return false
	}
	info.Num = num
	s.stats.HealedFDs++
	s.adoptFD(t, &info)
	return true
}

// adoptFD takes over a descriptor of a snapshot, or one found on the host.
func (s *State) adoptFD(t *Thread, info *event.FDInfo) {
	if info.Num < 0 {
		return
	}
	fd := s.newFD()
	fd.FDInfo = *info
	fd.CloseOnExec = info.OpenFlags&flagCloexec != 0
	e := ends{family: familyIPv6, src: info.Source, dst: info.Dest}
	if e.unmap(); info.Type == event.FDIPv6 && e.family == familyIPv4 {
		fd.Type, fd.Source, fd.Dest = event.FDIPv4, e.src, e.dst
	}
	switch {
	case fd.Type.IsServer() && fd.Proto == event.L4UDP:
		// It may be a client that is not connected: the first message tells.
	case info.Server, fd.Type.IsServer(), fd.Type == event.FDUnix && info.Name != "":
		fd.Role = RoleServer
	case fd.Type == event.FDIPv4, fd.Type == event.FDUnix:
		fd.Role = RoleClient
	}
	if fd.Type.IsIP() {
		fd.Connected = !fd.Type.IsServer() && fd.Proto == event.L4TCP && fd.Dest != netip.AddrPort{}
		s.scratch = appendName(s.scratch[:0], fd)
		fd.Name = s.strings.get(s.scratch)
	} else {
		fd.Name = strings.TrimRight(fd.Name, "\n")
	}
	s.putFD(t.FDs, info.Num, fd)
}

// snapshot returns what a snapshot says about the descriptor.
func (fd *FD) snapshot() event.FDInfo {
	info := fd.FDInfo
	info.Server = fd.Role == RoleServer
	if info.Type.IsIP() {
		info.Name = ""
	}
	return info
}
