package procfs

import (
	"bytes"
	"errors"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

// maxFDs bounds how many descriptors of a process are taken over.
const maxFDs = 1 << 20

// FDs returns the descriptors of a process in order of their numbers, the
// caller's to keep. Those that vanish meanwhile are left out. Sockets are
// looked up in the tables of the process's network namespace as they were when
// first needed since Refresh, or again if the socket is newer than they are.
func (r *Reader) FDs(pid int64) ([]event.FDInfo, error) {
	nums, err := r.numbers(nil, r.procPath(pid, 0, "fd", -1))
	if err != nil || len(nums) == 0 {
		return nil, err
	}
	slices.Sort(nums)
	nums = nums[:min(len(nums), maxFDs)]
	list := make([]event.FDInfo, 0, len(nums))
	for _, n := range nums {
		f, err := r.fd(pid, n, true)
		if errors.Is(err, ErrGone) {
			continue
		}
		if err != nil {
			return list, err
		}
		list = append(list, f)
	}
	return list, nil
}

// FD returns a descriptor of a process, or ErrGone. A socket that is not in
// the tables that were read since Refresh makes it read them again, unless that
// would take more than a small part of the time; then it has no ends.
func (r *Reader) FD(pid, num int64) (event.FDInfo, error) { return r.fd(pid, num, false) }

func (r *Reader) fd(pid, num int64, scan bool) (event.FDInfo, error) {
	f := event.FDInfo{Num: num}
	path := r.procPath(pid, 0, "fd", num)
	st, err := r.statx(path)
	if err != nil {
		return f, err
	}
	target, err := r.readlink(path)
	if err != nil {
		return f, err
	}
	f.Ino = st.Ino
	// A path that was removed carries a mark, a path may also end like it.
	if st.Nlink == 0 {
		target = bytes.TrimSuffix(target, []byte(deletedMark))
	}
	f.Type, f.Name = classify(target, st.Mode)
	if f.Type == event.FDFileV2 {
		f.Dev = r.deviceOf(pid, &st)
	}
	b, err := r.read(r.procPath(pid, 0, "fdinfo", num), 4096)
	if err != nil {
		return f, err
	}
	info := parseFDInfo(b)
	f.OpenFlags = OpenFlags(info.flags)
	switch {
	case f.Type == event.FDPidfd && info.pid != 0:
		f.Name = PidfdName(info.pid)
	case st.Mode&unix.S_IFMT == unix.S_IFSOCK && f.Type == event.FDUnsupported:
		r.socket(pid, &f, scan)
	}
	return f, nil
}

// PidfdName is the name of a pidfd: that of the process it refers to, which is
// -1 when that has ended.
func PidfdName(pid int64) string { return "pidfd:[" + strconv.FormatInt(pid, 10) + "]" }

// classify tells a descriptor's type and name from the target of its link and
// the mode of its file. Sockets are FDUnsupported, to be looked up by number.
func classify(target []byte, mode uint16) (event.FDType, string) {
	if name, ok := bytes.CutPrefix(target, []byte("anon_inode:")); ok {
		return AnonType(string(bytes.Trim(name, "[]")), string(target))
	}
	if bytes.HasPrefix(target, []byte(memfdPrefix)) && mode&unix.S_IFMT == unix.S_IFREG {
		return event.FDMemfd, clip(target)
	}
	switch mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return event.FDPipe, clip(target)
	case unix.S_IFDIR:
		return event.FDDirectory, clip(target)
	case unix.S_IFSOCK:
		if bytes.HasPrefix(target, []byte{'/'}) { // a socket's path, opened with O_PATH
			return event.FDFileV2, clip(target)
		}
		return event.FDUnsupported, clip(target)
	}
	if bytes.HasPrefix(target, []byte("pidfd:")) { // pidfs, since Linux 6.9
		return event.FDPidfd, clip(target)
	}
	return event.FDFileV2, clip(target)
}

// anonTypes are the descriptors without a file, by the name of their inode.
var anonTypes = map[string]event.FDType{
	"eventfd":     event.FDEvent,
	"eventpoll":   event.FDEventPoll,
	"inotify":     event.FDInotify,
	"signalfd":    event.FDSignal,
	"timerfd":     event.FDTimer,
	"io_uring":    event.FDIOUring,
	"userfaultfd": event.FDUserfault,
	"pidfd":       event.FDPidfd,
	"bpf-map":     event.FDBPF,
	"bpf-prog":    event.FDBPF,
	"bpf_link":    event.FDBPF,
	"bpf_iter":    event.FDBPF,
	"btf":         event.FDBPF,
}

// AnonType returns the type of a descriptor by the name of its anonymous
// inode, without brackets. Types that captures know have no name; any other is
// FDUnsupported with the name that is given.
func AnonType(inode, name string) (event.FDType, string) {
	if t, ok := anonTypes[inode]; ok {
		return t, ""
	}
	return event.FDUnsupported, name
}

// fdInfo is what we take from /proc/PID/fdinfo/N.
type fdInfo struct {
	flags uint32 // open flags of the kernel, O_CLOEXEC included
	pid   int64  // what a pidfd refers to, else 0
}

// parseFDInfo reads /proc/PID/fdinfo/N: lines of a name, a colon and a value.
func parseFDInfo(b []byte) fdInfo {
	var f fdInfo
	for len(b) > 0 {
		var l []byte
		l, b = line(b)
		if v, ok := bytes.CutPrefix(l, []byte("flags:")); ok {
			w, _ := word(v)
			f.flags = uint32(octal(w))
		} else if v, ok := bytes.CutPrefix(l, []byte("Pid:")); ok {
			w, _ := word(v)
			f.pid, _ = signed(w)
		}
	}
	return f
}

// openFlags pairs the kernel's open flags, which differ between architectures,
// with those of the file_flags table.
var openFlags = [...]struct{ kernel, flag uint32 }{
	{unix.O_CREAT, 1 << 2}, {unix.O_APPEND, 1 << 3}, {unix.O_DSYNC, 1 << 4}, {unix.O_EXCL, 1 << 5},
	{unix.O_NONBLOCK, 1 << 6}, {unix.O_SYNC, 1 << 7}, {unix.O_TRUNC, 1 << 8}, {unix.O_DIRECT, 1 << 9},
	{unix.O_DIRECTORY, 1 << 10}, {unix.O_CLOEXEC, 1 << 12}, {unix.O_TMPFILE, 1 << 13},
}

// OpenFlags converts open flags of the kernel to those of the file_flags table.
func OpenFlags(kernel uint32) uint32 {
	flags := kernel&unix.O_ACCMODE + 1 // O_RDONLY 1, O_WRONLY 2, O_RDWR 3
	if flags > 3 {
		flags = 0
	}
	for _, f := range openFlags {
		if kernel&f.kernel == f.kernel {
			flags |= f.flag
		}
	}
	return flags
}
