package probe

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

func init() {
	for _, s := range lifeScenes {
		allScenes[s.name] = s.act
	}
}

// lifeScenes end in another program, so they are tested from outside.
var lifeScenes = []scene{
	{"exec in a thread", nil, func() []string {
		done := make(chan error)
		go func() {
			runtime.LockOSThread()
			fmt.Println(unix.Gettid())
			done <- unix.Exec("/proc/self/exe", []string{"nothing"}, []string{sceneEnv + "=nothing"})
		}()
		panic(<-done)
	}},
	{"exec of a memfd", nil, func() []string {
		fd := must(unix.MemfdCreate("evil", 0))
		out := os.NewFile(uintptr(fd), "")
		must(io.Copy(out, must(os.Open("/proc/self/exe"))))
		argv, envp := []uintptr{cString("nothing"), 0}, []uintptr{cString(sceneEnv + "=nothing"), 0}
		_, _, e := unix.RawSyscall6(unix.SYS_EXECVEAT, uintptr(fd), cString(""), uintptrOf(&argv[0]), uintptrOf(&envp[0]), unix.AT_EMPTY_PATH, 0)
		panic(e)
	}},
	{"exec in an overlay", nil, func() []string {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return skipScene(err)
		}
		check(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		dir := inTemp()
		check(unix.Mount("t", dir, "tmpfs", 0, ""))
		check(unix.Chdir(dir))
		for _, d := range []string{"lower", "upper", "work", "merged"} {
			check(os.Mkdir(d, 0o755))
		}
		program := must(os.ReadFile("/proc/self/exe"))
		check(os.WriteFile("lower/below", program, 0o755))
		if err := unix.Mount("o", "merged", "overlay", 0, "lowerdir=lower,upperdir=upper,workdir=work"); err != nil {
			return skipScene(err)
		}
		check(os.WriteFile("merged/above", program, 0o755))
		for _, name := range []string{"merged/below", "merged/above"} {
			must(unix.Open(name, unix.O_RDONLY, 0))
			cmd := exec.Command(name)
			cmd.Env = []string{sceneEnv + "=nothing"}
			check(cmd.Run())
		}
		fmt.Println("done")
		os.Exit(0)
		return nil
	}},
	{"nothing", nil, func() []string { os.Exit(0); return nil }},
	{"end by a signal", nil, func() []string {
		check(unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
		check(unix.Kill(unix.Getpid(), unix.SIGKILL))
		select {}
	}},
}

// sceneCommand is a command that plays a scene.
func sceneCommand(name string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{sceneEnv + "=" + name, steady}
	return cmd
}

// of returns the descriptions of the events of a thread that have one of the types.
func of(events []*event.Event, tid int, types ...event.Type) []string {
	var all []string
	for _, ev := range events {
		for _, t := range types {
			if ev.Type() == t && ev.TID() == int64(tid) {
				all = append(all, describe(ev))
			}
		}
	}
	return all
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	for i := range want {
		if !pattern(want[i]).MatchString(got[i]) {
			t.Errorf("got  %s\nwant %s", got[i], want[i])
		}
	}
}

// procFile reads a file of a process in /proc.
func procFile(t *testing.T, pid int, name string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func TestExecTellsAllAboutTheNewProgram(t *testing.T) {
	p := sharedProbe(t)
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	copyFile(t, "/proc/self/exe", program)
	if err := os.Symlink("program", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, "link"), "1000")
	cmd.Args[0] = "-named"
	cmd.Dir, cmd.Env = dir, []string{sceneEnv + "=sleeper", "EMPTY=", "LAST=a b"}
	var loginuid, limit, want string
	events := watch(t, p, func() {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		loginuid = "4294967295"
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/loginuid", cmd.Process.Pid)); err == nil {
			loginuid = string(b)
		}
		want = procFile(t, cmd.Process.Pid, "cgroup")
		limit = regexp.MustCompile(`Max open files +(\d+)`).FindStringSubmatch(procFile(t, cmd.Process.Pid, "limits"))[1]
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var st unix.Stat_t
	if err := unix.Stat(program, &st); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	full := ownCapabilities(t)
	got := of(events, pid, event.SYSCALL_EXECVE_19_X)
	wantLines(t, got, fmt.Sprintf(`SYSCALL_EXECVE_19_X res=0 exe="-named" args="1000\x00" tid=%d pid=%d ptid=%d cwd=%q fdlimit=%s `+
		`pgft_maj=* pgft_min=* vm_size=* vm_rss=* vm_swap=0 comm="*" cgroups=* env="`+sceneEnv+`=sleeper\x00EMPTY=\x00LAST=a b\x00" tty=* vpgid=%d `+
		`loginuid=%s flags=EXE_WRITABLE* cap_inheritable=* cap_permitted=%d cap_effective=%d exe_ino=%d exe_ino_ctime=%d exe_ino_mtime=%d `+
		`uid=0 trusted_exepath=%q pgid=%d gid=0 filename=%q`,
		pid, pid, os.Getpid(), dir, limit, unix.Getpgrp(), loginuid, full, full, st.Ino, st.Ctim.Nano(), st.Mtim.Nano(),
		program, unix.Getpgrp(), filepath.Join(dir, "link")))
	wantCgroups(t, events, pid, want)
}

// ownCapabilities returns what a root that we start may do.
func ownCapabilities(t *testing.T) uint64 {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		t.Fatal(err)
	}
	return uint64(data[1].Permitted)<<32 | uint64(data[0].Permitted)
}

// wantCgroups compares the cgroups of an exec with the lines of /proc/PID/cgroup.
func wantCgroups(t *testing.T, events []*event.Event, pid int, lines string) {
	t.Helper()
	for _, ev := range events {
		if ev.Type() != event.SYSCALL_EXECVE_19_X || ev.TID() != int64(pid) {
			continue
		}
		got := strings.Split(string(ev.Param(ev.Info().ParamIndex("cgroups"))), "\x00")
		for line := range strings.SplitSeq(lines, "\n") {
			parts := strings.SplitN(line, ":", 3)
			for name := range strings.SplitSeq(parts[1], ",") {
				switch name {
				case "":
					name = "unified"
				case "cpuset", "cpu", "cpuacct", "blkio", "memory", "pids":
				default:
					continue
				}
				found := false
				for _, g := range got {
					found = found || g == name+"="+parts[2]
				}
				if !found {
					t.Errorf("no %s=%s in %q", name, parts[2], got)
				}
			}
		}
	}
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestExecAsAnotherUserTellsItsRights(t *testing.T) {
	p := sharedProbe(t)
	cmd := sceneCommand("nothing")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 4711, Gid: 4712}, Setsid: true}
	events := watch(t, p, func() {
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
	})
	pid := cmd.Process.Pid
	wantLines(t, of(events, pid, event.SYSCALL_EXECVE_19_X), fmt.Sprintf(`SYSCALL_EXECVE_19_X res=0 exe="/proc/self/exe" args=- * `+
		`tty=0 vpgid=%d loginuid=* flags= cap_inheritable=0 cap_permitted=0 cap_effective=0 * uid=4711 * pgid=%d gid=4712 *`, pid, pid))
	wantLines(t, of(events, pid, event.SYSCALL_SETUID_X, event.SYSCALL_SETSID_X),
		fmt.Sprintf("SYSCALL_SETSID_X res=%d", pid), "SYSCALL_SETUID_X res=0 uid=4711")
}

func TestANewProcessIsToldBeforeItRuns(t *testing.T) {
	p := sharedProbe(t)
	cmd := sceneCommand("nothing")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWUTS}
	events := watch(t, p, func() {
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
	})
	pid := cmd.Process.Pid
	var types []event.Type
	for _, ev := range events {
		if ev.TID() == int64(pid) {
			types = append(types, ev.Type())
		}
	}
	births := []event.Type{event.SYSCALL_CLONE_20_X, event.SYSCALL_CLONE3_X, event.SYSCALL_VFORK_20_X} // the last before 5.15
	if len(types) < 3 || !slices.Contains(births, types[0]) || types[len(types)-1] != event.PROCEXIT_1_E {
		t.Fatalf("the life of a process is not from clone to exit: %v", types)
	}
	wantLines(t, of(events, pid, types[0])[:1], fmt.Sprintf(`SYSCALL_*_X res=0 exe=%q args="*" tid=%d pid=%d ptid=%d cwd=%q `+
		`* flags=CLONE_NEWPID|CLONE_NEWUTS|CLONE_VM|CLONE_VFORK|CLONE_CHILD_IN_PIDNS uid=0 gid=0 vtid=1 vpid=1 pidns_init_start_ts=*`,
		os.Args[0], pid, pid, os.Getpid(), must(os.Getwd())))
	started := types[0].Info().ParamIndex("pidns_init_start_ts")
	for _, ev := range events {
		if ev.TID() == int64(pid) && ev.Type() == types[0] {
			start, _ := ev.Uint(started) // since the start of the machine
			if age := int64(ev.Time() - p.Snapshot().Machine.BootTime - start); age < 0 || age > int64(10*time.Second) {
				t.Errorf("its pid namespace began %d ns before its first process", age)
			}
		}
	}
}

func TestTheEndOfAProcessTellsWhy(t *testing.T) {
	p := sharedProbe(t)
	for _, c := range []struct{ name, script, want string }{
		{"an exit code", "exit 7", "PROCEXIT_1_E status=1792 ret=7 sig=0 core=0 reaper_tid=0"},
		{"a signal", "kill -TERM $$", "PROCEXIT_1_E status=15 ret=0 sig=15 core=0 reaper_tid=0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command("/bin/sh", "-c", c.script)
			events := watch(t, p, func() { _ = cmd.Run() })
			wantLines(t, of(events, cmd.Process.Pid, event.PROCEXIT_1_E), c.want)
		})
	}
	t.Run("children go to the next reaper", func(t *testing.T) {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
		defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
		cmd := exec.Command("/bin/sh", "-c", "sleep 100 & echo $!; exit 0")
		var orphan int
		events := watch(t, p, func() {
			out, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Fscan(out, &orphan); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
		})
		_ = unix.Kill(orphan, unix.SIGKILL)
		_, _ = unix.Wait4(orphan, nil, 0, nil)
		got := of(events, cmd.Process.Pid, event.PROCEXIT_1_E)
		if len(got) != 1 || !isOurThread(strings.TrimPrefix(got[0], "PROCEXIT_1_E status=0 ret=0 sig=0 core=0 reaper_tid=")) {
			t.Errorf("%q does not name a thread of ours as reaper", got)
		}
	})
}

func isOurThread(tid string) bool {
	_, err := os.Stat("/proc/self/task/" + tid)
	return err == nil && tid != ""
}

func TestExecInAThreadEndsTheThread(t *testing.T) {
	p := sharedProbe(t)
	cmd := sceneCommand("exec in a thread")
	var tid int
	events := watch(t, p, func() {
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(string(out), &tid); err != nil {
			t.Fatal(err)
		}
	})
	pid := cmd.Process.Pid
	if tid == pid {
		t.Skip("the thread was the main thread")
	}
	got := of(events, tid, event.SYSCALL_CLONE_20_X, event.SYSCALL_CLONE3_X, event.PROCEXIT_1_E)
	wantLines(t, got, fmt.Sprintf(`SYSCALL_CLONE*_X res=0 * tid=%d pid=%d ptid=%d * flags=*CLONE_THREAD*`, tid, pid, os.Getpid()), "PROCEXIT_1_E *")
	execs := of(events, pid, event.SYSCALL_EXECVE_19_X)
	if len(execs) != 2 || !strings.Contains(execs[1], `exe="nothing"`) {
		t.Errorf("the exec is not told of the process: %q", execs)
	}
}

func TestExecOfAMemfdIsTold(t *testing.T) {
	p := sharedProbe(t)
	cmd := sceneCommand("exec of a memfd")
	events := watch(t, p, func() {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	})
	got := of(events, cmd.Process.Pid, event.SYSCALL_EXECVE_19_X)
	if len(got) != 2 {
		t.Fatalf("%d events of exec, want 2: %q", len(got), got)
	}
	wantLines(t, got[1:], `SYSCALL_EXECVE_19_X res=0 exe="nothing" args=- * flags=EXE_WRITABLE|EXE_FROM_MEMFD * `+
		`trusted_exepath="/memfd:evil" * filename="/dev/fd/*"`)
}

func TestAnOverlayShowsItsLayers(t *testing.T) {
	p := sharedProbe(t)
	cmd := sceneCommand("exec in an overlay")
	events := watch(t, p, func() {
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if why, ok := strings.CutPrefix(string(out), "skip: "); ok {
			t.Skip(why)
		}
	})
	layers := map[string][2]string{"below": {"EXE_LOWER_LAYER", "FD_LOWER_LAYER"}, "above": {"EXE_UPPER_LAYER", "FD_UPPER_LAYER"}}
	found := 0
	for _, ev := range events {
		line := describe(ev)
		for name, flags := range layers {
			switch {
			case ev.Type() == event.SYSCALL_EXECVE_19_X && strings.Contains(line, `/merged/`+name+`" `):
				found++
				if !strings.Contains(line, flags[0]) {
					t.Errorf("no %s in %s", flags[0], line)
				}
			case ev.Type() == event.SYSCALL_OPENAT_2_X && ev.TID() == int64(cmd.Process.Pid) && strings.Contains(line, name+`" flags=O_RDONLY`):
				found++
				if !strings.Contains(line, flags[1]) {
					t.Errorf("no %s in %s", flags[1], line)
				}
			}
		}
	}
	if found != 4 {
		t.Errorf("found %d of 4 events", found)
	}
}

func TestATerminalIsTold(t *testing.T) {
	p := sharedProbe(t)
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer master.Close()
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer slave.Close()
	cmd := sceneCommand("nothing")
	cmd.Stdin = slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	events := watch(t, p, func() {
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
	})
	wantLines(t, of(events, cmd.Process.Pid, event.SYSCALL_EXECVE_19_X), fmt.Sprintf("SYSCALL_EXECVE_19_X * tty=%d vpgid=*", 136<<8|n))
}
