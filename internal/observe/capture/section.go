package capture

import (
	"bytes"
	"fmt"
	"strings"
	"unsafe"

	"rollcage/internal/observe/event"
)

// Sizes in memory, in bytes.
const (
	threadSize = int(unsafe.Sizeof(event.ThreadInfo{}))
	fdSize     = int(unsafe.Sizeof(event.FDInfo{}))
	stringSize = int(unsafe.Sizeof(""))
)

// section collects the snapshot at the start of a section.
type section struct {
	snap    event.Snapshot
	threads map[int64]*event.ThreadInfo
	size    int64 // of the blocks so far and of what was made of them, in bytes
}

func newSection() *section {
	s := &section{threads: map[int64]*event.ThreadInfo{}}
	s.snap.Machine.CPUs = ^uint32(0) // until a machine block says more
	return s
}

// charge counts memory against what a snapshot may take, as a block can hold
// many small things that are larger in memory.
func (s *section) charge(n int, c *cursor) {
	if s.size += int64(n); s.size > maxState && c.err == nil {
		c.err = malformed("a snapshot of more than %d bytes", maxState)
	}
}

// finish returns the snapshot.
func (s *section) finish(opt Options) *event.Snapshot {
	orderEnds(s.snap.Threads)
	if opt.NoUsers {
		s.snap.Users, s.snap.Groups = nil, nil
	}
	return &s.snap
}

// load reads one metadata block.
func (s *section) load(k *blockKind, body []byte) error {
	c := cursor{b: body}
	k.load(s, &c, k.version)
	if c.err != nil {
		return fmt.Errorf("%s: %w", k.name, c.err)
	}
	return nil
}

// in says which entry of a list an error is in.
func (c *cursor) in(what string, n int, err error) {
	if c.err == nil {
		c.err = err
	}
	if c.err != nil {
		c.err = fmt.Errorf("%s %d: %w", what, n, c.err)
	}
}

func loadHeader(_ *section, c *cursor, _ int) {
	magic, major := c.uint32(), c.uint16()
	c.take(2 + 8) // minor version, length of the section
	switch {
	case c.err != nil:
	case magic != sectionMagic:
		c.err = malformed("invalid magic number %#x", magic)
	case major > majorVersion:
		c.err = fmt.Errorf("%w: major version %d, at most %d is known", ErrVersion, major, majorVersion)
	}
}

func loadMachine(s *section, c *cursor, _ int) {
	m := &s.snap.Machine
	*m = event.Machine{CPUs: c.uint32(), Memory: c.uint64(), MaxPID: c.uint64()}
	m.Hostname = strings.Clone(event.CString(c.take(hostnameSize)))
	m.BootTime, m.Flags = c.uint64(), c.uint64()
	c.take(16) // reserved
}

func loadInterfaces(s *section, c *cursor, version int) {
	s.snap.Interfaces = nil
	for n := 1; c.more(); n++ {
		e := c
		if version >= 2 {
			entry := c.entry(4)
			e = &entry
		}
		i := readInterface(e)
		c.in("interface", n, e.err)
		if c.err == nil {
			s.snap.Interfaces = append(s.snap.Interfaces, i)
		}
	}
}

func readInterface(c *cursor) event.Interface {
	typ, name := c.uint16(), int(c.uint16())
	width := 4
	switch {
	case c.err != nil:
	case typ == 0 || typ > 4:
		c.err = malformed("type %d", typ)
	case name > maxIfName:
		c.err = malformed("a name of %d bytes", name)
	case typ == 2 || typ == 4:
		width = 16
	}
	i := event.Interface{
		Type: (typ-1)&1 + 1, // 3 and 4 are 1 and 2 without a speed
		Addr: bytes.Clone(c.take(width)), Netmask: bytes.Clone(c.take(width)), Broadcast: bytes.Clone(c.take(width)),
	}
	if typ <= 2 {
		i.LinkSpeed = c.uint64()
	}
	i.Name = string(c.take(name))
	return i
}

func loadUsers(s *section, c *cursor, version int) {
	s.snap.Users, s.snap.Groups = nil, nil
	for n := 1; c.more(); n++ {
		e := c
		if version >= 2 {
			entry := c.entry(0)
			e = &entry
		}
		if e.uint8() == 0 {
			u := event.User{UID: e.uint32(), GID: e.uint32(), Name: e.text("a name", maxUser),
				Home: e.text("a home directory", maxUser), Shell: e.text("a shell", maxUser)}
			s.snap.Users = append(s.snap.Users, u)
		} else {
			s.snap.Groups = append(s.snap.Groups, event.Group{GID: e.uint32(), Name: e.text("a name", maxUser)})
		}
		c.in("entry", n, e.err)
	}
}

func loadThreads(s *section, c *cursor, version int) {
	for n := 1; c.more(); n++ {
		e := c
		if version >= 9 {
			entry := c.entry(0)
			e = &entry
		}
		t := readThread(e, version)
		if version >= 9 {
			readThreadTail(e, t)
		}
		s.charge(threadSize+stringSize*(len(t.Args)+len(t.Env)+len(t.Cgroups)), c)
		if c.in("thread", n, e.err); c.err == nil {
			s.addThread(t)
		}
	}
}

// addThread takes a thread in. Of two with the same id the later counts.
func (s *section) addThread(t *event.ThreadInfo) {
	if old := s.threads[t.TID]; old != nil {
		*old = *t
		return
	}
	s.threads[t.TID] = t
	s.snap.Threads = append(s.snap.Threads, t)
}

func readThread(c *cursor, version int) *event.ThreadInfo {
	t := event.NewThreadInfo()
	t.TID, t.PID, t.PTID = c.int64(), c.int64(), c.int64()
	if version >= 6 {
		t.SID = c.int64()
	}
	if version >= 8 {
		t.VPGID = c.int64()
	}
	t.Comm, t.Exe = c.text("comm", maxPath), c.text("exe", maxPath)
	if version >= 7 {
		t.ExePath = strings.TrimSuffix(c.text("exepath", maxPath), " (deleted)")
	}
	t.Args = splitList(c.text("args", maxList))
	t.Cwd = c.text("cwd", maxPath)
	t.FDLimit, t.Flags, t.UID, t.GID = c.uint64(), c.uint32(), c.uint32(), c.uint32()
	if version >= 2 {
		t.VMSize, t.VMRSS, t.VMSwap = c.uint32(), c.uint32(), c.uint32()
		t.PFMajor, t.PFMinor = c.uint64(), c.uint64()
	}
	if version >= 3 {
		t.Env = splitList(c.text("env", maxList))
	}
	if version >= 4 {
		t.VTID, t.VPID = c.int64(), c.int64()
		t.Cgroups = splitList(c.text("cgroups", maxList))
	}
	if version >= 5 {
		t.Root = c.text("root", maxPath)
	}
	if t.TID != t.PID { // some producers repeat them for each thread
		t.Env, t.Cwd = nil, ""
	}
	return t
}

// readThreadTail reads what was appended to the entry over time. A field that
// the rest is too short for is left out and the next one tried: the first two
// were put in front of 29 bytes of older ones.
func readThreadTail(c *cursor, t *event.ThreadInfo) {
	if len(c.b) > 29 {
		optional8(c, &t.PidnsInitStart)
		optional4(c, &t.TTY)
	}
	optional4(c, &t.LoginUID)
	optional1(c, &t.ExeWritable)
	optional8(c, &t.CapInheritable)
	optional8(c, &t.CapPermitted)
	optional8(c, &t.CapEffective)
	optional1(c, &t.ExeUpperLayer)
	optional8(c, &t.ExeIno)
	optional8(c, &t.ExeCtime)
	optional8(c, &t.ExeMtime)
	optional1(c, &t.ExeFromMemfd)
	optional1(c, &t.ExeLowerLayer)
	optional8(c, &t.PGID)
}

// splitList splits a list whose items end in a NUL, which the last may lack.
func splitList(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\x00"), "\x00")
}
