package agent

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/probe"
	"rollcage/internal/respond/alert"
)

// beCanary and beLoad make the test binary act as the canary, or as the load,
// in the folder that they name.
const (
	beCanary = "ROLLCAGE_TEST_BE_CANARY"
	beLoad   = "ROLLCAGE_TEST_BE_LOAD"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(beCanary) != "":
		beACanary(os.Getenv(beCanary))
	case os.Getenv(beLoad) != "":
		beALoad(os.Getenv(beLoad))
	default:
		os.Exit(m.Run())
	}
}

// canaryActs are the acts of one round, by the event type that each causes.
// Their paths tell the round.
var canaryActs = map[string]func(path string){
	"openat":    func(p string) { _, _ = unix.Openat(unix.AT_FDCWD, p, unix.O_RDONLY, 0) },
	"mkdirat":   func(p string) { _ = unix.Mkdirat(unix.AT_FDCWD, p, 0) },
	"unlinkat":  func(p string) { _ = unix.Unlinkat(unix.AT_FDCWD, p, 0) },
	"renameat2": func(p string) { _ = unix.Renameat2(unix.AT_FDCWD, p, unix.AT_FDCWD, p, 0) },
	"linkat":    func(p string) { _ = unix.Linkat(unix.AT_FDCWD, p, unix.AT_FDCWD, p, 0) },
	"symlinkat": func(p string) { _ = unix.Symlinkat(p, unix.AT_FDCWD, p) },
	"fchmodat":  func(p string) { _ = unix.Fchmodat(unix.AT_FDCWD, p, 0, 0) },
	"execve":    func(p string) { _, _ = syscall.ForkExec(p, []string{p}, nil) },
	"connect": func(p string) {
		if c, err := net.Dial("unix", p); err == nil {
			c.Close()
		}
	},
}

// canaryPath is in a folder that is missing, so that no act does anything.
func canaryPath(dir, act string, n int) string {
	return filepath.Join(dir, "missing", act, strconv.Itoa(n))
}

// beACanary acts every 10 ms until its input ends, then says how often it did.
func beACanary(dir string) {
	end := make(chan struct{})
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		close(end)
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	for n := 0; ; n++ {
		select {
		case <-end:
			fmt.Println(n)
			return
		case <-tick.C:
		}
		for name, act := range canaryActs {
			act(canaryPath(dir, name, n))
		}
	}
}

// beALoad opens, reads and closes files, some thousand times a second.
func beALoad(dir string) {
	end := make(chan struct{})
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		close(end)
	}()
	file := filepath.Join(dir, "load")
	_ = os.WriteFile(file, []byte("x"), 0o600)
	for {
		select {
		case <-end:
			return
		case <-time.After(2 * time.Millisecond):
		}
		for range 20 {
			_, _ = os.ReadFile(file)
		}
	}
}

// child starts this test binary as something else. The function ends it and
// returns what it printed.
func child(t *testing.T, role, dir string) (end func() string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), role+"="+dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return sync.OnceValue(func() string {
		stdin.Close()
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		_ = cmd.Wait()
		return strings.TrimSpace(line)
	})
}

// canarySet returns rules for all acts, and others that make one set want
// other events than the next.
func canarySet(t *testing.T, dir string, round int) *Rules {
	var b strings.Builder
	rule := func(name, condition, output string) {
		fmt.Fprintf(&b, "- rule: %s\n  desc: d\n  condition: %s\n  output: %q\n  priority: NOTICE\n", name, condition, output)
	}
	for i, other := range [][]string{{"read", "chdir"}, {"write", "getcwd"}, {"close", "dup"}}[round%3] {
		rule(fmt.Sprint("other ", i), fmt.Sprintf("evt.type = %s and fd.name = /never/%d and proc.name = never%d", other, round, round), "x")
	}
	for name := range canaryActs {
		// Another condition each time, so that no answer of one program fits the next.
		cond := fmt.Sprintf("evt.type = %s and not proc.name = never%d and evt.args contains %s/missing", name, round, dir)
		if name == "connect" {
			cond = fmt.Sprintf("evt.type = connect and not proc.name = never%d and fd.name contains %s/missing", round, dir)
		}
		out := "%evt.args"
		if name == "connect" {
			out = "%fd.name"
		}
		rule(name, cond, out)
	}
	return compiledText(t, b.String())
}

// TestNothingIsMissedWhileRulesAreReloaded reloads under load, while a process
// acts in many ways every 10 ms: ROLLCAGE_TEST_ROUNDS times (10 if not set).
// A run in which other programs flooded this machine tells nothing about
// reloads, and is done again.
func TestNothingIsMissedWhileRulesAreReloaded(t *testing.T) {
	if err := probe.Supported(); err != nil {
		t.Skipf("the live host cannot be watched here: %v", err)
	}
	rounds := 10
	if n, err := strconv.Atoi(os.Getenv("ROLLCAGE_TEST_ROUNDS")); err == nil {
		rounds = n
	}
	for range 5 {
		if reloadUnderLoad(t, rounds) {
			return
		}
	}
	t.Error("events were dropped in each run, so that none tells whether reloads miss something")
}

// reloadUnderLoad reports whether no event was dropped, so that each act must have its alert.
func reloadUnderLoad(t *testing.T, rounds int) (whole bool) {
	t.Helper()
	dir := t.TempDir()
	rules := canarySet(t, dir, 0)
	src, err := probe.Open(probe.Options{Interest: rules.Interest(), RingSize: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	r := startOn(t, src, rules, Options{Live: true})
	endLoad := child(t, beLoad, dir)
	defer endLoad()
	endCanary := child(t, beCanary, dir)
	defer endCanary()
	for i := 1; i <= rounds; i++ {
		err := r.Reload(t.Context(), "test", func() (*Rules, error) { return canarySet(t, dir, i), nil })
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	acts, err := strconv.Atoi(endCanary())
	if err != nil {
		t.Fatal(err)
	}
	endLoad()
	time.Sleep(500 * time.Millisecond) // until the last events are read
	s := r.Stats()
	alerts := r.end(t)
	missing := missingActs(dir, alerts, acts)
	t.Logf("%d reloads, %d events, %d dropped, %d rounds of %d acts, %d alerts", rounds, s.Source.Events, s.Source.Dropped, acts, len(canaryActs), len(alerts))
	if s.Source.Dropped > 0 {
		return false
	}
	if acts < rounds || len(missing) > 0 {
		t.Errorf("%d acts have no alert: %.20q", len(missing), missing)
	}
	return true
}

// missingActs returns the acts that no alert tells of.
func missingActs(dir string, alerts []*alert.Alert, acts int) []string {
	told := map[string]bool{}
	for _, a := range alerts {
		for _, word := range strings.FieldsFunc(a.Message, func(r rune) bool { return strings.ContainsRune(" =()", r) }) {
			if i := strings.Index(word, dir); i >= 0 {
				told[a.Rule+" "+word[i:]] = true
			}
		}
	}
	var missing []string
	for n := range acts {
		for name := range canaryActs {
			if path := canaryPath(dir, name, n); !told[name+" "+path] {
				missing = append(missing, path)
			}
		}
	}
	return missing
}
