package host

import (
	"fmt"
	"os"
	"testing"
	"time"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/procfs"
)

func liveRun(t *testing.T, h *fakeHost, opt Options) *run {
	t.Helper()
	opt.Healer = h
	r := newRun(t, opt)
	r.live = true
	return r
}

func TestMissingThreadIsHealedWithItsAncestors(t *testing.T) {
	app := thread(501, 500, 400, "app")
	main := thread(500, 500, 400, "main")
	main.FDs = []event.FDInfo{{Num: 3, Type: event.FDFileV2, Name: "/etc/app"}}
	main.Cgroups = []string{"memory=/docker/" + longID}
	h := &fakeHost{threads: map[int64]*event.ThreadInfo{501: app, 500: main, 400: thread(400, 400, 1, "supervisor")}}
	r := liveRun(t, h, Options{})
	he := r.do(501, event.SYSCALL_READ_X, 1, nil, 3, 1)
	p := he.Process()
	if p == nil || p.TID != 500 || p.Comm != "main" || p.Inferred || he.FD == nil || he.FD.Name != "/etc/app" {
		t.Fatalf("process %+v, descriptor %+v", p, he.FD)
	}
	if p.Parent == nil || p.Parent.Comm != "supervisor" || p.Parent.Parent != r.need(1) || p.ContainerID() != longID[:12] {
		t.Errorf("ancestry %+v, container %q", p.Parent, p.ContainerID())
	}
	if st := r.Stats(); st.HealedThreads != 3 || st.MissingThreads != 1 || st.InferredThreads != 0 {
		t.Errorf("%+v", st)
	}
}

func TestMissingThreadIsInferred(t *testing.T) {
	for name, live := range map[string]bool{"in a capture": false, "when the host does not know it": true} {
		t.Run(name, func(t *testing.T) {
			h := &fakeHost{}
			r := liveRun(t, h, Options{})
			r.live = live
			r.do(500, event.SYSCALL_READ_X, 1, nil, 3, 1)
			he := r.do(500, event.SYSCALL_READ_X, 1, nil, 3, 1)
			if p := he.Thread; !p.Inferred || p.Comm != "<NA>" || p.PID != -1 || p.Leader != p {
				t.Errorf("thread %+v", p.ThreadInfo)
			}
			asked := 0
			if live {
				asked = 1 // for the thread; a descriptor needs to know its process
			}
			if h.asked != asked || r.Stats().InferredThreads != 1 {
				t.Errorf("asked %d times, %+v", h.asked, r.Stats())
			}
			r.exec(500, "/usr/bin/x")
			if p := r.need(500); p.PID != 500 || p.Comm != "x" || p.Parent != r.need(1) {
				t.Errorf("exec did not fill it: %+v", p.ThreadInfo)
			}
		})
	}
}

func TestEventsOfNobodyHealNothing(t *testing.T) {
	h := &fakeHost{}
	r := liveRun(t, h, Options{})
	for _, tid := range []int64{0, -1} {
		if he := r.do(tid, event.SYSCALL_READ_X, 1, nil, 3, 1); he.Thread != nil {
			t.Errorf("thread %d: %+v", tid, he.Thread)
		}
	}
	r.do(700, event.PROCEXIT_1_E, 0, 0, 0, 0, 0)
	r.do(700, event.SCHEDSWITCH_6_E, 1, 1, 1, 1, 1, 1)
	r.do(700, event.DROP_E, 1)
	if h.asked != 0 || r.Stats().Threads != 4 {
		t.Errorf("asked %d times, %d threads", h.asked, r.Stats().Threads)
	}
}

func TestHealingHasABudget(t *testing.T) {
	h := &fakeHost{threads: map[int64]*event.ThreadInfo{504: thread(504, 504, 1, "late")}}
	r := liveRun(t, h, Options{HealRate: 3})
	for tid := int64(500); tid < 510; tid++ {
		r.do(tid, event.SYSCALL_GETUID_X, 0)
	}
	if st := r.Stats(); h.asked != 3 || st.HealsRefused != 7 || !r.need(504).Inferred {
		t.Fatalf("asked %d times, %+v", h.asked, st)
	}
	r.now += 2 * second
	if he := r.do(504, event.SYSCALL_GETUID_X, 0); he.Thread.Inferred || he.Thread.Comm != "late" || he.Thread.Parent != r.need(1) {
		t.Errorf("not tried again: %+v", he.Thread.ThreadInfo)
	}
}

func TestAHealedParentGetsTheChildrenThatItMissed(t *testing.T) {
	h := &fakeHost{threads: map[int64]*event.ThreadInfo{501: thread(501, 501, 500, "child")}}
	r := liveRun(t, h, Options{})
	child := r.do(501, event.SYSCALL_GETUID_X, 0).Thread
	if child == nil || child.Parent != nil {
		t.Fatalf("the child is %+v", child)
	}
	image := child.Image
	h.threads[500] = thread(500, 500, 1, "parent")
	parent := r.do(500, event.SYSCALL_GETUID_X, 0).Thread
	if parent == nil || child.Parent != parent || child.Image == image {
		t.Errorf("parent %+v, child's %+v, image new: %v", parent, child.Parent, child.Image != image)
	}
}

func TestMissingDescriptorIsHealed(t *testing.T) {
	h := &fakeHost{fds: map[[2]int64]event.FDInfo{{100, 9}: {Type: event.FDFileV2, Name: "/etc/passwd"}}}
	r := liveRun(t, h, Options{})
	if he := r.do(100, event.SYSCALL_READ_X, 1, nil, 9, 1); he.FD == nil || he.FD.Name != "/etc/passwd" || he.FD.Num != 9 {
		t.Errorf("descriptor %+v", he.FD)
	}
	for range 3 {
		if he := r.do(100, event.SYSCALL_READ_X, 1, nil, 10, 1); he.FD != nil || he.FDNum != 10 {
			t.Errorf("descriptor %+v", he.FD)
		}
	}
	r.do(100, event.SYSCALL_READ_X, -9, nil, 11, 1)
	r.do(100, event.SYSCALL_CLOSE_X, 0, 12)
	if st := r.Stats(); h.asked != 2 || st.HealedFDs != 1 || st.MissingFDs != 4 {
		t.Errorf("asked %d times, %+v", h.asked, st)
	}
	if r.need(100).FDs.Get(10) != nil {
		t.Error("a placeholder is visible")
	}
}

func TestThreadsAreBounded(t *testing.T) {
	const most = 50
	r := newRun(t, Options{MaxThreads: most})
	for i := range int64(500) {
		r.do(100, event.SYSCALL_GETUID_X, 0)
		r.do(1000+i, event.SYSCALL_CLONE_20_X, forked{tid: 1000 + i, pid: 1000 + i, ptid: 100}.values()...)
	}
	st := r.Stats()
	if st.Threads != most || st.EvictedThreads != 4+500-most {
		t.Errorf("%+v", st)
	}
	if r.Thread(100) == nil || r.Thread(1) == nil {
		t.Error("a thread with children was evicted")
	}
	if r.Thread(1499) == nil || r.Thread(1001) != nil {
		t.Error("the newest must be there, the oldest not")
	}
}

func TestThreadsWithoutRoomAreRefused(t *testing.T) {
	r := newRun(t, Options{MaxThreads: 4})
	// A chain leaves no leaf but the one in use.
	r.fork(201, 300)
	r.fork(300, 301)
	r.fork(301, 302)
	r.fork(302, 303)
	if st := r.Stats(); st.Threads != 4 || st.RefusedThreads == 0 {
		t.Errorf("%+v", st)
	}
	if he := r.do(303, event.SYSCALL_READ_X, 1, nil, 3, 1); he.Thread == nil && he.FD != nil {
		t.Error("a descriptor without a thread")
	}
}

func TestSnapshotLargerThanTheTable(t *testing.T) {
	r := newRun(t, Options{MaxThreads: 2})
	if st := r.Stats(); st.Threads != 2 || st.RefusedThreads != 2 {
		t.Errorf("%+v", st)
	}
}

func TestDescriptorsAreBounded(t *testing.T) {
	r := newRun(t, Options{MaxProcessFDs: 10, MaxFDs: 25})
	for i := range 20 {
		r.do(100, event.SYSCALL_OPEN_X, 10+i, "/x", 1, 0, 0, 0)
	}
	if n := r.need(100).FDs.Len(); n != 10 {
		t.Errorf("process has %d", n)
	}
	// An open that replaces a known number needs no room.
	if he := r.do(100, event.SYSCALL_OPEN_X, 3, "/y", 1, 0, 0, 0); he.FD == nil || he.FD.Name != "/y" {
		t.Errorf("descriptor %+v", he.FD)
	}
	for i := range int64(5) {
		r.fork(100, 300+i)
		r.do(300+i, event.SYSCALL_CLOSE_X, 0, 0)
	}
	if st := r.Stats(); st.FDs > 25 || st.RefusedFDs == 0 {
		t.Errorf("%+v", st)
	}
}

func TestIdleThreadsAreForgotten(t *testing.T) {
	sweep := func(r *run) {
		for range 6 * ageEvery {
			r.do(1, event.SYSCALL_GETUID_X, 0)
		}
	}
	for name, tt := range map[string]struct {
		live bool
		want map[int64]bool
	}{
		"in a capture by time":               {false, map[int64]bool{1: true, 100: false, 200: true, 300: false}},
		"live when they are gone from there": {true, map[int64]bool{1: true, 100: true, 200: true, 300: false}},
	} {
		t.Run(name, func(t *testing.T) {
			h := &fakeHost{threads: map[int64]*event.ThreadInfo{100: thread(100, 100, 1, "bash")}}
			r := liveRun(t, h, Options{MaxIdle: time.Minute})
			r.live = tt.live
			r.fork(100, 300)
			r.fork(200, 301)
			sweep(r) // starts the time of those without an event so far
			if r.Stats().AgedThreads != 0 {
				t.Fatal("forgotten too early")
			}
			r.now += 120 * second
			r.do(301, event.SYSCALL_GETUID_X, 0)
			sweep(r)
			sweep(r)
			for tid, want := range tt.want {
				if got := r.Thread(tid) != nil; got != want {
					t.Errorf("thread %d is there: %v, want %v", tid, got, want)
				}
			}
			if r.Stats().AgedThreads == 0 {
				t.Error("nothing was counted")
			}
		})
	}
}

func TestContainersAreBounded(t *testing.T) {
	r := newRun(t, Options{MaxContainers: 10})
	r.do(300, event.SYSCALL_CLONE_20_X, forked{tid: 300, pid: 300, ptid: 100, vtid: 1, vpid: 1, cgroups: "a=/lxc/used"}.values()...)
	for i := range 50 {
		r.do(-1, event.CONTAINER_JSON_2_E, fmt.Sprintf(`{"id":"c%d","type":1}`, i))
	}
	if st := r.Stats(); st.Containers != 10 || st.EvictedContainers != 41 || r.Container("used") == nil || r.Container("c49") == nil {
		t.Errorf("%+v", st)
	}
}

func TestSnapshotLoadsAgain(t *testing.T) {
	r := newRun(t, Options{})
	r.fork(100, 300)
	r.exec(300, "/usr/bin/curl", "-s")
	r.socket(2, tcp)
	r.do(100, event.SOCKET_BIND_X, 0, sockaddr("0.0.0.0:80"), 7)
	r.do(100, event.SOCKET_ACCEPT4_6_X, 8, tuple("1.2.3.4:555", "10.0.0.5:80"), 0, 0, 5, 0)
	r.do(100, event.SOCKET_ACCEPT_5_X, 9, unixTuple(1, 2, "/run/s"), 0, 0, 5)
	r.do(-1, event.CONTAINER_JSON_2_E, `{"id":"abc","type":1,"name":"web"}`)
	r.do(-1, event.USER_ADDED_E, 5, 5, "five", "/", "/bin/sh", "abc")
	r.exit(201, 0)

	snap := r.Snapshot()
	s := New(Options{})
	s.Load(snap)
	checkLinks(t, s)
	if s.Thread(201) != nil {
		t.Error("a thread that ended is in the snapshot")
	}
	for th := range r.Threads() {
		if th.TID == 201 {
			continue
		}
		got := s.Thread(th.TID)
		if got == nil || got.Comm != th.Comm || got.Leader.TID != th.Leader.TID || got.Cwd != th.Cwd || got.FDs.Len() != th.FDs.Len() {
			t.Fatalf("thread %d: %+v", th.TID, got)
		}
		for n, fd := range th.FDs.All() {
			if g := got.FDs.Get(n); g == nil || g.Name != fd.Name || g.Role != fd.Role && fd.Name != "/run/s" || g.Type != fd.Type {
				t.Errorf("descriptor %d: %+v, want %+v", n, g, fd)
			}
		}
	}
	if c := s.Container("abc"); c == nil || c.Name != "web" {
		t.Errorf("container %+v", c)
	}
	if u := s.User(5, "abc"); u == nil || u.Name != "five" || s.Machine().CPUs != 2 {
		t.Errorf("user %+v", u)
	}
	for _, info := range snap.Threads {
		for _, fd := range info.FDs {
			if fd.Type.IsIP() && fd.Name != "" {
				t.Errorf("an IP socket has a name in the snapshot: %q", fd.Name)
			}
		}
	}
}

func TestLoadReplacesEverything(t *testing.T) {
	r := newRun(t, Options{})
	r.fork(100, 300)
	r.do(-1, event.CONTAINER_JSON_2_E, `{"id":"abc","type":1}`)
	r.exit(300, 0)
	r.Load(&event.Snapshot{Threads: []*event.ThreadInfo{thread(7, 7, 1, "x"), nil, {TID: -1}}})
	checkLinks(t, r.State)
	if st := r.Stats(); st.Threads != 1 || st.Containers != 0 || st.Users != 0 || st.FDs != 0 {
		t.Errorf("%+v", st)
	}
	r.do(7, event.SYSCALL_GETUID_X, 0)
}

// TestLiveHostIsHealedFromProc applies an event of this very process to a state that does not know it.
func TestLiveHostIsHealedFromProc(t *testing.T) {
	reader, err := procfs.Open("/proc")
	if err != nil {
		t.Skip("no /proc: ", err)
	}
	defer reader.Close()
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := newRun(t, Options{Healer: procfs.NewHealer(reader)})
	r.Load(&event.Snapshot{Live: true})
	pid := int64(os.Getpid())
	he := r.do(pid, event.SYSCALL_READ_X, 0, nil, int64(f.Fd()), 1)
	if p := he.Process(); p == nil || p.Inferred || p.PID != pid || p.Comm == "" || p.Parent == nil || p.PTID != int64(os.Getppid()) {
		t.Fatalf("process %+v", p)
	}
	if he.FD == nil || he.FD.Name != "/dev/null" {
		t.Errorf("descriptor %+v", he.FD)
	}
}
