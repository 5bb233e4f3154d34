package probe

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

func init() {
	allScenes["act and see the result"] = func() []string {
		dir := os.Getenv("ROLLCAGE_DIR")
		check(os.WriteFile(filepath.Join(dir, "began"), nil, 0o600))
		check(unix.Chdir("/"))
		check(os.WriteFile(filepath.Join(dir, "acted"), nil, 0o600))
		return []string{"survived"}
	}
}

// bad is a program that the kernel is told about.
type bad struct {
	path, dir string
	mu        sync.Mutex
	told      []string
}

func newBad(t testing.TB) *bad {
	b := &bad{dir: t.TempDir()}
	b.path = filepath.Join(b.dir, "bad")
	copyFile(t, "/proc/self/exe", b.path)
	return b
}

func (b *bad) onKill(ev *event.Event, id int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told = append(b.told, ev.Type().String())
}

// run runs a program, the bad one or another, and returns what it came to: the marks that it left and the signal.
func (b *bad) run(t testing.TB, path string) string {
	cmd := exec.Command(path)
	cmd.Env = []string{sceneEnv + "=act and see the result", "ROLLCAGE_DIR=" + b.dir, steady}
	err := cmd.Run()
	var out []string
	for _, mark := range []string{"began", "acted"} {
		if os.Remove(filepath.Join(b.dir, mark)) == nil {
			out = append(out, mark)
		}
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		out = append(out, exit.Sys().(syscall.WaitStatus).Signal().String())
	} else if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, ", ")
}

func TestTheKernelKillsByItself(t *testing.T) {
	b := newBad(t)
	p := openProbe(t, Options{OnKill: b.onKill})
	other := filepath.Join(b.dir, "other")
	copyFile(t, b.path, other)
	execs, chdirs := []event.Type{event.SYSCALL_EXECVE_19_X}, []event.Type{event.SYSCALL_CHDIR_X}
	const all = "began, acted"
	for _, c := range []struct {
		name      string
		kill      *Kill
		bad, rest string
	}{
		{"nobody when not asked to", nil, all, all},
		{"a program by its path before its first instruction", &Kill{ID: 1, Types: execs, Exe: b.path}, "killed", all},
		{"a program by its name", &Kill{ID: 1, Types: execs, Comm: "bad"}, "killed", all},
		{"a program at a call before it sees the result", &Kill{ID: 1, Types: chdirs, Exe: b.path}, "began, killed", all},
		{"a program by its name at a call", &Kill{ID: 1, Types: chdirs, Comm: "other"}, all, "began, killed"},
		{"with another signal", &Kill{ID: 1, Types: execs, Exe: b.path, Signal: unix.SIGTERM}, "terminated", all},
		{"nobody outside of the cgroup", &Kill{ID: 1, Types: execs, Exe: b.path, Cgroups: []uint64{math.MaxUint64}}, all, all},
		{"nobody in no cgroup", &Kill{ID: 1, Types: execs, Exe: b.path, Cgroups: []uint64{}}, all, all},
		{"nobody any more", nil, all, all},
	} {
		t.Run(c.name, func(t *testing.T) {
			var kills []Kill
			if c.kill != nil {
				kills = []Kill{*c.kill}
			}
			if err := p.SetKills(kills); err != nil {
				t.Fatal(err)
			}
			b.told = nil
			var gotBad, gotRest string
			watch(t, p, func() { gotBad, gotRest = b.run(t, b.path), b.run(t, other) })
			if gotBad != c.bad || gotRest != c.rest {
				t.Errorf("the program: %s; the other: %s", gotBad, gotRest)
			}
			killed := c.bad != all || c.rest != all
			if killed != (len(b.told) == 1) || killed && b.told[0] != c.kill.Types[0].String() {
				t.Errorf("told of %v", b.told)
			}
		})
	}
}

func TestTheKernelKillsInsideOfACgroup(t *testing.T) {
	b := newBad(t)
	p := openProbe(t, Options{})
	err := p.SetKills([]Kill{{ID: 1, Types: []event.Type{event.SYSCALL_EXECVE_19_X}, Exe: b.path, Cgroups: []uint64{math.MaxUint64, killCgroup(t)}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := b.run(t, b.path); got != "killed" {
		t.Errorf("the program: %s", got)
	}
}

// killCgroup returns the id of the cgroup that the test runs in.
func killCgroup(t *testing.T) uint64 {
	f, err := NewCgroupFinder()
	if err != nil {
		t.Skip(err)
	}
	var cgroups []string
	for line := range strings.Lines(string(must(os.ReadFile("/proc/self/cgroup")))) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if parts[1] == "" {
			parts[1] = "unified"
		}
		cgroups = append(cgroups, parts[1]+"="+parts[2])
	}
	id, err := f.ID(f.Path(cgroups))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestTheHierarchyOfKillsIsFound(t *testing.T) {
	for _, c := range []struct {
		mounts string
		want   *CgroupFinder
	}{
		{"29 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate", &CgroupFinder{"unified", "/sys/fs/cgroup", "/"}},
		{"1 2 0:1 / /c/unified rw - cgroup2 none rw\n3 2 0:2 /docker/a /c/memory rw - cgroup memory rw,memory", &CgroupFinder{"memory", "/c/memory", "/docker/a"}},
		{"1 2 0:1 / /c/pids rw - cgroup pids rw,pids\nbroken - line", nil},
	} {
		if got := findCgroups([]byte(c.mounts)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %+v, want %+v", c.mounts, got, c.want)
		}
	}
	f := &CgroupFinder{"unified", "/sys/fs/cgroup", "/docker/a"}
	if _, err := f.ID("/docker/ab"); err == nil || !strings.Contains(err.Error(), "not below") {
		t.Errorf("a cgroup that is not mounted here: %v", err)
	}
	if got := f.Path([]string{"memory=/m", "unified=/u"}); got != "/u" {
		t.Errorf("path %q", got)
	}
}

func TestAKillThatMeansNothingIsRefused(t *testing.T) {
	p := sharedProbe(t)
	execs := []event.Type{event.SYSCALL_EXECVE_19_X}
	for _, c := range []struct {
		kill Kill
		want string
	}{
		{Kill{Types: execs, Exe: "/x"}, "needs an ID"},
		{Kill{ID: 1, Types: execs}, "for a path or for a name"},
		{Kill{ID: 1, Types: execs, Exe: "x"}, "not an absolute path"},
		{Kill{ID: 1, Types: execs, Comm: "sixteen-letters!"}, "at most 15 bytes"},
	} {
		if err := p.SetKills([]Kill{c.kill}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want %q", c.kill, err, c.want)
		}
	}
}

// BenchmarkKill measures the time from an exec to the end of its process, when user space sends the signal as soon as it reads
// the event, and when the kernel does by itself.
//
//	go test -run - -bench Kill -benchtime 50x ./internal/observe/probe
func BenchmarkKill(b *testing.B) {
	needKernel(b)
	for _, c := range []string{"user space", "kernel"} {
		b.Run(c, func(b *testing.B) {
			bad := newBad(b)
			p, err := Open(Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			if c == "kernel" {
				err := p.SetKills([]Kill{{ID: 1, Types: []event.Type{event.SYSCALL_EXECVE_19_X}, Exe: bad.path}})
				if err != nil {
					b.Fatal(err)
				}
			}
			lives := make(chan uint64)
			go watchLives(p, c == "user space", lives)
			var all time.Duration
			for range b.N {
				cmd := exec.Command(bad.path)
				cmd.Env = []string{sceneEnv + "=sleeper"}
				_ = cmd.Run() // it is killed
				all += time.Duration(<-lives)
			}
			b.ReportMetric(float64(all)/float64(b.N), "ns-alive/op")
		})
	}
}

// watchLives tells how long processes with the name bad lived after their exec, and ends them if it is to.
func watchLives(p *Probe, kill bool, lives chan<- uint64) {
	var ev event.Event
	began := map[int64]uint64{}
	for {
		err := p.Next(&ev)
		if err != nil && !errors.Is(err, event.ErrIdle) {
			return
		}
		if err != nil {
			continue
		}
		switch ev.Type() {
		case event.SYSCALL_EXECVE_19_X:
			if comm, _ := ev.Str(13); comm == "bad" {
				if kill {
					_ = unix.Kill(int(ev.TID()), unix.SIGKILL)
				}
				began[ev.TID()] = ev.Time()
			}
		case event.PROCEXIT_1_E:
			if at, ok := began[ev.TID()]; ok {
				delete(began, ev.TID())
				lives <- ev.Time() - at
			}
		}
	}
}
