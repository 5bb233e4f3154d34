package probe

import (
	"fmt"
	"os"
	"os/exec"
	"unsafe"

	"golang.org/x/sys/unix"
)

// clonedChild makes a child that ends at once, by a raw call, and returns its pid.
func clonedChild(trap, a, b uintptr) int {
	pid, _, e := unix.RawSyscall6(trap, a, b, 0, 0, 0, 0)
	if e != 0 {
		panic(e)
	}
	if pid == 0 {
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 3, 0, 0)
	}
	var status unix.WaitStatus
	must(unix.Wait4(int(pid), &status, 0, nil))
	return int(pid)
}

// parentSide is what the parent's event of a clone says.
func parentSide(typ string, res int, flags string) string {
	pid := unix.Getpid()
	return fmt.Sprintf(`%s res=%d exe="scene" args="one two\x00\x00" tid=%d pid=%d ptid=%d cwd=%q fdlimit=%d `+
		`pgft_maj=* pgft_min=* vm_size=* vm_rss=* vm_swap=0 comm=%q cgroups=%s flags=%s uid=0 gid=0 vtid=%d vpid=%d pidns_init_start_ts=*`,
		typ, res, pid, pid, unix.Getppid(), must(os.Getwd()), fileLimit(), comm(), `*`, flags, pid, pid)
}

func fileLimit() uint64 {
	var l unix.Rlimit
	check(unix.Getrlimit(unix.RLIMIT_NOFILE, &l))
	return l.Cur
}

func comm() string {
	b := must(os.ReadFile("/proc/self/comm"))
	return string(b[:len(b)-1])
}

// keep keeps what the kernel is given by address where it is.
var keep any

var processScenes = []scene{
	{"clone tells the parent who it is and what was asked for", nil, func() []string {
		child := clonedChild(unix.SYS_CLONE, unix.CLONE_FILES|uintptr(unix.SIGCHLD), 0)
		return []string{parentSide("SYSCALL_CLONE_20_X", child, "CLONE_FILES")}
	}},
	{"clone3 takes the flags from its struct", nil, func() []string {
		args := new([11]uint64) // not on the stack, which moves
		keep = args
		args[0], args[4] = unix.CLONE_FS, uint64(unix.SIGCHLD)
		_, _, e := unix.RawSyscall(unix.SYS_CLONE3, uintptrOf(args), 0, 0)
		child := clonedChild(unix.SYS_CLONE3, uintptrOf(args), 64)
		return []string{
			parentSide("SYSCALL_CLONE3_X", -int(e), "CLONE_FS"),
			parentSide("SYSCALL_CLONE3_X", child, "CLONE_FS"),
		}
	}},
	{"execve that fails tells what was asked for", nil, func() []string {
		err := unix.Exec("/no/such/program", []string{"zero", "first", "second arg"}, []string{"A=1", "B=2 3"})
		pid := unix.Getpid()
		return []string{fmt.Sprintf(`SYSCALL_EXECVE_19_X res=%d exe="zero" args="first\x00second arg\x00" tid=%d pid=%d ptid=%d cwd=* `+
			`env="A=1\x00B=2 3\x00" * filename="/no/such/program"`, -int(err.(unix.Errno)), pid, pid, unix.Getppid())}
	}},
	{"execveat that fails tells what was asked for", nil, func() []string {
		argv := []uintptr{cString("zero"), cString("one"), 0}
		_, _, e := unix.RawSyscall6(unix.SYS_EXECVEAT, uintptr(unix.Getpid()), cString("nowhere"), uintptr(unsafe.Pointer(&argv[0])), 0, 0, 0)
		return []string{fmt.Sprintf(`SYSCALL_EXECVEAT_X res=%d exe="zero" args="one\x00" * env=- *`, -int(e))}
	}},
	{"kill, tkill and tgkill tell whom and which signal", []string{"kill", "tkill", "tgkill"}, func() []string {
		pid := unix.Getpid()
		check(unix.Kill(pid, unix.SIGURG))
		check(unix.Tgkill(pid, pid, unix.SIGURG))
		_, _, _ = unix.RawSyscall(unix.SYS_TKILL, uintptr(pid), uintptr(unix.SIGURG), 0)
		err := unix.Kill(1<<22+1, unix.SIGKILL)
		return []string{
			fmt.Sprintf("SYSCALL_KILL_X res=0 pid=%d sig=23", pid),
			fmt.Sprintf("SYSCALL_TGKILL_X res=0 pid=%d tid=%d sig=23", pid, pid),
			fmt.Sprintf("SYSCALL_TKILL_X res=0 tid=%d sig=23", pid),
			fmt.Sprintf("SYSCALL_KILL_X res=%d pid=%d sig=9", -int(err.(unix.Errno)), 1<<22+1),
		}
	}},
	{"ptrace tells request, process and values", []string{"ptrace"}, func() []string {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = []string{sceneEnv + "=sleeper"}
		check(cmd.Start())
		pid := cmd.Process.Pid
		check(unix.PtraceAttach(pid))
		must(unix.Wait4(pid, nil, 0, nil))
		check(unix.PtraceSetOptions(pid, unix.PTRACE_O_EXITKILL))
		check(unix.PtraceCont(pid, 9))
		_, _ = unix.Wait4(pid, nil, 0, nil)
		_, _, e := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_PEEKDATA, uintptr(pid), 0x1000, 0, 0, 0)
		return []string{
			fmt.Sprintf("SYSCALL_PTRACE_X res=0 addr=0:0 data=0:0 request=PTRACE_ATTACH pid=%d", pid),
			fmt.Sprintf("SYSCALL_PTRACE_X res=0 addr=0:0 data=0:%d request=PTRACE_SETOPTIONS pid=%d", unix.PTRACE_O_EXITKILL, pid),
			fmt.Sprintf("SYSCALL_PTRACE_X res=0 addr=0:* data=1:9 request=PTRACE_CONT pid=%d", pid),
			fmt.Sprintf("SYSCALL_PTRACE_X res=%d addr=0:4096 data=0:0 request=PTRACE_PEEKDATA pid=%d", -int(e), pid),
		}
	}},
	{"prctl tells strings as strings and numbers as numbers", nil, func() []string {
		check(unix.Prctl(unix.PR_SET_NAME, cString("renamed"), 0, 0, 0))
		check(unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
		return []string{
			`SYSCALL_PRCTL_X res=0 option=PR_SET_NAME arg2_str="renamed" arg2_int=0`,
			`SYSCALL_PRCTL_X res=0 option=PR_SET_CHILD_SUBREAPER arg2_str=- arg2_int=1`,
		}
	}},
	{"setsid and setpgid tell the group", nil, func() []string {
		sid, err := unix.Setsid()
		res := sid
		if err != nil {
			res = -int(err.(unix.Errno))
		}
		err = unix.Setpgid(0, 1<<22+5)
		return []string{
			fmt.Sprintf("SYSCALL_SETSID_X res=%d", res),
			fmt.Sprintf("SYSCALL_SETPGID_X res=%d pid=0 pgid=%d", -int(err.(unix.Errno)), 1<<22+5),
		}
	}},
	{"unshare, setns and chroot tell what changes", nil, func() []string {
		ns := must(unix.Open("/proc/self/ns/uts", unix.O_RDONLY, 0))
		check(unix.Unshare(unix.CLONE_NEWUTS | unix.CLONE_FS))
		check(unix.Setns(ns, unix.CLONE_NEWUTS))
		check(unix.Chroot("/tmp"))
		return []string{
			"SYSCALL_UNSHARE_X res=0 flags=CLONE_FS|CLONE_NEWUTS",
			fmt.Sprintf("SYSCALL_SETNS_X res=0 fd=%d nstype=CLONE_NEWUTS", ns),
			`SYSCALL_CHROOT_X res=0 path="/tmp"`,
		}
	}},
	{"limits tell the old and the new value", []string{"getrlimit", "setrlimit", "prlimit64"}, func() []string {
		_, _, e := unix.RawSyscall(unix.SYS_SETRLIMIT, unix.RLIMIT_NOFILE, uintptr(unsafe.Pointer(&unix.Rlimit{Cur: 77, Max: 88})), 0)
		if e != 0 {
			panic(e)
		}
		var l unix.Rlimit
		_, _, _ = unix.RawSyscall(unix.SYS_GETRLIMIT, unix.RLIMIT_NOFILE, uintptr(unsafe.Pointer(&l)), 0)
		check(unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 66, Max: 77}, &l))
		return []string{
			"SYSCALL_SETRLIMIT_X res=0 cur=77 max=88 resource=RLIMIT_NOFILE",
			"SYSCALL_GETRLIMIT_X res=0 cur=77 max=88 resource=RLIMIT_NOFILE",
			"SYSCALL_PRLIMIT_X res=0 newcur=66 newmax=77 oldcur=77 oldmax=88 pid=0 resource=RLIMIT_NOFILE",
		}
	}},
}

var credentialScenes = []scene{
	{"changes of user and group tell all ids", []string{"getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid"}, func() []string {
		raw := func(trap, a, b, c uintptr) {
			if _, _, e := unix.RawSyscall(trap, a, b, c); e != 0 {
				panic(e)
			}
		}
		none := ^uintptr(0)
		raw(unix.SYS_SETGID, 40, 0, 0)
		raw(unix.SYS_SETREGID, none, 41, 0)
		raw(unix.SYS_SETRESGID, 42, 43, 44)
		raw(unix.SYS_SETREUID, none, 0, 0)
		raw(unix.SYS_SETRESUID, 50, 0, 52)
		raw(unix.SYS_GETUID, 0, 0, 0)
		raw(unix.SYS_GETEUID, 0, 0, 0)
		raw(unix.SYS_GETGID, 0, 0, 0)
		raw(unix.SYS_GETEGID, 0, 0, 0)
		var a, b, c uint32
		p := func(v *uint32) uintptr { return uintptr(unsafe.Pointer(v)) }
		raw(unix.SYS_GETRESUID, p(&a), p(&b), p(&c))
		raw(unix.SYS_GETRESGID, p(&a), p(&b), p(&c))
		raw(unix.SYS_SETUID, 60, 0, 0)
		return []string{
			"SYSCALL_SETGID_X res=0 gid=40",
			"SYSCALL_SETREGID_X res=0 rgid=4294967295 egid=41",
			"SYSCALL_SETRESGID_X res=0 rgid=42 egid=43 sgid=44",
			"SYSCALL_SETREUID_X res=0 ruid=4294967295 euid=0",
			"SYSCALL_SETRESUID_X res=0 ruid=50 euid=0 suid=52",
			"SYSCALL_GETUID_X uid=50", "SYSCALL_GETEUID_X euid=0", "SYSCALL_GETGID_X gid=42", "SYSCALL_GETEGID_X egid=43",
			"SYSCALL_GETRESUID_X res=0 ruid=50 euid=0 suid=52",
			"SYSCALL_GETRESGID_X res=0 rgid=42 egid=43 sgid=44",
			"SYSCALL_SETUID_X res=0 uid=60",
		}
	}},
	{"capset tells the sets that the thread has then", nil, func() []string {
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		check(unix.Capget(&hdr, &data[0]))
		data[0].Effective = 1 << unix.CAP_KILL
		data[0].Inheritable = 1 << unix.CAP_CHOWN
		data[1].Effective = 0
		check(unix.Capset(&hdr, &data[0]))
		permitted := uint64(data[1].Permitted)<<32 | uint64(data[0].Permitted)
		inheritable := uint64(data[1].Inheritable)<<32 | uint64(data[0].Inheritable)
		return []string{fmt.Sprintf("SYSCALL_CAPSET_X res=0 cap_inheritable=%d cap_permitted=%d cap_effective=%d",
			inheritable, permitted, 1<<unix.CAP_KILL)}
	}},
}

var rareScenes = []scene{
	{"semaphores tell their operations", []string{"semget", "semop", "semctl"}, func() []string {
		id, _, e := unix.RawSyscall(unix.SYS_SEMGET, 0, 2, 0o1000|0o600)
		if e != 0 {
			return skipScene(e)
		}
		ops := [2][3]uint16{{0, 1, 0}, {1, 2, 0o4000}}
		_, _, _ = unix.RawSyscall(unix.SYS_SEMOP, id, uintptr(unsafe.Pointer(&ops)), 2)
		_, _, _ = unix.RawSyscall6(unix.SYS_SEMCTL, id, 1, 16, 9, 0, 0)
		_, _, _ = unix.RawSyscall6(unix.SYS_SEMCTL, id, 0, 0, 0, 0, 0)
		return []string{
			fmt.Sprintf("SYSCALL_SEMGET_X res=%d key=0 nsems=2 semflg=IPC_CREAT", id),
			fmt.Sprintf("SYSCALL_SEMOP_X res=0 nsops=2 sem_num_0=0 sem_op_0=1 sem_flg_0= sem_num_1=1 sem_op_1=2 sem_flg_1=IPC_NOWAIT semid=%d", id),
			fmt.Sprintf("SYSCALL_SEMCTL_X res=0 semid=%d semnum=1 cmd=SETVAL val=9", id),
			fmt.Sprintf("SYSCALL_SEMCTL_X res=0 semid=%d semnum=0 cmd=IPC_RMID val=0", id),
		}
	}},
	{"keyctl tells strings where the operation takes them", []string{"keyctl"}, func() []string {
		id, _, e := unix.RawSyscall(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, cString("ring"), 0)
		if e != 0 {
			return skipScene(e)
		}
		_, _, f := unix.RawSyscall6(unix.SYS_KEYCTL, unix.KEYCTL_SEARCH, id, cString("user"), cString("nokey"), 0, 0)
		return []string{
			fmt.Sprintf(`SYSCALL_KEYCTL_X res=%d operation=KEYCTL_JOIN_SESSION_KEYRING arg2=1:"ring\x00" arg3=0:0 *`, id),
			fmt.Sprintf(`SYSCALL_KEYCTL_X res=%d operation=KEYCTL_SEARCH arg2=0:%d arg3=1:"user\x00" arg4=1:"nokey\x00" arg5=0:0`, -int(f), id),
		}
	}},
	{"quotactl tells command, type and device", []string{"quotactl"}, func() []string {
		_, _, e := unix.RawSyscall6(unix.SYS_QUOTACTL, 0x800007<<8|1, cString("/dev/none"), 5, 0, 0, 0)
		return []string{fmt.Sprintf(`SYSCALL_QUOTACTL_X res=%d special="/dev/none" quotafilepath=- dqb_bhardlimit=0 * `+
			`cmd=Q_GETQUOTA type=GRPQUOTA id=5 quota_fmt=QFMT_NOT_USED`, -int(e))}
	}},
	{"the loading of modules tells image, name and arguments", []string{"init_module", "finit_module", "delete_module"}, func() []string {
		image := []byte("no module")
		_, _, a := unix.RawSyscall(unix.SYS_INIT_MODULE, uintptr(unsafe.Pointer(&image[0])), 9, cString("x=1"))
		_, _, b := unix.RawSyscall(unix.SYS_FINIT_MODULE, 99, cString("y=2"), 2)
		_, _, c := unix.RawSyscall(unix.SYS_DELETE_MODULE, cString("nothing"), unix.O_NONBLOCK, 0)
		return []string{
			fmt.Sprintf(`SYSCALL_INIT_MODULE_X res=%d img="no module" length=9 uargs="x=1"`, -int(a)),
			fmt.Sprintf(`SYSCALL_FINIT_MODULE_X res=%d fd=99 uargs="y=2" flags=MODULE_INIT_IGNORE_VERMAGIC`, -int(b)),
			fmt.Sprintf(`SYSCALL_DELETE_MODULE_X res=%d name="nothing" flags=O_NONBLOCK`, -int(c)),
		}
	}},
	{"seccomp tells operation and flags", []string{"seccomp"}, func() []string {
		_, _, e := unix.RawSyscall(unix.SYS_SECCOMP, 9, 8, 0)
		return []string{fmt.Sprintf("SYSCALL_SECCOMP_X res=%d op=9 flags=8", -int(e))}
	}},
	{"a call without an event of its own is generic", []string{"umask", "getpid"}, func() []string {
		unix.Umask(0o22)
		return []string{fmt.Sprintf("GENERIC_X ID=* nativeID=%d", unix.SYS_UMASK)}
	}},
}
