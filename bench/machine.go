package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// machine returns what numbers depend on, as lines of text.
func machine(rollcage string) []string {
	first := func(path, key string) string {
		data, err := os.ReadFile(path)
		if err != nil {
			return "unknown"
		}
		for line := range strings.Lines(string(data)) {
			name, value, _ := strings.Cut(line, ":")
			if key == "" {
				return strings.TrimSpace(line)
			}
			if strings.TrimSpace(name) == key {
				return strings.TrimSpace(value)
			}
		}
		return "unknown"
	}
	virtual := ""
	if strings.Contains(first("/proc/cpuinfo", "flags"), "hypervisor") {
		virtual = ", virtual"
	}
	lines := []string{
		fmt.Sprintf("machine   %d × %s%s, %s of memory", runtime.NumCPU(), first("/proc/cpuinfo", "model name"), virtual, first("/proc/meminfo", "MemTotal")),
		fmt.Sprintf("kernel    %s %s, kernel.bpf_stats_enabled=%s", first("/proc/sys/kernel/osrelease", ""), runtime.GOARCH, first("/proc/sys/kernel/bpf_stats_enabled", "")),
		fmt.Sprintf("rollcage  %s, built with %s", version(rollcage), runtime.Version()),
		"load      " + first("/proc/loadavg", "") + " before the start",
	}
	if nice, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err == nil && nice != 20 {
		lines = append(lines, fmt.Sprintf("priority  nice %d", 20-nice)) // the raw call counts from 40 down
	}
	return lines
}

// version returns what rollcage says of itself, and the commit if it does not.
func version(rollcage string) string {
	out, err := exec.Command(rollcage, "version").Output()
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && !strings.Contains(line, s.Value[:7]) {
				line += ", commit " + s.Value[:7]
			}
		}
	}
	return line
}
