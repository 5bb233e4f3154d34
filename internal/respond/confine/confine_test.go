package confine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The tests give up things in a process of its own: this one, started again.
const beConfined = "ROLLCAGE_TEST_BE_CONFINED"

func TestMain(m *testing.M) {
	switch os.Getenv(beConfined) {
	case "":
		os.Exit(m.Run())
	case "filter":
		filtered()
	case "drop":
		dropped()
	}
	os.Exit(0)
}

func run(t *testing.T, what string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), beConfined+"="+what)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

func filtered() {
	if err := FilterCalls(); err != nil {
		fmt.Println("filter:", err)
		return
	}
	tell := func(name string, err error) { fmt.Printf("%s: %v\n", name, err) }
	tell("mount", unix.Mount("none", "/mnt", "tmpfs", 0, ""))
	tell("module", unix.DeleteModule("no_such_module", 0))
	tell("clock", unix.ClockSettime(unix.CLOCK_REALTIME, &unix.Timespec{}))
	tell("ptrace", unix.PtraceAttach(1))
	// Every thread, those that are there already and new ones.
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			time.Sleep(time.Millisecond) // so that each is a thread of its own for a while
			if err := unix.Unshare(unix.CLONE_NEWUTS); !errors.Is(err, unix.EPERM) {
				tell("a thread may", err)
			}
		})
	}
	all.Wait()
	out, err := exec.Command("/bin/sh", "-c", "echo a child runs").CombinedOutput()
	fmt.Printf("%s%v\n", out, err)
	_, err = os.ReadFile("/proc/self/status")
	tell("read", err)
	if out, err := exec.Command("mount", "-t", "tmpfs", "none", "/mnt").CombinedOutput(); err == nil {
		fmt.Printf("a child may mount %s\n", out)
		_ = unix.Unmount("/mnt", 0)
	}
}

func TestForbiddenCallsFailAndOthersWork(t *testing.T) {
	want := `mount: operation not permitted
module: operation not permitted
clock: operation not permitted
ptrace: operation not permitted
a child runs
<nil>
read: <nil>
`
	if got := run(t, "filter"); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}

func dropped() {
	err := DropCapabilities(false)
	if errors.Is(err, ErrCgo) {
		fmt.Println("cgo")
		return
	}
	fmt.Println(err)
	threads, _ := os.ReadDir("/proc/self/task")
	for _, th := range threads {
		b, _ := os.ReadFile("/proc/self/task/" + th.Name() + "/status")
		for line := range strings.Lines(string(b)) {
			if strings.HasPrefix(line, "CapEff") || strings.HasPrefix(line, "CapBnd") {
				fmt.Print(line)
			}
		}
	}
	out, err := exec.Command("grep", "CapPrm", "/proc/self/status").Output()
	fmt.Printf("child %s%v\n", out, err)
}

// Tests that are built with cgo cannot see it here; that of guard builds a program without.
func TestCapabilitiesThatAreNotKeptGoInAllThreadsAndChildren(t *testing.T) {
	out := run(t, "drop")
	if strings.HasPrefix(out, "cgo") {
		t.Skip(ErrCgo)
	}
	keep := uint64(0)
	for _, c := range Kept {
		if !c.Acting {
			keep |= 1 << c.Number
		}
	}
	for i, line := range strings.Split(strings.TrimSpace(out), "\n") {
		f := strings.Fields(line)
		if i == 0 || len(f) < 2 {
			continue
		}
		var set uint64
		if _, err := fmt.Sscanf(f[len(f)-1], "%x", &set); err == nil && set&^keep != 0 {
			t.Errorf("%s: more than %x", line, keep)
		}
	}
	if !strings.HasPrefix(out, "<nil>\n") {
		t.Error(out)
	}
}

func TestTheFilterIsForOneArchitecture(t *testing.T) {
	p := assemble(auditArch, []uint32{7})
	if p[1].K != auditArch || p[2].K != unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM) {
		t.Errorf("%+v", p[:3])
	}
	if last := p[len(p)-1]; last.K != unix.SECCOMP_RET_ALLOW {
		t.Errorf("%+v", last)
	}
}
