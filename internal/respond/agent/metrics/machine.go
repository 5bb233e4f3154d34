package metrics

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// Process is what Rollcage itself costs. Memory is in bytes.
type Process struct {
	CPU              float64 // seconds of CPU time since the start
	RSS, Virtual     uint64
	PSS              uint64
	CgroupMemory     uint64 // of its cgroup, 0 if not known
	OpenFDs, Threads uint64
}

// Machine is how busy the host is.
type Machine struct {
	CPU, CPUIdle float64 // seconds since boot, of all CPUs together; CPU without idle
	MemoryUsed   uint64  // bytes
	ProcsRunning uint64
	OpenFDs      uint64
}

// tick is the unit of CPU times in /proc, 1/100 s on every platform that Go knows.
const ticksPerSecond = 100

func readProcess() Process {
	var p Process
	// The name in parentheses may hold anything.
	stat := readFile("/proc/self/stat")
	if f := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]); len(f) > 12 {
		p.CPU = float64(number(f[11])+number(f[12])) / ticksPerSecond
	}
	status := keyed(readFile("/proc/self/status"))
	p.RSS, p.Virtual, p.Threads = status["VmRSS"]<<10, status["VmSize"]<<10, status["Threads"]
	p.PSS = keyed(readFile("/proc/self/smaps_rollup"))["Pss"] << 10
	if entries, err := os.ReadDir("/proc/self/fd"); err == nil {
		p.OpenFDs = uint64(len(entries))
	}
	p.CgroupMemory = cgroupMemory()
	return p
}

// cgroupMemory reads the memory of our own cgroup, of either version.
func cgroupMemory() uint64 {
	for line := range strings.Lines(readFile("/proc/self/cgroup")) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) < 3 {
			continue
		}
		files := []string{"/sys/fs/cgroup" + f[2] + "/memory.current", "/sys/fs/cgroup/memory.current"}
		if f[1] == "memory" {
			files = []string{"/sys/fs/cgroup/memory" + f[2] + "/memory.usage_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"}
		} else if f[1] != "" {
			continue
		}
		for _, name := range files {
			if n := number(strings.TrimSpace(readFile(name))); n > 0 {
				return n
			}
		}
	}
	return 0
}

func readMachine() Machine {
	var m Machine
	for line := range strings.Lines(readFile("/proc/stat")) {
		switch f := strings.Fields(line); {
		case len(f) > 8 && f[0] == "cpu": // user nice system idle iowait irq softirq steal
			for i, v := range f[1:9] {
				if n := float64(number(v)) / ticksPerSecond; i == 3 || i == 4 {
					m.CPUIdle += n
				} else {
					m.CPU += n
				}
			}
		case len(f) > 1 && f[0] == "procs_running":
			m.ProcsRunning = number(f[1])
		}
	}
	mem := keyed(readFile("/proc/meminfo"))
	m.MemoryUsed = (mem["MemTotal"] - min(mem["MemTotal"], mem["MemFree"]+mem["Buffers"]+mem["Cached"]+mem["SReclaimable"]-min(mem["Cached"], mem["Shmem"]))) << 10
	if f := strings.Fields(readFile("/proc/sys/fs/file-nr")); len(f) > 0 {
		m.OpenFDs = number(f[0])
	}
	return m
}

// readFile returns a file's text, "" if it cannot be read: then the numbers in
// it are not known, which is no reason to withhold the others.
func readFile(path string) string {
	b, _ := os.ReadFile(path)
	return string(bytes.TrimSpace(b))
}

// keyed reads lines of "Key: number unit".
func keyed(text string) map[string]uint64 {
	out := map[string]uint64{}
	for line := range strings.Lines(text) {
		if key, rest, ok := strings.Cut(line, ":"); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				out[key] = number(f[0])
			}
		}
	}
	return out
}

func number(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}
