package host

import (
	"iter"
	"maps"
	"slices"
)

// denseFD reports whether a descriptor number is kept in the slice of a table
// with n descriptors and not in its map. Processes get the lowest free number,
// so nearly all are; the rest must not cost a slice up to their number.
func denseFD(num int64, n int) bool { return num < 64+4*int64(n) }

// FDTable holds the descriptors of a process. Two processes share the contents
// from fork until one of them changes its own, so that a fork is cheap.
type FDTable struct {
	slots *fdSlots
	users int // threads that use the table
}

type fdSlots struct {
	tables int // tables that share it
	low    []*FD
	high   map[int64]*FD
	n      int
}

// Get returns the descriptor with that number, nil if it is not known.
func (t *FDTable) Get(num int64) *FD {
	if fd := t.slot(num); fd != nil && !fd.missing {
		return fd
	}
	return nil
}

// slot returns what the table has at a number, which may be a placeholder.
func (t *FDTable) slot(num int64) *FD {
	if uint64(num) < uint64(len(t.slots.low)) {
		if fd := t.slots.low[num]; fd != nil {
			return fd
		}
	}
	if t.slots.high == nil {
		return nil
	}
	return t.slots.high[num]
}

// Len returns the number of known open descriptors.
func (t *FDTable) Len() int { return t.slots.n }

// All yields the descriptors in order of their numbers.
func (t *FDTable) All() iter.Seq2[int64, *FD] {
	return func(yield func(int64, *FD) bool) {
		high := slices.Sorted(maps.Keys(t.slots.high))
		for n, fd := range t.slots.low {
			for ; len(high) > 0 && high[0] < int64(n); high = high[1:] {
				if fd := t.Get(high[0]); fd != nil && !yield(high[0], fd) {
					return
				}
			}
			if fd != nil && !fd.missing && !yield(int64(n), fd) {
				return
			}
		}
		for _, n := range high {
			if fd := t.Get(n); fd != nil && !yield(n, fd) {
				return
			}
		}
	}
}

func newFDTable() *FDTable {
	return &FDTable{slots: &fdSlots{tables: 1}, users: 1}
}

// fork returns a table with the same contents for another process.
func (t *FDTable) fork() *FDTable {
	t.slots.tables++
	return &FDTable{slots: t.slots, users: 1}
}

// share lets one more thread use the table.
func (t *FDTable) share() *FDTable {
	t.users++
	return t
}

// ownFDs makes the contents of a table its own before they are changed.
func (s *State) ownFDs(t *FDTable) *fdSlots {
	old := t.slots
	if old.tables == 1 {
		return old
	}
	if s.stats.FDs+old.n > s.opt.MaxFDs {
		// No room for a copy: the process starts with none.
		s.stats.RefusedFDs += uint64(old.n)
		old.tables--
		t.slots = &fdSlots{tables: 1}
		return t.slots
	}
	own := &fdSlots{tables: 1, low: slices.Clone(old.low), high: maps.Clone(old.high), n: old.n}
	for _, fd := range own.low {
		if fd != nil {
			fd.refs++
		}
	}
	for _, fd := range own.high {
		fd.refs++
	}
	old.tables--
	s.stats.FDs += own.n
	t.slots = own
	return own
}

// releaseFDs ends a thread's use of a table.
func (s *State) releaseFDs(t *FDTable) {
	if t.users--; t.users > 0 {
		return
	}
	slots := t.slots
	if slots.tables--; slots.tables > 0 {
		return
	}
	for _, fd := range slots.low {
		if fd != nil {
			s.dropFD(fd)
		}
	}
	for _, fd := range slots.high {
		s.dropFD(fd)
	}
	s.stats.FDs -= slots.n
}

// putFD gives the table a descriptor, which replaces one with that number. It
// reports false if a limit forbids it.
func (s *State) putFD(t *FDTable, num int64, fd *FD) bool {
	slots := s.ownFDs(t)
	old := t.slot(num)
	if old == nil && (slots.n >= s.opt.MaxProcessFDs || s.stats.FDs >= s.opt.MaxFDs) {
		s.stats.RefusedFDs++
		return false
	}
	fd.Num = num
	fd.refs++
	if old == nil {
		slots.n++
		s.stats.FDs++
		s.stats.AddedFDs++
	} else {
		s.dropFD(old)
	}
	slots.store(num, fd)
	return true
}

func (s *fdSlots) store(num int64, fd *FD) {
	if _, ok := s.high[num]; !ok && denseFD(num, s.n) {
		for int64(len(s.low)) <= num {
			s.low = append(s.low, nil)
		}
		s.low[num] = fd
		return
	}
	if s.high == nil {
		s.high = map[int64]*FD{}
	}
	s.high[num] = fd
}

// removeFD takes a descriptor out of the table.
func (s *State) removeFD(t *FDTable, num int64) {
	if t.slot(num) == nil {
		return
	}
	slots := s.ownFDs(t)
	fd := t.slot(num)
	if fd == nil {
		return
	}
	if num < int64(len(slots.low)) {
		slots.low[num] = nil
	}
	delete(slots.high, num)
	slots.n--
	s.stats.FDs--
	s.stats.RemovedFDs++
	s.dropFD(fd)
}

// editFD returns the descriptor for a change that concerns this table only: a
// copy if another table holds it too.
func (s *State) editFD(t *FDTable, fd *FD) *FD {
	s.ownFDs(t)
	if fd.refs <= 1 {
		return fd
	}
	own := s.cloneFD(fd)
	if !s.putFD(t, fd.Num, own) {
		return fd
	}
	return own
}

// newFD returns a descriptor that no table holds yet.
func (s *State) newFD() *FD {
	if n := len(s.freeFDs); n > 0 {
		fd := s.freeFDs[n-1]
		s.freeFDs = s.freeFDs[:n-1]
		*fd = FD{}
		return fd
	}
	return &FD{}
}

// cloneFD returns a copy that no table holds yet, as dup makes it.
func (s *State) cloneFD(fd *FD) *FD {
	c := s.newFD()
	*c = *fd
	c.refs, c.CloseOnExec = 0, fd.CloseOnExec
	return c
}

// dropFD ends a table's hold. What nobody holds is used again, but not before
// the event at hand has been looked at.
func (s *State) dropFD(fd *FD) {
	if fd.refs--; fd.refs == 0 && len(s.trash) < maxTrash {
		s.trash = append(s.trash, fd)
	}
}

// maxTrash bounds the descriptors that wait for their next use.
const maxTrash = 1024

// recycleFDs makes the descriptors of the last event free for the next one.
func (s *State) recycleFDs() {
	if len(s.freeFDs) < maxTrash {
		s.freeFDs = append(s.freeFDs, s.trash...)
	}
	clear(s.trash)
	s.trash = s.trash[:0]
}
