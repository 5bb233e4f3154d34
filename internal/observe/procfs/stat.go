package procfs

import (
	"bytes"
	"fmt"
)

// ticks is how many clock ticks a second has in /proc (USER_HZ), on every
// architecture that Go and BPF support.
const ticks = 100

// stat is what we take from /proc/PID/stat.
type stat struct {
	comm       []byte
	state      byte
	ppid       int64
	pgrp       int64
	session    int64
	tty        uint32
	flags      uint64 // PF_*
	minor      uint64
	major      uint64
	start      uint64 // clock ticks since boot
	kernelTask bool
}

// Flags of a task (PF_* of the kernel).
const (
	taskExiting = 0x00000004
	taskKernel  = 0x00200000
)

// parseStat reads /proc/PID/stat. comm points into b; it may hold any byte, so
// its end is the last parenthesis.
func parseStat(b []byte) (stat, error) {
	var s stat
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return s, fmt.Errorf("stat without (comm): %q", b[:min(len(b), 64)])
	}
	s.comm = b[open+1 : end]
	rest := b[end+1:]
	var w []byte
	// Fields are numbered as in proc(5).
	for field := 3; field <= 22; field++ {
		if w, rest = word(rest); len(w) == 0 {
			return s, fmt.Errorf("stat ends before field %d", field)
		}
		switch field {
		case 3:
			s.state = w[0]
		case 4:
			s.ppid, _ = signed(w)
		case 5:
			s.pgrp, _ = signed(w)
		case 6:
			s.session, _ = signed(w)
		case 7:
			tty, _ := signed(w)
			s.tty = uint32(tty)
		case 9:
			s.flags, _ = decimal(w)
		case 10:
			s.minor, _ = decimal(w)
		case 12:
			s.major, _ = decimal(w)
		case 22:
			s.start, _ = decimal(w)
		}
	}
	s.kernelTask = s.flags&taskKernel != 0
	return s, nil
}

// dead reports whether the thread has ended or is about to: it runs no more of
// its program, and an event that tells its end may have been made already.
func (s *stat) dead() bool {
	return s.flags&taskExiting != 0 || s.state == 'Z' || s.state == 'X' || s.state == 'x'
}

// startTime converts the start to ns since the epoch.
func (s *stat) startTime(boot uint64) uint64 { return boot + s.start*(1e9/ticks) }
