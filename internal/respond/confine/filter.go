package confine

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data (linux/seccomp.h).
const (
	dataNumber = 0
	dataArch   = 4
)

// FilterCalls makes the system calls in Forbidden fail with EPERM, in all
// threads and in programs that are started, and keeps these from getting
// privileges by the files that they are (no_new_privs). Calls of another
// architecture, as of 32-bit programs, fail all, as they would be a way around it.
func FilterCalls() error {
	// The bit and the filter must be set by the same thread; the kernel then brings both to the others.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("filter system calls: %w", err)
	}
	program := assemble(auditArch, forbidden)
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(program)
	if errno != 0 {
		return fmt.Errorf("filter system calls: %w", errno)
	}
	if thread != 0 {
		return fmt.Errorf("filter system calls: thread %d has a filter of its own", thread)
	}
	return nil
}

// assemble makes the filter: one comparison for each call, as it is short and
// the kernel remembers what is always allowed.
func assemble(arch uint32, calls []uint32) []unix.SockFilter {
	const deny = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	ret := func(v uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: v} }
	jump := func(how uint16, v uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | how | unix.BPF_K, K: v, Jt: yes, Jf: no}
	}
	program := []unix.SockFilter{load(dataArch), jump(unix.BPF_JEQ, arch, 1, 0), ret(deny), load(dataNumber)}
	if x32Bit != 0 {
		program = append(program, jump(unix.BPF_JGE, x32Bit, 0, 1), ret(deny))
	}
	for _, nr := range calls {
		program = append(program, jump(unix.BPF_JEQ, nr, 0, 1), ret(deny))
	}
	return append(program, ret(unix.SECCOMP_RET_ALLOW))
}
