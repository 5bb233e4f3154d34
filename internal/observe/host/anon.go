package host

import (
	"strconv"

	"rollcage/internal/observe/event"
)

// alwaysCloexec marks calls whose descriptors are closed at exec in any case.
const alwaysCloexec = ^uint64(0)

// anonymous returns the action of a call that makes a descriptor without a
// name. Its flags are in a parameter (-1 if it has none), cloexec is the bit
// of them that closes it at exec.
func anonymous(t event.FDType, flags int, cloexec uint64) func(*State, *Event) {
	return func(s *State, he *Event) {
		num, ok := he.Int(0)
		if !ok || num < 0 {
			return
		}
		fd := s.newFD()
		fd.Type = t
		fd.CloseOnExec = cloexec == alwaysCloexec
		if v, ok := he.Uint(flags); ok && flags >= 0 {
			fd.OpenFlags, fd.CloseOnExec = uint32(v), v&cloexec != 0
		}
		s.created(he, num, fd)
	}
}

// bpfMakesFD are the commands of bpf whose result is a descriptor; that of the
// others only looks like one.
var bpfMakesFD = commands("BPF_MAP_CREATE", "BPF_PROG_LOAD", "BPF_OBJ_GET", "BPF_PROG_GET_FD_BY_ID",
	"BPF_MAP_GET_FD_BY_ID", "BPF_RAW_TRACEPOINT_OPEN", "BPF_BTF_LOAD", "BPF_BTF_GET_FD_BY_ID",
	"BPF_LINK_CREATE", "BPF_LINK_GET_FD_BY_ID", "BPF_ENABLE_STATS", "BPF_ITER_CREATE")

func commands(names ...string) (set uint64) {
	for _, n := range names {
		if v, ok := event.Table("bpf_commands").Value(n); ok && v < 64 {
			set |= 1 << v
		}
	}
	return set
}

func (s *State) applyBPF(he *Event) {
	if cmd, ok := he.Uint(1); ok && (cmd >= 64 || bpfMakesFD>>cmd&1 == 0) {
		return
	}
	anonymous(event.FDBPF, -1, alwaysCloexec)(s, he)
}

func (s *State) applyMemfd(he *Event) {
	num, ok := he.Int(0)
	if !ok || num < 0 {
		return
	}
	const cloexec = 1 // MFD_CLOEXEC of memfd_create_flags
	flags, _ := he.Uint(2)
	fd := s.newFD()
	fd.Type, fd.OpenFlags, fd.CloseOnExec = event.FDMemfd, uint32(flags), flags&cloexec != 0
	if name, ok := he.Str(1); ok {
		fd.Name = s.printable(he.Param(1)[:len(name)])
	}
	s.created(he, num, fd)
}

func (s *State) applyPidfdOpen(he *Event) {
	num, ok := he.Int(0)
	if !ok || num < 0 {
		return
	}
	pid, _ := he.Int(1)
	flags, _ := he.Uint(2)
	fd := s.newFD()
	fd.Type, fd.OpenFlags, fd.CloseOnExec, fd.pid = event.FDPidfd, uint32(flags), true, pid
	s.scratch = strconv.AppendInt(append(s.scratch[:0], "/proc/"...), pid, 10)
	fd.Name = s.strings.get(s.scratch)
	s.created(he, num, fd)
}

// applyPidfdGetfd copies a descriptor out of the process that a pidfd stands for.
func (s *State) applyPidfdGetfd(he *Event) {
	num, ok := he.Int(0)
	if !ok || num < 0 {
		return
	}
	pidfd, _ := he.Int(1)
	target, _ := he.Int(2)
	p := he.Thread.FDs.Get(pidfd)
	if p == nil || p.Type != event.FDPidfd {
		return
	}
	owner := s.byVPID(he.Thread.Leader, p.pid)
	if owner == nil {
		return
	}
	if from := owner.FDs.Get(target); from != nil {
		fd := s.cloneFD(from)
		fd.CloseOnExec = true
		s.created(he, num, fd)
	}
}

func (s *State) applyPipe(he *Event) {
	if !succeeded(he) {
		return
	}
	ino, _ := he.Uint(3)
	flags, _ := he.Uint(4)
	for _, param := range [2]int{1, 2} {
		num, ok := he.Int(param)
		if !ok {
			return
		}
		fd := s.newFD()
		fd.Type, fd.Ino, fd.OpenFlags = event.FDPipe, ino, uint32(flags)
		fd.CloseOnExec = flags&flagCloexec != 0
		s.created(he, num, fd)
	}
}
