// Package procfs reads what /proc says about threads, descriptors, users,
// interfaces and the machine into the types of package event.
//
// A [Reader] is the slow, complete way to learn the state of a host: the
// fallback of the snapshot when BPF iterators are refused, what fills in the
// little that an iterator cannot give, and how a host heals a thread or
// descriptor that it missed. Everything in /proc may be gone the next moment,
// may be refused to us, and is in part written by the processes themselves:
// what has vanished is [ErrGone] or left out, what is refused or malformed
// stays unknown, and every read has a limit.
//
// The parsers (stat, status, cgroup, fdinfo, mountinfo, net/*) are pure
// functions over bytes; the formats are those of proc(5) and of the kernel's
// Documentation/filesystems/proc.rst.
package procfs

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ErrGone is wrapped by errors about a process, thread or descriptor that does not exist (any more).
var ErrGone = errors.New("it does not exist any more")

// MaxPath is the length in bytes that paths are cut to, and maxList that of
// arguments, environment and cgroups: the limits of capture files.
const (
	MaxPath = 1024
	maxList = 4096
)

// maxFile bounds the files that are read whole (status, mountinfo, net/*). A
// socket table with a million entries has 150 MB.
const maxFile = 256 << 20

// Reader reads one mount of /proc. It keeps buffers and remembers what is the
// same for many processes (socket tables, mounts, cgroups, pid namespaces)
// until Refresh. It is used by one goroutine.
type Reader struct {
	root string
	dir  int
	boot uint64

	path []byte // scratch for paths
	buf  []byte // scratch for contents
	ents []byte // scratch for directory entries

	nets    map[uint64]*socketTable // by network namespace
	mounts  map[uint64]mount        // by mount id
	cgroups map[string][]string     // by path in the v2 hierarchy
	pidns   map[uint64]uint64       // start of init, by pid namespace
	unified string                  // where cgroup v2 is mounted, "" if it is not

	closed bool
}

// Open returns a reader of the /proc that is mounted at root. Process ids are
// those of the pid namespace that this mount shows.
func Open(root string) (*Reader, error) {
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", root, err)
	}
	r := &Reader{root: root, dir: fd, boot: BootTime(), buf: make([]byte, 8192), ents: make([]byte, 32768)}
	r.Refresh()
	return r, nil
}

// Close frees what the reader holds.
func (r *Reader) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	return unix.Close(r.dir)
}

// Refresh forgets what was remembered, so that the next reads see sockets,
// mounts and namespaces as they are then. Call it before each scan.
func (r *Reader) Refresh() {
	r.nets = map[uint64]*socketTable{}
	r.mounts = map[uint64]mount{}
	r.cgroups = map[string][]string{}
	r.pidns = map[uint64]uint64{}
	r.unified = r.findUnified()
}

// SetBootTime sets the time (ns since the epoch) that start times of processes
// count from, so that they agree with those of events that assume the same.
// Without it the reader uses [BootTime] as of Open.
func (r *Reader) SetBootTime(ns uint64) { r.boot = ns }

// BootTime returns when the host booted, in ns since the epoch: the difference
// of the wall clock and the clock that runs from boot. Setting the wall clock
// changes it.
func BootTime() uint64 {
	var best, boot time.Duration
	for i := range 5 {
		var before, wall, after unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &before) // both clocks always exist
		_ = unix.ClockGettime(unix.CLOCK_REALTIME, &wall)
		_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &after)
		if took := time.Duration(after.Nano() - before.Nano()); i == 0 || took < best {
			best, boot = took, time.Duration(wall.Nano()-before.Nano())-took/2
		}
	}
	return uint64(boot)
}

// procPath makes the path of a file of a process: /proc-relative, NUL-free,
// valid until the next call. tid 0 means the process itself, num < 0 no number at the end.
func (r *Reader) procPath(pid, tid int64, name string, num int64) string {
	p := strconv.AppendInt(r.path[:0], pid, 10)
	if tid != 0 {
		p = append(p, "/task/"...)
		p = strconv.AppendInt(p, tid, 10)
	}
	if name != "" {
		p = append(append(p, '/'), name...)
	}
	if num >= 0 {
		p = strconv.AppendInt(append(p, '/'), num, 10)
	}
	r.path = p
	return string(p)
}

// read returns the contents of a file below the root, at most limit bytes of
// it. The bytes are valid until the next read.
func (r *Reader) read(path string, limit int) ([]byte, error) {
	fd, err := ignoreEINTR(func() (int, error) {
		return unix.Openat(r.dir, path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	})
	if err != nil {
		return nil, r.fail("open", path, err)
	}
	defer unix.Close(fd)
	n := 0
	for n < limit {
		if n == len(r.buf) {
			r.buf = append(r.buf, make([]byte, len(r.buf))...)
		}
		m, err := ignoreEINTR(func() (int, error) { return unix.Read(fd, r.buf[n:min(len(r.buf), limit)]) })
		if err != nil {
			return nil, r.fail("read", path, err)
		}
		if m == 0 {
			break
		}
		n += m
	}
	return r.buf[:n], nil
}

// readlink returns the target of a link below the root. The bytes are valid until the next read.
func (r *Reader) readlink(path string) ([]byte, error) {
	n, err := unix.Readlinkat(r.dir, path, r.buf[:4096])
	if err != nil {
		return nil, r.fail("read link", path, err)
	}
	return r.buf[:n], nil
}

func (r *Reader) fail(what, path string, err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("%s %s/%s: %w", what, r.root, path, ErrGone)
	}
	return fmt.Errorf("%s %s/%s: %w", what, r.root, path, err)
}

func ignoreEINTR(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if err != unix.EINTR {
			return n, err
		}
	}
}

// numbers appends the numeric names of a directory below the root to list.
func (r *Reader) numbers(list []int64, path string) ([]int64, error) {
	fd, err := unix.Openat(r.dir, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return list, r.fail("open", path, err)
	}
	defer unix.Close(fd)
	for {
		n, err := ignoreEINTR(func() (int, error) { return unix.Getdents(fd, r.ents) })
		if err != nil {
			return list, r.fail("list", path, err)
		}
		if n == 0 {
			return list, nil
		}
		list = parseDirents(list, r.ents[:n])
	}
}

// PIDs returns the ids of all processes.
func (r *Reader) PIDs() ([]int64, error) { return r.numbers(nil, ".") }

// TIDs returns the ids of the threads of a process.
func (r *Reader) TIDs(pid int64) ([]int64, error) {
	return r.numbers(nil, r.procPath(pid, 0, "task", -1))
}
