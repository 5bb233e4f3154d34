package probe

import (
	"fmt"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

var descriptorScenes = []scene{
	{"dup, dup2 and dup3 tell the old and the new descriptor", nil, func() []string {
		a := must(unix.Dup(0))
		check(unix.Dup3(0, 77, unix.O_CLOEXEC))
		err := unix.Dup3(99, 98, 0)
		return []string{
			fmt.Sprintf("SYSCALL_DUP_1_X res=%d oldfd=0", a),
			"SYSCALL_DUP3_X res=77 oldfd=0 newfd=77 flags=O_CLOEXEC",
			fmt.Sprintf("SYSCALL_DUP3_X res=%d oldfd=99 newfd=98 flags=*", -int(err.(unix.Errno))),
		}
	}},
	{"pipe2 tells both ends and their inode", nil, func() []string {
		var p [2]int
		check(unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK))
		var st unix.Stat_t
		check(unix.Fstat(p[0], &st))
		err := unix.Pipe2(p[:], 1<<30)
		return []string{
			fmt.Sprintf("SYSCALL_PIPE2_X res=0 fd1=%d fd2=%d ino=%d flags=O_NONBLOCK|O_CLOEXEC", p[0], p[1], st.Ino),
			fmt.Sprintf("SYSCALL_PIPE2_X res=%d fd1=-1 fd2=-1 ino=0 flags=*", -int(err.(unix.Errno))),
		}
	}},
	{"eventfd2, timerfd_create, inotify_init1, epoll_create1 and signalfd4 tell their flags", nil, func() []string {
		e := must(unix.Eventfd(7, unix.EFD_CLOEXEC))
		t := must(unix.TimerfdCreate(unix.CLOCK_BOOTTIME, 0))
		i := must(unix.InotifyInit1(unix.IN_NONBLOCK))
		p := must(unix.EpollCreate1(unix.EPOLL_CLOEXEC))
		s := must(unix.Signalfd(-1, &unix.Sigset_t{Val: [16]uint64{1 << 11}}, unix.SFD_NONBLOCK))
		return []string{
			fmt.Sprintf("SYSCALL_EVENTFD2_X res=%d flags=O_CLOEXEC initval=7", e),
			fmt.Sprintf("SYSCALL_TIMERFD_CREATE_X res=%d clockid=7 flags=0", t),
			fmt.Sprintf("SYSCALL_INOTIFY_INIT1_X res=%d flags=O_NONBLOCK", i),
			fmt.Sprintf("SYSCALL_EPOLL_CREATE1_X res=%d flags=EPOLL_CLOEXEC", p),
			fmt.Sprintf("SYSCALL_SIGNALFD4_X res=%d flags=O_NONBLOCK fd=-1 mask=2048", s),
		}
	}},
	{"memfd_create, pidfd_open and pidfd_getfd tell what they give", nil, func() []string {
		m := must(unix.MemfdCreate("secret", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING))
		want := []string{fmt.Sprintf(`SYSCALL_MEMFD_CREATE_X fd=%d name="secret" flags=MFD_CLOEXEC|MFD_ALLOW_SEALING`, m)}
		p, err := unix.PidfdOpen(unix.Getpid(), unix.PIDFD_NONBLOCK)
		if err != nil {
			return want
		}
		g := must(unix.PidfdGetfd(p, 0, 0))
		return append(want,
			fmt.Sprintf("SYSCALL_PIDFD_OPEN_X fd=%d pid=%d flags=PIDFD_NONBLOCK", p, unix.Getpid()),
			fmt.Sprintf("SYSCALL_PIDFD_GETFD_X fd=%d pid_fd=%d target_fd=0 flags=0", g, p))
	}},
	{"userfaultfd tells its flags", nil, func() []string {
		fd, _, e := unix.RawSyscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0)
		res := int(fd)
		if e != 0 {
			res = -int(e)
		}
		return []string{fmt.Sprintf("SYSCALL_USERFAULTFD_X res=%d flags=O_CLOEXEC", res)}
	}},
	{"io_uring_setup tells what was asked and what was given", nil, func() []string {
		var params [30]uint32 // struct io_uring_params
		params[2] = 1 << 4    // IORING_SETUP_CLAMP
		fd, _, e := unix.RawSyscall(unix.SYS_IO_URING_SETUP, 3, uintptr(unsafe.Pointer(&params)), 0)
		if e != 0 {
			return skipScene(e)
		}
		return []string{fmt.Sprintf("SYSCALL_IO_URING_SETUP_X res=%d entries=3 sq_entries=4 cq_entries=8 flags=IORING_SETUP_CLAMP "+
			"sq_thread_cpu=0 sq_thread_idle=0 features=IORING_FEAT_SINGLE_MMAP|*", fd)}
	}},
	{"io_uring_enter and io_uring_register tell their arguments", []string{"io_uring_enter", "io_uring_register"}, func() []string {
		_, _, e := unix.RawSyscall6(unix.SYS_IO_URING_ENTER, 99, 1, 2, 1, 0, 0)
		_, _, r := unix.RawSyscall6(unix.SYS_IO_URING_REGISTER, 99, 2, 5, 6, 0, 0)
		return []string{
			fmt.Sprintf("SYSCALL_IO_URING_ENTER_X res=%d fd=99 to_submit=1 min_complete=2 flags=IORING_ENTER_GETEVENTS sig=-", -int(e)),
			fmt.Sprintf("SYSCALL_IO_URING_REGISTER_X res=%d fd=99 opcode=IORING_REGISTER_FILES arg=5 nr_args=6", -int(r)),
		}
	}},
	{"bpf tells its command and descriptor", []string{"bpf"}, func() []string {
		var attr [16]uint64
		attr[0] = 2 | 4<<32 // array with keys of 4 bytes
		attr[1] = 8 | 1<<32 // and one value of 8
		fd, _, e := unix.RawSyscall(unix.SYS_BPF, 0, uintptr(unsafe.Pointer(&attr)), 48)
		if e != 0 {
			return skipScene(e)
		}
		return []string{fmt.Sprintf("SYSCALL_BPF_2_X fd=%d cmd=BPF_MAP_CREATE", fd)}
	}},
}

var dataScenes = []scene{
	{"read and write carry the data", []string{"read", "write", "pread64", "pwrite64"}, func() []string {
		fd := must(unix.MemfdCreate("m", 0))
		must(unix.Write(fd, []byte("hello\x00world")))
		must(unix.Pwrite(fd, []byte("J"), 0))
		buf := make([]byte, 100)
		must(unix.Pread(fd, buf, 1))
		must(unix.Seek(fd, 0, 0))
		must(unix.Read(fd, buf))
		_, err := unix.Read(999, buf)
		return []string{
			fmt.Sprintf(`SYSCALL_WRITE_X res=11 data="hello\x00world" fd=%d size=11`, fd),
			fmt.Sprintf(`SYSCALL_PWRITE_X res=1 data="J" fd=%d size=1 pos=0`, fd),
			fmt.Sprintf(`SYSCALL_PREAD_X res=10 data="ello\x00world" fd=%d size=100 pos=1`, fd),
			fmt.Sprintf(`SYSCALL_READ_X res=11 data="Jello\x00world" fd=%d size=100`, fd),
			fmt.Sprintf(`SYSCALL_READ_X res=%d data=- fd=999 size=100`, -int(err.(unix.Errno))),
		}
	}},
	{"data beyond the snaplen is cut", []string{"write"}, func() []string {
		fd := must(unix.MemfdCreate("m", 0))
		must(unix.Write(fd, []byte(strings.Repeat("0123456789", 20))))
		return []string{fmt.Sprintf("SYSCALL_WRITE_X res=200 data=%q fd=%d size=200", strings.Repeat("0123456789", 8), fd)}
	}},
	{"readv and writev gather the data", []string{"readv", "writev", "preadv", "pwritev"}, func() []string {
		fd := must(unix.MemfdCreate("m", 0))
		must(unix.Writev(fd, [][]byte{[]byte("one"), []byte(" "), []byte("two")}))
		must(unix.Pwritev(fd, [][]byte{[]byte("O")}, 0))
		a, b := make([]byte, 2), make([]byte, 9)
		must(unix.Preadv(fd, [][]byte{a, b}, 0))
		must(unix.Seek(fd, 0, 0))
		must(unix.Readv(fd, [][]byte{a, b}))
		return []string{
			fmt.Sprintf(`SYSCALL_WRITEV_X res=7 data="one two" fd=%d size=7`, fd),
			fmt.Sprintf(`SYSCALL_PWRITEV_X res=1 data="O" fd=%d size=1 pos=0`, fd),
			fmt.Sprintf(`SYSCALL_PREADV_X res=7 size=11 data="One two" fd=%d pos=0`, fd),
			fmt.Sprintf(`SYSCALL_READV_X res=7 size=11 data="One two" fd=%d`, fd),
		}
	}},
	{"poll and ppoll list the descriptors that are ready", []string{"poll", "ppoll"}, func() []string {
		var p [2]int
		check(unix.Pipe2(p[:], 0))
		fds := []unix.PollFd{{Fd: int32(p[0]), Events: unix.POLLIN}, {Fd: int32(p[1]), Events: unix.POLLOUT}}
		timeout, mask := unix.Timespec{Sec: 1, Nsec: 5}, uint64(3)
		if _, _, e := unix.RawSyscall6(unix.SYS_PPOLL, uintptrOf(&fds[0]), 2, uintptrOf(&timeout), uintptrOf(&mask), 8, 0); e != 0 {
			panic(e)
		}
		return []string{fmt.Sprintf("SYSCALL_PPOLL_X res=1 fds=1[%d:POLLOUT] timeout=* sigmask=3", p[1])}
	}},
	{"futex and nanosleep tell their arguments", []string{"futex", "nanosleep"}, func() []string {
		word := new(uint32)
		_, _, e := unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), 128, 5, 0, 0, 0)
		ts := unix.Timespec{Nsec: 1000}
		_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
		return []string{
			fmt.Sprintf("SYSCALL_FUTEX_X res=%d addr=%d op=FUTEX_PRIVATE_FLAG val=5", -int(e), uintptr(unsafe.Pointer(word))),
			"SYSCALL_NANOSLEEP_X res=0 interval=1000",
		}
	}},
}

var foreignMemory = [6]byte([]byte("memory")) // where it stays

var memoryScenes = []scene{
	{"mmap, mprotect and munmap tell address, size and protection", []string{"mmap", "mprotect", "munmap"}, func() []string {
		at, _, e := unix.RawSyscall6(unix.SYS_MMAP, 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS, ^uintptr(0), 0)
		if e != 0 {
			panic(e)
		}
		_, _, _ = unix.RawSyscall(unix.SYS_MPROTECT, at, 4096, unix.PROT_READ|unix.PROT_EXEC)
		_, _, _ = unix.RawSyscall(unix.SYS_MUNMAP, at, 8192, 0)
		return []string{
			fmt.Sprintf("SYSCALL_MMAP_X res=%d vm_size=* vm_rss=* vm_swap=0 addr=0 length=8192 prot=PROT_READ|PROT_WRITE "+
				"flags=MAP_PRIVATE|MAP_ANONYMOUS fd=-1 offset=0", at),
			fmt.Sprintf("SYSCALL_MPROTECT_X res=0 addr=%d length=4096 prot=PROT_READ|PROT_EXEC", at),
			fmt.Sprintf("SYSCALL_MUNMAP_X res=0 vm_size=* vm_rss=* vm_swap=0 addr=%d length=8192", at),
		}
	}},
	{"mmap of a file tells the descriptor and the offset", []string{"mmap"}, func() []string {
		fd := must(unix.Open("/proc/self/exe", unix.O_RDONLY, 0))
		at, _, e := unix.RawSyscall6(unix.SYS_MMAP, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_SHARED, uintptr(fd), 4096)
		if e != 0 {
			panic(e)
		}
		return []string{fmt.Sprintf("SYSCALL_MMAP_X res=%d vm_size=* vm_rss=* vm_swap=0 addr=0 length=4096 prot=PROT_READ|PROT_EXEC "+
			"flags=MAP_SHARED fd=%d offset=4096", at, fd)}
	}},
	{"brk and the locking of memory tell their arguments", []string{"brk", "mlock", "mlock2", "munlock", "munlockall", "mlockall"}, func() []string {
		at, _, _ := unix.RawSyscall(unix.SYS_BRK, 0, 0, 0)
		_, _, l := unix.RawSyscall(unix.SYS_MLOCK, 4096, 1, 0)
		_, _, l2 := unix.RawSyscall(unix.SYS_MLOCK2, 4096, 1, 1)
		_, _, u := unix.RawSyscall(unix.SYS_MUNLOCK, 4096, 1, 0)
		_, _, a := unix.RawSyscall(unix.SYS_MLOCKALL, 16, 0, 0)
		check(unix.Munlockall())
		return []string{
			fmt.Sprintf("SYSCALL_BRK_4_X res=%d vm_size=* vm_rss=* vm_swap=0 addr=0", at),
			fmt.Sprintf("SYSCALL_MLOCK_X res=%d addr=4096 len=1", -int(l)),
			fmt.Sprintf("SYSCALL_MLOCK2_X res=%d addr=4096 len=1 flags=MLOCK_ONFAULT", -int(l2)),
			fmt.Sprintf("SYSCALL_MUNLOCK_X res=%d addr=4096 len=1", -int(u)),
			fmt.Sprintf("SYSCALL_MLOCKALL_X res=%d flags=*", -int(a)),
			"SYSCALL_MUNLOCKALL_X res=0",
		}
	}},
	{"process_vm_readv carries what was read", []string{"process_vm_readv", "process_vm_writev"}, func() []string {
		from, to := foreignMemory[:], make([]byte, 6)
		local, remote := []unix.Iovec{{Base: &to[0], Len: 6}}, []unix.RemoteIovec{{Base: uintptr(unsafe.Pointer(&from[0])), Len: 6}}
		must(unix.ProcessVMReadv(unix.Getpid(), local, remote, 0))
		must(unix.ProcessVMWritev(unix.Getpid(), local, remote, 0))
		return []string{
			fmt.Sprintf(`SYSCALL_PROCESS_VM_READV_X res=6 pid=%d data="memory"`, unix.Getpid()),
			fmt.Sprintf(`SYSCALL_PROCESS_VM_WRITEV_X res=6 pid=%d data="memory"`, unix.Getpid()),
		}
	}},
}
