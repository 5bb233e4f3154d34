package host

import (
	"cmp"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"slices"

	"rollcage/internal/observe/event"
)

// saved is a state as Save writes it: everything that later events depend on.
// What is shared in memory is shared here: threads name their descriptor table
// by its place in Tables, tables their contents in Slots, and those their
// descriptors in FDs.
type saved struct {
	Machine    event.Machine
	Interfaces []event.Interface
	Users      []event.User
	Groups     []event.Group
	Containers []savedContainer
	Threads    []savedThread
	Tables     []int
	Slots      [][]savedSlot
	FDs        []savedFD

	Now, Prev, First, Applied uint64
	Reaper                    int64
	Ended                     int64 // thread that is removed after the last event, 0 for none
}

type savedContainer struct {
	Container
	Seen    uint64
	Removed bool
	Listed  bool // false for one that only threads still point at
}

type savedThread struct {
	event.ThreadInfo
	Leader, Parent int64 // thread ids; 0 for itself, and for none
	Container      int   // place in Containers from 1, 0 on the host
	Table          int
	LastSeen       uint64
	Dead, Inferred bool
	Enter          []byte
	EnterType      event.Type
	Checked        uint64
	AwaitsChild    bool
	AwaitsParent   bool
	Subreaper      bool
	OwnFDs         bool
}

type savedSlot struct {
	Num int64
	FD  int
}

type savedFD struct {
	FD
	Pending, Missing bool
	PID              int64
}

// Save writes the whole state, so that Restore makes one that goes on the same
// way. The form is gob and belongs to this version of the program; for a form
// that others read see Snapshot.
func (s *State) Save(w io.Writer) error {
	v := saved{
		Machine: s.machine, Interfaces: s.interfaces,
		Now: s.now, Prev: s.prev, First: s.first, Applied: s.applied, Reaper: s.reaper,
	}
	v.Users, v.Groups = s.accounts()
	if s.ended != nil {
		v.Ended = s.ended.TID
	}
	sh := shared{v: &v, containers: map[*Container]int{}, tables: map[*FDTable]int{}, slots: map[*fdSlots]int{}, fds: map[*FD]int{}}
	for _, c := range s.Containers() {
		sh.container(c, true)
	}
	for t := range s.Threads() {
		v.Threads = append(v.Threads, t.saved(&sh))
	}
	return gob.NewEncoder(w).Encode(&v)
}

func (t *Thread) saved(sh *shared) savedThread {
	out := savedThread{
		ThreadInfo: t.ThreadInfo, Container: sh.container(t.Container, false), Table: sh.table(t.FDs),
		LastSeen: t.LastSeen, Dead: t.Dead, Inferred: t.Inferred, EnterType: t.enterType, Checked: t.checked,
		AwaitsChild: t.awaitsChild, AwaitsParent: t.awaitsParent, Subreaper: t.subreaper, OwnFDs: t.ownFDs,
	}
	if t.enterType != 0 {
		out.Enter = t.enter
	}
	if t.Leader != t {
		out.Leader = t.Leader.TID
	} else if t.Parent != nil {
		out.Parent = t.Parent.TID
	}
	return out
}

// shared numbers what threads share.
type shared struct {
	v          *saved
	containers map[*Container]int
	tables     map[*FDTable]int
	slots      map[*fdSlots]int
	fds        map[*FD]int
}

// container returns the place of a container, from 1; 0 for none.
func (t *shared) container(c *Container, listed bool) int {
	if c == nil {
		return 0
	}
	if n, ok := t.containers[c]; ok {
		return n
	}
	t.v.Containers = append(t.v.Containers, savedContainer{*c, c.seen, c.removed, listed})
	t.containers[c] = len(t.v.Containers)
	return len(t.v.Containers)
}

func (t *shared) table(table *FDTable) int {
	if n, ok := t.tables[table]; ok {
		return n
	}
	n := len(t.v.Tables)
	t.tables[table] = n
	t.v.Tables = append(t.v.Tables, t.ofSlots(table))
	return n
}

func (t *shared) ofSlots(table *FDTable) int {
	if n, ok := t.slots[table.slots]; ok {
		return n
	}
	n := len(t.v.Slots)
	t.slots[table.slots] = n
	slots := make([]savedSlot, 0, table.slots.n)
	for num, fd := range table.slots.low {
		if fd != nil {
			slots = append(slots, savedSlot{int64(num), t.ofFD(fd)})
		}
	}
	for num, fd := range table.slots.high {
		slots = append(slots, savedSlot{num, t.ofFD(fd)})
	}
	slices.SortFunc(slots, func(a, b savedSlot) int { return cmp.Compare(a.Num, b.Num) })
	t.v.Slots = append(t.v.Slots, slots)
	return n
}

func (t *shared) ofFD(fd *FD) int {
	if n, ok := t.fds[fd]; ok {
		return n
	}
	n := len(t.v.FDs)
	t.fds[fd] = n
	t.v.FDs = append(t.v.FDs, savedFD{*fd, fd.pending, fd.missing, fd.pid})
	return n
}

var errSaved = errors.New("the saved state does not fit together")

// Restore makes a state of what Save wrote. Images have new numbers.
func Restore(r io.Reader, o Options) (*State, error) {
	var v saved
	if err := gob.NewDecoder(r).Decode(&v); err != nil {
		return nil, fmt.Errorf("reading a saved state: %w", err)
	}
	s := New(o)
	s.machine, s.interfaces = v.Machine, v.Interfaces
	s.networks = networksOf(s.interfaces)
	s.now, s.prev, s.first, s.applied, s.reaper = v.Now, v.Prev, v.First, v.Applied, v.Reaper
	for i := range v.Users {
		s.addUser(v.Users[i])
	}
	for i := range v.Groups {
		s.addGroup(v.Groups[i])
	}
	for i := range v.Containers {
		c := &v.Containers[i]
		c.Container.seen, c.Container.removed = c.Seen, c.Removed
		if c.Listed {
			s.containers[c.ID] = &c.Container
		}
	}
	if err := s.restoreThreads(&v); err != nil {
		return nil, err
	}
	s.ended = s.threads[v.Ended]
	return s, nil
}

func (s *State) restoreThreads(v *saved) error {
	made, err := s.restoreTables(v)
	if err != nil {
		return err
	}
	used := make([]bool, len(made))
	for i := range v.Threads {
		st := &v.Threads[i]
		if st.Table < 0 || st.Table >= len(made) || st.Container < 0 || st.Container > len(v.Containers) || st.TID <= 0 || s.threads[st.TID] != nil {
			return errSaved
		}
		t := newThread(st.TID)
		t.ThreadInfo, t.LastSeen, t.Dead, t.Inferred = st.ThreadInfo, st.LastSeen, st.Dead, st.Inferred
		t.enter, t.enterType, t.checked = st.Enter, st.EnterType, st.Checked
		t.awaitsChild, t.awaitsParent, t.subreaper, t.ownFDs = st.AwaitsChild, st.AwaitsParent, st.Subreaper, st.OwnFDs
		t.FDs = made[st.Table]
		if used[st.Table] {
			t.FDs.users++
		}
		used[st.Table] = true
		if t.Dead {
			t.Threads = 0
		}
		if !s.insert(t) {
			return nil // less room than there was: what is left out is counted
		}
		if st.Container > 0 {
			s.setContainer(t, &v.Containers[st.Container-1].Container)
		}
	}
	for i := range v.Threads {
		st := &v.Threads[i]
		t := s.threads[st.TID]
		switch l, p := s.threads[st.Leader], s.threads[st.Parent]; {
		case st.Leader != 0 && l == nil:
			return errSaved
		case l != nil:
			t.ownFDs = true // it has its table already
			s.join(t, l)
			t.ownFDs = st.OwnFDs
		case p != nil:
			s.setParent(t, p)
		}
	}
	for _, t := range s.ring {
		s.touch(t)
	}
	return nil
}

// restoreTables makes the descriptor tables, without users yet.
func (s *State) restoreTables(v *saved) ([]*FDTable, error) {
	fds := make([]*FD, len(v.FDs))
	for i := range v.FDs {
		f := &v.FDs[i]
		f.FD.pending, f.FD.missing, f.FD.pid = f.Pending, f.Missing, f.PID
		fds[i] = &f.FD
	}
	slots := make([]*fdSlots, len(v.Slots))
	for i, list := range v.Slots {
		slots[i] = &fdSlots{}
		for _, e := range list {
			if e.FD < 0 || e.FD >= len(fds) || e.Num < 0 {
				return nil, errSaved
			}
			fds[e.FD].refs++
			slots[i].store(e.Num, fds[e.FD])
			slots[i].n++
		}
		s.stats.FDs += len(list)
	}
	made := make([]*FDTable, len(v.Tables))
	for i, n := range v.Tables {
		if n < 0 || n >= len(slots) {
			return nil, errSaved
		}
		slots[n].tables++
		made[i] = &FDTable{slots: slots[n], users: 1}
	}
	if slices.ContainsFunc(slots, func(x *fdSlots) bool { return x.tables == 0 }) {
		return nil, errSaved
	}
	return made, nil
}
