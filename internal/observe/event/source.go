package event

import (
	"errors"
	"maps"
)

// Source is a stream of events: a live host or a capture file. Everything
// that consumes a Source cannot tell which one it reads.
//
// First comes Snapshot, the state of the host at the moment from which on
// events follow without a gap; then Next, in time order. A Source is used by one goroutine.
type Source interface {
	// Snapshot returns the state that the next events build on. The caller may keep it.
	Snapshot() *Snapshot
	// Next makes ev a view of the next event. What ev points at is valid until
	// the following call. Errors: io.EOF at a clean end, ErrIdle, ErrSection,
	// any other is the end of the stream with a reason; all whole events
	// before it were handed out.
	Next(ev *Event) error
	// Stats returns counters since the start. It may be called from other goroutines.
	Stats() Stats
	// Close ends the stream and frees what it holds; a Next that waits returns io.EOF.
	Close() error
}

// Chooser is a live source that can be told which events are wanted.
type Chooser interface {
	// SetInterest changes which events are sent, from the next one that happens
	// on. What the state of the host needs is always sent. It may be called
	// from any goroutine.
	SetInterest(i Interest) error
}

var (
	// ErrIdle is returned by Next of a live source when there was nothing for
	// a moment (at most 100 ms), so that the caller can do what is due by time.
	ErrIdle = errors.New("no event for now")
	// ErrSection is returned by Next when a new section of a capture begins:
	// what is known is void, Snapshot returns the new state.
	ErrSection = errors.New("a new section begins")
)

// Stats are the counters of a Source.
type Stats struct {
	Events  uint64          // handed out
	Dropped uint64          // lost before they could be read, all types
	Drops   map[Type]uint64 // the same by type; nil if none
	Skipped uint64          // not understood and left out, for instance types newer than the table
	CPUs    []CPUStats      // by CPU; nil for files
	// Programs are the kernel programs of a live source that ran while the kernel measured them, which it does
	// while sysctl kernel.bpf_stats_enabled is 1; nil if none.
	Programs []ProgramStats
	// CaughtUp is the time (ns since the epoch) up to which everything that happened was handed out; 0 for files.
	CaughtUp uint64
}

// CPUStats are the counters of one CPU.
type CPUStats struct {
	Events  uint64 // handed out
	Dropped uint64
}

// ProgramStats is how often a kernel program ran, and for how long, in ns.
type ProgramStats struct {
	Name       string
	Runs, Time uint64
}

// Since returns what was counted from before to s; CaughtUp, CPUs and Programs are those of s.
func (s Stats) Since(before Stats) Stats {
	s.Events -= before.Events
	s.Dropped -= before.Dropped
	s.Skipped -= before.Skipped
	s.Drops = maps.Clone(s.Drops)
	for t, n := range before.Drops {
		if now := s.Drops[t]; now > n {
			s.Drops[t] = now - n
		} else {
			delete(s.Drops, t)
		}
	}
	return s
}

// Snapshot is the state of a host at one moment.
type Snapshot struct {
	Machine    Machine
	Interfaces []Interface
	Users      []User
	Groups     []Group
	Threads    []*ThreadInfo
	// Meta are whole events that complete the state, laid out as Event says:
	// the JSON of the containers. A capture hands its own out as the first
	// events, hidden, and leaves this empty.
	Meta [][]byte
	// Live is true for the running host itself: what is missing may be asked from /proc.
	Live bool
}

// Machine describes the host.
type Machine struct {
	CPUs     uint32
	Memory   uint64 // bytes
	MaxPID   uint64
	Hostname string
	BootTime uint64 // ns since the epoch
	Flags    uint64
}

// Interface is a network interface with one address.
type Interface struct {
	Name      string
	Type      uint16 // 1 IPv4, 2 IPv6
	Addr      []byte // 4 or 16 bytes, as are the next two
	Netmask   []byte
	Broadcast []byte
	LinkSpeed uint64
}

// User is an entry of the user database, of the host or of a container.
type User struct {
	UID, GID          uint32
	Name, Home, Shell string
	Container         string // container id, "" for the host
}

// Group is an entry of the group database.
type Group struct {
	GID       uint32
	Name      string
	Container string
}

// ThreadInfo is what is known about a thread. The process-wide parts (Env,
// Cwd, FDs) are filled for main threads (TID == PID) only.
type ThreadInfo struct {
	TID, PID  int64 // thread and process id in the host's namespace
	PTID      int64 // parent's process id
	SID       int64 // session id
	PGID      int64 // process group id in the host's namespace
	VPGID     int64 // the same in the process's own namespace
	VTID      int64 // TID in its own namespace
	VPID      int64 // PID in its own namespace
	Comm      string
	Exe       string   // argv[0]
	ExePath   string   // resolved path of the executable
	Args      []string // without argv[0]
	Env       []string // NAME=value
	Cwd       string
	Root      string   // root directory, "/" if not changed
	Cgroups   []string // "subsystem=path"
	FDLimit   uint64
	Flags     uint32 // clone_flags bits
	UID, GID  uint32
	LoginUID  uint32 // 0xffffffff if unset
	TTY       uint32
	VMSize    uint32 // kB, as are the next two
	VMRSS     uint32
	VMSwap    uint32
	PFMajor   uint64
	PFMinor   uint64
	StartTime uint64 // ns since the epoch, 0 if not known

	PidnsInitStart uint64 // start of the pid namespace's init, ns since the epoch
	CapInheritable uint64
	CapPermitted   uint64
	CapEffective   uint64
	ExeIno         uint64
	ExeCtime       uint64 // ns since the epoch
	ExeMtime       uint64
	ExeWritable    bool // the user could write the executable
	ExeUpperLayer  bool // executable is in the upper layer of an overlayfs
	ExeLowerLayer  bool
	ExeFromMemfd   bool

	FDs []FDInfo
}

// NewThreadInfo returns a ThreadInfo in which what is not known has its
// conventional value: ids -1, LoginUID unset.
func NewThreadInfo() *ThreadInfo {
	return &ThreadInfo{SID: -1, PGID: -1, VPGID: -1, VTID: -1, VPID: -1, LoginUID: 0xffffffff}
}
