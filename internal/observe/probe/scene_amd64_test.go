package probe

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// archScenes are the calls that newer architectures do without.
var archScenes = []scene{
	{"open and creat tell device and inode", []string{"open", "creat"}, func() []string {
		inTemp()
		a, _, _ := unix.RawSyscall(unix.SYS_OPEN, cString("f"), unix.O_CREAT|unix.O_WRONLY|unix.O_TRUNC, 0o642)
		b, _, _ := unix.RawSyscall(unix.SYS_CREAT, cString("g"), 0o600, 0)
		return []string{
			fmt.Sprintf(`SYSCALL_OPEN_X fd=%d name="f" flags=O_TRUNC|O_CREAT|O_WRONLY|O_F_CREATED mode=418 %s`, a, fileID(int(a))),
			fmt.Sprintf(`SYSCALL_CREAT_X fd=%d name="g" mode=384 %s creat_flags=`, b, fileID(int(b))),
		}
	}},
	{"the calls on names without descriptors tell the names", []string{"mkdir", "rmdir", "rename", "link", "symlink", "unlink", "chmod",
		"chown", "lchown", "mknod", "stat", "lstat", "access"}, func() []string {
		inTemp()
		check(os.WriteFile("f", nil, 0o600))
		raw := func(trap, a, b, c uintptr) {
			if _, _, e := unix.RawSyscall(trap, a, b, c); e != 0 {
				panic(fmt.Sprint(trap, e))
			}
		}
		st := make([]byte, 256)
		buf := uintptrOf(&st[0])
		raw(unix.SYS_MKDIR, cString("d"), 0o700, 0)
		raw(unix.SYS_RMDIR, cString("d"), 0, 0)
		raw(unix.SYS_RENAME, cString("f"), cString("g"), 0)
		raw(unix.SYS_LINK, cString("g"), cString("h"), 0)
		raw(unix.SYS_SYMLINK, cString("to"), cString("s"), 0)
		raw(unix.SYS_CHMOD, cString("g"), 0o640, 0)
		raw(unix.SYS_CHOWN, cString("g"), 1, 2)
		raw(unix.SYS_LCHOWN, cString("s"), 3, 4)
		raw(unix.SYS_MKNOD, cString("n"), unix.S_IFIFO|0o400, 0)
		raw(unix.SYS_STAT, cString("g"), buf, 0)
		raw(unix.SYS_LSTAT, cString("s"), buf, 0)
		raw(unix.SYS_ACCESS, cString("g"), unix.R_OK|unix.W_OK, 0)
		raw(unix.SYS_UNLINK, cString("h"), 0, 0)
		return []string{
			`SYSCALL_MKDIR_2_X res=0 path="d" mode=448`,
			`SYSCALL_RMDIR_2_X res=0 path="d"`,
			`SYSCALL_RENAME_X res=0 oldpath="f" newpath="g"`,
			`SYSCALL_LINK_2_X res=0 oldpath="g" newpath="h"`,
			`SYSCALL_SYMLINK_X res=0 target="to" linkpath="s"`,
			`SYSCALL_CHMOD_X res=0 filename="g" mode=S_IRGRP|S_IWUSR|S_IRUSR`,
			`SYSCALL_CHOWN_X res=0 path="g" uid=1 gid=2`,
			`SYSCALL_LCHOWN_X res=0 path="s" uid=3 gid=4`,
			`SYSCALL_MKNOD_X res=0 path="n" mode=S_IRUSR|S_IFIFO dev=0`,
			`SYSCALL_STAT_X res=0 path="g"`,
			`SYSCALL_LSTAT_X res=0 path="s"`,
			`SYSCALL_ACCESS_X res=0 name="g" mode=R_OK|W_OK`,
			`SYSCALL_UNLINK_2_X res=0 path="h"`,
		}
	}},
	{"the first forms of pipe, dup2, eventfd and others tell their descriptors", []string{"pipe", "dup2", "eventfd", "signalfd",
		"inotify_init", "epoll_create", "poll", "select", "epoll_wait"}, func() []string {
		var p [2]int32
		one := func(trap, a, b, c uintptr) int {
			fd, _, e := unix.RawSyscall6(trap, a, b, c, 0, uintptrOf(new(unix.Timeval)), 0)
			if e != 0 {
				panic(fmt.Sprint(trap, e))
			}
			return int(fd)
		}
		one(unix.SYS_PIPE, uintptrOf(&p), 0, 0)
		var st unix.Stat_t
		check(unix.Fstat(int(p[0]), &st))
		one(unix.SYS_DUP2, 0, 88, 0)
		e := one(unix.SYS_EVENTFD, 5, 0, 0)
		mask := uint64(4)
		s := one(unix.SYS_SIGNALFD, ^uintptr(0), uintptrOf(&mask), 8)
		i := one(unix.SYS_INOTIFY_INIT, 0, 0, 0)
		ep := one(unix.SYS_EPOLL_CREATE, 3, 0, 0)
		fds := []unix.PollFd{{Fd: p[1], Events: unix.POLLOUT}}
		one(unix.SYS_POLL, uintptrOf(&fds[0]), 1, 100)
		one(unix.SYS_SELECT, 0, 0, 0)
		var events [2]unix.EpollEvent
		one(unix.SYS_EPOLL_WAIT, uintptr(ep), uintptrOf(&events), 2)
		return []string{
			fmt.Sprintf("SYSCALL_PIPE_X res=0 fd1=%d fd2=%d ino=%d", p[0], p[1], st.Ino),
			"SYSCALL_DUP2_X res=88 oldfd=0 newfd=88",
			fmt.Sprintf("SYSCALL_EVENTFD_X res=%d initval=5 flags=0", e),
			fmt.Sprintf("SYSCALL_SIGNALFD_X res=%d fd=-1 mask=4 flags=0", s),
			fmt.Sprintf("SYSCALL_INOTIFY_INIT_X res=%d flags=0", i),
			fmt.Sprintf("SYSCALL_EPOLL_CREATE_X res=%d size=3", ep),
			fmt.Sprintf("SYSCALL_POLL_X res=1 fds=1[%d:POLLOUT] timeout=100", p[1]),
			"SYSCALL_SELECT_X res=0",
			"SYSCALL_EPOLLWAIT_X res=0 maxevents=2",
		}
	}},
	{"getdents tells its descriptor", []string{"getdents"}, func() []string {
		fd := must(unix.Open("/etc", unix.O_RDONLY, 0))
		var b [1024]byte
		n, _, e := unix.RawSyscall(unix.SYS_GETDENTS, uintptr(fd), uintptrOf(&b), uintptr(len(b)))
		if e != 0 {
			panic(e)
		}
		return []string{fmt.Sprintf("SYSCALL_GETDENTS_X res=%d fd=%d", n, fd)}
	}},
	{"fork and vfork tell the parent their child", nil, func() []string {
		a := clonedChild(unix.SYS_FORK, 0, 0)
		return []string{parentSide("SYSCALL_FORK_20_X", a, "")}
	}},
}
