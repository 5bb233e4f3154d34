package field

import (
	"testing"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// something is an event that changes nothing of its thread.
func something(t testing.TB, tid int64) *host.Event {
	return newWorld(t).happen(tid, event.SYSCALL_GETUID_X, 0)
}

func TestFieldsOfAProcess(t *testing.T) {
	check(t, something(t, workPID), []expectation{
		{"proc.name", "python3"},
		{"proc.exe", "python3"},
		{"proc.exepath", "/usr/bin/python3"},
		{"proc.args", "-m http.server 8080"},
		{"proc.args[1]", "http.server"},
		{"proc.args[3]", missing},
		{"proc.cmdline", "python3 -m http.server 8080"},
		{"proc.exeline", "python3 -m http.server 8080"},
		{"proc.cmdnargs", "3"},
		{"proc.cmdlenargs", "17"},
		{"proc.env", "PATH=/bin LD_PRELOAD=/tmp/x.so EMPTY="},
		{"proc.env[LD_PRELOAD]", "/tmp/x.so"},
		{"proc.env[EMPTY]", ""},
		{"proc.env[PAT]", missing},
		{"proc.cwd", "/home/ada/"},
		{"proc.tty", "34816"},
		{"proc.pid", "300"},
		{"proc.ppid", "200"},
		{"proc.vpid", "300"},
		{"proc.pvpid", "200"},
		{"proc.sid", "100"},
		{"proc.vpgid", "200"},
		{"proc.pgid", "200"},
		{"proc.is_sid_leader", "false"},
		{"proc.is_vpgid_leader", "false"},
		{"proc.is_pgid_leader", "false"},
		{"proc.duration", "60001000000"},
		{"proc.ppid.duration", "60001000000"},
		{"proc.pid.ts", "1699999940000000000"},
		{"proc.ppid.ts", "1699999940000000000"},
		{"proc.is_exe_writable", "true"},
		{"proc.is_exe_upper_layer", "true"},
		{"proc.is_exe_lower_layer", "false"},
		{"proc.is_exe_from_memfd", "false"},
		{"proc.exe_ino", "131074"},
		{"proc.exe_ino.ctime", "1699999900000000000"},
		{"proc.exe_ino.mtime", "1699999800000000000"},
		{"proc.exe_ino.ctime_duration_proc_start", "40000000000"},
		{"proc.exe_ino.ctime_duration_pidns_start", missing},
		{"proc.pidns_init_start_ts", missing},
	}...)
	check(t, something(t, shellPID), []expectation{
		{"proc.exe", "-bash"},
		{"proc.exeline", "-bash"},
		{"proc.cmdline", "bash"},
		{"proc.args", ""},
		{"proc.cwd", "/"},
		{"proc.exe_ino", missing},
		{"proc.exe_ino.ctime", missing},
		{"proc.is_pgid_leader", "true"},
		{"proc.is_vpgid_leader", "true"},
	}...)
	check(t, something(t, boxPID), []expectation{
		{"proc.vpid", "1"},
		{"proc.is_sid_leader", "true"},
		{"proc.pidns_init_start_ts", "1699999970000000000"},
	}...)
}

func TestFieldsOfAncestors(t *testing.T) {
	check(t, something(t, workPID), []expectation{
		{"proc.pname", "bash"},
		{"proc.pexe", "-bash"},
		{"proc.pexepath", "/usr/bin/bash"},
		{"proc.pcmdline", "bash"},
		{"proc.aname[0]", "python3"},
		{"proc.aname[1]", "bash"},
		{"proc.aname[2]", "sshd"},
		{"proc.aname[3]", "systemd"},
		{"proc.aname[4]", missing},
		{"proc.aname[18446744073709551615]", missing},
		{"proc.aname", "bash"},
		{"proc.aexe[1]", "-bash"},
		{"proc.aexepath[2]", "/usr/bin/sshd"},
		{"proc.aargs[2]", "-D"},
		{"proc.acmdline[2]", "sshd -D"},
		{"proc.apid[2]", "100"},
		{"proc.apid", "200"},
		{"proc.aenv[1]", "SSH_CONNECTION=10.0.0.9 50000 LANG=en"},
		{"proc.aenv[SSH_CONNECTION]", "10.0.0.9 50000"},
		{"proc.aenv[LANG]", "en"},
		{"proc.aenv[LD_PRELOAD]", missing},
		{"proc.loginshellid", "200"},
		{"proc.sname", "sshd"},
		{"proc.sid.exe", "sshd"},
		{"proc.sid.exepath", "/usr/bin/sshd"},
		{"proc.vpgid.name", "bash"},
		{"proc.vpgid.exe", "-bash"},
		{"proc.vpgid.exepath", "/usr/bin/bash"},
		{"proc.pgid.name", "bash"},
		{"proc.pgid.exe", "-bash"},
		{"proc.pgid.exepath", "/usr/bin/bash"},
	}...)
	// In a pid namespace ids of sessions and groups cannot be looked up.
	check(t, something(t, boxPID), []expectation{
		{"proc.sname", "nginx"},
		{"proc.vpgid.name", "nginx"},
		{"proc.loginshellid", missing},
	}...)
	check(t, something(t, initPID), expectation{"proc.pname", missing}, expectation{"proc.apid", missing}, expectation{"proc.ppid", "0"})
}

func TestUnknownSessionsHaveNoLeader(t *testing.T) {
	w := newWorld(t)
	for _, tid := range []int64{initPID, sshdPID, shellPID, workPID} {
		p := w.state.Thread(tid)
		p.SID, p.VPGID, p.PGID = -1, -1, -1
	}
	check(t, w.happen(workPID, event.SYSCALL_GETUID_X, 0), []expectation{
		{"proc.sname", missing}, {"proc.vpgid.name", missing}, {"proc.pgid.name", missing},
	}...)
}

func TestEachAncestorYieldsThemFromTheParentUp(t *testing.T) {
	e := something(t, workPID)
	for field, want := range map[string][]string{
		"proc.aname":    {"bash", "sshd", "systemd"},
		"proc.aexe":     {"-bash", "sshd", "systemd"},
		"proc.aexepath": {"/usr/bin/bash", "/usr/bin/sshd", "/usr/bin/systemd"},
		"proc.acmdline": {"bash", "sshd -D", "systemd"},
		"proc.aargs":    {"", "-D", ""},
		"proc.apid":     {"200", "100", "1"},
		"proc.aenv":     {"SSH_CONNECTION=10.0.0.9 50000 LANG=en", "LANG=C", ""},
	} {
		f := mustParse(t, field)
		for stop := 1; stop <= len(want); stop++ {
			var v Value
			n := 0
			f.EachAncestor(e, &v, func() bool {
				if got := string(AppendText(nil, f, &v)); n >= len(want) || got != want[n] {
					t.Errorf("%s: %d is %q", field, n, got)
				}
				n++
				return n < stop
			})
			if n != stop {
				t.Errorf("%s: %d yielded before it stopped at %d", field, n, stop)
			}
		}
	}
	if f := mustParse(t, "proc.aname[1]"); f.EachAncestor != nil {
		t.Error("a field of one ancestor yields several")
	}
}

func TestFieldsOfAThread(t *testing.T) {
	check(t, something(t, workTID), []expectation{
		{"thread.tid", "301"},
		{"thread.vtid", "301"},
		{"thread.ismain", "false"},
		{"thread.nametid", "worker301"},
		{"thread.vmsize", "0"},
		{"thread.vmrss.b", "0"},
		{"proc.name", "worker"},
		{"proc.cmdline", "worker -m http.server 8080"},
		{"proc.exeline", "python3 -m http.server 8080"},
		{"proc.aname[0]", "python3"},
		{"proc.pname", "bash"},
		{"proc.pid", "300"},
		{"proc.ppid", "200"},
		{"proc.nthreads", "2"},
		{"proc.nchilds", "1"},
		{"proc.stdin.name", "/dev/pts/0"},
	}...)
	check(t, something(t, workPID), []expectation{
		{"thread.ismain", "true"},
		{"thread.cap_effective", "CAP_CHOWN CAP_SYS_ADMIN"},
		{"thread.cap_permitted", "CAP_SYS_ADMIN"},
		{"thread.cap_inheritable", ""},
		{"thread.cgroups", "cpu=/user.slice memory=/user.slice/work"},
		{"thread.cgroup.cpu", "/user.slice"},
		{"thread.cgroup.cpus", missing},
		{"thread.pfmajor", "7"},
		{"thread.pfminor", "70"},
		{"thread.vmsize", "1000"},
		{"thread.vmrss", "500"},
		{"thread.vmsize.b", "1024000"},
		{"thread.vmrss.b", "512000"},
		{"proc.vmsize", "1000"},
		{"proc.vmrss", "500"},
		{"proc.vmswap", "5"},
		{"proc.fdopencount", "7"},
		{"proc.fdlimit", "1024"},
		{"proc.fdusage", "0.7"},
		{"proc.stdin.type", "file"},
		{"proc.stdin.name", "/dev/pts/0"},
		{"proc.stdout.type", "pipe"},
		{"proc.stdout.name", "pipe:[77]"},
		{"proc.stderr.type", missing},
		{"proc.stderr.name", missing},
		{"thread.exectime", "0"},
		{"thread.cpu", missing},
	}...)
	check(t, something(t, shellPID), expectation{"thread.cgroups", missing})
}

func TestTimeOnTheProcessor(t *testing.T) {
	w := newWorld(t)
	var v Value
	slice, total := mustParse(t, "thread.exectime"), mustParse(t, "thread.totexectime")
	for i, want := range []struct{ slice, total uint64 }{{0, 0}, {1e6, 1e6}, {1e6, 2e6}} {
		e := w.happen(workPID, event.SCHEDSWITCH_6_E, 0)
		if slice.Read(e, &v); v.Num != want.slice {
			t.Errorf("switch %d: ran %d ns, want %d", i, v.Num, want.slice)
		}
		if total.Read(e, &v); v.Num != want.total {
			t.Errorf("switch %d: ran %d ns in all, want %d", i, v.Num, want.total)
		}
	}
	cpu, user := mustParse(t, "thread.cpu"), mustParse(t, "thread.cpu.user")
	for i, want := range []struct {
		usr, sys   int
		cpu, alone float64
	}{{10, 5, 0, 0}, {40, 15, 40, 30}, {300, 15, 100, 100}} {
		e := w.happen(workPID, event.PROCINFO_E, want.usr, want.sys)
		if !cpu.Read(e, &v) || v.Float != want.cpu {
			t.Errorf("procinfo %d: %v %%, want %v", i, v.Float, want.cpu)
		}
		if !user.Read(e, &v) || v.Float != want.alone {
			t.Errorf("procinfo %d: %v %% in the program, want %v", i, v.Float, want.alone)
		}
	}
}

func TestFieldsOfUsers(t *testing.T) {
	check(t, something(t, workPID), []expectation{
		{"user.uid", "1000"},
		{"user.name", "ada"},
		{"user.homedir", "/home/ada"},
		{"user.shell", "/bin/zsh"},
		{"user.loginuid", "1000"},
		{"user.loginname", "ada"},
		{"group.gid", "1000"},
		{"group.name", "staff"},
	}...)
	check(t, something(t, shellPID), []expectation{
		{"user.name", "root"},
		{"user.shell", "/bin/bash"},
		{"user.loginuid", "-1"},
		{"user.loginname", "<NA>"},
		{"group.name", "root"},
	}...)
	// Nothing is known of the users of the container, apart from what root is called.
	check(t, something(t, boxPID), expectation{"user.name", "root"}, expectation{"user.homedir", "/root"}, expectation{"group.name", "root"})
	w := newWorld(t)
	w.happen(workPID, event.SYSCALL_SETRESUID_X, 0, 77, 77, 77)
	check(t, w.happen(workPID, event.SYSCALL_GETUID_X, 77), expectation{"user.name", "<NA>"}, expectation{"user.homedir", "<NA>"})
}

func TestNothingIsKnownWithoutThread(t *testing.T) {
	e := newWorld(t).happen(-1, event.SYSCALL_GETUID_X, 0)
	if e.Thread != nil {
		t.Skip("the state made up a thread")
	}
	for _, d := range All() {
		if d.Scope != ScopeProcess || d.Args&ArgRequired != 0 {
			continue
		}
		if got := show(t, e, d.Name); got != missing {
			t.Errorf("%s = %q", d.Name, got)
		}
	}
}

func TestCounterGrows(t *testing.T) {
	e := something(t, workPID)
	f := mustParse(t, "util.cnt")
	var v Value
	for want := uint64(1); want < 4; want++ {
		if f.Read(e, &v); v.Num != want {
			t.Errorf("%d, want %d", v.Num, want)
		}
	}
}
