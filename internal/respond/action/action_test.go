package action

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollcage/internal/detect/rule"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/policy"
	"rollcage/internal/respond/scene"
)

// notes is a recorder in memory.
type notes struct {
	mu    sync.Mutex
	begun []*evidence.Action
	ended []*evidence.Outcome
	err   error
}

func (n *notes) Begin(_ string, a *evidence.Action) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err == nil {
		n.begun = append(n.begun, a)
	}
	return n.err
}

func (n *notes) End(_ string, o *evidence.Outcome) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended = append(n.ended, o)
	return nil
}

func (n *notes) last() (*evidence.Action, *evidence.Outcome) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.begun[len(n.begun)-1], n.ended[len(n.ended)-1]
}

func newRunner(t *testing.T, opts Options) (*Runner, *notes) {
	t.Helper()
	n := &notes{}
	if opts.Record == nil {
		opts.Record = n
	}
	opts.Log = slog.New(slog.DiscardHandler)
	r, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, n
}

func bootNow() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return ts.Nano()
}

// at returns a scene in which a process is at work now.
func at(pid int64) *scene.Scene {
	return &scene.Scene{Host: "box", Boot: bootNow(), Processes: []scene.Process{{PID: pid, Name: "x"}}}
}

// start starts a shell command in a session of its own, which ends with the test.
func start(t *testing.T, command string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	})
	return cmd
}

func pidOf(cmd *exec.Cmd) int64 { return int64(cmd.Process.Pid) }

func killed(cmd *exec.Cmd) bool {
	err := cmd.Wait()
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
}

func act(a policy.Action, sc *scene.Scene) *Request {
	return &Request{Action: a, Incident: "i", Policy: "p", Scene: sc, Alert: &alert.Alert{ID: "a", Rule: "r", Priority: rule.Warning}}
}

var killProcess = policy.Action{Kind: policy.Kill, Target: policy.KillProcess}
var killTree = policy.Action{Kind: policy.Kill, Target: policy.KillTree}

func TestKillEndsTheProcessThatTheAlertIsAbout(t *testing.T) {
	r, n := newRunner(t, Options{})
	cmd := start(t, "sleep 1000")
	other := start(t, "exec sleep 1000")
	if _, err := r.Do(t.Context(), act(killProcess, at(pidOf(cmd)))); err != nil {
		t.Fatal(err)
	}
	if !killed(cmd) {
		t.Error("it lives")
	}
	if syscall.Kill(other.Process.Pid, 0) != nil {
		t.Error("another one died")
	}
	a, o := n.last()
	if a.Kind != "kill" || a.Policy != "p" || a.Alert != "a" || !o.OK || a.ID != o.ID || !strings.HasPrefix(o.Done, "kill process") {
		t.Errorf("%+v %+v", a, o)
	}
}

func TestKillSparesAProcessThatHasTheNumberOnlyNow(t *testing.T) {
	r, _ := newRunner(t, Options{})
	sc := at(0)
	time.Sleep(20 * time.Millisecond) // longer than a tick
	cmd := start(t, "exec sleep 1000")
	sc.Processes[0].PID = pidOf(cmd)
	for _, a := range []policy.Action{killProcess, killTree} {
		if _, err := r.Do(t.Context(), act(a, sc)); !errors.Is(err, ErrGone) {
			t.Errorf("%s: got %v", a, err)
		}
	}
	elsewhere := at(pidOf(cmd))
	elsewhere.Container = &scene.Container{ID: "0123456789ab"}
	if _, err := r.Do(t.Context(), act(killProcess, elsewhere)); !errors.Is(err, ErrGone) {
		t.Errorf("got %v", err)
	}
	if syscall.Kill(cmd.Process.Pid, 0) != nil {
		t.Error("it died")
	}
}

// A process that starts others as fast as it can does not get away.
func TestKillOfATreeEndsAllDescendants(t *testing.T) {
	r, _ := newRunner(t, Options{})
	file := filepath.Join(t.TempDir(), "pids")
	cmd := start(t, `while :; do sh -c 'echo $$ >> `+file+`; sleep 1000 & sleep 1000' & sleep 0.01; done`)
	for {
		if b, _ := os.ReadFile(file); strings.Count(string(b), "\n") > 10 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if _, err := r.Do(t.Context(), act(killTree, at(pidOf(cmd)))); err != nil {
		t.Fatal(err)
	}
	if !killed(cmd) {
		t.Error("the root lives")
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		pid, _ := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		if s, err := readStat(pid); err == nil && s.state != 'Z' {
			t.Errorf("process %d lives: %+v", pid, s)
		}
	}
}

// family is who started whom, as a test says.
type family struct {
	of      map[int64][]int64 // by the process that started them, also indirectly
	entries map[int64]int64
}

func (f *family) Descendants(k scene.Key) (list []scene.Key) {
	for _, pid := range f.of[k.PID] {
		list = append(list, scene.Key{PID: pid})
	}
	return list
}

func (f *family) Entry(k scene.Key) (scene.Key, bool) {
	e, ok := f.entries[k.PID]
	return scene.Key{PID: e}, ok
}

func (f *family) Settle(context.Context) bool { return true }

func alive(pid int64) bool {
	s, err := readStat(pid)
	return err == nil && s.state != 'Z'
}

func TestKillOfATreeFindsWhatHasAnotherParentByNow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	cmd := start(t, `(setsid sh -c 'echo $$ > `+file+`; exec sleep 1000' &); sleep 1000`)
	until(t, "pid", func() bool { b, _ := os.ReadFile(file); return strings.HasSuffix(string(b), "\n") })
	b, _ := os.ReadFile(file)
	lost, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	r, n := newRunner(t, Options{Lineage: &family{of: map[int64][]int64{pidOf(cmd): {pidOf(cmd), lost}}}})
	if _, err := r.Do(t.Context(), act(killTree, at(pidOf(cmd)))); err != nil {
		t.Fatal(err)
	}
	if alive(lost) || !killed(cmd) {
		t.Error("something lives")
	}
	if _, o := n.last(); !strings.Contains(o.Done, fmt.Sprintf("%d (", lost)) {
		t.Errorf("%+v", o)
	}
}

// The process of an alert has mostly ended when it is acted on. Who came into the container from outside is still
// there; what the container itself runs must live.
func TestKillOfATreeWhoseProcessHasEnded(t *testing.T) {
	for _, tt := range []struct {
		name    string
		entry   string // from what the process comes: shell, main or nothing that is known
		lineage bool   // something that the process started lives
		ends    []string
		want    string
	}{
		{"it came from outside", "shell", true, []string{"shell", "child"}, ""},
		{"it came from what the container runs", "main", true, []string{"child"}, ""},
		{"it came from what the container runs, and started nothing", "main", false, nil, "belongs to what the container itself runs"},
		{"it is not known where it came from", "", false, nil, "it is gone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, mainCmd, in, out := boxed(t, true, "while read c; do eval \"$c\"; done")
			started := func(command string) int64 {
				fmt.Fprintln(in, command+" & echo $!")
				l, err := out.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				pid, _ := strconv.ParseInt(strings.TrimSpace(l), 10, 64)
				return pid
			}
			pids := map[string]int64{"main": pidOf(mainCmd), "shell": started("sleep 1000"), "child": started("sleep 1001")}
			gone := exec.Command("true")
			if err := gone.Run(); err != nil {
				t.Fatal(err)
			}
			p := int64(gone.Process.Pid)
			f := &family{of: map[int64][]int64{}, entries: map[int64]int64{pids["main"]: pids["main"]}}
			f.of[pids["shell"]], f.of[pids["main"]] = []int64{pids["shell"], pids["child"]}, []int64{pids["main"], pids["child"]}
			if tt.lineage {
				f.of[p] = []int64{pids["child"]}
			}
			if tt.entry != "" {
				f.entries[p] = pids[tt.entry]
			}
			sc := at(p)
			sc.Container = c
			sc.Processes[0].Container = c.ID
			sc.Processes = append(sc.Processes, scene.Process{PID: pids["main"], Container: c.ID})
			r, n := newRunner(t, Options{Lineage: f})
			_, err := r.Do(t.Context(), act(killTree, sc))
			if (err == nil) != (tt.want == "") || err != nil && (!errors.Is(err, ErrGone) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v", err)
			}
			for name, pid := range pids {
				if ends := slices.Contains(tt.ends, name); ends == alive(pid) {
					_, o := n.last()
					t.Errorf("%s ended: %v; %+v", name, !ends, o)
				}
			}
			if _, err := r.Do(t.Context(), act(killProcess, sc)); !errors.Is(err, ErrGone) || !strings.Contains(err.Error(), "from which it comes, lives (kill: tree)") {
				t.Errorf("kill process: %v", err)
			}
		})
	}
}

func TestWhatIsProtectedIsRefused(t *testing.T) {
	sleeper := start(t, "exec sleep 1000")
	for s, err := readStat(pidOf(sleeper)); err == nil && s.comm != "sleep"; s, err = readStat(pidOf(sleeper)) {
		time.Sleep(time.Millisecond)
	}
	exe, err := filepath.EvalSymlinks(fmt.Sprintf("/proc/%d/exe", sleeper.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	set, problems := policy.Load([]rule.File{{Name: "x", Data: []byte(
		"- protect: {processes: [" + exe + "]}\n  reason: it matters\n- protect: {containers: 'db*'}\n")}})
	if policy.Failed(problems) {
		t.Fatal(problems[0])
	}
	r, n := newRunner(t, Options{Policies: func() *policy.Set { return set }})
	r.own.container = "aaaaaaaaaaaa"
	in := func(c scene.Container) *scene.Scene { return &scene.Scene{Container: &c} }
	self := int64(os.Getpid())
	kernel := int64(0)
	for pid := int64(2); pid < 100 && kernel == 0; pid++ {
		if s, err := readStat(pid); err == nil && s.kernel {
			kernel = pid
		}
	}
	tests := []struct {
		name string
		req  *Request
		want string
	}{
		{"process 1", act(killProcess, at(1)), "process 1 is never acted on"},
		{"Rollcage itself", act(killProcess, at(self)), "is Rollcage itself"},
		{"who started Rollcage", act(killTree, at(int64(os.Getppid()))), "is Rollcage itself or started it"},
		{"a thread of the kernel", act(killProcess, at(kernel)), "is a thread of the kernel"},
		{"a protected process", act(killProcess, at(pidOf(sleeper))), "it matters"},
		{"a protected container", act(policy.Action{Kind: policy.Pause}, in(scene.Container{ID: "bbbbbbbbbbbb", Name: "db-1"})), "it is protected"},
		{"a protected container, by kill", act(policy.Action{Kind: policy.Kill, Target: policy.KillContainer}, in(scene.Container{ID: "bbbbbbbbbbbb", Name: "db-1"})), "it is protected"},
		{"Rollcage's own container", act(policy.Action{Kind: policy.Stop}, in(scene.Container{ID: "aaaaaaaaaaaa"})), "Rollcage itself runs in container"},
		{"the host's network", act(policy.Action{Kind: policy.Isolate}, in(scene.Container{ID: "bbbbbbbbbbbb", Name: "x", HostNetwork: true})), "uses the host's network"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "a thread of the kernel" && kernel == 0 {
				t.Skip("none is visible here")
			}
			for _, dry := range []bool{true, false} {
				tt.req.DryRun = dry
				_, err := r.Do(t.Context(), tt.req)
				if !errors.Is(err, ErrProtected) || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("got %v", err)
				}
				if _, o := n.last(); o.OK || !strings.Contains(o.Error, tt.want) {
					t.Errorf("recorded %+v", o)
				}
			}
		})
	}
}

func TestAContainerOfWhichNothingIsKnownIsNotActedOnIfItMayBeProtected(t *testing.T) {
	set, problems := policy.Load([]rule.File{{Name: "x", Data: []byte("- protect: {containers: 'prot*'}\n")}})
	if policy.Failed(problems) {
		t.Fatal(problems[0])
	}
	for _, tt := range []struct {
		name, known string
		acted       bool
	}{
		{"nothing", "", false},
		{"a name that is protected", "prot1", false},
		{"another name", "web", true},
	} {
		t.Run("what is known in the end is "+tt.name, func(t *testing.T) {
			c, cmd, _, _ := boxed(t, true, "exec sleep 1000")
			r, n := newRunner(t, Options{Policies: func() *policy.Set { return set }, Facts: func(_ context.Context, id string) *scene.Container {
				if tt.known == "" {
					return nil
				}
				return &scene.Container{ID: id, FullID: c.FullID, Name: tt.known, Runtime: c.Runtime}
			}})
			sc := at(pidOf(cmd))
			sc.Container = c // without a name
			for _, a := range []policy.Action{killTree, killProcess, {Kind: policy.Kill, Target: policy.KillContainer}, {Kind: policy.Pause}, {Kind: policy.Stop}, {Kind: policy.Isolate}} {
				q := act(a, sc)
				q.DryRun = tt.acted
				if _, err := r.Do(t.Context(), q); !tt.acted && !errors.Is(err, ErrProtected) {
					t.Errorf("%s: %v", a, err)
				}
			}
			_, err := r.Do(t.Context(), act(killProcess, sc))
			if tt.acted != (err == nil) || tt.acted != killedSoon(cmd) {
				_, o := n.last()
				t.Errorf("%v %+v", err, o)
			}
		})
	}
}

// killedSoon reports whether a process is a zombie.
func killedSoon(cmd *exec.Cmd) bool {
	s, err := readStat(pidOf(cmd))
	return err != nil || s.state == 'Z'
}

func TestActionWithoutTargetIsAnError(t *testing.T) {
	r, _ := newRunner(t, Options{})
	for _, a := range []policy.Action{
		killProcess, killTree, {Kind: policy.Kill, Target: policy.KillContainer}, {Kind: policy.Pause}, {Kind: policy.Unpause},
		{Kind: policy.Stop}, {Kind: policy.Isolate}, {Kind: policy.Release}, {Kind: policy.Notify}, {Kind: policy.Capture}, {Kind: "dance"},
	} {
		if _, err := r.Do(t.Context(), act(a, nil)); err == nil {
			t.Errorf("%s: no error", a)
		}
		gone := &scene.Scene{Container: &scene.Container{ID: "0123456789ab", FullID: strings.Repeat("0123456789abcdef", 4)}}
		if _, err := r.Do(t.Context(), act(a, gone)); err == nil {
			t.Errorf("%s of what is gone: no error", a)
		}
	}
}

func TestDryRunTouchesNothingAndSaysWhatItWould(t *testing.T) {
	r, n := newRunner(t, Options{})
	cmd := start(t, "exec sleep 1000")
	q := act(killProcess, at(pidOf(cmd)))
	q.DryRun = true
	if _, err := r.Do(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if syscall.Kill(cmd.Process.Pid, 0) != nil {
		t.Error("it died")
	}
	if a, o := n.last(); !a.DryRun || !strings.HasPrefix(o.Done, fmt.Sprintf("would kill process %d (", cmd.Process.Pid)) {
		t.Errorf("%+v %+v", a, o)
	}
}

func TestWhatCannotBeWrittenDownIsNotDone(t *testing.T) {
	r, n := newRunner(t, Options{})
	n.err = unix.ENOSPC
	cmd := start(t, "exec sleep 1000")
	if _, err := r.Do(t.Context(), act(killProcess, at(pidOf(cmd)))); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("got %v", err)
	}
	if syscall.Kill(cmd.Process.Pid, 0) != nil {
		t.Error("it died")
	}
}

func TestActionsOfAPolicyRunInOrderAndGoOnAfterAFailure(t *testing.T) {
	var got []string
	r, n := newRunner(t, Options{
		Notify: func(_ context.Context, outputs []string, _ *alert.Alert) error {
			got = append(got, "notify "+strings.Join(outputs, " "))
			return errors.New("down")
		},
		Capture: func(_ context.Context, incident string, _ *scene.Scene, before, after time.Duration) (string, error) {
			got = append(got, fmt.Sprint("capture ", incident, before, after))
			return "captured 3 s before", nil
		},
	})
	out := filepath.Join(t.TempDir(), "out")
	set, problems := policy.Load([]rule.File{{Name: "x", Data: []byte(`
- policy: p
  mode: enforce
  actions:
    - notify: [a, b]
    - run: cat > ` + out + `
    - capture: {before: 3s, after: 0s}
    - pause
`)}})
	if policy.Failed(problems) {
		t.Fatal(problems[0])
	}
	a := &alert.Alert{ID: "a", Rule: "Shell $(touch /tmp/x)", Priority: rule.Warning, Source: "syscall"}
	err := r.Decided(t.Context(), "i", a, nil, set.Decide(a, nil, time.Now()))
	if err == nil || !strings.Contains(err.Error(), "down") || !strings.Contains(err.Error(), "not in a container") {
		t.Errorf("got %v", err)
	}
	if s := fmt.Sprint(got); s != "[notify a b capture i3s 0s]" {
		t.Error(s)
	}
	if b, _ := os.ReadFile(out); !strings.Contains(string(b), `"rule":"Shell $(touch /tmp/x)"`) {
		t.Errorf("the program got %s", b)
	}
	if len(n.begun) != 4 || len(n.ended) != 4 || n.ended[2].Done != "captured 3 s before" || n.ended[3].OK {
		t.Errorf("%+v", n.ended)
	}
}

func TestWhatGoesOnForLongHoldsUpNoActionOnTheSameContainer(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	r, n := newRunner(t, Options{Docker: &flaky{}, Capture: func(context.Context, string, *scene.Scene, time.Duration, time.Duration) (string, error) {
		close(started)
		<-release
		return "captured", nil
	}})
	sc := &scene.Scene{Container: dockerBox()}
	var beside sync.WaitGroup
	defer beside.Wait()
	defer close(release)
	file := filepath.Join(t.TempDir(), "runs")
	for _, a := range []policy.Action{{Kind: policy.Capture, After: 30 * time.Second}, {Kind: policy.Run, Command: "touch " + file + "; sleep 1000"}} {
		beside.Go(func() { r.Do(t.Context(), act(a, sc)) })
	}
	<-started
	until(t, "program", func() bool { return exists(file) })
	if _, err := r.Do(t.Context(), act(policy.Action{Kind: policy.Pause}, sc)); err != nil {
		t.Fatal(err)
	}
	if _, o := n.last(); !o.OK || !strings.Contains(o.Done, "pause") {
		t.Errorf("the pause is not what was done first: %+v", o)
	}
	// What runs when the runner is closed is ended, and says so.
	go func() { time.Sleep(10 * time.Millisecond); release <- struct{}{} }()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if len(n.ended) != 3 {
		t.Errorf("of 3 actions %d have an outcome", len(n.ended))
	}
	if _, err := r.Do(t.Context(), act(policy.Action{Kind: policy.Pause}, sc)); !errors.Is(err, errEnding) {
		t.Errorf("after the end: %v", err)
	}
}

func TestActionIsEndedWhenItsTimeIsOver(t *testing.T) {
	r, _ := newRunner(t, Options{})
	_, err := r.Do(t.Context(), act(policy.Action{Kind: policy.Run, Command: "sleep 1000", Timeout: 20 * time.Millisecond}, nil))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// boxed starts a shell command in a cgroup that looks like a container's.
func boxed(t *testing.T, v1 bool, command string) (*scene.Container, *exec.Cmd, io.Writer, *bufio.Reader) {
	t.Helper()
	mounts, err := cgroupMounts()
	if err != nil {
		t.Fatal(err)
	}
	key := ""
	if v1 {
		key = "freezer"
	}
	if mounts[key] == "" {
		t.Skipf("no cgroup hierarchy %q is mounted", key)
	}
	full := fmt.Sprintf("%064x", time.Now().UnixNano())
	full = full[60:] + full[4:60] + full[:4]
	full = full[52:] + full[:52] // the first 12 digits differ
	parent := filepath.Join(mounts[key], "docker")
	made := os.Mkdir(parent, 0o755) == nil
	dir := filepath.Join(parent, full)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skip("needs to make cgroups:", err)
	}
	cmd := exec.Command("/bin/sh", "-c", "echo $$ > "+dir+"/cgroup.procs; echo ready; "+command)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if f, err := freezerOf(&scene.Container{ID: full[:12], FullID: full}); err == nil {
			f.set(context.Background(), false)
		}
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
		for os.Remove(dir) != nil && exists(dir) {
			time.Sleep(time.Millisecond)
		}
		if made {
			os.Remove(parent)
		}
	})
	lines := bufio.NewReader(out)
	if l, err := lines.ReadString('\n'); err != nil || l != "ready\n" {
		t.Fatal(l, err)
	}
	return &scene.Container{ID: full[:12], FullID: full, Runtime: "containerd"}, cmd, in, lines
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func eachHierarchy(t *testing.T, f func(t *testing.T, v1 bool)) {
	t.Run("cgroup v1", func(t *testing.T) { f(t, true) })
	t.Run("cgroup v2", func(t *testing.T) { f(t, false) })
}

func TestPauseStopsAnyContainerThroughItsCgroup(t *testing.T) {
	eachHierarchy(t, func(t *testing.T, v1 bool) {
		c, _, in, out := boxed(t, v1, "while read x; do echo $x; done")
		state := filepath.Join(t.TempDir(), "actions.json")
		r, _ := newRunner(t, Options{State: state})
		id, err := r.Do(t.Context(), act(policy.Action{Kind: policy.Pause}, &scene.Scene{Container: c}))
		if err != nil {
			t.Fatal(err)
		}
		f, err := freezerOf(c)
		if err != nil {
			t.Fatal(err)
		}
		if frozen, err := f.frozen(); err != nil || !frozen {
			t.Errorf("frozen: %v, %v", frozen, err)
		}
		fmt.Fprintln(in, "hello")
		if _, err := r.Do(t.Context(), act(policy.Action{Kind: policy.Pause}, &scene.Scene{Container: c})); err != nil {
			t.Errorf("a second time: %v", err)
		}
		// Another runner, as after a restart, knows what is in force.
		r.Close()
		r, n := newRunner(t, Options{State: state})
		if got := r.InForce(); len(got) != 1 || got[0].ID != id || len(got[0].Also) != 1 {
			t.Fatalf("in force: %+v", got)
		}
		if _, err := r.Undo(t.Context(), id, evidence.Caller("test")); err != nil {
			t.Fatal(err)
		}
		if l, err := out.ReadString('\n'); err != nil || l != "hello\n" {
			t.Errorf("%q %v", l, err)
		}
		if a, o := n.last(); a.Undo != id || a.Who == nil || !o.OK {
			t.Errorf("%+v %+v", a, o)
		}
		if _, err := r.Undo(t.Context(), id, nil); err == nil {
			t.Error("it is undone twice")
		}
	})
}

func TestPauseForATimeIsUndoneAlsoAfterARestart(t *testing.T) {
	c, _, in, out := boxed(t, true, "while read x; do echo $x; done")
	state := filepath.Join(t.TempDir(), "actions.json")
	r, _ := newRunner(t, Options{State: state})
	if _, err := r.Do(t.Context(), act(policy.Action{Kind: policy.Pause, For: 500 * time.Millisecond}, &scene.Scene{Container: c})); err != nil {
		t.Fatal(err)
	}
	r.Close()
	fmt.Fprintln(in, "hello")
	r, _ = newRunner(t, Options{State: state})
	if l, err := out.ReadString('\n'); err != nil || l != "hello\n" {
		t.Errorf("%q %v", l, err)
	}
	for len(r.InForce()) > 0 {
		time.Sleep(time.Millisecond)
	}
}

func TestKillOfAContainerEndsAllInItAlsoWhenItIsPaused(t *testing.T) {
	eachHierarchy(t, func(t *testing.T, v1 bool) {
		c, cmd, _, _ := boxed(t, v1, "trap '' TERM; sleep 1000 & setsid sleep 1000 & wait; sleep 1000")
		r, _ := newRunner(t, Options{})
		if _, err := r.Do(t.Context(), act(policy.Action{Kind: policy.Pause}, &scene.Scene{Container: c})); err != nil {
			t.Fatal(err)
		}
		done := make(chan bool)
		go func() { done <- killed(cmd) }()
		if _, err := r.Do(t.Context(), act(policy.Action{Kind: policy.Kill, Target: policy.KillContainer}, &scene.Scene{Container: c})); err != nil {
			t.Fatal(err)
		}
		if !<-done {
			t.Error("it was not killed")
		}
		if _, err := pidsOf(c); !errors.Is(err, ErrGone) {
			t.Errorf("got %v", err)
		}
	})
}

func TestStopAsksFirstAndKillsThen(t *testing.T) {
	c, cmd, _, out := boxed(t, true, "trap 'exit 7' TERM; echo set; while :; do sleep 0.01; done")
	out.ReadString('\n')
	r, _ := newRunner(t, Options{})
	done := make(chan error)
	go func() { done <- cmd.Wait() }()
	if _, err := r.Do(t.Context(), act(policy.Action{Kind: policy.Stop}, &scene.Scene{Container: c})); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := <-done; !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("got %v", err)
	}
	deaf, deafCmd, _, out := boxed(t, true, "trap '' TERM; echo set; sleep 1000 & while :; do sleep 0.01; done")
	out.ReadString('\n')
	go deafCmd.Wait()
	if _, err := r.Do(t.Context(), act(policy.Action{Kind: policy.Stop, Timeout: 30 * time.Millisecond}, &scene.Scene{Container: deaf})); err != nil {
		t.Fatal(err)
	}
}

// connected returns two ends of a TCP connection out of a network namespace of
// its own, whose process is in a cgroup that looks like a container's.
func TestIsolationCutsEstablishedConnectionsAndIsUndone(t *testing.T) {
	for _, tool := range []string{"ip", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs ", tool)
		}
	}
	c, cmd, in, out := boxed(t, true, "exec unshare -n sh -c 'echo up; while read c; do eval \"$c\"; done'")
	if l, err := out.ReadString('\n'); err != nil || l != "up\n" {
		t.Skipf("no network namespace: %q %v", l, err)
	}
	run := func(args ...string) {
		t.Helper()
		if b, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%v: %v %s", args, err, b)
		}
	}
	name := fmt.Sprintf("rct%d", os.Getpid()%10000)
	run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", strconv.Itoa(cmd.Process.Pid))
	t.Cleanup(func() { exec.Command("ip", "link", "del", name).Run() })
	run("ip", "addr", "add", "172.31.251.1/30", "dev", name)
	run("ip", "link", "set", name, "up")
	fmt.Fprintln(in, "ip addr add 172.31.251.2/30 dev eth0; ip link set eth0 up; ip link set lo up; echo configured")
	if l, err := out.ReadString('\n'); err != nil || l != "configured\n" {
		t.Fatal(l, err)
	}
	ping := func(to string) bool { return pings(t, to) }
	if !ping("172.31.251.2") {
		t.Fatal("no connection before")
	}
	r, n := newRunner(t, Options{})
	id, err := r.Do(t.Context(), act(policy.Action{Kind: policy.Isolate}, &scene.Scene{Container: c}))
	if err != nil {
		t.Fatal(err)
	}
	if ping("172.31.251.2") {
		t.Error("it can be reached")
	}
	if _, err := r.Do(t.Context(), act(policy.Action{Kind: policy.Isolate}, &scene.Scene{Container: c})); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if _, err := r.Undo(t.Context(), id, nil); err != nil {
		t.Fatal(err)
	}
	if !ping("172.31.251.2") {
		t.Error("it cannot be reached after the undo")
	}
	if a, _ := n.last(); a.Kind != "release" {
		t.Errorf("%+v", a)
	}
}
