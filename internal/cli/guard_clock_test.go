package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/guard"
)

const clockRules = `
- macro: opened
  condition: evt.type in (open, openat, openat2)
- rule: Marked file read
  desc: Tests wait for it.
  condition: opened and fd.name = DIR/mark
  output: "read %fd.name by %proc.name"
  priority: warning
- rule: Deadly file read
  desc: Tests wait for it.
  condition: opened and fd.name = DIR/deadly
  output: "read %fd.name by %proc.name"
  priority: warning
- rule: Limited file read
  desc: Tests wait for it.
  condition: opened and fd.name = DIR/limited
  output: "read %fd.name by %proc.name"
  priority: warning
- rule: Sleepy file read
  desc: Tests wait for it.
  condition: opened and fd.name = DIR/sleepy and container.id != host
  output: "read %fd.name by %proc.name"
  priority: warning
`

const clockPolicies = `
- policy: Record
  mode: enforce
  rules: {names: [Marked file read]}
  actions: [{capture: {before: 3s, after: 1s}}]
  limit: {count: 100, per: 1s}
- policy: Kill
  mode: enforce
  rules: {names: [Deadly file read]}
  actions: [{kill: process}]
- policy: Count
  mode: enforce
  rules: {names: [Limited file read]}
  actions: [{run: {command: echo done >>DIR/runs}}]
  limit: {count: 2, per: 1h, by: policy}
- policy: Pause
  mode: enforce
  rules: {names: [Sleepy file read]}
  actions: [{pause: {for: 20s}}]
`

// pausedFor is how long a container is paused by these policies.
const pausedFor = 20 * time.Second

// stepped is a guard on a machine whose clock is set, and what was done there.
type stepped struct {
	*guarded
	dir, file string
	ledger    *ledger
	started   time.Time // by a clock that nobody sets
	steps     int       // of the clock
	marks     map[string]int
	limited   int // reads of that file
}

// TestGuardHoldsWhenTheClockIsSet sets the clock of an emulated machine forward, back, to another decade and back
// again. Each time guard must tell it, give alerts the new time, take a capture of what happened last, kill
// a process that started since, keep to its limits, and take a pause back in time; and in the end no alert may be
// lost or doubled, and no evidence removed. tools/clock.sh provides the machine.
func TestGuardHoldsWhenTheClockIsSet(t *testing.T) {
	if name, _ := os.Hostname(); os.Getenv("ROLLCAGE_TEST_CLOCK") == "" || name != "rollcage-test" {
		t.Skip("sets the clock, so it needs a machine of its own; make clock provides it")
	}
	s := newStepped(t)
	receiver := newReceiver(t, "http", uuidOf)
	s.guarded = newGuarded(t, "--runtime", "off", "--black-box", "4", "-q", "--rules", filepath.Join(s.dir, "rules.yaml"),
		"--policies", filepath.Join(s.dir, "policies.yaml"), "--out-file", s.file, "--out-http", receiver.URL)
	box := s.container(t)
	s.start(t)

	s.scene(t, "as it was")
	s.set(t, "an hour forward", time.Hour)
	s.scene(t, "an hour forward")

	t.Log("a pause goes on while the clock is set, and ends in time")
	paused := box.pause(t)
	s.set(t, "an hour forward, in a pause", time.Hour)
	s.set(t, "three hours back, in a pause", -3*time.Hour)
	box.thaws(t, paused)

	s.set(t, "two hours back", -2*time.Hour)
	s.scene(t, "two hours back")

	t.Log("a pause ends in time after a step and a restart")
	paused = box.pause(t)
	s.set(t, "two hours back, in a pause", -2*time.Hour)
	s.restart(t)
	box.thaws(t, paused)
	s.scene(t, "after a restart")

	there := time.Until(time.Date(2037, 6, 1, 12, 0, 0, 0, time.UTC))
	s.set(t, "to 2037", there)
	s.scene(t, "in 2037")
	t.Log("retention sees 2037")
	s.until(t, "doubt about the clock", func() bool { return strings.Contains(s.err.String(), "nothing is removed because of its age") })
	s.restart(t)
	if !strings.Contains(s.err.String(), "the audit log has a gap") {
		t.Error("a guard that starts in 2037 does not doubt the clock")
	}
	s.scene(t, "after a restart in 2037")
	s.set(t, "back from 2037", -there)
	s.scene(t, "back from 2037")

	s.until(t, "delivery", func() bool {
		for _, o := range s.status(t).Outputs {
			if o.Waiting > 0 {
				return false
			}
		}
		return true
	})
	s.end(t, syscall.SIGTERM)
	s.compare(t, receiver)
}

func newStepped(t *testing.T) *stepped {
	s := &stepped{dir: t.TempDir(), started: time.Now(), marks: map[string]int{}, ledger: &ledger{byID: map[string]int{}, ends: map[string]int64{}}}
	s.file = filepath.Join(s.dir, "alerts.json")
	for name, text := range map[string]string{"rules.yaml": clockRules, "policies.yaml": clockPolicies, "mark": "", "deadly": "", "limited": "", "sleepy": ""} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(strings.ReplaceAll(text, "DIR", s.dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// set sets the wall clock by so much, and waits until guard says so.
func (s *stepped) set(t *testing.T, what string, by time.Duration) {
	t.Helper()
	t.Logf("%6.1f s: the clock is set %s", time.Since(s.started).Seconds(), what)
	tv := unix.NsecToTimeval(time.Now().Add(by).UnixNano())
	if err := unix.Settimeofday(&tv); err != nil {
		t.Fatal(err)
	}
	s.steps++
	s.until(t, "alert about the clock", func() bool { return s.count(t, guard.ClockRule) == s.steps })
}

// told is an alert in the file.
type told struct {
	UUID, Rule string
	Time       time.Time
}

func (s *stepped) alerts(t *testing.T) (all []told) {
	t.Helper()
	b, err := os.ReadFile(s.file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var a told
		if strings.HasSuffix(line, "\n") && json.Unmarshal([]byte(line), &a) != nil {
			t.Fatalf("the file has a line %q", line)
		}
		all = append(all, a)
	}
	return all
}

func (s *stepped) count(t *testing.T, rule string) (n int) {
	t.Helper()
	for _, a := range s.alerts(t) {
		if a.Rule == rule {
			n++
		}
	}
	return n
}

func (s *stepped) restart(t *testing.T) {
	t.Helper()
	s.end(t, syscall.SIGTERM)
	s.readOutbox(t)
	s.guarded.start(t)
}

// readOutbox takes down what was acknowledged. What all outputs have may be gone.
func (s *stepped) readOutbox(t *testing.T) {
	t.Helper()
	for path := range s.ledger.ends {
		if _, err := os.Stat(path); err != nil {
			delete(s.ledger.ends, path)
		}
	}
	s.ledger.read(t, filepath.Join(s.state, "outbox"))
}

// scene does what raises alerts, and looks at what is done about them.
func (s *stepped) scene(t *testing.T, when string) {
	t.Helper()
	begun := time.Now()
	t.Logf("%6.1f s: alerts, %s, at %s", time.Since(s.started).Seconds(), when, begun.UTC().Format(time.DateTime))
	alerts, captures := len(s.alerts(t)), s.status(t).Captures
	seconds := strconv.Itoa(int(time.Since(s.started).Seconds()))
	marker := "marker-" + seconds
	for range 5 {
		s.read(t, "mark", marker)
	}
	s.kill(t)
	for range 3 {
		s.read(t, "limited", marker)
		s.limited++
	}
	s.until(t, "capture", func() bool { st := s.status(t); return st.Captures > captures && st.Deciding == 0 })
	s.until(t, "alerts", func() bool { return len(s.alerts(t)) >= alerts+9 })
	for _, a := range s.alerts(t)[alerts:] {
		if d := a.Time.Sub(begun.Round(0)); d < -time.Minute || d > 5*time.Minute {
			t.Errorf("%s: an alert of %s (%s) at %s", when, a.Time, a.Rule, begun)
		}
	}
	s.marks[marker] = 5
}

// read has a program of a name of its own read a file.
func (s *stepped) read(t *testing.T, name, argument string) {
	t.Helper()
	if out, err := exec.Command("sh", "-c", "read x <$0; : $1", filepath.Join(s.dir, name), argument).CombinedOutput(); err != nil && len(out) > 0 {
		t.Fatalf("%v: %s", err, out)
	}
}

// kill has a process do what it is killed for.
func (s *stepped) kill(t *testing.T) {
	t.Helper()
	cmd := exec.Command("sh", "-c", "read x <$0; while :; do sleep 1; done", filepath.Join(s.dir, "deadly"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dead := make(chan error, 1)
	go func() { dead <- cmd.Wait() }()
	select {
	case err := <-dead:
		if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
			t.Errorf("the process was to be killed, and ended with %v", err)
		}
	case <-time.After(time.Minute):
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		t.Errorf("the process is not killed:\n%s", s.err.String())
	}
}

// sleeper is a shell in a cgroup that looks like one of a container of Podman.
type sleeper struct {
	s      *stepped
	cgroup string
	run    func(line string) error
	pauses int
}

func (s *stepped) container(t *testing.T) *sleeper {
	t.Helper()
	id := strings.Repeat("5ca1ab1e", 8)
	b := &sleeper{s: s, cgroup: filepath.Join("/sys/fs/cgroup", "libpod-"+id+".scope")}
	if err := os.MkdirAll(b.cgroup, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", "echo $$ >$0/cgroup.procs; while read file; do read x <$file; done", b.cgroup)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b.run = func(line string) error { _, err := fmt.Fprintln(in, line); return err }
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return b
}

func (b *sleeper) frozen(t *testing.T) bool {
	t.Helper()
	events, err := os.ReadFile(filepath.Join(b.cgroup, "cgroup.events"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(events), "frozen 1")
}

// pause has the container do what it is paused for, and returns when that was.
func (b *sleeper) pause(t *testing.T) time.Time {
	t.Helper()
	at := time.Now()
	if err := b.run(filepath.Join(b.s.dir, "sleepy")); err != nil {
		t.Fatal(err)
	}
	b.s.until(t, "pause", func() bool { return b.frozen(t) })
	b.pauses++
	return at
}

// thaws waits for the end of a pause, which may not come too early.
func (b *sleeper) thaws(t *testing.T, paused time.Time) {
	t.Helper()
	b.s.until(t, "end of the pause", func() bool { return !b.frozen(t) })
	if was := time.Since(paused); was < pausedFor {
		t.Errorf("the pause ended after %v, before %v", was, pausedFor)
	} else {
		t.Logf("the pause ended after %v", was.Round(time.Millisecond))
	}
	b.s.until(t, "end of what is in force", func() bool { return len(b.s.status(t).InForce) == 0 })
}

// compare looks at what is left of it all.
func (s *stepped) compare(t *testing.T, r *receiver) {
	l := s.ledger
	s.readOutbox(t)
	var inFile []string
	for _, a := range readFile(t, s.file) {
		inFile = append(inFile, a.id)
	}
	l.compareReceived(t, "file", inFile)
	l.compareReceived(t, r.name, r.order)
	if n, twice := r.count(); twice > 0 || len(inFile) != n {
		t.Errorf("%d alerts in the file, %d received, %d of them twice", len(inFile), n, twice)
	}
	kept := alertsIn(t, s.guarded)
	if only := l.compareKept(t, kept); only > 0 {
		t.Errorf("%d alerts are in incidents only", only)
	}
	rep := s.verify(t)
	if rep.Removed > 0 {
		t.Errorf("%d incidents were removed", rep.Removed)
	}
	if n := s.count(t, "Marked file read"); n != 5*len(s.marks) {
		t.Errorf("%d alerts about %d reads", n, 5*len(s.marks))
	}
	if n := s.count(t, "Limited file read"); n != s.limited {
		t.Errorf("%d alerts about %d reads", n, s.limited)
	}
	runs, err := os.ReadFile(filepath.Join(s.dir, "runs"))
	if n := strings.Count(string(runs), "\n"); n != 6 { // twice for each run of guard
		t.Errorf("the limit let %d programs run, not 6: %v", n, err)
	}
	found := s.compareCaptures(t)
	internal := 0
	for _, a := range l.all {
		if a.source == alert.SourceInternal {
			internal++
		}
	}
	t.Logf("%d steps of the clock: %d alerts acknowledged, %d of them about Rollcage itself; %d in %d incidents; %d captures, in which %d of %d scenes are",
		s.steps, len(l.all), internal, len(kept), rep.Incidents, rep.Captures, found, len(s.marks))
}

// compareCaptures opens each capture as a user would, and looks for what it was taken for.
func (s *stepped) compareCaptures(t *testing.T) (found int) {
	t.Helper()
	var seen strings.Builder
	files, _ := filepath.Glob(filepath.Join(guard.EvidenceDir(s.state), "incidents", "*", "*.scap*"))
	for _, file := range files {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		cmd := exec.CommandContext(ctx, s.cmd.Path, "observe", "-r", file, "-p", "%proc.cmdline", "evt.type = execve")
		cmd.Env = s.cmd.Env
		out, err := cmd.Output()
		cancel()
		if err != nil {
			t.Errorf("observe -r %s: %v", file, err)
		}
		if n, err := eventsIn(file); n == 0 || err != nil {
			t.Errorf("%s: %d events, then %v", file, n, err)
		}
		seen.Write(out)
	}
	for marker, times := range s.marks {
		n := strings.Count(seen.String(), marker)
		if n < times {
			t.Errorf("captures show %d of %d programs with %s", n, times, marker)
			continue
		}
		found++
	}
	return found
}
