package probe

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/cilium/ebpf"
	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/procfs"
)

// useIterators loads the iterators, or skips the test where BPF is refused.
func useIterators(t testing.TB, bootTime uint64) *iterators {
	t.Helper()
	it, err := loadIterators(bootTime)
	var verifier *ebpf.VerifierError
	switch {
	case errors.As(err, &verifier):
		t.Fatalf("%+v", verifier)
	case errors.Is(err, unix.EPERM) || errors.Is(err, ebpf.ErrNotSupported):
		t.Skipf("BPF iterators are refused: %v", err)
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(it.close)
	return it
}

// helper runs a function of this file in a process of its own, which is there
// from the return of helper to the end of the test.
func helper(t testing.TB, name string, args ...string) int64 {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", append([]string{"-test.run=^TestHelperProcess$", "--", name}, args...)...)
	cmd.Env = []string{"ROLLCAGE_TEST_HELPER=1", "EMPTY="}
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the helper says %q, %v", line, err)
	}
	return int64(cmd.Process.Pid)
}

// TestHelperProcess is no test: it is what the other process runs, see helper.
func TestHelperProcess(*testing.T) {
	if os.Getenv("ROLLCAGE_TEST_HELPER") == "" {
		return
	}
	args := os.Args[slices.Index(os.Args, "--")+1:]
	if err := map[string]func([]string) error{"descriptors": openOneOfEach, "many": openMany}[args[0]](args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "helper:", err)
		os.Exit(1)
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// openOneOfEach opens a descriptor of each kind, files below a directory.
func openOneOfEach(args []string) error {
	dir := args[0]
	file, err1 := unix.Open(dir+"/file", unix.O_CREAT|unix.O_RDWR|unix.O_APPEND|unix.O_CLOEXEC, 0o600)
	gone, err2 := unix.Open(dir+"/gone", unix.O_CREAT|unix.O_WRONLY, 0o600)
	_, err3 := unix.Open(dir, unix.O_DIRECTORY, 0)
	_, err4 := unix.MemfdCreate("m", 0)
	_, err5 := unix.PidfdOpen(os.Getpid(), 0)
	_, err6 := unix.Eventfd(0, unix.EFD_CLOEXEC)
	_, err7 := unix.EpollCreate1(0)
	_, err8 := unix.InotifyInit1(unix.IN_NONBLOCK)
	_, err9 := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, 0)
	_, err10 := unix.Signalfd(-1, &unix.Sigset_t{}, 0)
	_, err11 := unix.Open("/proc/self/ns/net", unix.O_RDONLY, 0)
	err12 := unix.Mkfifo(dir+"/fifo", 0o600)
	_, err13 := unix.Open(dir+"/fifo", unix.O_RDWR, 0)
	err := errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11, err12, err13, os.Remove(dir+"/gone"))
	if err != nil || file == gone {
		return err
	}
	return openSockets(dir)
}

// openSockets opens connected and listening sockets, which stay open.
func openSockets(dir string) error {
	for network, addr := range map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0", "unix": dir + "/socket"} {
		l, err := net.Listen(network, addr)
		if err != nil {
			continue // a kernel without IPv6
		}
		c, err := net.Dial(network, l.Addr().String())
		if err != nil {
			return err
		}
		s, err := l.Accept()
		if err != nil {
			return err
		}
		open = append(open, l, c, s)
	}
	u, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	open = append(open, u)
	nl, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, 0)
	if err != nil {
		return err
	}
	return unix.Bind(nl, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

var open []io.Closer // keeps sockets from being collected

// openMany opens as many descriptors as its argument says.
func openMany(args []string) error {
	n, err := strconv.Atoi(args[0])
	for range n {
		if _, err2 := unix.Open("/dev/null", unix.O_RDONLY, 0); err2 != nil {
			return err2
		}
	}
	return err
}

// snapshots takes one snapshot with the iterators and one from /proc and
// returns the process with that id of both.
func snapshots(t *testing.T, pid int64) (iter, proc []*event.ThreadInfo) {
	t.Helper()
	o := snapshotOptions{BootTime: procfs.BootTime(), Warn: func(err error) { t.Error(err) }}
	both := [2][]*event.ThreadInfo{}
	for i, it := range []*iterators{useIterators(t, o.BootTime), nil} {
		o.Iterators = it
		s, in, err := takeSnapshot(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, th := range s.Threads {
			if th.PID == pid {
				both[i] = append(both[i], th)
			}
			if rec, ok := in.threads[th.TID]; !ok || rec.read >= in.end || in.fds[th.PID] > rec.read {
				t.Errorf("%s %d was read at %d, its descriptors at %d, all before %d", th.Comm, th.TID, rec.read, in.fds[th.PID], in.end)
			}
		}
		slices.SortFunc(both[i], func(a, b *event.ThreadInfo) int { return cmp.Compare(a.TID, b.TID) })
		if len(both[i]) == 0 {
			t.Fatalf("process %d is missing", pid)
		}
	}
	return both[0], both[1]
}

func TestIteratorsAndProcSayTheSame(t *testing.T) {
	dir := t.TempDir()
	pid := helper(t, "descriptors", dir)
	iter, proc := snapshots(t, pid)
	if len(iter) != len(proc) {
		t.Fatalf("%d threads, %d in /proc", len(iter), len(proc))
	}
	for i := range iter {
		a, b := *iter[i], *proc[i]
		const tick = 1e9 / 100
		if a.StartTime/tick-b.StartTime/tick > 1 || a.PidnsInitStart/tick-b.PidnsInitStart/tick > 1 {
			t.Errorf("started %d, in /proc %d; init %d, in /proc %d", a.StartTime, b.StartTime, a.PidnsInitStart, b.PidnsInitStart)
		}
		if missing := slices.DeleteFunc(slices.Clone(a.Cgroups), func(c string) bool { return slices.Contains(b.Cgroups, c) }); len(missing) > 0 {
			t.Errorf("cgroups %q are not in /proc: %q", missing, b.Cgroups)
		}
		// /proc rounds times, counts on, and lists more cgroups.
		a.StartTime, a.PidnsInitStart, a.Cgroups = b.StartTime, b.PidnsInitStart, b.Cgroups
		a.PFMinor, a.PFMajor, a.VMSize, a.VMRSS, a.VMSwap = b.PFMinor, b.PFMajor, b.VMSize, b.VMRSS, b.VMSwap
		// Only the iterators see both ends of a unix socket.
		a.FDs = slices.Clone(a.FDs)
		for i := range a.FDs {
			if a.FDs[i].Type == event.FDUnix && i < len(b.FDs) {
				a.FDs[i].UnixSource, a.FDs[i].UnixDest = b.FDs[i].UnixSource, b.FDs[i].UnixDest
				if !a.FDs[i].Server {
					a.FDs[i].Name = b.FDs[i].Name
				}
			}
		}
		if diff := gocmp.Diff(b, a, gocmp.Comparer(func(a, b event.FDInfo) bool { return a == b })); diff != "" {
			t.Error("- /proc, + iterators:", diff)
		}
	}
	types := map[event.FDType]int{}
	for _, f := range iter[0].FDs {
		types[f.Type]++
	}
	for _, want := range []event.FDType{event.FDFileV2, event.FDDirectory, event.FDIPv4, event.FDIPv4Server, event.FDPipe,
		event.FDUnix, event.FDEvent, event.FDSignal, event.FDEventPoll, event.FDInotify, event.FDTimer, event.FDNetlink,
		event.FDMemfd, event.FDPidfd} {
		if types[want] == 0 {
			t.Errorf("no descriptor of type %d (%s)", want, want.Word())
		}
	}
	i := slices.IndexFunc(iter[0].FDs, func(f event.FDInfo) bool { return f.Type == event.FDUnix && !f.Server && f.Name != "" })
	if i < 0 || iter[0].FDs[i].Name != dir+"/socket" || iter[0].FDs[i].UnixDest == 0 {
		t.Error("the client of a unix socket does not know its server")
	}
}

func TestKernelsBefore518LeaveArgumentsToProc(t *testing.T) {
	boot := procfs.BootTime()
	useIterators(t, boot)
	it, err := loadIteratorsWith("threads", boot)
	if err != nil {
		t.Fatal(err)
	}
	defer it.close()
	pid := helper(t, "many", "1")
	s, _, err := takeSnapshot(snapshotOptions{BootTime: boot, Iterators: it})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(s.Threads, func(th *event.ThreadInfo) bool { return th.TID == pid })
	if i < 0 {
		t.Fatal("the process is missing")
	}
	if th := s.Threads[i]; th.Exe != "/proc/self/exe" || !slices.Contains(th.Args, "many") || !slices.Contains(th.Env, "EMPTY=") {
		t.Errorf("%q %q %q", th.Exe, th.Args, th.Env)
	}
}

func TestRecordsAreCutAnywhere(t *testing.T) {
	rec := func(n int) []byte {
		b, err := event.Append(nil, uint64(n), 1, event.SYSCALL_UNLINK_2_X, int64(0), strings.Repeat("x", n))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	whole := slices.Concat(rec(1), rec(30000), rec(0), rec(500))
	for name, r := range map[string]io.Reader{
		"at once":           bytes.NewReader(whole),
		"by single bytes":   iotest.OneByteReader(bytes.NewReader(whole)),
		"with data and EOF": iotest.DataErrReader(bytes.NewReader(whole)),
	} {
		t.Run(name, func(t *testing.T) {
			var got []byte
			n := 0
			err := eachRecord(r, func(b []byte) error { got = append(got, b...); n++; return nil })
			if err != nil || n != 4 || !bytes.Equal(got, whole) {
				t.Errorf("%d records of %d bytes, %v", n, len(got), err)
			}
		})
	}
	for name, b := range map[string][]byte{
		"an end within a record": whole[:len(whole)-1],
		"an endless record":      append(bytes.Repeat([]byte{255}, 20), make([]byte, 100000)...),
	} {
		if err := eachRecord(bytes.NewReader(b), func([]byte) error { return nil }); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// FuzzRecords feeds the decoders of records, which come from the kernel but hold what programs chose.
func FuzzRecords(f *testing.F) {
	if it, err := loadIterators(procfs.BootTime()); err == nil {
		for _, p := range []*ebpf.Program{it.threads, it.descriptors} {
			n := 0
			_ = readIterator(p, func(b []byte) error {
				if n++; n%40 == 1 {
					f.Add(bytes.Clone(b))
				}
				return nil
			})
		}
		it.close()
	}
	f.Add(make([]byte, event.HeaderSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s shared
		if r, err := s.decodeThread(b); err == nil && (r.info == nil || len(r.info.Args) > len(b)) {
			t.Errorf("%+v", r)
		}
		if r, _, err := s.decodeFD(b); err == nil && len(r.info.Name) > procfs.MaxPath {
			t.Errorf("%+v", r)
		}
		fds := fdScan{processes: map[int64]*scannedFDs{}}
		_ = eachRecord(bytes.NewReader(b), fds.take)
		fds.orient()
	})
}
