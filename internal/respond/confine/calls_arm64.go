package confine

import "golang.org/x/sys/unix"

// auditArch names the architecture to the filter; x32Bit is in the numbers of a second set of calls, 0 if there is none.
const (
	auditArch = unix.AUDIT_ARCH_AARCH64
	x32Bit    = 0
)

var forbidden = []uint32{
	unix.SYS_MOUNT,
	unix.SYS_UMOUNT2,
	unix.SYS_PIVOT_ROOT,
	unix.SYS_CHROOT,
	unix.SYS_MOVE_MOUNT,
	unix.SYS_FSOPEN,
	unix.SYS_FSCONFIG,
	unix.SYS_FSMOUNT,
	unix.SYS_FSPICK,
	unix.SYS_OPEN_TREE,
	unix.SYS_MOUNT_SETATTR,
	unix.SYS_SWAPON,
	unix.SYS_SWAPOFF,
	unix.SYS_INIT_MODULE,
	unix.SYS_FINIT_MODULE,
	unix.SYS_DELETE_MODULE,
	unix.SYS_KEXEC_LOAD,
	unix.SYS_KEXEC_FILE_LOAD,
	unix.SYS_REBOOT,
	unix.SYS_SETTIMEOFDAY,
	unix.SYS_CLOCK_SETTIME,
	unix.SYS_CLOCK_ADJTIME,
	unix.SYS_ADJTIMEX,
	unix.SYS_SETHOSTNAME,
	unix.SYS_SETDOMAINNAME,
	unix.SYS_ACCT,
	unix.SYS_QUOTACTL,
	unix.SYS_QUOTACTL_FD,
	unix.SYS_PTRACE,
	unix.SYS_PROCESS_VM_READV,
	unix.SYS_PROCESS_VM_WRITEV,
	unix.SYS_PROCESS_MADVISE,
	unix.SYS_KCMP,
	unix.SYS_USERFAULTFD,
	unix.SYS_ADD_KEY,
	unix.SYS_REQUEST_KEY,
	unix.SYS_KEYCTL,
	unix.SYS_OPEN_BY_HANDLE_AT,
	unix.SYS_LOOKUP_DCOOKIE,
	unix.SYS_NFSSERVCTL,
	unix.SYS_VHANGUP,
	unix.SYS_SYSLOG,
	unix.SYS_PERF_EVENT_OPEN,
	unix.SYS_IO_URING_SETUP,
	unix.SYS_IO_URING_ENTER,
	unix.SYS_IO_URING_REGISTER,
	unix.SYS_MKNODAT,
	unix.SYS_UNSHARE,
	unix.SYS_MIGRATE_PAGES,
	unix.SYS_MOVE_PAGES,
	unix.SYS_PIDFD_GETFD,
	unix.SYS_FANOTIFY_INIT,
}
