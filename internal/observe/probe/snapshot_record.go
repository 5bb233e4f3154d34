package probe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/procfs"
)

// The types of the records of bpf/iter.bpf.c.
const (
	recordThread = 0xfff0
	recordFD     = 0xfff1
)

var errRecord = errors.New("malformed record of an iterator")

// record is a record of an iterator: laid out like an event, with a type that no event has.
type record struct {
	at     uint64
	tid    int64
	params [event.MaxParams][]byte
}

// recordSize returns the length of the record at the start of b, false if b is too short to tell.
func recordSize(b []byte) (int, bool) {
	if len(b) < event.HeaderSize {
		return 0, false
	}
	// A record is never shorter than its header; a length that says so would never end.
	return max(int(binary.LittleEndian.Uint32(b[16:])), event.HeaderSize), true
}

// parseRecord reads a record of a type with that many parameters.
func parseRecord(b []byte, typ uint16, n int) (record, error) {
	var r record
	if len(b) < event.HeaderSize+2*n {
		return r, fmt.Errorf("%w: %d bytes", errRecord, len(b))
	}
	le := binary.LittleEndian
	if got, count := le.Uint16(b[20:]), le.Uint32(b[22:]); got != typ || count != uint32(n) {
		return r, fmt.Errorf("%w: type %#x with %d values", errRecord, got, count)
	}
	r.at, r.tid = le.Uint64(b), int64(le.Uint64(b[8:]))
	lens, rest := b[event.HeaderSize:], b[event.HeaderSize+2*n:]
	for i := range n {
		size := int(le.Uint16(lens[2*i:]))
		if size > len(rest) {
			return r, fmt.Errorf("%w: value %d does not fit", errRecord, i)
		}
		r.params[i], rest = rest[:size:size], rest[size:]
	}
	return r, nil
}

func (r *record) uint(i int) uint64 {
	n, _ := event.Uint(r.params[i])
	return n
}

func (r *record) int(i int) int64 { return int64(r.uint(i)) }

// text returns the bytes of a string without its NUL.
func (r *record) text(i int) []byte {
	b, _, _ := bytes.Cut(r.params[i], []byte{0})
	return b
}

// shared keeps one copy of what many records say. Its zero value is ready.
type shared struct {
	strings map[string]string
	lists   map[string][]string
}

func (s *shared) str(b []byte) string {
	if v, ok := s.strings[string(b)]; ok {
		return v
	}
	if s.strings == nil {
		s.strings = map[string]string{}
	}
	v := string(b)
	s.strings[v] = v
	return v
}

func (s *shared) path(b []byte) string { return s.str(b[:min(len(b), procfs.MaxPath)]) }

func (s *shared) list(b []byte) []string {
	if v, ok := s.lists[string(b)]; ok {
		return v
	}
	if s.lists == nil {
		s.lists = map[string][]string{}
	}
	v := procfs.List(b)
	s.lists[string(b)] = v
	return v
}

// The values of a thread's record: those that exec events have (put_task and
// put_exec_tail in bpf/process.h), then ours.
const (
	threadTID = iota
	threadPID
	threadPTID
	threadCwd
	threadFDLimit
	threadPFMajor
	threadPFMinor
	threadVMSize
	threadVMRSS
	threadVMSwap
	threadComm
	threadCgroups
	threadTTY
	threadVPGID
	threadLoginUID
	threadExeFlags
	threadCapInheritable
	threadCapPermitted
	threadCapEffective
	threadExeIno
	threadExeCtime
	threadExeMtime
	threadUID
	threadExePath
	threadPGID
	threadGID
	threadNumbers
	threadRoot
	threadArgs
	threadEnv
	threadParams
)

// The bits of threadExeFlags: the table execve_flags.
const (
	exeWritable = 1 << iota
	exeUpperLayer
	exeFromMemfd
	exeLowerLayer
)

const maxArgs = 4096 // MAX_ARGS in bpf/process.h

// threadRecord is a thread as an iterator saw it.
type threadRecord struct {
	info *event.ThreadInfo
	at   uint64
	// whole is false if arguments and environment must be asked from /proc.
	whole bool
}

func (s *shared) decodeThread(b []byte) (threadRecord, error) {
	r, err := parseRecord(b, recordThread, threadParams)
	if err != nil {
		return threadRecord{}, err
	}
	t := event.NewThreadInfo()
	t.TID, t.PID, t.PTID = r.int(threadTID), r.int(threadPID), r.int(threadPTID)
	t.Comm, t.ExePath, t.Root = s.str(r.text(threadComm)), s.path(r.text(threadExePath)), s.path(r.text(threadRoot))
	t.Cgroups = s.list(r.params[threadCgroups])
	t.PGID, t.VPGID = r.int(threadPGID), r.int(threadVPGID)
	t.UID, t.GID = uint32(r.uint(threadUID)), uint32(r.uint(threadGID))
	t.LoginUID, t.TTY = uint32(r.uint(threadLoginUID)), uint32(r.uint(threadTTY))
	t.FDLimit, t.PFMajor, t.PFMinor = r.uint(threadFDLimit), r.uint(threadPFMajor), r.uint(threadPFMinor)
	t.VMSize, t.VMRSS, t.VMSwap = uint32(r.uint(threadVMSize)), uint32(r.uint(threadVMRSS)), uint32(r.uint(threadVMSwap))
	t.CapInheritable, t.CapPermitted = r.uint(threadCapInheritable), r.uint(threadCapPermitted)
	t.CapEffective = r.uint(threadCapEffective)
	t.ExeIno, t.ExeCtime, t.ExeMtime = r.uint(threadExeIno), r.uint(threadExeCtime), r.uint(threadExeMtime)
	flags := r.uint(threadExeFlags)
	t.ExeWritable, t.ExeFromMemfd = flags&exeWritable != 0, flags&exeFromMemfd != 0
	t.ExeUpperLayer, t.ExeLowerLayer = flags&exeUpperLayer != 0, flags&exeLowerLayer != 0
	if n := r.params[threadNumbers]; len(n) == 40 {
		le := binary.LittleEndian
		t.SID, t.VTID, t.VPID = int64(le.Uint64(n)), int64(le.Uint64(n[8:])), int64(le.Uint64(n[16:]))
		t.StartTime, t.PidnsInitStart = le.Uint64(n[24:]), le.Uint64(n[32:])
	}
	rec := threadRecord{info: t, at: r.at, whole: true}
	if t.TID == t.PID {
		t.Cwd = s.path(r.text(threadCwd))
		rec.whole = r.program(t)
	} else {
		t.Flags = procfs.ThreadFlags
	}
	return rec, nil
}

// program fills arguments and environment. It reports false if the iterator
// could not give all: a program without any, one that wrote a title over them,
// or more than fits.
func (r *record) program(t *event.ThreadInfo) bool {
	args, env := r.params[threadArgs], r.params[threadEnv]
	t.Env = procfs.List(env)
	if t.Args = procfs.List(args); len(t.Args) > 0 {
		t.Exe, t.Args = t.Args[0], procfs.CutPadding(t.Args[1:])
	}
	if t.ExePath == "" { // a thread of the kernel
		return true
	}
	return len(args) > 0 && len(args) < maxArgs && args[len(args)-1] == 0
}

// The values of a descriptor's record.
const (
	fdNumbers = iota
	fdName
	fdSocket
	fdParams
)

// The lengths of struct fd_numbers and struct socket_numbers.
const (
	fdNumbersSize     = 40
	socketNumbersSize = 64
)

// Of the table file_flags.
const (
	flagCloexec    = 1 << 12
	flagUpperLayer = 1 << 15
	flagLowerLayer = 1 << 16
)

// The file systems that say what a descriptor is.
const anonInodeMagic, nsfsMagic = unix.ANON_INODE_FS_MAGIC, unix.NSFS_MAGIC

// fdRecord is a descriptor as an iterator saw it.
type fdRecord struct {
	pid   int64
	at    uint64
	info  event.FDInfo
	netns uint64 // of a socket
}

// scannedFDs are the descriptors of a process and the time before the first was read.
type scannedFDs struct {
	at    uint64
	list  []event.FDInfo
	netns []uint64 // by index in list
}

// fdScan is what the iterator over descriptors has given, by process.
type fdScan struct {
	shared
	processes map[int64]*scannedFDs
}

// take adds a record. A thread that has descriptors of its own is left out.
func (s *fdScan) take(b []byte) error {
	f, tid, err := s.decodeFD(b)
	if err != nil || tid != f.pid {
		return err
	}
	p := s.processes[f.pid]
	if p == nil {
		p = &scannedFDs{at: f.at}
		s.processes[f.pid] = p
	}
	p.list, p.netns = append(p.list, f.info), append(p.netns, f.netns)
	return nil
}

// orient gives connections their direction.
func (s *fdScan) orient() {
	listeners := procfs.Listeners{}
	for _, p := range s.processes {
		for i := range p.list {
			listeners.Add(p.netns[i], &p.list[i])
		}
	}
	for _, p := range s.processes {
		for i := range p.list {
			if p.list[i].Type.IsIP() {
				listeners.Orient(p.netns[i], &p.list[i])
			}
		}
	}
}

// decodeFD also returns the thread whose descriptor it is.
func (s *shared) decodeFD(b []byte) (fdRecord, int64, error) {
	var f fdRecord
	r, err := parseRecord(b, recordFD, fdParams)
	if err != nil {
		return f, 0, err
	}
	n := r.params[fdNumbers]
	if len(n) != fdNumbersSize {
		return f, 0, fmt.Errorf("%w: numbers of a descriptor of %d bytes", errRecord, len(n))
	}
	le := binary.LittleEndian
	f.at, f.pid = r.at, int64(le.Uint32(n))
	f.info.Num, f.info.Ino = int64(le.Uint32(n[4:])), le.Uint64(n[16:])
	f.info.OpenFlags = procfs.OpenFlags(le.Uint32(n[8:]))
	if n[34] != 0 {
		f.info.OpenFlags |= flagCloexec
	}
	if sk := r.params[fdSocket]; len(sk) == socketNumbersSize {
		f.netns = decodeSocket(&f.info, sk, s.path(r.text(fdName)))
		return f, r.tid, nil
	}
	classifyFile(&f.info, n, s.path(r.text(fdName)))
	return f, r.tid, nil
}

// classifyFile gives type and name of what is no socket, as package procfs does.
func classifyFile(f *event.FDInfo, n []byte, name string) {
	le := binary.LittleEndian
	magic, target, mode := le.Uint32(n[24:]), int32(le.Uint32(n[28:])), le.Uint16(n[32:])
	layer, memfd, pathless := n[35], n[36] != 0, n[37] != 0
	f.Name = name
	switch {
	case target != 0:
		f.Type, f.Name = event.FDPidfd, procfs.PidfdName(int64(target))
	case magic == anonInodeMagic:
		f.Type, f.Name = procfs.AnonType(strings.Trim(name, "[]"), "anon_inode:"+name)
	case memfd:
		f.Type = event.FDMemfd
	case mode&unix.S_IFMT == unix.S_IFIFO:
		if f.Type = event.FDPipe; pathless {
			f.Name = numbered("pipe", f.Ino)
		}
	case mode&unix.S_IFMT == unix.S_IFDIR:
		f.Type = event.FDDirectory
	default:
		f.Type, f.Dev = event.FDFileV2, le.Uint32(n[12:])
		if magic == nsfsMagic {
			f.Name = numbered(name, f.Ino)
		}
		f.OpenFlags |= [...]uint32{0, flagUpperLayer, flagLowerLayer, 0}[layer&3]
	}
}

// numbered is the name of what has no path.
func numbered(kind string, ino uint64) string {
	return kind + ":[" + strconv.FormatUint(ino, 10) + "]"
}

// decodeSocket gives type, name and ends of a socket and returns its network namespace.
func decodeSocket(f *event.FDInfo, sk []byte, name string) uint64 {
	le := binary.LittleEndian
	family, typ, protocol := le.Uint16(sk[52:]), le.Uint16(sk[54:]), le.Uint16(sk[56:])
	switch family {
	case unix.AF_INET, unix.AF_INET6:
		size := 4
		if family == unix.AF_INET6 {
			size = 16
		}
		local, _ := netip.AddrFromSlice(sk[16 : 16+size])
		remote, _ := netip.AddrFromSlice(sk[32 : 32+size])
		procfs.SetInet(f, l4Proto(typ, protocol),
			netip.AddrPortFrom(local, le.Uint16(sk[60:])), netip.AddrPortFrom(remote, le.Uint16(sk[62:])))
	case unix.AF_UNIX:
		f.Type, f.Name, f.Server = event.FDUnix, name, name != "" && le.Uint16(sk[58:]) != 0
		f.UnixSource, f.UnixDest = le.Uint64(sk), le.Uint64(sk[8:])
	case unix.AF_NETLINK:
		f.Type = event.FDNetlink
	default:
		f.Type, f.Name = event.FDUnsupported, numbered("socket", f.Ino)
	}
	return uint64(le.Uint32(sk[48:]))
}

func l4Proto(typ, protocol uint16) event.L4Proto {
	if typ == unix.SOCK_RAW {
		return event.L4Raw
	}
	switch protocol {
	case unix.IPPROTO_TCP, unix.IPPROTO_MPTCP & 0xffff:
		return event.L4TCP
	case unix.IPPROTO_UDP, unix.IPPROTO_UDPLITE:
		return event.L4UDP
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		return event.L4ICMP
	}
	return event.L4Unknown
}
