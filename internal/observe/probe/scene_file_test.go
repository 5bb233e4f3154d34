package probe

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// inTemp makes a scene's own folder the working directory.
func inTemp() string {
	dir := must(os.MkdirTemp("", "scene"))
	check(unix.Chdir(dir))
	return dir
}

// fileID returns device and inode of a descriptor, as events have them.
func fileID(fd int) string {
	var st unix.Stat_t
	check(unix.Fstat(fd, &st))
	major, minor := unix.Major(st.Dev), unix.Minor(st.Dev)
	return fmt.Sprintf("dev=%d ino=%d", minor&0xff|major<<8|minor&^0xff<<12, st.Ino)
}

var fileScenes = []scene{
	{"openat that creates a file tells its device, inode, mode and that it is new", []string{"openat"}, func() []string {
		inTemp()
		fd := must(unix.Open("new", unix.O_CREAT|unix.O_RDWR|unix.O_EXCL|unix.O_CLOEXEC, 0o640))
		return []string{fmt.Sprintf(`SYSCALL_OPENAT_2_X fd=%d dirfd=-100 name="new" `+
			`flags=O_EXCL|O_CREAT|O_RDWR|O_CLOEXEC|O_F_CREATED mode=416 %s`, fd, fileID(fd))}
	}},
	{"openat of a file that exists does not say that it is new", []string{"openat"}, func() []string {
		inTemp()
		check(os.WriteFile("old", nil, 0o600))
		fd := must(unix.Open("old", unix.O_CREAT|unix.O_WRONLY|unix.O_APPEND|unix.O_NONBLOCK|unix.O_DSYNC, 0o600))
		return []string{fmt.Sprintf(`SYSCALL_OPENAT_2_X fd=%d dirfd=-100 name="old" `+
			`flags=O_NONBLOCK|O_DSYNC|O_APPEND|O_CREAT|O_WRONLY mode=384 %s`, fd, fileID(fd))}
	}},
	{"openat relative to a descriptor names the descriptor", []string{"openat"}, func() []string {
		inTemp()
		check(os.WriteFile("f", nil, 0o600))
		dir := must(unix.Open(".", unix.O_DIRECTORY|unix.O_RDONLY, 0))
		fd := must(unix.Openat(dir, "f", unix.O_RDONLY|unix.O_NOATIME, 0o777))
		return []string{
			fmt.Sprintf(`SYSCALL_OPENAT_2_X fd=%d dirfd=-100 name="." flags=O_DIRECTORY|O_RDONLY mode=0 %s`, dir, fileID(dir)),
			fmt.Sprintf(`SYSCALL_OPENAT_2_X fd=%d dirfd=%d name="f" flags=O_RDONLY mode=0 %s`, fd, dir, fileID(fd)),
		}
	}},
	{"openat that fails tells why", []string{"openat"}, func() []string {
		_, err := unix.Open("/no/such/file", unix.O_RDONLY, 0)
		return []string{fmt.Sprintf(`SYSCALL_OPENAT_2_X fd=%d dirfd=-100 name="/no/such/file" flags=O_RDONLY mode=0 dev=0 ino=0`,
			-int(err.(unix.Errno)))}
	}},
	{"openat with a bad address has no name", []string{"openat"}, func() []string {
		_, _, e := unix.RawSyscall6(unix.SYS_OPENAT, ^uintptr(99), 1, unix.O_RDONLY, 0, 0, 0)
		return []string{fmt.Sprintf(`SYSCALL_OPENAT_2_X fd=%d dirfd=-100 name=- flags=O_RDONLY mode=0 dev=0 ino=0`, -int(e))}
	}},
	{"O_TMPFILE makes a file with a mode", []string{"openat"}, func() []string {
		fd := must(unix.Open("/tmp", unix.O_TMPFILE|unix.O_RDWR, 0o604))
		return []string{fmt.Sprintf(`SYSCALL_OPENAT_2_X fd=%d dirfd=-100 name="/tmp" flags=O_DIRECTORY|O_RDWR|O_TMPFILE* mode=388 %s`,
			fd, fileID(fd))}
	}},
	{"openat2 tells how the name was resolved", []string{"openat2"}, func() []string {
		inTemp()
		check(os.WriteFile("f", nil, 0o600))
		dir := must(unix.Open(".", unix.O_PATH, 0))
		fd := must(unix.Openat2(dir, "f", &unix.OpenHow{
			Flags: unix.O_RDWR | unix.O_CREAT, Mode: 0o711, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}))
		return []string{fmt.Sprintf(`SYSCALL_OPENAT2_X fd=%d dirfd=%d name="f" flags=O_CREAT|O_RDWR mode=457 `+
			`resolve=RESOLVE_BENEATH|RESOLVE_NO_SYMLINKS %s`, fd, dir, fileID(fd))}
	}},
	{"open_by_handle_at tells the path of what it opened", []string{"open_by_handle_at"}, func() []string {
		dir := inTemp()
		check(os.WriteFile("f", nil, 0o600))
		handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "f", 0)
		if err != nil {
			return skipScene(err)
		}
		mount := must(unix.Open(".", unix.O_RDONLY, 0))
		fd, err := unix.OpenByHandleAt(mount, handle, unix.O_RDWR)
		if err != nil {
			return skipScene(err)
		}
		return []string{fmt.Sprintf(`SYSCALL_OPEN_BY_HANDLE_AT_X fd=%d mountfd=%d flags=O_RDWR path="%s/f" %s`, fd, mount, dir, fileID(fd))}
	}},
	{"close and close_range tell what is closed", []string{"close", "close_range"}, func() []string {
		a := must(unix.Open("/dev/null", unix.O_RDONLY, 0))
		check(unix.Close(a))
		_ = unix.Close(a)
		_ = unix.CloseRange(900, 901, unix.CLOSE_RANGE_CLOEXEC)
		want := []string{fmt.Sprintf("SYSCALL_CLOSE_X res=0 fd=%d", a), fmt.Sprintf("SYSCALL_CLOSE_X res=-9 fd=%d", a)}
		if err := unix.CloseRange(900, 901, unix.CLOSE_RANGE_CLOEXEC); err == nil {
			want = append(want, "SYSCALL_CLOSE_RANGE_X res=0 first=900 last=901 flags=CLOSE_RANGE_CLOEXEC")
		}
		return want
	}},
	{"chdir, fchdir and getcwd tell where to", []string{"getcwd"}, func() []string {
		dir := inTemp()
		fd := must(unix.Open("/", unix.O_RDONLY, 0))
		check(unix.Fchdir(fd))
		_ = unix.Chdir("/nowhere")
		var buf [200]byte
		n := must(unix.Getcwd(buf[:]))
		return []string{
			fmt.Sprintf("SYSCALL_CHDIR_X res=0 path=%q", dir),
			fmt.Sprintf("SYSCALL_FCHDIR_X res=0 fd=%d", fd),
			`SYSCALL_CHDIR_X res=-2 path="/nowhere"`,
			fmt.Sprintf(`SYSCALL_GETCWD_X res=%d path="/"`, n),
		}
	}},
	{"stat and its like tell the path", []string{"newfstatat", "fstat"}, func() []string {
		var st unix.Stat_t
		_ = unix.Fstatat(unix.AT_FDCWD, "/etc", &st, unix.AT_SYMLINK_NOFOLLOW)
		check(unix.Fstat(0, &st))
		return []string{`SYSCALL_NEWFSTATAT_X res=0 dirfd=-100 path="/etc" flags=AT_SYMLINK_NOFOLLOW`, "SYSCALL_FSTAT_X res=0 fd=0"}
	}},
	{"lseek, flock, fcntl, ioctl and getdents64 tell their arguments", []string{"lseek", "flock", "ioctl", "getdents64"}, func() []string {
		fd := must(unix.Open("/etc", unix.O_RDONLY, 0))
		must(unix.Seek(fd, 0, 1))
		check(unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB))
		must(unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC))
		dup := must(unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 50))
		_, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
		n := must(unix.Getdents(fd, make([]byte, 4096)))
		return []string{
			fmt.Sprintf("SYSCALL_LSEEK_X res=0 fd=%d offset=0 whence=SEEK_CUR", fd),
			fmt.Sprintf("SYSCALL_FLOCK_X res=0 fd=%d operation=LOCK_EX|LOCK_NB", fd),
			fmt.Sprintf("SYSCALL_FCNTL_X res=0 fd=%d cmd=F_SETFD arg=1", fd),
			fmt.Sprintf("SYSCALL_FCNTL_X res=%d fd=%d cmd=F_DUPFD_CLOEXEC arg=50", dup, fd),
			fmt.Sprintf("SYSCALL_IOCTL_3_X res=%d fd=%d request=%d argument=*", -int(err.(unix.Errno)), fd, unix.TIOCINQ),
			fmt.Sprintf("SYSCALL_GETDENTS64_X res=%d fd=%d", n, fd),
		}
	}},
	{"splice, sendfile and copy_file_range tell both descriptors", []string{"splice", "sendfile", "copy_file_range"}, func() []string {
		inTemp()
		check(os.WriteFile("in", []byte("hello"), 0o600))
		in := must(unix.Open("in", unix.O_RDONLY, 0))
		out := must(unix.Open("out", unix.O_CREAT|unix.O_RDWR, 0o600))
		var p [2]int
		check(unix.Pipe2(p[:], 0))
		must(unix.Write(p[1], []byte("xy")))
		must(unix.Splice(p[0], nil, out, nil, 2, unix.SPLICE_F_MOVE))
		off := int64(1)
		must(unix.Sendfile(p[1], in, &off, 3))
		from, to := int64(0), int64(2)
		n := must(unix.CopyFileRange(in, &from, out, &to, 4, 0))
		return []string{
			fmt.Sprintf("SYSCALL_SPLICE_X res=2 fd_in=%d fd_out=%d size=2 flags=SPLICE_F_MOVE", p[0], out),
			fmt.Sprintf("SYSCALL_SENDFILE_X res=3 offset=4 out_fd=%d in_fd=%d size=3", p[1], in),
			fmt.Sprintf("SYSCALL_COPY_FILE_RANGE_X res=%d fdout=%d offout=6 fdin=%d offin=4 len=4", n, out, in),
		}
	}},
}

var nameScenes = []scene{
	{"mkdirat, unlinkat and renameat2 tell both names", []string{"mkdirat", "unlinkat", "renameat", "renameat2"}, func() []string {
		inTemp()
		dir := must(unix.Open(".", unix.O_PATH, 0))
		check(unix.Mkdirat(dir, "a", 0o751))
		check(unix.Renameat(dir, "a", unix.AT_FDCWD, "b"))
		check(unix.Renameat2(dir, "b", dir, "c", unix.RENAME_NOREPLACE))
		check(unix.Unlinkat(dir, "c", unix.AT_REMOVEDIR))
		return []string{
			fmt.Sprintf(`SYSCALL_MKDIRAT_X res=0 dirfd=%d path="a" mode=489`, dir),
			fmt.Sprintf(`SYSCALL_RENAMEAT_X res=0 olddirfd=%d oldpath="a" newdirfd=-100 newpath="b"`, dir),
			fmt.Sprintf(`SYSCALL_RENAMEAT2_X res=0 olddirfd=%d oldpath="b" newdirfd=%d newpath="c" flags=RENAME_NOREPLACE`, dir, dir),
			fmt.Sprintf(`SYSCALL_UNLINKAT_2_X res=0 dirfd=%d name="c" flags=AT_REMOVEDIR`, dir),
		}
	}},
	{"linkat and symlinkat tell target and link", []string{"linkat", "symlinkat"}, func() []string {
		inTemp()
		check(os.WriteFile("f", nil, 0o600))
		check(unix.Linkat(unix.AT_FDCWD, "f", unix.AT_FDCWD, "g", unix.AT_SYMLINK_FOLLOW))
		check(unix.Symlinkat("../target", unix.AT_FDCWD, "s"))
		return []string{
			`SYSCALL_LINKAT_2_X res=0 olddir=-100 oldpath="f" newdir=-100 newpath="g" flags=AT_SYMLINK_FOLLOW`,
			`SYSCALL_SYMLINKAT_X res=0 target="../target" linkdirfd=-100 linkpath="s"`,
		}
	}},
	{"chmod, chown and mknod tell mode and owner", []string{"fchmod", "fchmodat", "fchown", "fchownat", "mknodat"}, func() []string {
		inTemp()
		fd := must(unix.Open("f", unix.O_CREAT|unix.O_RDWR, 0o600))
		check(unix.Fchmod(fd, 0o4750))
		check(unix.Fchmodat(unix.AT_FDCWD, "f", 0o666, 0))
		check(unix.Fchown(fd, 1000, -1))
		check(unix.Fchownat(unix.AT_FDCWD, "f", 0, 5, unix.AT_SYMLINK_NOFOLLOW))
		check(unix.Mknodat(unix.AT_FDCWD, "p", unix.S_IFIFO|0o600, 0))
		return []string{
			fmt.Sprintf("SYSCALL_FCHMOD_X res=0 fd=%d mode=S_IXGRP|S_IRGRP|S_IXUSR|S_IWUSR|S_IRUSR|S_ISUID", fd),
			`SYSCALL_FCHMODAT_X res=0 dirfd=-100 filename="f" mode=S_IWOTH|S_IROTH|S_IWGRP|S_IRGRP|S_IWUSR|S_IRUSR`,
			fmt.Sprintf("SYSCALL_FCHOWN_X res=0 fd=%d uid=1000 gid=4294967295", fd),
			`SYSCALL_FCHOWNAT_X res=0 dirfd=-100 pathname="f" uid=0 gid=5 flags=AT_SYMLINK_NOFOLLOW`,
			`SYSCALL_MKNODAT_X res=0 dirfd=-100 path="p" mode=S_IWUSR|S_IRUSR|S_IFIFO dev=0`,
		}
	}},
	{"mount and umount2 tell source, place, type and flags", []string{"mount", "umount2"}, func() []string {
		dir := inTemp()
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return skipScene(err)
		}
		check(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		check(unix.Mount("some", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC|unix.MS_RDONLY, ""))
		check(unix.Unmount(dir, unix.MNT_DETACH))
		return []string{
			`SYSCALL_MOUNT_X res=0 dev="" dir="/" type="" flags=REC|PRIVATE`,
			fmt.Sprintf(`SYSCALL_MOUNT_X res=0 dev="some" dir=%q type="tmpfs" flags=RDONLY|NOSUID|NOEXEC`, dir),
			fmt.Sprintf(`SYSCALL_UMOUNT2_X res=0 name=%q flags=DETACH`, dir),
		}
	}},
	{"fsconfig tells key and value", []string{"fsconfig"}, func() []string {
		fd, err := unix.Fsopen("tmpfs", 0)
		if err != nil {
			return skipScene(err)
		}
		check(unix.FsconfigSetString(fd, "size", "1M"))
		_ = unix.FsconfigSetFlag(fd, "ro")
		_ = unix.FsconfigSetBinary(fd, "bin", []byte("\x01\x02"))
		return []string{
			fmt.Sprintf(`SYSCALL_FSCONFIG_X res=0 fd=%d cmd=FSCONFIG_SET_STRING key="size" value_bytebuf=- value_charbuf="1M" aux=0`, fd),
			fmt.Sprintf(`SYSCALL_FSCONFIG_X res=0 fd=%d cmd=FSCONFIG_SET_FLAG key="ro" value_bytebuf=- value_charbuf=- aux=0`, fd),
			fmt.Sprintf(`SYSCALL_FSCONFIG_X res=-22 fd=%d cmd=FSCONFIG_SET_BINARY key="bin" value_bytebuf="\x01\x02" value_charbuf=- aux=2`, fd),
		}
	}},
}

// uintptrOf returns the address of what lives until the scene ends.
func uintptrOf[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }

// cString returns a pointer to a string ended by a NUL.
func cString(s string) uintptr {
	return uintptr(unsafe.Pointer(must(unix.BytePtrFromString(s))))
}
