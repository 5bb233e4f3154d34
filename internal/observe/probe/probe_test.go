package probe

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

func init() {
	allScenes["supported"] = func() []string { return []string{fmt.Sprint(Supported())} }
	allScenes["flood"] = func() []string {
		for range floodSize {
			_, _, _ = unix.RawSyscall(unix.SYS_CLOSE, 7777, 0, 0)
		}
		return []string{"flooded"}
	}
	allScenes["steps"] = func() []string { // does as it is told by lines on its standard input
		for {
			var b [1]byte
			if _, err := os.Stdin.Read(b[:]); err != nil {
				os.Exit(0)
			}
			switch b[0] {
			case 'w':
				_, _, _ = unix.RawSyscall(unix.SYS_LSEEK, 7777, 0, 0)
			case 'u':
				_, _, _ = unix.RawSyscall(unix.SYS_SETUID, 0, 0, 0)
			}
			fmt.Print(".")
		}
	}
}

const floodSize = 60000

func openProbe(t *testing.T, o Options) *Probe {
	t.Helper()
	needKernel(t)
	p, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestAFloodIsReadInOrderOrCounted(t *testing.T) {
	p := openProbe(t, Options{RingSize: 1 << 20})
	before := p.Stats()
	var children sync.WaitGroup
	var pids []int64
	for range 3 {
		cmd := sceneCommand("flood")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		pids = append(pids, int64(cmd.Process.Pid))
		children.Go(func() { _ = cmd.Wait() })
	}
	ended := make(chan struct{})
	go func() { children.Wait(); close(ended) }()
	time.Sleep(10 * time.Millisecond) // so that rings fill
	var ev event.Event
	var last, end uint64
	closes := map[int64]int{}
	for {
		err := p.Next(&ev)
		if errors.Is(err, event.ErrIdle) {
			select {
			case <-ended:
				if end == 0 {
					end = uint64(time.Now().UnixNano())
				}
			default:
				continue
			}
			if p.Stats().CaughtUp > end {
				break
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if ev.Time() < last {
			t.Fatalf("time goes back by %d ns", last-ev.Time())
		}
		last = ev.Time()
		if fd, _ := ev.Int(1); ev.Type() == event.SYSCALL_CLOSE_X && fd == 7777 {
			closes[ev.TID()]++
		}
	}
	stats := p.Stats()
	got := 0
	for _, pid := range pids {
		got += closes[pid]
	}
	lost := int(stats.Drops[event.SYSCALL_CLOSE_X] - before.Drops[event.SYSCALL_CLOSE_X])
	if got > 3*floodSize || got+lost < 3*floodSize {
		t.Errorf("%d events of the flood were read and %d lost, %d were made", got, lost, 3*floodSize)
	}
	if stats.Drops[event.PROCEXIT_1_E] != 0 || stats.Drops[event.SYSCALL_EXECVE_19_X] != 0 {
		t.Errorf("the flood took the life of processes with it: %v", stats.Drops)
	}
	t.Logf("%d read, %d lost", got, lost)
}

func TestAFullRingCountsWhatItLoses(t *testing.T) {
	p := openProbe(t, Options{RingSize: 2 << 20})
	cmd := sceneCommand("flood")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s := p.Stats()
	if s.Drops[event.SYSCALL_CLOSE_X] == 0 || s.Dropped < s.Drops[event.SYSCALL_CLOSE_X] {
		t.Errorf("nobody has read, and this is lost: %+v", s)
	}
	if s.Drops[event.PROCEXIT_1_E] != 0 {
		t.Error("an exit was lost to a flood of other events")
	}
}

// stepper is a child that makes a call when told.
type stepper struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out io.ReadCloser
}

func startStepper(t *testing.T) *stepper {
	t.Helper()
	s := &stepper{cmd: sceneCommand("steps")}
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if s.out, err = s.cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.in.Close(); _ = s.cmd.Wait() })
	s.do(t, "x") // it is there
	return s
}

func (s *stepper) do(t *testing.T, step string) {
	t.Helper()
	if _, err := io.WriteString(s.in, step); err != nil {
		t.Fatal(err)
	}
	if _, err := s.out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

// seeks counts the calls that the step w makes.
func (s *stepper) seeks(events []*event.Event) int {
	n := 0
	for _, ev := range events {
		if ev.Type() == event.SYSCALL_LSEEK_X && ev.TID() == int64(s.cmd.Process.Pid) {
			n++
		}
	}
	return n
}

func TestInterestChangesWhatIsSent(t *testing.T) {
	p := openProbe(t, Options{})
	s := startStepper(t)
	var in event.Interest
	for _, c := range []struct {
		name string
		set  func()
		want int
	}{
		{"at first only the state is sent", func() {}, 0},
		{"then the call is wanted", func() { in.AddSyscalls("lseek") }, 1},
		{"then no more", func() { in = event.Interest{} }, 0},
		{"then by its event type", func() { in.Types.Add(event.SYSCALL_LSEEK_X) }, 1},
	} {
		c.set()
		if err := p.SetInterest(in); err != nil {
			t.Fatal(err)
		}
		if got := s.seeks(watch(t, p, func() { s.do(t, "w") })); got != c.want {
			t.Errorf("%s: %d events, want %d", c.name, got, c.want)
		}
	}
}

func TestAProcessCanBeLeftOutUntilItChanges(t *testing.T) {
	var in event.Interest
	in.AddSyscalls("lseek")
	p := openProbe(t, Options{Interest: in, FilterProcesses: true})
	s := startStepper(t)
	step := func(name, steps string, want int) {
		t.Helper()
		got := s.seeks(watch(t, p, func() {
			for _, c := range steps {
				s.do(t, string(c))
			}
		}))
		if got != want {
			t.Errorf("%s: %d events, want %d", name, got, want)
		}
	}
	leaveOut := func(asOf uint64) {
		t.Helper()
		if err := p.SetProcessInterest(int64(s.cmd.Process.Pid), asOf, &event.CodeSet{}); err != nil {
			t.Fatal(err)
		}
	}
	began := uint64(time.Now().UnixNano())
	step("without a filter", "w", 1)
	leaveOut(uint64(time.Now().UnixNano()))
	step("with a filter", "ww", 0)
	step("after a change of credentials", "wuw", 1)
	leaveOut(began)
	step("with a filter that is older than the change", "w", 1)
	leaveOut(uint64(time.Now().UnixNano()))
	step("with a filter that is newer", "w", 0)
	var lseek event.Interest
	lseek.AddSyscalls("lseek")
	if err := p.SetProcessInterest(int64(s.cmd.Process.Pid), uint64(time.Now().UnixNano()), &lseek.Syscalls); err != nil {
		t.Fatal(err)
	}
	step("with a filter that lets the call through", "w", 1)
}

func TestAProbeWithoutProcessFiltersSaysSo(t *testing.T) {
	p := openProbe(t, Options{})
	if err := p.SetProcessInterest(1, 1, &event.CodeSet{}); err == nil || !strings.Contains(err.Error(), "FilterProcesses") {
		t.Errorf("error %v does not name the option", err)
	}
}

func TestOptionalTracepointsAreSentWhenAskedFor(t *testing.T) {
	p := sharedProbe(t)
	defer p.SetInterest(event.Interest{})
	var in event.Interest
	in.Types.Add(event.SIGNALDELIVER_E)
	in.Types.Add(event.SCHEDSWITCH_6_E)
	in.Types.Add(event.PAGE_FAULT_E)
	if err := p.SetInterest(in); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", "trap : TERM; kill -TERM $$; sleep 0.01")
	events := watch(t, p, func() { _ = cmd.Run() })
	pid := cmd.Process.Pid
	delivered := of(events, pid, event.SIGNALDELIVER_E)
	if len(delivered) == 0 {
		t.Fatalf("no signal: %+v", p.Stats())
	}
	wantLines(t, delivered[:1], fmt.Sprintf("SIGNALDELIVER_E spid=%d dpid=%d sig=15", pid, pid))
	if len(of(events, pid, event.SCHEDSWITCH_6_E)) == 0 {
		t.Error("no switch to another task")
	}
	if faults := of(events, pid, event.PAGE_FAULT_E); p.kernel.optional[event.PAGE_FAULT_E] != nil {
		if len(faults) == 0 {
			t.Error("no page fault")
		}
		for _, by := range []string{"USER_FAULT", "SUPERVISOR_FAULT"} {
			if !strings.Contains(strings.Join(faults, " "), by) {
				t.Errorf("none of %d page faults is a %s", len(faults), by)
			}
		}
	}
	if err := p.SetInterest(event.Interest{}); err != nil {
		t.Fatal(err)
	}
	events = watch(t, p, func() { _ = cmd.Process.Release() })
	for _, ev := range events {
		if ev.Info().Origin == event.OriginTracepoint && ev.Type() != event.PROCEXIT_1_E {
			t.Fatalf("%s is still sent when nobody asks for it", ev.Type())
		}
	}
}

func TestANewCgroupIsToldAtOnce(t *testing.T) {
	root := cgroupRoot(t)
	told := make(chan string, 100)
	openProbe(t, Options{OnCgroup: func(path string) { told <- path }})
	name := fmt.Sprintf("rollcage-test-%d", os.Getpid())
	dir := filepath.Join(root, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skip(err)
	}
	defer os.Remove(dir)
	for path := range told {
		if strings.HasSuffix(path, "/"+name) {
			return
		}
	}
}

// cgroupRoot returns a folder in which cgroups can be made.
func cgroupRoot(t *testing.T) string {
	for _, root := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		if _, err := os.Stat(root + "/cgroup.procs"); err == nil {
			return root
		}
	}
	t.Skip("no cgroup v2 is mounted")
	return ""
}

func TestCloseEndsANextThatWaits(t *testing.T) {
	needKernel(t)
	p, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		var ev event.Event
		for {
			if err := p.Next(&ev); err != nil && !errors.Is(err, event.ErrIdle) {
				ended <- err
				return
			}
		}
	}()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, io.EOF) {
		t.Errorf("Next ended with %v, want io.EOF", err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("the second Close says %v", err)
	}
	if err := p.SetInterest(event.Interest{}); !errors.Is(err, errClosed) {
		t.Errorf("SetInterest of a closed probe says %v", err)
	}
	_ = p.Stats() // must not touch what is gone
}

func TestTheProbeLeavesItselfOut(t *testing.T) {
	p := sharedProbe(t)
	events := watch(t, p, func() {
		for range 10 {
			_, _, _ = unix.RawSyscall(unix.SYS_CLOSE, 5555, 0, 0)
		}
	})
	for _, ev := range events {
		if fd, _ := ev.Int(1); ev.Type() == event.SYSCALL_CLOSE_X && fd == 5555 {
			t.Fatal("what we do ourselves is told")
		}
	}
}

func TestMissingCapabilitiesAreNamed(t *testing.T) {
	needKernel(t)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "program")
	copyFile(t, "/proc/self/exe", program)
	for d := dir; d != "/"; d = filepath.Dir(d) {
		if st, err := os.Stat(d); err != nil || st.Mode()&0o001 == 0 {
			t.Skipf("nobody may enter %s", d)
		}
	}
	cmd := exec.Command(program)
	cmd.Env = []string{sceneEnv + "=supported"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "CAP_BPF and CAP_PERFMON missing") {
		t.Errorf("%s does not name the capabilities", out)
	}
}

func TestRingSizesArePowersOfTwoWithinLimits(t *testing.T) {
	for _, c := range []struct {
		name             string
		want, cpus, size int
	}{
		{"few CPUs", 0, 2, 8 << 20},
		{"many CPUs share", 0, 64, 2 << 20},
		{"very many have the least", 0, 4096, 512 << 10},
		{"what is asked for is rounded down", 3 << 20, 2, 2 << 20},
		{"but not below the least", 1, 2, 512 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := ringSize(c.want, c.cpus); got != c.size {
				t.Errorf("%d bytes, want %d", got, c.size)
			}
		})
	}
}

func TestStateCallsAreWhatTheStateNeedsWithoutData(t *testing.T) {
	for _, name := range []string{"execve", "clone", "open", "close", "dup", "setuid", "connect", "chdir", "setns"} {
		if !stateCalls.Has(event.SyscallByName(name).Code) {
			t.Errorf("%s is missing", name)
		}
	}
	for _, name := range []string{"read", "write", "sendto", "recvmsg"} {
		if stateCalls.Has(event.SyscallByName(name).Code) {
			t.Errorf("%s is always sent", name)
		}
	}
	if !slices.Contains(event.SyscallSet("modifies_state"), "open") {
		t.Error("the set is not there")
	}
}
