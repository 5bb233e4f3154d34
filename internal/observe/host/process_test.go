package host

import (
	"slices"
	"testing"

	"rollcage/internal/observe/event"
)

func TestCloneAddsAChild(t *testing.T) {
	parent := forked{res: 300, tid: 100, pid: 100, args: list("-l"), uid: 33}.values()
	child := forked{tid: 300, pid: 300, ptid: 100, args: list("-l"), uid: 33}.values()
	type step struct {
		tid    int64
		typ    event.Type
		values []any
	}
	for name, steps := range map[string][]step{
		"when the parent's event comes first":  {{100, event.SYSCALL_CLONE_20_X, parent}, {300, event.SYSCALL_CLONE_20_X, child}},
		"when the child's event comes first":   {{300, event.SYSCALL_CLONE_20_X, child}, {100, event.SYSCALL_CLONE_20_X, parent}},
		"when only the parent's event is seen": {{100, event.SYSCALL_FORK_20_X, parent}},
		"when only the child's event is seen":  {{300, event.SYSCALL_CLONE3_X, child}},
		"by vfork, whose parent is late":       {{300, event.SYSCALL_VFORK_20_X, child}, {100, event.SYSCALL_VFORK_20_X, parent}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, Options{})
			for _, s := range steps {
				r.do(s.tid, s.typ, s.values...)
			}
			c, p := r.need(300), r.need(100)
			if c.Parent != p || c.Leader != c || !slices.Contains(p.Children, c) {
				t.Errorf("the child is not linked to its parent")
			}
			if c.PID != 300 || c.PTID != 100 || c.VTID != 300 || c.VPID != 300 || c.UID != 33 {
				t.Errorf("pid %d, ptid %d, vtid %d, vpid %d, uid %d", c.PID, c.PTID, c.VTID, c.VPID, c.UID)
			}
			if c.Comm != "bash" || c.ExePath != "/usr/bin/bash" || c.Cwd != "/root" || len(c.Env) != 1 || c.SID != 100 {
				t.Errorf("comm %q, exepath %q, cwd %q, env %q, sid %d", c.Comm, c.ExePath, c.Cwd, c.Env, c.SID)
			}
			if !slices.Equal(c.Args, []string{"-l"}) || c.FDLimit != 1024 || c.VMSize != 3 || c.PidnsInitStart != 500 {
				t.Errorf("args %q, fdlimit %d, vmsize %d, pidns %d", c.Args, c.FDLimit, c.VMSize, c.PidnsInitStart)
			}
			if fd := c.FDs.Get(3); fd == nil || fd.Name != "/srv/data" {
				t.Errorf("the child has no copy of the descriptors")
			}
			if got := r.Stats().Threads; got != 5 {
				t.Errorf("%d threads, want 5", got)
			}
		})
	}
}

func TestCloneThatFailsAddsNothing(t *testing.T) {
	r := newRun(t, Options{})
	if he := r.do(100, event.SYSCALL_CLONE_20_X, forked{res: -11, tid: 100, pid: 100}.values()...); he.Thread != r.need(100) {
		t.Error("the event has not its thread")
	}
	if r.Stats().Threads != 4 {
		t.Error("a thread was added")
	}
}

func TestParentInContainerLeavesTheChildToItsOwnEvent(t *testing.T) {
	for name, change := range map[string]func(*run) int{
		"child in a pid namespace": func(*run) int { return cloneInPidns },
		"child is init of one":     func(*run) int { return cloneNewPID },
		"runc's CLONE_PARENT":      func(*run) int { return cloneParent },
		"caller has another vtid":  func(r *run) int { r.need(100).VTID = 7; return 0 },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, Options{})
			flags := change(r)
			r.do(100, event.SYSCALL_CLONE_20_X, forked{res: 8, tid: 100, pid: 100, flags: flags}.values()...)
			if r.Thread(8) != nil {
				t.Fatal("the child's id in the namespace was taken for one of the host")
			}
			r.do(300, event.SYSCALL_CLONE_20_X, forked{tid: 300, pid: 300, ptid: 100, flags: flags, vtid: 8, vpid: 8}.values()...)
			if c := r.need(300); c.VTID != 8 || c.VPID != 8 || c.Parent != r.need(100) {
				t.Errorf("vtid %d, vpid %d, parent %v", c.VTID, c.VPID, c.Parent)
			}
		})
	}
}

func TestThreadSharesItsProcess(t *testing.T) {
	const flags = cloneThread | cloneFiles
	for name, first := range map[string]bool{"parent's event first": true, "child's event first": false} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, Options{})
			parent := forked{res: 202, tid: 201, pid: 200, exe: "daemon", comm: "worker", flags: flags}.values()
			child := forked{tid: 202, pid: 200, ptid: 1, exe: "daemon", comm: "worker", flags: flags}.values()
			if first {
				r.do(201, event.SYSCALL_CLONE_20_X, parent...)
			}
			r.do(202, event.SYSCALL_CLONE_20_X, child...)
			if !first {
				r.do(201, event.SYSCALL_CLONE_20_X, parent...)
			}
			c, l := r.need(202), r.need(200)
			if c.Leader != l || c.PID != 200 || c.Parent != r.need(1) || l.Threads != 3 {
				t.Errorf("leader %d, pid %d, process has %d threads", c.Leader.TID, c.PID, l.Threads)
			}
			if c.FDs != l.FDs {
				t.Error("the thread has descriptors of its own")
			}
			r.do(202, event.SYSCALL_OPEN_X, 5, "/tmp/x", 1, 0, 0, 0)
			if r.fd(200, 5).Name != "/tmp/x" {
				t.Error("what the thread opened is not the process's")
			}
			r.exit(202, 0)
			r.do(100, event.SYSCALL_GETCWD_X, 0, "/root")
			if r.Thread(202) != nil || l.Threads != 2 {
				t.Errorf("thread still there, or %d threads", l.Threads)
			}
		})
	}
}

func TestThreadOfUnknownProcessInfersItsLeader(t *testing.T) {
	r := newRun(t, Options{})
	r.do(401, event.SYSCALL_CLONE_20_X, forked{tid: 401, pid: 400, ptid: 1, exe: "app", comm: "app", flags: cloneThread | cloneFiles}.values()...)
	l := r.need(400)
	if !l.Inferred || l.PID != 400 || l.Comm != "app" || l.Parent != r.need(1) || r.need(401).Leader != l {
		t.Errorf("leader %+v", l.ThreadInfo)
	}
}

func TestForkCopiesDescriptorsOnWrite(t *testing.T) {
	r := newRun(t, Options{})
	r.fork(100, 300)
	if r.need(300).FDs.slots != r.need(100).FDs.slots {
		t.Fatal("fork copied the descriptors")
	}
	r.do(300, event.SYSCALL_CLOSE_X, 0, 3)
	r.do(100, event.SYSCALL_OPEN_X, 5, "/tmp/x", 1, 0, 0, 0)
	if r.need(300).FDs.Get(3) != nil || r.need(300).FDs.Get(5) != nil {
		t.Error("the child sees what the parent changed")
	}
	if r.need(100).FDs.Get(3) == nil || r.need(100).FDs.Get(5) == nil {
		t.Error("the parent sees what the child changed")
	}
}

func TestCloneFilesSharesDescriptorsWithAProcess(t *testing.T) {
	r := newRun(t, Options{})
	r.do(300, event.SYSCALL_CLONE_20_X, forked{tid: 300, pid: 300, ptid: 100, flags: cloneFiles}.values()...)
	r.do(300, event.SYSCALL_OPEN_X, 5, "/tmp/x", 1, 0, 0, 0)
	if r.fd(100, 5).Name != "/tmp/x" {
		t.Error("the parent does not see the child's descriptor")
	}
	r.do(300, event.SYSCALL_UNSHARE_X, 0, cloneFiles)
	r.do(300, event.SYSCALL_CLOSE_X, 0, 5)
	if r.need(100).FDs.Get(5) == nil || r.need(300).FDs.Get(5) != nil {
		t.Error("unshare did not part the tables")
	}
}

func TestUsedIdBelongsToTheNewThread(t *testing.T) {
	r := newRun(t, Options{})
	r.fork(100, 300)
	r.exec(300, "/usr/bin/old")
	r.fork(300, 301)
	r.now += 10 * second
	r.fork(1, 300)
	if c := r.need(300); c.Parent != r.need(1) || c.Comm != "bash" {
		t.Errorf("parent %d, comm %q: the old thread is still there", c.PTID, c.Comm)
	}
	if c := r.need(301); c.Parent != r.need(1) {
		t.Errorf("the old thread's child was not given away")
	}
}

func TestExecReplacesTheProgram(t *testing.T) {
	r := newRun(t, Options{})
	r.fork(100, 300)
	he := r.exec(300, "/usr/bin/curl", "-s", "http://x")
	p := he.Process()
	if p.Comm != "curl" || p.Exe != "/usr/bin/curl" || p.ExePath != "/usr/bin/curl" || !slices.Equal(p.Args, []string{"-s", "http://x"}) {
		t.Errorf("comm %q, exe %q, path %q, args %q", p.Comm, p.Exe, p.ExePath, p.Args)
	}
	if !slices.Equal(p.Env, []string{"PATH=/bin"}) || p.TTY != 34816 || p.LoginUID != 1000 || p.PGID != 300 || p.VPGID != 300 {
		t.Errorf("env %q, tty %d, loginuid %d, pgid %d, vpgid %d", p.Env, p.TTY, p.LoginUID, p.PGID, p.VPGID)
	}
	if !p.ExeUpperLayer || p.ExeWritable || p.ExeFromMemfd || p.ExeIno != 42 || p.ExeCtime != 10 || p.ExeMtime != 11 || p.CapEffective != 7 {
		t.Errorf("facts %+v", p.ThreadInfo)
	}
	if r.need(300).FDs.Get(4) != nil || r.need(100).FDs.Get(4) == nil {
		t.Error("close-on-exec descriptors: the child must lose it, the parent keep it")
	}
	if r.fd(300, 3).Name != "/srv/data" {
		t.Error("an inherited descriptor is gone")
	}
}

func TestExecThatFailsChangesNothing(t *testing.T) {
	r := newRun(t, Options{})
	he := r.do(100, event.SYSCALL_EXECVE_19_X, -2, "/nope", nil, 100, 100, 1)
	if he.Thread.Exe != "bash" || he.Thread.FDs.Get(4) == nil {
		t.Errorf("exe %q", he.Thread.Exe)
	}
}

func TestExecByAnotherThreadKeepsTheMainOne(t *testing.T) {
	t.Run("the kernel gives it the main thread's id", func(t *testing.T) {
		r := newRun(t, Options{})
		r.exit(200, 0)
		r.do(201, event.SYSCALL_READ_X, 0, nil, 3, 1)
		if l := r.need(200); !l.Dead || l.Threads != 1 {
			t.Fatalf("the main thread must stay as long as there are others: dead %v, %d threads", l.Dead, l.Threads)
		}
		r.exec(200, "/usr/bin/next")
		if l := r.need(200); l.Dead || l.Threads != 1 || l.Comm != "next" || r.Thread(201) != nil {
			t.Errorf("dead %v, %d threads, comm %q", l.Dead, l.Threads, l.Comm)
		}
	})
	t.Run("the event comes with its own id", func(t *testing.T) {
		r := newRun(t, Options{})
		he := r.do(201, event.SYSCALL_EXECVE_19_X, 0, "/usr/bin/next", nil, 200, 200, 1, "", 1, 1, 1, 1, 1, 1, "next")
		if he.Thread != r.need(200) || he.Thread.Comm != "next" || r.Thread(201) != nil {
			t.Errorf("thread %d", he.Thread.TID)
		}
	})
}

func TestExitRemovesTheThreadAfterTheEvent(t *testing.T) {
	r := newRun(t, Options{})
	r.fork(100, 300)
	he := r.exit(300, 0)
	if he.Thread == nil || he.Thread.Comm != "bash" || !he.Thread.Dead || r.Thread(300) == nil {
		t.Fatal("the event must still see its thread")
	}
	r.do(100, event.SYSCALL_GETCWD_X, 0, "/root")
	if r.Thread(300) != nil {
		t.Error("the thread is still there")
	}
	if slices.ContainsFunc(r.need(100).Children, func(c *Thread) bool { return c.TID == 300 }) {
		t.Error("the parent still has it")
	}
}

func TestChildrenOfADeadProcessGetAReaper(t *testing.T) {
	for name, tt := range map[string]struct {
		told   any
		before func(*run)
		want   int64
	}{
		"that the kernel named":             {told: 200, want: 200},
		"the nearest subreaper":             {before: func(r *run) { r.do(100, event.SYSCALL_PRCTL_X, 0, 36, nil, 1) }, want: 100},
		"not one that took it back":         {before: func(r *run) { r.do(100, event.SYSCALL_PRCTL_X, 0, 36, nil, 0) }, want: 1},
		"the init of their pid namespace":   {before: func(r *run) { r.need(300).VPID = 1 }, want: 300},
		"the host's init otherwise":         {want: 1},
		"also when the named one is gone":   {told: 9999, want: 1},
		"also when the named one is itself": {told: 301, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, Options{})
			r.fork(100, 300)
			r.fork(300, 301)
			r.fork(301, 302)
			if tt.before != nil {
				tt.before(r)
			}
			image := r.need(302).Image
			r.exit(301, tt.told)
			r.do(100, event.SYSCALL_GETCWD_X, 0, "/root")
			c := r.need(302)
			if c.Parent != r.need(tt.want) || c.PTID != tt.want {
				t.Errorf("parent %d, want %d", c.PTID, tt.want)
			}
			if c.Image == image {
				t.Error("the image stayed")
			}
		})
	}
}

func TestCredentialsChangeTheThreadOnly(t *testing.T) {
	for name, tt := range map[string]struct {
		typ      event.Type
		values   []any
		uid, gid uint32
	}{
		"setuid":               {event.SYSCALL_SETUID_X, []any{0, 33}, 33, 0},
		"setreuid":             {event.SYSCALL_SETREUID_X, []any{0, 1, 33}, 33, 0},
		"setresuid":            {event.SYSCALL_SETRESUID_X, []any{0, 1, 33, 2}, 33, 0},
		"setgid":               {event.SYSCALL_SETGID_X, []any{0, 33}, 0, 33},
		"setregid":             {event.SYSCALL_SETREGID_X, []any{0, 1, 33}, 0, 33},
		"setresgid":            {event.SYSCALL_SETRESGID_X, []any{0, 1, 33, 2}, 0, 33},
		"setuid that fails":    {event.SYSCALL_SETUID_X, []any{-1, 33}, 0, 0},
		"setresuid keeps -1":   {event.SYSCALL_SETRESUID_X, []any{0, 1, -1, 2}, 0, 0},
		"setuid without value": {event.SYSCALL_SETUID_X, []any{0, nil}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, Options{})
			he := r.do(201, tt.typ, tt.values...)
			if he.Thread.UID != tt.uid || he.Thread.GID != tt.gid || r.need(200).UID != 0 {
				t.Errorf("uid %d gid %d, main thread's uid %d", he.Thread.UID, he.Thread.GID, r.need(200).UID)
			}
		})
	}
}

func TestProcessAttributes(t *testing.T) {
	for name, tt := range map[string]struct {
		tid    int64
		typ    event.Type
		values []any
		check  func(*run) bool
	}{
		"capset sets capabilities": {100, event.SYSCALL_CAPSET_X, []any{0, 1, 2, 3}, func(r *run) bool {
			p := r.need(100)
			return p.CapInheritable == 1 && p.CapPermitted == 2 && p.CapEffective == 3
		}},
		"a new user namespace gives all capabilities": {100, event.SYSCALL_UNSHARE_X, []any{0, cloneNewUser}, func(r *run) bool {
			return r.need(100).CapEffective == allCaps
		}},
		"entering one does as well": {100, event.SYSCALL_SETNS_X, []any{0, 3, cloneNewUser}, func(r *run) bool {
			return r.need(100).CapEffective == allCaps
		}},
		"PR_SET_NAME renames the main thread": {200, event.SYSCALL_PRCTL_X, []any{0, 15, "renamed-at-length", 0}, func(r *run) bool {
			return r.need(200).Comm == "renamed-at-leng"
		}},
		"PR_SET_NAME of another thread leaves the process its name": {201, event.SYSCALL_PRCTL_X, []any{0, 15, "other", 0}, func(r *run) bool {
			return r.need(201).Comm == "other" && r.need(201).Leader.Comm == "daemon"
		}},
		"setsid starts a session for all threads": {201, event.SYSCALL_SETSID_X, []any{200}, func(r *run) bool {
			return r.need(200).SID == 200 && r.need(201).SID == 200 && r.need(200).PGID == 200 && r.need(200).TTY == 0
		}},
		"setpgid of itself": {201, event.SYSCALL_SETPGID_X, []any{0, 0, 0}, func(r *run) bool {
			return r.need(200).VPGID == 200 && r.need(200).PGID == 200 && r.need(201).PGID == 200
		}},
		"setpgid that fails": {201, event.SYSCALL_SETPGID_X, []any{-1, 0, 0}, func(r *run) bool {
			return r.need(200).VPGID == 1
		}},
		"setpgid of a child": {1, event.SYSCALL_SETPGID_X, []any{0, 100, 200}, func(r *run) bool {
			return r.need(100).VPGID == 200 && r.need(100).PGID == 200 && r.need(1).PGID == 1
		}},
		"chdir to an absolute path": {201, event.SYSCALL_CHDIR_X, []any{0, "/etc/../var/./log//"}, func(r *run) bool {
			return r.need(200).Cwd == "/var/log"
		}},
		"chdir to a relative path": {100, event.SYSCALL_CHDIR_X, []any{0, "../srv"}, func(r *run) bool {
			return r.need(100).Cwd == "/srv"
		}},
		"chdir that fails": {100, event.SYSCALL_CHDIR_X, []any{-2, "/nope"}, func(r *run) bool { return r.need(100).Cwd == "/root" }},
		"fchdir":           {100, event.SYSCALL_FCHDIR_X, []any{0, 3}, func(r *run) bool { return r.need(100).Cwd == "/srv/data" }},
		"getcwd tells what was missed": {100, event.SYSCALL_GETCWD_X, []any{5, "/elsewhere"}, func(r *run) bool {
			return r.need(100).Cwd == "/elsewhere"
		}},
		"chroot": {201, event.SYSCALL_CHROOT_X, []any{0, "../jail"}, func(r *run) bool {
			return r.need(200).Root == "/jail" && r.need(201).Root == "/jail"
		}},
		"setrlimit of files": {100, event.SYSCALL_SETRLIMIT_X, []any{0, 77, 99, 7}, func(r *run) bool { return r.need(100).FDLimit == 77 }},
		"setrlimit of else":  {100, event.SYSCALL_SETRLIMIT_X, []any{0, 77, 99, 3}, func(r *run) bool { return r.need(100).FDLimit == 0 }},
		"prlimit of another": {1, event.SYSCALL_PRLIMIT_X, []any{0, 88, 99, 1, 1, 100, 7}, func(r *run) bool {
			return r.need(100).FDLimit == 88 && r.need(1).FDLimit == 0
		}},
		"mmap tells the size": {201, event.SYSCALL_MMAP_X, []any{0, 11, 12, 13}, func(r *run) bool {
			return r.need(200).VMSize == 11 && r.need(200).VMRSS == 12 && r.need(200).VMSwap == 13
		}},
		"a switch tells faults and size": {201, event.SCHEDSWITCH_6_E, []any{5, 1, 2, 3, 4, 5}, func(r *run) bool {
			return r.need(201).PFMajor == 1 && r.need(201).PFMinor == 2 && r.need(200).VMRSS == 4
		}},
		"pivot_root leaves the root at /": {100, event.GENERIC_X, []any{int(pivotRoot), 155}, func(r *run) bool {
			return r.need(100).Root == "/"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, Options{})
			if tt.typ == event.GENERIC_X {
				r.do(100, event.SYSCALL_CHROOT_X, 0, "/jail")
			}
			if r.do(tt.tid, tt.typ, tt.values...); !tt.check(r) {
				t.Errorf("thread %+v, process %+v", r.need(tt.tid).ThreadInfo, r.need(tt.tid).Leader.ThreadInfo)
			}
		})
	}
}

func TestChrootInAJailIsSeenFromTheHost(t *testing.T) {
	r := newRun(t, Options{})
	r.do(100, event.SYSCALL_CHROOT_X, 0, "/jail")
	r.do(100, event.SYSCALL_CHROOT_X, 0, "/deeper")
	if got := r.need(100).Root; got != "/jail/deeper" {
		t.Errorf("root %q", got)
	}
}

func TestImagesFollowWhatAProcessIs(t *testing.T) {
	for name, tt := range map[string]struct {
		act                     func(*run)
		self, sibling, children bool // whose image changes
	}{
		"exec":                       {func(r *run) { r.exec(200, "/usr/bin/x") }, true, false, true},
		"a new name":                 {func(r *run) { r.do(200, event.SYSCALL_PRCTL_X, 0, 15, "new", 0) }, true, true, true},
		"a new user":                 {func(r *run) { r.do(200, event.SYSCALL_SETUID_X, 0, 33) }, true, true, true},
		"a new session":              {func(r *run) { r.do(201, event.SYSCALL_SETSID_X, 200) }, true, true, true},
		"another directory":          {func(r *run) { r.do(201, event.SYSCALL_CHDIR_X, 0, "/x") }, true, true, false},
		"a thread's user":            {func(r *run) { r.do(201, event.SYSCALL_SETUID_X, 0, 33) }, false, true, false},
		"a thread's name":            {func(r *run) { r.do(201, event.SYSCALL_PRCTL_X, 0, 15, "new", 0) }, false, true, false},
		"a parent's exec":            {func(r *run) { r.exec(1, "/usr/bin/x") }, true, true, true},
		"a user's new name":          {func(r *run) { r.do(-1, event.USER_ADDED_E, 33, 33, "web", "/", "/bin/sh", "") }, true, true, true},
		"a read":                     {func(r *run) { r.do(200, event.SYSCALL_READ_X, 0, nil, 3, 1) }, false, false, false},
		"an open":                    {func(r *run) { r.do(200, event.SYSCALL_OPEN_X, 7, "/x", 1, 0, 0, 0) }, false, false, false},
		"the same user once more":    {func(r *run) { r.do(200, event.SYSCALL_SETUID_X, 0, 0) }, false, false, false},
		"the same table entry again": {func(r *run) { r.do(-1, event.USER_ADDED_E, 33, 0, "www-data", "", "", "") }, false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, Options{})
			r.fork(200, 300)
			r.fork(300, 301)
			before := map[int64]uint64{}
			for _, tid := range []int64{200, 201, 300, 301} {
				before[tid] = r.need(tid).Image
			}
			tt.act(r)
			for tid, want := range map[int64]bool{200: tt.self, 201: tt.sibling, 300: tt.children, 301: tt.children} {
				if th := r.Thread(tid); th != nil && (th.Image != before[tid]) != want {
					t.Errorf("image of %d changed: %v, want %v", tid, !want, want)
				}
			}
		})
	}
}

func TestCallerThatWasMissedIsFilledFromItsClone(t *testing.T) {
	r := newRun(t, Options{})
	r.do(400, event.SYSCALL_GETUID_X, 0)
	image := r.need(400).Image
	r.do(400, event.SYSCALL_CLONE_20_X, forked{res: 9, tid: 400, pid: 400, ptid: 100, exe: "app", comm: "app", vtid: 5, vpid: 5}.values()...)
	p := r.need(400)
	if p.PID != 400 || p.Comm != "app" || p.VTID != 5 || p.VPID != 5 || p.Parent != r.need(100) || p.Image == image {
		t.Errorf("%+v", p.ThreadInfo)
	}
	if r.Thread(9) != nil {
		t.Error("the caller is in a pid namespace: the result is no id of the host")
	}
}

func TestExecByAnotherThreadKeepsTheProcess(t *testing.T) {
	r := newRun(t, Options{})
	r.fork(200, 300)
	r.do(200, event.SYSCALL_OPENAT_2_X, 5, -100, "/etc/config", 1, 0, 0, 0)
	// As the probe tells it: the main thread ends; the other one ends under its
	// own id and runs the program at the same time, which a container's facts
	// may come between.
	r.do(200, event.PROCEXIT_1_E, 0, 0, 0, 0, 0)
	r.do(201, event.PROCEXIT_1_E, 0, 0, 0, 0, 0)
	r.now -= second / 1000
	r.do(-1, event.ASYNCEVENT_E, 0, containerAdded, []byte(`{"container":{"id":"0123456789ab"}}`))
	r.now -= second / 1000
	r.exec(200, "/usr/bin/next")
	r.do(1, event.SYSCALL_GETCWD_X, 0, "/")
	p := r.need(200)
	if p.Inferred || p.Dead || p.Threads != 1 || p.Parent != r.need(1) {
		t.Errorf("inferred %t, dead %t, %d threads, parent %v", p.Inferred, p.Dead, p.Threads, p.Parent)
	}
	if fd := p.FDs.Get(5); fd == nil || fd.Name != "/etc/config" {
		t.Error("the descriptors are lost")
	}
	if c := r.need(300); c.Parent != p {
		t.Error("the child has lost its parent")
	}
	if r.Thread(201) != nil {
		t.Error("the thread that called exec is still there under its old id")
	}
}

func TestProcessEndsWithItsLastThread(t *testing.T) {
	r := newRun(t, Options{})
	r.fork(200, 300)
	r.do(200, event.PROCEXIT_1_E, 0, 0, 0, 0, 0)
	r.do(201, event.PROCEXIT_1_E, 0, 0, 0, 0, 0)
	r.do(1, event.SYSCALL_GETCWD_X, 0, "/")
	if r.Thread(200) != nil || r.Thread(201) != nil {
		t.Error("a thread is still there")
	}
	if r.need(300).Parent != r.need(1) {
		t.Error("the child was not given to init")
	}
}

func TestThreadsThatEndAtTheSameTimeAreAllRemoved(t *testing.T) {
	r := newRun(t, Options{})
	for _, tid := range []int64{200, 201, 200, 201, 100} { // a hostile capture may repeat them
		r.do(tid, event.PROCEXIT_1_E, 0, 0, 0, 0, 0)
		r.now -= second / 1000
	}
	r.now += second / 1000
	r.do(1, event.SYSCALL_GETCWD_X, 0, "/")
	if n := r.Stats().Threads; n != 1 {
		t.Errorf("%d threads are left, want init alone", n)
	}
}
