package probe

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// CgroupFinder finds the ids of Kill.Cgroups and BoxScope. The kernel looks at one hierarchy: that of the memory controller where that is one of version 1,
// else the one of version 2.
type CgroupFinder struct {
	controller string // as the cgroups of events name it
	mount      string // where the hierarchy is
	root       string // the cgroup that is mounted there
}

// NewCgroupFinder looks where the hierarchy is mounted.
func NewCgroupFinder() (*CgroupFinder, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("find the cgroups: %w", err)
	}
	f := findCgroups(mounts)
	if f == nil {
		return nil, fmt.Errorf("find the cgroups: neither version 2 nor the memory controller of version 1 is mounted here")
	}
	return f, nil
}

// findCgroups reads the form of /proc/PID/mountinfo (proc_pid_mountinfo(5)).
func findCgroups(mounts []byte) *CgroupFinder {
	var found *CgroupFinder
	for sc := bufio.NewScanner(bytes.NewReader(mounts)); sc.Scan(); {
		mount, fs, ok := strings.Cut(sc.Text(), " - ")
		at, kind := strings.Fields(mount), strings.Fields(fs)
		if !ok || len(at) < 5 || len(kind) < 3 {
			continue
		}
		switch {
		case kind[0] == "cgroup" && slices.Contains(strings.Split(kind[2], ","), "memory"):
			return &CgroupFinder{"memory", at[4], at[3]}
		case kind[0] == "cgroup2" && found == nil:
			found = &CgroupFinder{"unified", at[4], at[3]}
		}
	}
	return found
}

// Path returns the path in the hierarchy of a process with these cgroups, in the form "CONTROLLER=PATH" of events, "" if there is none.
func (f *CgroupFinder) Path(cgroups []string) string {
	for _, c := range cgroups {
		if name, path, ok := strings.Cut(c, "="); ok && name == f.controller {
			return path
		}
	}
	return ""
}

// ID returns the id of the cgroup with that path.
func (f *CgroupFinder) ID(path string) (uint64, error) {
	below, ok := strings.CutPrefix(path, strings.TrimSuffix(f.root, "/"))
	if !ok || below != "" && below[0] != '/' {
		return 0, fmt.Errorf("cgroup %q is not below %s, which is what is mounted at %s", path, f.root, f.mount)
	}
	var st unix.Stat_t
	if err := unix.Stat(f.mount+below, &st); err != nil {
		return 0, fmt.Errorf("cgroup %s%s: %w", f.mount, below, err)
	}
	return st.Ino, nil
}
