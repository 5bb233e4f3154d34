package falco

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"rollcage/internal/observe/event"
)

// ignoredSyscalls returns the calls that are traced only with
// base_syscalls.all: reads and writes that no state depends on.
func ignoredSyscalls() []string {
	state := event.SyscallSet("modifies_state")
	var out []string
	for _, name := range event.SyscallSet("io") {
		if !slices.Contains(state, name) {
			out = append(out, name)
		}
	}
	return out
}

func printIgnored(w io.Writer) {
	fmt.Fprintln(w, "Ignored syscall(s):")
	for _, name := range ignoredSyscalls() {
		fmt.Fprintf(w, "- %s\n", name)
	}
	fmt.Fprintln(w)
}

// names is a set of system calls.
type names map[string]bool

func nameSet(list ...[]string) names {
	s := names{}
	for _, l := range list {
		for _, n := range l {
			s[n] = true
		}
	}
	return s
}

func (s names) add(o names) {
	for n := range o {
		s[n] = true
	}
}

func (s names) any(list []string) bool {
	return slices.ContainsFunc(list, func(n string) bool { return s[n] })
}

func (s names) sorted() []string { return slices.Sorted(maps.Keys(s)) }

// selection is which system calls are traced, and what is to be said of it.
type syscallSelection struct {
	traced names
	// missing are those that rules want and do not get.
	missing  []string
	warnings []string
}

// selectSyscalls returns the calls to trace for rules that want the calls of wanted.
func selectSyscalls(c *syscallsConfig, wanted names) syscallSelection {
	var out syscallSelection
	positive, negative := names{}, names{}
	for _, entry := range c.custom {
		to, name := positive, entry
		if n, ok := strings.CutPrefix(entry, "!"); ok {
			to, name = negative, n
		}
		if event.SyscallByName(name) == nil && name != processExit {
			out.warnings = append(out.warnings, fmt.Sprintf("base_syscalls.custom_set: unknown system call '%s' is left out", name))
			continue
		}
		to[name] = true
	}
	traced := names{}
	traced.add(wanted)
	switch {
	case len(positive) > 0:
		traced.add(positive)
	case c.repair:
		traced = repairSet(wanted)
	default:
		traced.add(nameSet(event.SyscallSet("modifies_state")))
	}
	for n := range negative {
		delete(traced, n)
	}
	if !c.all {
		for _, n := range ignoredSyscalls() {
			delete(traced, n)
		}
	}
	if c.repair && len(c.custom) > 0 {
		traced.add(repairSet(traced))
	}
	traced[processExit] = true
	for _, n := range wanted.sorted() {
		if !traced[n] {
			out.missing = append(out.missing, n)
		}
	}
	out.traced = traced
	return out
}

// processExit ends a process; without it the state would only grow.
const processExit = "sched_process_exit"

// repairSet returns the least that the state needs for the calls of a set, and these.
func repairSet(s names) names {
	out := nameSet(event.SyscallSet("repair_base"), s.sorted())
	if s.any(event.SyscallSet("net")) {
		out.add(nameSet(event.SyscallSet("repair_if_net")))
	}
	if s["accept"] || s["accept4"] || s["listen"] {
		out.add(nameSet(event.SyscallSet("repair_if_accept_or_listen")))
	}
	if s.any(event.SyscallSet("file")) || s.any(event.SyscallSet("io")) || s.any(event.SyscallSet("io_other")) {
		out.add(nameSet(event.SyscallSet("repair_if_file_or_io")))
	}
	return out
}
