package procfs

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

// ThreadFlags are the clone flags that a thread is taken to have been made
// with if it is not its process's main one: CLONE_FILES and CLONE_THREAD of
// the table clone_flags.
const ThreadFlags = 0x1 | 0x2000

// Thread returns what is known about a thread, without its descriptors. It is
// the caller's to keep. What is refused is left unknown; a thread that is gone
// or on its way out gives ErrGone.
func (r *Reader) Thread(pid, tid int64) (*event.ThreadInfo, error) {
	leader, err := r.process(pid)
	if err != nil || tid == pid {
		return leader, err
	}
	return r.sibling(leader, tid)
}

// ProcessOf returns the id of the process that a thread belongs to, or ErrGone.
func (r *Reader) ProcessOf(tid int64) (int64, error) {
	path := r.procPath(tid, 0, "status", -1)
	b, err := r.read(path, 16384)
	if err != nil {
		return 0, err
	}
	s := parseStatus(b)
	if s.pid <= 0 {
		return 0, fmt.Errorf("%s/%s does not say the process", r.root, path)
	}
	return s.pid, nil
}

// Threads returns all threads of a process, the main thread first.
func (r *Reader) Threads(pid int64) ([]*event.ThreadInfo, error) {
	leader, err := r.process(pid)
	if err != nil {
		return nil, err
	}
	tids, err := r.TIDs(pid)
	if err != nil {
		return nil, err
	}
	list := []*event.ThreadInfo{leader}
	for _, tid := range tids {
		if tid == pid {
			continue
		}
		if t, err := r.sibling(leader, tid); err == nil {
			list = append(list, t)
		}
	}
	return list, nil
}

// process reads the main thread of a process with all that threads share.
func (r *Reader) process(pid int64) (*event.ThreadInfo, error) {
	t := event.NewThreadInfo()
	t.PID, t.TID = pid, pid
	st, facts, err := r.own(t)
	if err != nil {
		return nil, err
	}
	t.Cgroups = r.cgroupsOf(pid)
	t.PidnsInitStart = r.initStart(pid, t, &facts)
	if b, err := r.read(r.procPath(pid, 0, "loginuid", -1), 64); err == nil {
		t.LoginUID = first(b)
	}
	if st.kernelTask {
		t.Cwd, t.Root = "/", "/"
		return t, nil
	}
	r.Program(t)
	t.Cwd, t.Root = r.linkPath(pid, "cwd"), r.linkPath(pid, "root")
	if b, err := r.read(r.procPath(pid, 0, "limits", -1), 8192); err == nil {
		t.FDLimit = parseFDLimit(b)
	}
	r.executable(t, facts.groups)
	return t, nil
}

// sibling reads a thread that is not the main one; the rest is that of the main thread.
func (r *Reader) sibling(leader *event.ThreadInfo, tid int64) (*event.ThreadInfo, error) {
	t := new(event.ThreadInfo)
	*t = *leader
	t.TID, t.Env, t.Cwd = tid, nil, ""
	if _, _, err := r.own(t); err != nil {
		return nil, err
	}
	t.Flags = ThreadFlags
	return t, nil
}

// own fills what each thread has for itself: the contents of stat and status.
func (r *Reader) own(t *event.ThreadInfo) (stat, status, error) {
	path := r.procPath(t.PID, t.TID, "stat", -1)
	b, err := r.read(path, 4096)
	if err != nil {
		return stat{}, status{}, err
	}
	st, err := parseStat(b)
	if err != nil {
		return st, status{}, r.fail("read", path, err)
	}
	t.Comm = string(st.comm)
	if st.dead() && (t.TID != t.PID || !r.hasLivingThreads(t.PID)) {
		return st, status{}, r.fail("read", path, unix.ESRCH)
	}
	t.PTID, t.PGID, t.SID, t.TTY = st.ppid, st.pgrp, st.session, st.tty
	t.PFMinor, t.PFMajor, t.StartTime = st.minor, st.major, st.startTime(r.boot)
	if b, err = r.read(r.procPath(t.PID, t.TID, "status", -1), 16384); err != nil {
		return st, status{}, err
	}
	s := parseStatus(b)
	t.UID, t.GID = s.uid, s.gid
	t.VTID, t.VPID, t.VPGID = s.vtid, s.vpid, s.vpgid
	t.VMSize, t.VMRSS, t.VMSwap = s.vmSize, s.vmRSS, s.vmSwap
	t.CapInheritable, t.CapPermitted, t.CapEffective = s.inheritable, s.permitted, s.effectv
	return st, s, nil
}

// hasLivingThreads tells a main thread that has ended while others go on from a dead process.
func (r *Reader) hasLivingThreads(pid int64) bool {
	tids, _ := r.TIDs(pid)
	for _, tid := range tids {
		b, err := r.read(r.procPath(pid, tid, "stat", -1), 4096)
		if err != nil {
			continue
		}
		if st, err := parseStat(b); err == nil && !st.dead() {
			return true
		}
	}
	return false
}

// Program fills arguments (Exe, Args) and environment of a process, as far as
// captures have room for them. What cannot be read stays as it is.
func (r *Reader) Program(t *event.ThreadInfo) {
	if b, err := r.read(r.procPath(t.PID, 0, "cmdline", -1), maxList+MaxPath); err == nil && len(b) > 0 {
		exe, args, _ := bytes.Cut(b, []byte{0})
		t.Exe = clip(exe)
		t.Args = CutPadding(List(args[:min(len(args), maxList)]))
	}
	if b, err := r.read(r.procPath(t.PID, 0, "environ", -1), maxList); err == nil {
		t.Env = List(b)
	}
}

// linkPath returns the directory that a link of the process leads to, "" if that is refused.
func (r *Reader) linkPath(pid int64, name string) string {
	b, err := r.readlink(r.procPath(pid, 0, name, -1))
	if err != nil {
		return ""
	}
	return clip(bytes.TrimSuffix(b, []byte(deletedMark)))
}

// parseFDLimit finds the soft limit of open files in /proc/PID/limits.
func parseFDLimit(b []byte) uint64 {
	_, b, ok := bytes.Cut(b, []byte("Max open files"))
	if !ok {
		return 0
	}
	w, _ := word(b)
	if string(w) == "unlimited" {
		return 1<<64 - 1
	}
	n, _ := decimal(w)
	return n
}

// hostPidns stands for the pid namespace that the mount of /proc shows.
const hostPidns = 0

// initStart returns when the init of the process's pid namespace started, 0 if not known.
func (r *Reader) initStart(pid int64, t *event.ThreadInfo, s *status) uint64 {
	ns := uint64(hostPidns)
	if s.depth > 1 {
		b, err := r.readlink(r.procPath(pid, 0, "ns/pid", -1))
		if err != nil {
			return 0
		}
		ns = linkNumber(b)
	}
	start, ok := r.pidns[ns]
	switch {
	case ok:
	case t.VPID == 1:
		start = t.StartTime
	case ns == hostPidns:
		if b, err := r.read("1/stat", 4096); err == nil {
			if st, err := parseStat(b); err == nil {
				start = st.startTime(r.boot)
			}
		}
	default:
		start = r.innerInitStart(pid, ns)
	}
	r.pidns[ns] = start
	return start
}

// innerInitStart asks the /proc that the process itself sees, if it is one and
// of its pid namespace.
func (r *Reader) innerInitStart(pid int64, ns uint64) uint64 {
	root, err := unix.Openat(r.dir, r.procPath(pid, 0, "root", -1), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(root)
	dir, err := openBelow(root, "proc/1", unix.O_PATH|unix.O_DIRECTORY, unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return 0
	}
	inner := Reader{root: "the container's /proc/1", dir: dir, buf: make([]byte, 4096)}
	defer inner.Close()
	var fs unix.Statfs_t
	if unix.Fstatfs(dir, &fs) != nil || fs.Type != unix.PROC_SUPER_MAGIC {
		return 0
	}
	if b, err := inner.readlink("ns/pid"); err != nil || linkNumber(b) != ns {
		return 0
	}
	b, err := inner.read("stat", 4096)
	if err != nil {
		return 0
	}
	st, err := parseStat(b)
	if err != nil {
		return 0
	}
	return st.startTime(r.boot)
}
