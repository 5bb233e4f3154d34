package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of the CPU times in /proc: USER_HZ, 100 on every
// platform that Rollcage runs on.
const clockTick = 10 * time.Millisecond

// usage is what a process takes of the machine.
type usage struct {
	cpu time.Duration // of all its threads, so far
	// Memory in bytes: what is resident, the most that ever was, and the part
	// that is no mapping of a file or of the kernel's rings.
	rss, peak, own int64
}

// usageOf reads the usage of a process; memory is missing for one that ended.
func usageOf(pid int) (u usage, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	// The name in parentheses may hold anything; after it comes field 3.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const utime, stime = 14 - 3, 15 - 3
	if len(fields) <= stime {
		return u, fmt.Errorf("/proc/%d/stat has only %d fields", pid, len(fields)+2)
	}
	for _, f := range []string{fields[utime], fields[stime]} {
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return u, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		u.cpu += time.Duration(ticks) * clockTick
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	sizes := map[string]*int64{"VmRSS": &u.rss, "VmHWM": &u.peak, "RssAnon": &u.own}
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		var kB int64
		if size := sizes[key]; size != nil {
			if _, err := fmt.Sscan(value, &kB); err != nil {
				return u, fmt.Errorf("/proc/%d/status: %q: %w", pid, line, err)
			}
			*size = kB << 10
		}
	}
	return u, nil
}

// settle waits until a process has done what is waiting for it: until it takes
// less than a tenth of a CPU, at most for patience.
func settle(pid int, patience time.Duration) (usage, error) {
	const pause = 200 * time.Millisecond
	before, err := usageOf(pid)
	for deadline := time.Now().Add(patience); err == nil && time.Now().Before(deadline); {
		time.Sleep(pause)
		var now usage
		if now, err = usageOf(pid); err == nil && now.cpu-before.cpu <= pause/10 {
			return now, nil
		}
		before = now
	}
	return before, err
}
