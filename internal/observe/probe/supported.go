package probe

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// ErrNotSupported is wrapped by the errors of Supported and Open when the
// kernel, or what this process may do, is not enough.
var ErrNotSupported = errors.New("this host cannot be watched")

const kernelBTF = "/sys/kernel/btf/vmlinux"

// The oldest kernel that the programs are tested on. Older ones lack ring
// buffers and the clock that events use (5.8).
const oldestMajor, oldestMinor = 5, 10

// Supported returns nil if this process can watch this host, otherwise an
// error that says what is missing.
func Supported() error {
	if err := kernelRecent(); err != nil {
		return err
	}
	if inOwnPidns() {
		return fmt.Errorf("%w: this process is in a pid namespace of its own, where processes have other numbers; "+
			"a container must share the host's (--pid=host)", ErrNotSupported)
	}
	if missing := missingCapabilities(); len(missing) > 0 {
		return fmt.Errorf("%w: %s missing; run as root or grant it", ErrNotSupported, strings.Join(missing, " and "))
	}
	f, err := os.Open(kernelBTF)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%w: the kernel does not describe its types in %s; it must be built with CONFIG_DEBUG_INFO_BTF",
			ErrNotSupported, kernelBTF)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrNotSupported, err)
	}
	return f.Close()
}

func kernelRecent() error {
	if release, major, minor, err := kernelVersion(); err != nil {
		return err
	} else if major < oldestMajor || major == oldestMajor && minor < oldestMinor {
		return fmt.Errorf("%w: kernel %s is older than %d.%d", ErrNotSupported, release, oldestMajor, oldestMinor)
	}
	return nil
}

func kernelVersion() (release string, major, minor int, err error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", 0, 0, fmt.Errorf("ask for the kernel's version: %w", err)
	}
	release = unix.ByteSliceToString(u.Release[:])
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return release, 0, 0, fmt.Errorf("read the kernel's version %q: %w", release, err)
	}
	return release, major, minor, nil
}

// kernelAtLeast is for what has no better sign than the version.
func kernelAtLeast(major, minor int) bool {
	_, gotMajor, gotMinor, err := kernelVersion()
	return err == nil && (gotMajor > major || gotMajor == major && gotMinor >= minor)
}

// hostPidns is the inode number of the host's pid namespace, a constant of the
// kernel (PROC_PID_INIT_INO).
const hostPidns = 0xEFFFFFFC

// inOwnPidns reports whether our pid, and those in /proc, are not the host's.
// The programs would watch us, and not who has our number on the host.
func inOwnPidns() bool {
	var st unix.Stat_t
	return unix.Stat("/proc/self/ns/pid", &st) == nil && st.Ino != hostPidns
}

// missingCapabilities names what this process lacks. CAP_SYS_ADMIN includes the two.
func missingCapabilities() []string {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return nil // then the kernel itself will say no
	}
	has := func(c int) bool { return data[c/32].Effective>>(c%32)&1 != 0 }
	if has(unix.CAP_SYS_ADMIN) {
		return nil
	}
	var missing []string
	for _, c := range []struct {
		bit  int
		name string
	}{{unix.CAP_BPF, "CAP_BPF"}, {unix.CAP_PERFMON, "CAP_PERFMON"}} {
		if !has(c.bit) {
			missing = append(missing, c.name)
		}
	}
	return missing
}

// explain adds to an error of loading or attaching what can be done about it.
func explain(err error) error {
	var v *ebpf.VerifierError
	switch {
	case errors.As(err, &v):
		return fmt.Errorf("the kernel's verifier refused a program; please report it with the kernel's version: %w", err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: BPF is refused to us though the capabilities are there: a seccomp profile, a security module "+
			"or the kernel's lockdown does that: %w", ErrNotSupported, err)
	case errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("not enough memory for the BPF maps; a smaller ring size needs less: %w", err)
	case errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("%w: %w", ErrNotSupported, err)
	}
	return err
}
