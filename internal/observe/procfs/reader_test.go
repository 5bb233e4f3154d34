package procfs

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

func open(t testing.TB) *Reader {
	t.Helper()
	r, err := Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// child is a process that waits for the end of its input.
func child(t *testing.T, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/cat", "-u")
	cmd.Env = append(env, "LAST=")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Dir = "/tmp"
	if err := cmd.Start(); err != nil {
		t.Skipf("no cat to look at: %v", err)
	}
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	return cmd
}

func TestThreadTellsWhatTheProcessWasStartedWith(t *testing.T) {
	r := open(t)
	cmd := child(t, "A=1", "B=x y")
	pid := int64(cmd.Process.Pid)
	got, err := r.Thread(pid, pid)
	if err != nil {
		t.Fatal(err)
	}
	if got.Comm != "cat" || got.Exe != "/bin/cat" || !slices.Equal(got.Args, []string{"-u"}) ||
		!slices.Equal(got.Env, []string{"A=1", "B=x y", "LAST="}) {
		t.Errorf("%q %q %q %q", got.Comm, got.Exe, got.Args, got.Env)
	}
	want, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if got.ExePath != want || got.Cwd != "/tmp" || got.Root != "/" || got.ExeFromMemfd {
		t.Errorf("%q in %q below %q, want %q", got.ExePath, got.Cwd, got.Root, want)
	}
	var st unix.Stat_t
	if err := unix.Stat(want, &st); err != nil {
		t.Fatal(err)
	}
	if got.ExeIno != st.Ino || got.ExeMtime != uint64(st.Mtim.Nano()) || got.ExeCtime != uint64(st.Ctim.Nano()) {
		t.Errorf("executable %d %d %d", got.ExeIno, got.ExeCtime, got.ExeMtime)
	}
	if got.PTID != int64(os.Getpid()) || got.UID != uint32(os.Getuid()) || got.FDLimit == 0 || len(got.Cgroups) == 0 {
		t.Errorf("parent %d, uid %d, limit %d, cgroups %q", got.PTID, got.UID, got.FDLimit, got.Cgroups)
	}
	boot := BootTime()
	if got.StartTime < boot || got.PidnsInitStart > got.StartTime {
		t.Errorf("booted %d, init %d, started %d", boot, got.PidnsInitStart, got.StartTime)
	}
}

func TestThreadsOfAProcessShareAllButTheirOwn(t *testing.T) {
	r := open(t)
	tid := make(chan int64)
	done := make(chan struct{})
	defer close(done)
	for range 2 { // one of them may be the main thread
		go func() {
			runtime.LockOSThread()
			tid <- int64(unix.Gettid())
			<-done
		}()
	}
	pid := int64(os.Getpid())
	other := <-tid
	if next := <-tid; other == pid {
		other = next
	}
	threads, err := r.Threads(pid)
	if err != nil || threads[0].TID != pid {
		t.Fatal(err)
	}
	i := slices.IndexFunc(threads, func(th *event.ThreadInfo) bool { return th.TID == other })
	if i < 0 {
		t.Fatalf("thread %d of %d is missing", other, pid)
	}
	th := threads[i]
	if th.PID != pid || th.VTID != other || th.ExePath != threads[0].ExePath || th.Env != nil || th.Cwd != "" {
		t.Errorf("%+v", th)
	}
	if got := event.Table("clone_flags").AppendFlags(nil, uint64(th.Flags)); string(got) != "CLONE_FILES|CLONE_THREAD" {
		t.Errorf("flags %s", got)
	}
	if got, err := r.ProcessOf(other); err != nil || got != pid {
		t.Errorf("process %d, %v", got, err)
	}
	if one, err := r.Thread(pid, other); err != nil || one.TID != other {
		t.Error(one, err)
	}
}

func TestWhatIsGoneSaysSo(t *testing.T) {
	r := open(t)
	cmd := exec.Command("/bin/true")
	if err := cmd.Run(); err != nil {
		t.Skip(err)
	}
	pid := int64(cmd.Process.Pid)
	if _, err := r.Thread(pid, pid); !errors.Is(err, ErrGone) {
		t.Errorf("thread: %v", err)
	}
	if _, err := r.ProcessOf(pid); !errors.Is(err, ErrGone) {
		t.Errorf("process: %v", err)
	}
	if _, err := r.FDs(pid); !errors.Is(err, ErrGone) {
		t.Errorf("descriptors: %v", err)
	}
	if _, err := r.FD(int64(os.Getpid()), 1<<30); !errors.Is(err, ErrGone) {
		t.Errorf("descriptor: %v", err)
	}
}

// A child that nobody waits for is a process that only waits to be collected.
func TestAZombieIsGone(t *testing.T) {
	r := open(t)
	cmd := exec.Command("/bin/true")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	_, _ = out.Read(make([]byte, 1)) // ends when the child has closed its descriptors
	pid := int64(cmd.Process.Pid)
	for {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		if s, err := parseStat(b); err == nil && s.dead() {
			break
		}
		runtime.Gosched()
	}
	if th, err := r.Thread(pid, pid); !errors.Is(err, ErrGone) {
		t.Errorf("%+v %v", th, err)
	}
	_ = cmd.Wait()
}

func TestDescriptorsOfEachKind(t *testing.T) {
	r := open(t)
	want := map[int64]event.FDInfo{}
	must := func(fd int, err error) int {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	dir := t.TempDir()
	file := must(unix.Open(dir+"/file", unix.O_CREAT|unix.O_RDWR|unix.O_APPEND|unix.O_CLOEXEC, 0o600))
	want[int64(file)] = event.FDInfo{Type: event.FDFileV2, Name: dir + "/file", OpenFlags: 3 | 1<<3 | 1<<12}
	gone := must(unix.Open(dir+"/gone", unix.O_CREAT|unix.O_WRONLY, 0o600))
	_ = os.Remove(dir + "/gone")
	want[int64(gone)] = event.FDInfo{Type: event.FDFileV2, Name: dir + "/gone", OpenFlags: 2}
	want[int64(must(unix.Open(dir, unix.O_DIRECTORY, 0)))] = event.FDInfo{Type: event.FDDirectory, Name: dir, OpenFlags: 1 | 1<<10}
	want[int64(must(unix.Eventfd(0, unix.EFD_CLOEXEC)))] = event.FDInfo{Type: event.FDEvent, OpenFlags: 3 | 1<<12}
	want[int64(must(unix.EpollCreate1(0)))] = event.FDInfo{Type: event.FDEventPoll, OpenFlags: 3}
	want[int64(must(unix.InotifyInit1(0)))] = event.FDInfo{Type: event.FDInotify, OpenFlags: 1}
	want[int64(must(unix.TimerfdCreate(unix.CLOCK_MONOTONIC, 0)))] = event.FDInfo{Type: event.FDTimer, OpenFlags: 3}
	want[int64(must(unix.Signalfd(-1, &unix.Sigset_t{}, 0)))] = event.FDInfo{Type: event.FDSignal, OpenFlags: 3}
	want[int64(must(unix.MemfdCreate("m", 0)))] = event.FDInfo{Type: event.FDMemfd, Name: "/memfd:m", OpenFlags: 3}
	want[int64(must(unix.PidfdOpen(os.Getpid(), 0)))] = event.FDInfo{Type: event.FDPidfd, Name: PidfdName(int64(os.Getpid())), OpenFlags: 3 | 1<<12}
	netlink := must(unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, 0))
	if err := unix.Bind(netlink, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	want[int64(netlink)] = event.FDInfo{Type: event.FDNetlink, OpenFlags: 3}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	for i, fd := range p {
		var st unix.Stat_t
		_ = unix.Fstat(must(fd, nil), &st)
		want[int64(fd)] = event.FDInfo{Type: event.FDPipe, Name: fmt.Sprintf("pipe:[%d]", st.Ino), OpenFlags: uint32(i+1) | 1<<6}
	}
	fds, err := r.FDs(int64(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(fds, func(a, b event.FDInfo) int { return int(a.Num - b.Num) }) {
		t.Error("not in order")
	}
	for _, got := range fds {
		w, ok := want[got.Num]
		if !ok {
			continue
		}
		delete(want, got.Num)
		if got.Type != w.Type || got.Name != w.Name || got.OpenFlags != w.OpenFlags {
			t.Errorf("%+v, want %+v", got, w)
		}
		var st unix.Stat_t
		if err := unix.Fstat(int(got.Num), &st); err != nil || got.Ino != st.Ino {
			t.Errorf("%q: inode %d, want %d", got.Name, got.Ino, st.Ino)
		}
		if got.Type == event.FDFileV2 && got.Dev == 0 {
			t.Errorf("%q has no device", got.Name)
		}
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}

func TestSocketsKnowTheirEndsAndRole(t *testing.T) {
	r := open(t)
	for _, tt := range []struct {
		network, addr    string
		listening, other event.FDType
	}{
		{"tcp4", "127.0.0.1:0", event.FDIPv4Server, event.FDIPv4},
		{"tcp6", "[::1]:0", event.FDIPv6Server, event.FDIPv6},
		{"unix", t.TempDir() + "/s", event.FDUnix, event.FDUnix},
	} {
		t.Run(tt.network, func(t *testing.T) {
			l, err := net.Listen(tt.network, tt.addr)
			if err != nil {
				t.Skip(err)
			}
			defer l.Close()
			client, err := net.Dial(tt.network, l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			server, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			lf, cf, sf := look(t, r, l), look(t, r, client), look(t, r, server)
			if lf.Type != tt.listening || cf.Type != tt.other || sf.Type != tt.other {
				t.Fatalf("types %d %d %d", lf.Type, cf.Type, sf.Type)
			}
			if cf.Server || !sf.Server {
				t.Errorf("client %+v, server %+v", cf, sf)
			}
			if tt.network == "unix" {
				if lf.Name != tt.addr || sf.Name != tt.addr {
					t.Errorf("names %q %q", lf.Name, sf.Name)
				}
				return
			}
			if lf.Source.String() != l.Addr().String() || cf.Source.String() != client.LocalAddr().String() ||
				cf.Dest != lf.Source || cf.Source != sf.Source || cf.Dest != sf.Dest || cf.Proto != event.L4TCP {
				t.Errorf("\nlistening %+v\nclient %+v\nserver %+v", lf, cf, sf)
			}
		})
	}
}

// look reads a descriptor of this process.
func look(t *testing.T, r *Reader, conn any) event.FDInfo {
	t.Helper()
	type filer interface{ File() (*os.File, error) }
	f, err := conn.(filer).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := r.FD(int64(os.Getpid()), int64(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestMachineAndInterfaces(t *testing.T) {
	m := open(t).Machine()
	if m.CPUs == 0 || m.Memory == 0 || m.MaxPID == 0 || m.Hostname == "" || m.BootTime == 0 {
		t.Errorf("%+v", m)
	}
	list, err := Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		want := net.IPv4len
		if i.Type == interfaceIPv6 {
			want = net.IPv6len
		}
		if i.Name == "" || len(i.Addr) != want || len(i.Netmask) != want || len(i.Broadcast) != want {
			t.Errorf("%+v", i)
		}
	}
}

func TestAMemfdIsRecognisedAsExecutable(t *testing.T) {
	r := open(t)
	fd, err := unix.MemfdCreate("payload", 0)
	if err != nil {
		t.Skip(err)
	}
	f := os.NewFile(uintptr(fd), "payload")
	defer f.Close()
	program, err := os.ReadFile("/bin/cat")
	if err != nil {
		t.Skip(err)
	}
	if _, err := f.Write(program); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	defer func() { in.Close(); _ = cmd.Wait() }()
	th, err := r.Thread(int64(cmd.Process.Pid), int64(cmd.Process.Pid))
	if err != nil || !th.ExeFromMemfd || !strings.HasPrefix(th.ExePath, "/memfd:payload") {
		t.Errorf("%+v %v", th, err)
	}
}

// In a user namespace of its own a process may be root to itself, but not to the host's files.
func TestCapabilitiesCountOnlyOnTheHost(t *testing.T) {
	r := open(t)
	cmd := exec.Command("/bin/cat")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("no user namespaces here: %v", err)
	}
	defer func() { in.Close(); _ = cmd.Wait() }()
	if r.inHostUserns(int64(cmd.Process.Pid)) {
		t.Error("a process in a user namespace of its own has the users of the host")
	}
}

func BenchmarkThread(b *testing.B) {
	r, pid := open(b), int64(os.Getpid())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Thread(pid, pid); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFD(b *testing.B) {
	r, pid := open(b), int64(os.Getpid())
	f, err := os.Open("/dev/null")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.FD(pid, int64(f.Fd())); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseStat(b *testing.B) {
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseStat(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseInet(b *testing.B) {
	l := []byte("   1: 0A00020F:0050 01020304:BEEF 01 00000000:00000000 00:00000000 00000000     0        0 11453 1")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := parseInet(l, event.L4TCP); !ok {
			b.Fatal("not parsed")
		}
	}
}
