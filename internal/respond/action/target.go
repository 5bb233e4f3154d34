package action

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/host"
	"rollcage/internal/respond/scene"
)

// ErrProtected is why an action is refused whose target must not be acted on.
var ErrProtected = errors.New("refused")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrProtected, fmt.Sprintf(format, args...))
}

// ErrGone says that the target is not there any more.
var ErrGone = errors.New("it is gone")

func newID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// own is what of the host is Rollcage itself.
type own struct {
	pids      map[int64]bool // this process and its ancestors
	container string         // short id, "" on the host
	netns     uint64         // inode of the network namespace
}

func findOwn() (own, error) {
	o := own{pids: map[int64]bool{}, container: containerOfProcess(int64(os.Getpid()))}
	for pid := int64(os.Getpid()); pid > 0 && !o.pids[pid]; {
		o.pids[pid] = true
		s, err := readStat(pid)
		if err != nil {
			break
		}
		pid = s.ppid
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &st); err != nil {
		return o, fmt.Errorf("own network namespace: %w", err)
	}
	o.netns = st.Ino
	return o, nil
}

// stat is what identifies a process in /proc/PID/stat.
type stat struct {
	comm   string
	state  byte
	ppid   int64
	start  int64 // ns since the machine started, cut to a tick
	kernel bool
}

// tick is the length of a clock tick in /proc, in ns.
const tick = 1e9 / 100

func readStat(pid int64) (s stat, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return s, ErrGone
	}
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return s, fmt.Errorf("/proc/%d/stat: %q", pid, b)
	}
	s.comm = string(b[open+1 : end])
	// Fields are numbered as in proc(5), from 3 on.
	fields := strings.Fields(string(b[end+1:]))
	if len(fields) < 20 {
		return s, fmt.Errorf("/proc/%d/stat: %q", pid, b)
	}
	const flagKernelThread = 0x00200000
	flags, _ := strconv.ParseUint(fields[9-3], 10, 64)
	start, err := strconv.ParseInt(fields[22-3], 10, 64)
	if err != nil {
		return s, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	s.state, s.start, s.kernel = fields[0][0], start*tick, flags&flagKernelThread != 0
	s.ppid, _ = strconv.ParseInt(fields[4-3], 10, 64)
	return s, nil
}

// containerOfProcess returns the short id of the container that a process is in, "" on the host.
func containerOfProcess(pid int64) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return ""
	}
	id, _, _, _ := host.ContainerFromCgroups(cgroupList(b))
	return id
}

// cgroupList turns /proc/PID/cgroup into the form of events: "subsystem=path", each with a zero byte behind.
func cgroupList(b []byte) string {
	var list strings.Builder
	for line := range strings.Lines(string(b)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) == 3 {
			list.WriteString(parts[1] + "=" + parts[2] + "\x00")
		}
	}
	return list.String()
}

// checkProcess refuses a process that must not be acted on, whatever its container is. It must be pinned
// by a pidfd, so that what is read is about it.
func (r *Runner) checkProcess(pid int64, s stat, container string) error {
	switch {
	case pid <= 1:
		return refuse("process %d is never acted on", pid)
	case s.kernel:
		return refuse("process %d is a thread of the kernel", pid)
	case r.own.pids[pid]:
		return refuse("process %d is Rollcage itself or started it", pid)
	case container != "" && container == r.own.container:
		return refuse("Rollcage itself runs in container %s", container)
	case container != "":
		return nil // whether that may be acted on the caller checks, who has its facts
	}
	if r.opts.Policies == nil {
		return nil
	}
	exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	exe = strings.TrimSuffix(exe, " (deleted)")
	if why := r.opts.Policies().ProcessProtected(exe); why != "" {
		return refuse("%s: %s", exe, why)
	}
	return nil
}

// checkContainer refuses a container that must not be acted on.
func (r *Runner) checkContainer(c *scene.Container, hostname string) error {
	if c.ID == "" {
		return errors.New("it is not in a container")
	}
	if r.own.container != "" && r.own.container == c.ID {
		return refuse("Rollcage itself runs in container %s", c.ID)
	}
	if r.opts.Policies == nil {
		return nil
	}
	if why := r.opts.Policies().ContainerProtected(c, hostname); why != "" {
		return refuse("container %s: %s", containerName(c), why)
	}
	return nil
}

// Protected returns why a container must not be acted on, nil if it may.
func (r *Runner) Protected(c *scene.Container, hostname string) error {
	return r.checkContainer(c, hostname)
}

// container returns the container that a request is about, if it may be acted on.
func (r *Runner) container(q *Request) (*scene.Container, error) {
	c := q.Scene.Container
	if c == nil {
		return nil, errors.New("it is not in a container")
	}
	return c, r.checkContainer(c, q.Scene.Host)
}

// pidsOf returns the processes in a container, by what their cgroups say now.
func pidsOf(c *scene.Container) ([]int64, error) {
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var pids []int64
	for _, e := range entries {
		pid, err := strconv.ParseInt(filepath.Base(e), 10, 64)
		if err == nil && containerOfProcess(pid) == c.ID {
			pids = append(pids, pid)
		}
	}
	if len(pids) == 0 {
		return nil, fmt.Errorf("container %s: %w", containerName(c), ErrGone)
	}
	return pids, nil
}
