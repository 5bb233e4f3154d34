package host

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"rollcage/internal/observe/event"
)

// second is a second of event time, in ns.
const second = uint64(1e9)

// run is a state under test with a clock.
type run struct {
	*testing.T
	*State
	now uint64
	num uint64
	ev  event.Event
	he  Event
}

// newRun returns a state with a small host: init (1), a shell (100) with a
// file and two threads of a daemon (200, 201).
func newRun(t *testing.T, opt Options) *run {
	t.Helper()
	r := &run{T: t, State: New(opt), now: 1000 * second}
	r.Load(smallHost())
	return r
}

func thread(tid, pid, ptid int64, comm string) *event.ThreadInfo {
	info := event.NewThreadInfo()
	info.TID, info.PID, info.PTID, info.VTID, info.VPID = tid, pid, ptid, tid, pid
	info.SID, info.PGID, info.VPGID = pid, pid, pid
	info.Comm, info.Exe, info.ExePath = comm, comm, "/usr/bin/"+comm
	info.Cwd, info.Root = "/root", "/"
	return info
}

func smallHost() *event.Snapshot {
	shell := thread(100, 100, 1, "bash")
	shell.Env = []string{"HOME=/root"}
	shell.FDs = []event.FDInfo{
		{Num: 0, Type: event.FDFileV2, Name: "/dev/pts/0"},
		{Num: 3, Type: event.FDDirectory, Name: "/srv/data"},
		{Num: 4, Type: event.FDFileV2, Name: "/root/log", OpenFlags: flagCloexec},
	}
	daemon := thread(200, 200, 1, "daemon")
	daemon.SID, daemon.PGID, daemon.VPGID, daemon.TTY = 1, 1, 1, 34816
	return &event.Snapshot{
		Machine: event.Machine{CPUs: 2, BootTime: 500},
		Users:   []event.User{{UID: 0, Name: "root", Home: "/root"}, {UID: 33, Name: "www-data"}},
		Groups:  []event.Group{{GID: 33, Name: "www-data"}},
		Threads: []*event.ThreadInfo{
			thread(1, 1, 0, "systemd"), shell, daemon, thread(201, 200, 1, "worker"),
		},
	}
}

// do applies an event of a thread, 1 ms after the last one.
func (r *run) do(tid int64, typ event.Type, values ...any) *Event {
	r.Helper()
	r.now += second / 1000
	b, err := event.Append(nil, r.now, tid, typ, values...)
	if err != nil {
		r.Fatal(err)
	}
	r.num++
	r.ev.Num = r.num
	if err := r.ev.Reset(b); err != nil {
		r.Fatal(err)
	}
	r.Apply(&r.ev, &r.he)
	checkLinks(r, r.State)
	return &r.he
}

// forked are the values of a clone event that matter to most tests.
type forked struct {
	res, tid, pid, ptid int64
	exe, comm           string
	args                []byte
	flags               int
	uid                 int
	vtid, vpid          any
	cgroups             string
}

func (f forked) values() []any {
	if f.exe == "" {
		f.exe, f.comm = "bash", "bash"
	}
	if f.vtid == nil {
		f.vtid, f.vpid = f.tid, f.pid
	}
	var cgroups any
	if f.cgroups != "" {
		cgroups = []byte(f.cgroups + "\x00")
	}
	return []any{f.res, f.exe, f.args, f.tid, f.pid, f.ptid, "", 1024, 1, 2, 3, 4, 5, f.comm, cgroups, f.flags, f.uid, f.uid, f.vtid, f.vpid, 0}
}

// fork applies both events of a plain fork, the parent's first.
func (r *run) fork(parent, child int64) {
	r.Helper()
	r.do(parent, event.SYSCALL_CLONE_20_X, forked{res: child, tid: parent, pid: parent}.values()...)
	r.do(child, event.SYSCALL_CLONE_20_X, forked{tid: child, pid: child, ptid: parent}.values()...)
}

// exec applies a successful execve.
func (r *run) exec(tid int64, exe string, args ...string) *Event {
	r.Helper()
	comm := exe[strings.LastIndexByte(exe, '/')+1:]
	return r.do(tid, event.SYSCALL_EXECVE_19_X, 0, exe, list(args...), tid, tid, 1, "", 1024, 1, 2, 3, 4, 5,
		comm, nil, list("PATH=/bin"), 34816, tid, 1000, exeUpperLayer, 0, 7, 7, 42, 10, 11, 0, exe, tid, 0, exe)
}

func (r *run) exit(tid int64, reaper any) *Event {
	r.Helper()
	return r.do(tid, event.PROCEXIT_1_E, 0, 0, 0, 0, reaper)
}

// need returns a thread that must be known.
func (r *run) need(tid int64) *Thread {
	r.Helper()
	t := r.Thread(tid)
	if t == nil {
		r.Fatalf("thread %d is not known", tid)
	}
	return t
}

// fd returns a descriptor that must be known.
func (r *run) fd(tid, num int64) *FD {
	r.Helper()
	fd := r.need(tid).FDs.Get(num)
	if fd == nil {
		r.Fatalf("descriptor %d of thread %d is not known", num, tid)
	}
	return fd
}

func list(items ...string) []byte {
	if len(items) == 0 {
		return nil
	}
	return []byte(strings.Join(items, "\x00") + "\x00")
}

// tuple makes a SOCKTUPLE of IP addresses.
func tuple(src, dst string) []byte {
	a, b := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	family := byte(familyIPv4)
	if a.Addr().Is6() {
		family = familyIPv6
	}
	return append(end([]byte{family}, a), end(nil, b)...)
}

// sockaddr makes a SOCKADDR of an IP address.
func sockaddr(at string) []byte {
	a := netip.MustParseAddrPort(at)
	if a.Addr().Is6() {
		return end([]byte{familyIPv6}, a)
	}
	return end([]byte{familyIPv4}, a)
}

func end(b []byte, a netip.AddrPort) []byte {
	return binary.LittleEndian.AppendUint16(append(b, a.Addr().AsSlice()...), a.Port())
}

func unixTuple(src, dst uint64, path string) []byte {
	b := binary.LittleEndian.AppendUint64([]byte{familyUnix}, src)
	return append(append(binary.LittleEndian.AppendUint64(b, dst), path...), 0)
}

// checkLinks checks what must hold between all threads at any time.
func checkLinks(t testing.TB, s *State) {
	t.Helper()
	fail := func(th *Thread, what string) { t.Fatalf("thread %d of process %d: %s", th.TID, th.PID, what) }
	if len(s.threads) != len(s.ring) || len(s.ring) > s.opt.MaxThreads {
		t.Fatalf("%d threads, %d in the ring, at most %d", len(s.threads), len(s.ring), s.opt.MaxThreads)
	}
	images := map[uint64]bool{}
	inContainer := map[*Container]int{}
	tables := map[*FDTable]int{}
	for i, th := range s.ring {
		images[th.Image] = true
		inContainer[th.Container]++
		tables[th.FDs]++
		live := 0
		for n, m := range th.members {
			if m.Leader != th || m.memberSlot != n || s.threads[m.TID] != m {
				fail(th, "has a member that does not know it")
			}
			if !m.Dead {
				live++
			}
		}
		if !th.Dead {
			live++
		}
		switch {
		case th.ringSlot != i || s.threads[th.TID] != th:
			fail(th, "is not where it should be in the table")
		case th.Leader == nil || th.Leader.Leader != th.Leader || s.threads[th.Leader.TID] != th.Leader:
			fail(th, "has a leader that is none")
		case th.Leader == th && th.Threads != live:
			t.Fatalf("process %d counts %d threads, has %d", th.PID, th.Threads, live)
		case th.Leader != th && (len(th.members) > 0 || len(th.Children) > 0 || th.Parent != th.Leader.Parent):
			fail(th, "is no main thread and has members, children or a parent of its own")
		}
		if p := th.Parent; p != nil && th.Leader == th && (s.threads[p.TID] != p || p.Children[th.childSlot] != th) {
			fail(th, "is not a child of its parent")
		}
		for n, c := range th.Children {
			if c.Parent != th || c.childSlot != n || s.threads[c.TID] != c {
				fail(th, "has a child that does not know it")
			}
		}
	}
	if len(images) != len(s.ring) {
		t.Fatalf("%d threads have %d images", len(s.ring), len(images))
	}
	for _, c := range s.containers {
		if c.threads != inContainer[c] {
			t.Fatalf("container %s counts %d threads, has %d", c.ID, c.threads, inContainer[c])
		}
	}
	checkTables(t, s, tables)
}

// checkTables checks the counts of the descriptor tables.
func checkTables(t testing.TB, s *State, tables map[*FDTable]int) {
	t.Helper()
	sharing := map[*fdSlots]int{}
	refs := map[*FD]int32{}
	total := 0
	for tb, users := range tables {
		if tb.users != users {
			t.Fatalf("a descriptor table counts %d users, has %d", tb.users, users)
		}
		if sharing[tb.slots]++; sharing[tb.slots] > 1 {
			continue
		}
		n := 0
		for _, fd := range tb.slots.low {
			if fd != nil {
				refs[fd]++
				n++
			}
		}
		for _, fd := range tb.slots.high {
			refs[fd]++
			n++
		}
		if n != tb.slots.n || n > s.opt.MaxProcessFDs {
			t.Fatalf("a descriptor table counts %d, has %d, at most %d", tb.slots.n, n, s.opt.MaxProcessFDs)
		}
		total += n
	}
	for slots, n := range sharing {
		if slots.tables != n {
			t.Fatalf("descriptors count %d tables, have %d", slots.tables, n)
		}
	}
	for fd, n := range refs {
		if fd.refs != n {
			t.Fatalf("descriptor %d %q counts %d holders, has %d", fd.Num, fd.Name, fd.refs, n)
		}
	}
	if total != s.stats.FDs || total > s.opt.MaxFDs {
		t.Fatalf("%d descriptors counted, %d there, at most %d", s.stats.FDs, total, s.opt.MaxFDs)
	}
}

// fakeHost is a Healer that knows what a test puts into it.
type fakeHost struct {
	threads map[int64]*event.ThreadInfo
	fds     map[[2]int64]event.FDInfo
	asked   int
}

var errNotThere = errors.New("not there")

func (f *fakeHost) Thread(tid int64) (*event.ThreadInfo, error) {
	f.asked++
	if t := f.threads[tid]; t != nil {
		return t, nil
	}
	return nil, errNotThere
}

func (f *fakeHost) FD(pid, num int64) (event.FDInfo, error) {
	f.asked++
	if fd, ok := f.fds[[2]int64{pid, num}]; ok {
		return fd, nil
	}
	return event.FDInfo{}, errNotThere
}

func (f *fakeHost) Alive(tid int64) bool { return f.threads[tid] != nil }
