package event

import (
	"strconv"
	"strings"
)

// Syscall is a system call by its platform independent code. It is shared and
// must not be changed.
type Syscall struct {
	Code   uint16
	Name   string
	Events []Type // event types that can carry it; GENERIC_E and GENERIC_X for those without own event
}

// Exit returns the exit event type of today that carries the call.
func (s *Syscall) Exit() Type {
	t := GENERIC_X
	for _, e := range s.Events {
		if !e.IsEnter() && e.Info().Current() {
			t = e
		}
	}
	return t
}

// Generic reports whether the call has no event type of its own.
func (s *Syscall) Generic() bool { return s.Exit() == GENERIC_X }

// Priority says what may be dropped first when events come too fast.
type Priority uint8

// The drop priorities.
const (
	PriorityNormal Priority = iota
	PriorityNever           // never dropped: the state depends on it
	PriorityFirst           // dropped first
)

type native struct {
	nr   int
	code uint16
	exit Type
	prio Priority
}

// NativeSyscall is the entry of a platform's system call table.
type NativeSyscall struct {
	Nr       int // the platform's number
	Syscall  *Syscall
	Exit     Type // exit event type that carries it on this platform
	Priority Priority
}

func (t *tableSet) syscallLine(w []string, _ bool) error {
	num := func(i int) int {
		n, err := strconv.Atoi(w[i])
		if err != nil {
			panic(err)
		}
		return n
	}
	switch w[0] {
	case "sc":
		s := &Syscall{Code: uint16(num(1)), Name: w[2]}
		if w[3] != "-" {
			for _, e := range strings.Split(w[3], ",") {
				n, err := strconv.Atoi(e)
				if err != nil {
					return err
				}
				s.Events = append(s.Events, Type(n))
			}
		}
		t.syscalls = append(t.syscalls, s)
		if !strings.HasPrefix(s.Name, "$") {
			t.sysName[s.Name] = s
		}
	case "x86_64", "aarch64":
		p := map[string]Priority{"N": PriorityNever, "A": PriorityFirst}[w[4]]
		t.native[w[0]] = append(t.native[w[0]], native{num(1), uint16(num(2)), Type(num(3)), p})
	case "ia32":
		t.ia32[num(1)] = num(2)
	case "set":
		t.sets[w[1]] = w[2:]
	}
	return nil
}

// SyscallByCode returns the call with that code, or nil.
func SyscallByCode(code uint16) *Syscall {
	if int(code) < len(tables.syscalls) {
		return tables.syscalls[code]
	}
	return nil
}

// SyscallByName returns the call with that name, or nil.
func SyscallByName(name string) *Syscall { return tables.sysName[name] }

// Syscalls returns all calls by code. The slice is shared.
func Syscalls() []*Syscall { return tables.syscalls }

// NativeSyscalls returns a platform's table ("x86_64" or "aarch64") in order of the number.
func NativeSyscalls(arch string) []NativeSyscall {
	var out []NativeSyscall
	for _, n := range tables.native[arch] {
		out = append(out, NativeSyscall{n.nr, SyscallByCode(n.code), n.exit, n.prio})
	}
	return out
}

// IA32ToX8664 translates a 32-bit x86 system call number into the 64-bit one.
// It reports false if there is none.
func IA32ToX8664(nr int) (int, bool) {
	n, ok := tables.ia32[nr]
	return n, ok && n >= 0
}

// SyscallSet returns the names in a named set of calls (modifies_state, io,
// net …), or nil. The slice is shared.
func SyscallSet(name string) []string { return tables.sets[name] }
