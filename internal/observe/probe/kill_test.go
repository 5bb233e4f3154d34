package probe

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
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

func init() {
	allScenes["open a file and see the result"] = func() []string {
		dir := os.Getenv("ROLLCAGE_DIR")
		check(unix.Chdir(dir))
		how := map[string]int{"r": unix.O_RDONLY, "w": unix.O_WRONLY, "rw": unix.O_RDWR, "path": unix.O_PATH}
		name, mode, _ := strings.Cut(os.Getenv("ROLLCAGE_ACT"), " ")
		if name2, ok := strings.CutPrefix(name, "openat2:"); ok {
			_, err := unix.Openat2(unix.AT_FDCWD, name2, &unix.OpenHow{Flags: uint64(how[mode])})
			check(err)
		} else {
			_, err := unix.Open(name, how[mode], 0)
			check(err)
		}
		return []string{"survived"}
	}
	allScenes["connect and see the result"] = func() []string {
		to := netip.MustParseAddrPort(os.Getenv("ROLLCAGE_ACT"))
		kind := unix.SOCK_STREAM
		if os.Getenv("ROLLCAGE_UDP") != "" {
			kind = unix.SOCK_DGRAM
		}
		if to.Addr().Is4() {
			fd := must(unix.Socket(unix.AF_INET, kind, 0))
			check(unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}))
		} else {
			fd := must(unix.Socket(unix.AF_INET6, kind, 0))
			check(unix.Connect(fd, &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}))
		}
		return []string{"survived"}
	}
}

// sees runs a scene and reports whether it saw the result of its call.
func sees(t *testing.T, scene string, env ...string) bool {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(env, sceneEnv+"="+scene, steady)
	out, err := cmd.CombinedOutput()
	if err != nil && !strings.Contains(err.Error(), "signal: killed") {
		t.Fatalf("%v %s", err, out)
	}
	return err == nil
}

func TestTheKernelKillsAtAnOpen(t *testing.T) {
	p := openProbe(t, Options{})
	dir := must(filepath.EvalSymlinks(t.TempDir()))
	for _, name := range []string{"secret", "secrets", "other"} {
		check(os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	check(os.Symlink(filepath.Join(dir, "secret"), filepath.Join(dir, "link")))
	secret := filepath.Join(dir, "secret")
	for _, c := range []struct {
		name   string
		opened Opened
		killed []string
		spared []string
	}{
		{"of one file", Opened{Name: secret}, []string{"/secret r", "/secret w", "/secret rw", "openat2:/secret r"},
			[]string{"/other r", "/secrets r", "/link r", "/secret path", "secret r", "./secret r", "//secret r", "/./secret r"}},
		{"for reading", Opened{Name: secret, Reads: true}, []string{"/secret r", "/secret rw"}, []string{"/secret w", "/other r"}},
		{"for writing", Opened{Name: secret, Writes: true}, []string{"/secret w", "/secret rw"}, []string{"/secret r"}},
		{"for both", Opened{Name: secret, Reads: true, Writes: true}, []string{"/secret rw"}, []string{"/secret r", "/secret w"}},
		{"of names with one beginning", Opened{Name: dir + "/sec", Below: true}, []string{"/secret r", "/secrets w"}, []string{"/other r", "/link r"}},
		{"of files in a directory", Opened{Name: dir + "/", Below: true}, []string{"/secret r", "/other r"}, []string{"/link r", "/ r", " r"}},
	} {
		check(p.SetKills([]Kill{{ID: 1, Types: openTypes, Opened: &c.opened}}))
		at := func(act string) string { // in the directory, if it is absolute
			if i := strings.IndexByte(act, '/'); i >= 0 && act[0] != '.' {
				return act[:i] + dir + act[i:]
			} else if act[0] == ' ' {
				return dir + act
			}
			return act
		}
		watch(t, p, func() {
			for _, act := range c.killed {
				if sees(t, "open a file and see the result", "ROLLCAGE_DIR="+dir, "ROLLCAGE_ACT="+at(act)) {
					t.Errorf("%s: %s is not killed", c.name, act)
				}
			}
			for _, act := range c.spared {
				if !sees(t, "open a file and see the result", "ROLLCAGE_DIR="+dir, "ROLLCAGE_ACT="+at(act)) {
					t.Errorf("%s: %s is killed", c.name, act)
				}
			}
		})
	}
}

var connects = []event.Type{event.SOCKET_CONNECT_X}

func TestTheKernelKillsAtAConnect(t *testing.T) {
	p := openProbe(t, Options{})
	listen := func(addr string) netip.AddrPort {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return netip.AddrPort{}
		}
		t.Cleanup(func() { l.Close() })
		return l.Addr().(*net.TCPAddr).AddrPort()
	}
	four, six := listen("127.0.0.1:0"), listen("[::1]:0")
	mapped := netip.AddrPortFrom(netip.AddrFrom16(four.Addr().As16()), four.Port())
	for _, c := range []struct {
		name      string
		connected Connected
		killed    []netip.AddrPort
		spared    []netip.AddrPort
	}{
		{"with an address", Connected{Net: netip.MustParsePrefix("127.0.0.1/32")}, []netip.AddrPort{four}, []netip.AddrPort{six, mapped}},
		{"with an address and a port", Connected{Net: netip.MustParsePrefix("127.0.0.1/32"), Port: four.Port()}, []netip.AddrPort{four}, nil},
		{"with another port", Connected{Net: netip.MustParsePrefix("127.0.0.1/32"), Port: four.Port() + 1}, nil, []netip.AddrPort{four}},
		{"in a network", Connected{Net: netip.MustParsePrefix("126.0.0.0/7"), Done: true}, []netip.AddrPort{four}, []netip.AddrPort{six}},
		{"in another network", Connected{Net: netip.MustParsePrefix("127.0.0.2/31")}, nil, []netip.AddrPort{four}},
		{"in all of IPv4", Connected{Net: netip.MustParsePrefix("0.0.0.0/0"), Port: four.Port()}, []netip.AddrPort{four}, []netip.AddrPort{six, mapped}},
		{"in all of IPv6", Connected{Net: netip.MustParsePrefix("::/0")}, []netip.AddrPort{six}, []netip.AddrPort{four, mapped}},
	} {
		check(p.SetKills([]Kill{{ID: 1, Types: connects, Connected: &c.connected}}))
		watch(t, p, func() {
			for _, a := range c.killed {
				if a.IsValid() && sees(t, "connect and see the result", "ROLLCAGE_ACT="+a.String()) {
					t.Errorf("%s: %s is not killed", c.name, a)
				}
			}
			for _, a := range c.spared {
				if a.IsValid() && !sees(t, "connect and see the result", "ROLLCAGE_ACT="+a.String()) {
					t.Errorf("%s: %s is killed", c.name, a)
				}
			}
			if !sees(t, "connect and see the result", "ROLLCAGE_UDP=1", "ROLLCAGE_ACT="+four.String()) {
				t.Errorf("%s: a datagram socket is killed", c.name)
			}
		})
	}
}

func TestWhatCoversAKillHoldsAsWell(t *testing.T) {
	open := func(id int, name string, below bool, cgroups ...uint64) Kill {
		return Kill{ID: id, Types: openTypes[:1], Opened: &Opened{Name: name, Below: below}, Cgroups: cgroups}
	}
	connect := func(id int, network string, cgroups ...uint64) Kill {
		return Kill{ID: id, Types: connects, Connected: &Connected{Net: netip.MustParsePrefix(network)}, Cgroups: cgroups}
	}
	tables, err := newKillTables([]Kill{
		open(1, "/etc/shadow", false, 10), open(2, "/etc/", true, 20), open(3, "/et", true, 30), open(4, "/other", false, 40),
		connect(5, "10.1.2.3/32", 10), connect(6, "10.0.0.0/9", 20), connect(7, "11.0.0.0/8", 30), connect(8, "fd00::/8", 40), connect(9, "fd00::1/128"),
	}, 100)
	check(err)
	got := map[uint32][]uint64{}
	in := func(e bpfKill) {
		got[e.Id] = []uint64{}
		for s := range tables.scopes {
			if s.Scope == e.Scope {
				got[e.Id] = append(got[e.Id], s.Cgroup)
			}
		}
		slices.Sort(got[e.Id])
		if e.Scope != 0 && e.Scope <= 100 {
			t.Errorf("scope %d of before", e.Scope)
		}
	}
	for _, e := range tables.names {
		in(e)
	}
	for _, e := range tables.peers {
		in(e)
	}
	want := map[uint32][]uint64{1: {10, 20, 30}, 2: {20, 30}, 3: {30}, 4: {40}, 5: {10, 20}, 6: {20}, 7: {30}, 8: {40}, 9: {}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

// The same in a cgroup as Docker makes it, in whichever version is there: what is above or below is another one.
func TestTheKernelKillsInTheCgroupOfAContainerAlone(t *testing.T) {
	b := newBad(t)
	p := openProbe(t, Options{})
	f, err := NewCgroupFinder()
	if err != nil {
		t.Skip(err)
	}
	above := fmt.Sprintf("/rollcage-test-%d", os.Getpid())
	container := above + "/" + strings.Repeat("0123456789abcdef", 4)
	below := container + "/nested"
	for _, dir := range []string{above, container, below} {
		if err := os.Mkdir(f.mount+dir, 0o700); err != nil {
			t.Skipf("no cgroup can be made here: %v", err)
		}
		t.Cleanup(func() { _ = os.Remove(f.mount + dir) })
	}
	root := f.root
	f.root = "/"
	id, err := f.ID(container)
	f.root = root
	check(err)
	check(p.SetKills([]Kill{{ID: 1, Types: []event.Type{event.SYSCALL_EXECVE_19_X}, Exe: b.path, Cgroups: []uint64{id}}}))
	watch(t, p, func() {
		for dir, want := range map[string]bool{above: false, container: true, below: false} {
			cmd := exec.Command("sh", "-c", `echo $$ >"$1/cgroup.procs" && exec "$2"`, "sh", f.mount+dir, b.path)
			cmd.Env = []string{sceneEnv + "=act and see the result", "ROLLCAGE_DIR=" + b.dir, steady, "PATH=" + os.Getenv("PATH")}
			out, err := cmd.CombinedOutput()
			if killed := err != nil && err.Error() == "signal: killed"; killed != want || !want && err != nil {
				t.Errorf("%s: killed %v, want %v: %v %s", dir, killed, want, err, out)
			}
		}
	})
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
		{Kill{ID: 1, Types: execs}, "is for a path, for a name"},
		{Kill{ID: 1, Types: execs, Exe: "/x", Comm: "x"}, "is for a path, for a name"},
		{Kill{ID: 1, Types: execs, Opened: &Opened{Name: "/x"}}, "opens no file by a name"},
		{Kill{ID: 1, Types: openTypes, Opened: &Opened{Name: "/a/../x"}}, "in its shortest form"},
		{Kill{ID: 1, Types: execs, Connected: &Connected{Net: netip.MustParsePrefix("1.2.3.0/24")}}, "is not one"},
		{Kill{ID: 1, Types: connects, Connected: &Connected{}}, "not a network"},
		{Kill{ID: 1, Types: connects, Connected: &Connected{Net: netip.MustParsePrefix("::ffff:1.2.3.0/120")}}, "not a network"},
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
