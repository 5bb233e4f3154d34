package procfs

import (
	"bytes"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

const memfdPrefix = "/memfd:"

// executable fills the path of the executable and the facts about its file.
func (r *Reader) executable(t *event.ThreadInfo, groups []uint32) {
	path := r.procPath(t.PID, 0, "exe", -1)
	b, err := r.readlink(path)
	if err != nil {
		return
	}
	target, deleted := bytes.CutSuffix(b, []byte(deletedMark))
	t.ExePath = clip(target)
	st, err := r.statx(path)
	if err != nil {
		return
	}
	t.ExeFromMemfd = deleted && st.Nlink == 0 && strings.HasPrefix(t.ExePath, memfdPrefix)
	t.ExeIno, t.ExeCtime, t.ExeMtime = st.Ino, nanos(st.Ctime), nanos(st.Mtime)
	t.ExeWritable = modeAllows(&st, t, groups) || t.CapEffective&(1<<capDACOverride) != 0 && r.inHostUserns(t.PID)
	if deleted || st.Mask&unix.STATX_MNT_ID == 0 {
		return
	}
	if m, ok := r.mountOf(t.PID, st.Mnt_id); ok && m.fstype == "overlay" {
		if upper, ok := r.inUpper(&m, t.ExePath); ok {
			t.ExeUpperLayer, t.ExeLowerLayer = upper, !upper
		}
	}
}

func nanos(t unix.StatxTimestamp) uint64 { return uint64(t.Sec)*1e9 + uint64(t.Nsec) }

// capDACOverride is the capability to write files whatever their mode says.
const capDACOverride = 1

// modeAllows reports whether the file's mode lets the thread's user write it.
// Read-only mounts and access lists are not looked at.
func modeAllows(st *unix.Statx_t, t *event.ThreadInfo, groups []uint32) bool {
	switch {
	case st.Uid == t.UID:
		return st.Mode&unix.S_IWUSR != 0
	case st.Gid == t.GID || slices.Contains(groups, st.Gid):
		return st.Mode&unix.S_IWGRP != 0
	}
	return st.Mode&unix.S_IWOTH != 0
}

// inHostUserns reports whether a process has the users of the host, which its
// capabilities are about then: all ids are mapped to themselves.
func (r *Reader) inHostUserns(pid int64) bool {
	b, err := r.read(r.procPath(pid, 0, "uid_map", -1), 4096)
	return err == nil && slices.EqualFunc(bytes.Fields(b), []string{"0", "0", "4294967295"},
		func(got []byte, want string) bool { return string(got) == want })
}
