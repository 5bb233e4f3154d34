// Package confine gives up what a daemon does not need once it runs:
// capabilities, and system calls.
//
// What is given up is gone for all threads of the process and for the programs
// that it starts. It protects the host from a mistake in the daemon less than
// one might hope: who may load kernel programs and act on every container is
// close to root. It does take away the short ways: no module, no mount, no
// other kernel, no reading and writing of other processes' memory, no clock.
package confine

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Capability is one that is kept, and what for.
type Capability struct {
	Name   string
	Number int
	For    string
	// Acting is whether only actions need it, which touch something.
	Acting bool
}

// Kept are the capabilities that stay. All others go, from the bounding set too.
var Kept = []Capability{
	{"CAP_BPF", unix.CAP_BPF, "kernel programs and their maps, also when rules change", false},
	{"CAP_PERFMON", unix.CAP_PERFMON, "tracing programs, also when rules change", false},
	{"CAP_SYS_PTRACE", unix.CAP_SYS_PTRACE, "links in /proc of other users' processes", false},
	{"CAP_DAC_READ_SEARCH", unix.CAP_DAC_READ_SEARCH, "open files and users of processes in containers", false},
	{"CAP_DAC_OVERRIDE", unix.CAP_DAC_OVERRIDE, "cgroups and sockets of users that run containers of their own", true},
	{"CAP_KILL", unix.CAP_KILL, "killing processes of other users", true},
	{"CAP_SYS_ADMIN", unix.CAP_SYS_ADMIN, "entering the network of a container that is cut off", true},
	{"CAP_NET_ADMIN", unix.CAP_NET_ADMIN, "packet filters there", true},
}

// Forbidden are the system calls that fail with EPERM from then on, where the architecture has them.
var Forbidden = forbidden

// ErrCgo is returned when the program is built with cgo, which keeps Go from changing all threads.
var ErrCgo = errors.New("capabilities cannot be dropped in a program that is built with cgo")

// DropCapabilities keeps those in Kept, without those for actions only if acting is
// false, and only as far as the process has them. Others cannot be had again,
// by programs that are started neither.
func DropCapabilities(acting bool) error {
	keep := uint64(0)
	for _, c := range Kept {
		if acting || !c.Acting {
			keep |= 1 << c.Number
		}
	}
	if err := dropBounding(keep); err != nil {
		return err
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(&hdr, &have[0]); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	for i := range have {
		mask := uint32(keep >> (32 * i))
		have[i].Permitted &= mask
		have[i].Effective &= mask
		have[i].Inheritable = 0
	}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&hdr)), uintptr(unsafe.Pointer(&have[0])), 0)
	runtime.KeepAlive(&hdr)
	runtime.KeepAlive(&have)
	return threads("drop capabilities", errno)
}

// dropBounding takes capabilities out of the bounding set, which limits what programs that are started can get.
func dropBounding(keep uint64) error {
	for c := 0; c <= unix.CAP_LAST_CAP; c++ {
		if keep&(1<<c) != 0 {
			continue
		}
		if has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(c), 0, 0, 0); err != nil || has == 0 {
			continue // the kernel has none such, or it is gone already
		}
		if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(c), 0); errno != 0 {
			return threads("take capabilities out of the bounding set", errno)
		}
	}
	return nil
}

func threads(what string, errno syscall.Errno) error {
	switch {
	case errno == 0:
		return nil
	case errno == syscall.ENOTSUP:
		return ErrCgo
	}
	return fmt.Errorf("%s: %w", what, errno)
}

// Missing returns the names of kept capabilities that the process lacks.
func Missing(acting bool) string {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if unix.Capget(&hdr, &have[0]) != nil {
		return ""
	}
	var names []string
	for _, c := range Kept {
		if (acting || !c.Acting) && have[c.Number/32].Effective&(1<<(c.Number%32)) == 0 {
			names = append(names, c.Name)
		}
	}
	return strings.Join(names, " ")
}
