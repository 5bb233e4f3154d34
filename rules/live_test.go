package rules_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcage/internal/detect/filter"
	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
	"rollcage/internal/observe/probe"
	"rollcage/internal/observe/procfs"
	"rollcage/internal/understand/runtime"
)

// The environment of tests with containers; `make test` provides it.
var (
	dockerHost = os.Getenv("ROLLCAGE_TEST_DOCKER_HOST")
	testImage  = os.Getenv("ROLLCAGE_TEST_IMAGE")
)

// fired is an alert of the live host.
type fired struct {
	rule, text            string
	program               string // path
	container, repository string
	known                 bool // all that is always known of a container is
	ours                  bool // caused by this test and not by others on the machine
}

// watcher judges the live host by the rules, as rollcage detect does.
type watcher struct {
	engine  *rule.Engine
	formats []*filter.Format // by rule
	state   *host.State
	prefix  string // of the names of our containers

	mu     sync.Mutex
	alerts []fired
	signs  map[string]bool // words of alerts that settle caused
	err    error
}

// watch starts to watch. Containers whose names begin with prefix are ours.
func watch(t *testing.T, prefix string) *watcher {
	t.Helper()
	if err := probe.Supported(); err != nil {
		t.Skipf("the live host cannot be watched here: %v", err)
	}
	set := load(t)
	engine, err := rule.NewEngine(set, rule.EngineOptions{Threshold: rule.Debug, Matching: rule.MatchAll})
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{engine: engine, prefix: prefix, signs: map[string]bool{}}
	for _, m := range engine.Rules() {
		f, err := set.ParseFormat("*" + m.Output)
		if err != nil {
			t.Fatal(err)
		}
		w.formats = append(w.formats, f)
	}
	proc, err := procfs.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	w.state = host.New(host.Options{Healer: procfs.NewHealer(proc)})
	src := openLive(t, engine.Interest())
	w.state.Load(src.Snapshot())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.run(src)
	}()
	t.Cleanup(func() {
		_ = src.Close()
		<-done
		if w.err != nil {
			t.Error(w.err)
		}
	})
	return w
}

func openLive(t *testing.T, interest event.Interest) event.Source {
	t.Helper()
	var engines []runtime.Engine
	if dockerHost != "" {
		d, err := runtime.NewDocker(dockerHost)
		if err != nil {
			t.Fatal(err)
		}
		engines = append(engines, d)
	}
	p, err := probe.Open(probe.Options{Interest: interest})
	if err != nil {
		t.Fatal(err)
	}
	return runtime.NewSource(p, runtime.NewCatalog(engines, slog.New(slog.NewTextHandler(io.Discard, nil))))
}

func (w *watcher) run(src event.Source) {
	var ev event.Event
	var he host.Event
	for {
		switch err := src.Next(&ev); err {
		case nil:
		case event.ErrIdle:
			continue
		case io.EOF:
			return
		default:
			w.err = err
			return
		}
		w.state.Apply(&ev, &he)
		if ev.Hidden {
			continue
		}
		for _, m := range w.engine.Process(&he) {
			w.note(m, &he)
		}
	}
}

// note keeps an alert.
func (w *watcher) note(m *rule.Match, he *host.Event) {
	text, _ := w.formats[m.Index].AppendText(nil, he)
	f := fired{rule: m.Name, text: string(text)}
	if p := he.Process(); p != nil {
		f.program, f.ours = p.ExePath, descends(p, int64(os.Getpid()))
		if c := p.Container; c != nil {
			f.container, f.repository = c.Name, c.ImageRepo
			f.known = c.Known && c.Name != "" && c.ImageRepo != "" && c.ImageTag != ""
			f.ours = strings.HasPrefix(c.Name, w.prefix)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.alerts = append(w.alerts, f)
}

// runtimePrograms act for us when we ask Docker for something.
var runtimePrograms = []string{"dockerd", "containerd", "containerd-shim-runc-v2", "runc", "docker-proxy"}

// descends reports whether a process is below another one, or works for it.
func descends(t *host.Thread, pid int64) bool {
	if slices.Contains(runtimePrograms, filepath.Base(t.ExePath)) {
		return true
	}
	for range 64 {
		if t == nil || t.PID == pid {
			break
		}
		t = t.Parent
	}
	return t != nil
}

// patience is how long to wait for an alert before it is taken for missing.
const patience = time.Minute

// settle waits until all that happened before has been judged: until what a
// process of ours does now is. It does it again from time to time, as a busy
// machine may lose what one of them does.
func (w *watcher) settle(t *testing.T) {
	t.Helper()
	var last string
	again := time.Time{}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(again) {
			again = time.Now().Add(2 * time.Second)
			cat := exec.Command("cat", "/etc/shadow")
			if err := cat.Run(); err != nil {
				t.Fatal(err)
			}
			last = fmt.Sprintf("pid=%d", cat.Process.Pid)
			w.signs[last] = true
		}
		if w.told(last) {
			return
		}
	}
	t.Fatal("that passwords are read has not been told")
}

// await returns our alerts since the last time as soon as there are n, or
// fewer if no more come. What docker run starts may begin after it returns.
func (w *watcher) await(t *testing.T, n int) (got []fired) {
	t.Helper()
	for end := time.Now().Add(patience / 10); ; time.Sleep(20 * time.Millisecond) {
		w.settle(t)
		if got = append(got, w.take()...); len(got) >= n || time.Now().After(end) {
			return got
		}
	}
}

// told reports whether an alert has a word.
func (w *watcher) told(word string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.alerts, func(f fired) bool { return slices.Contains(strings.Fields(f.text), word) })
}

// take returns our alerts since the last call, without those that settle caused.
func (w *watcher) take() []fired {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.alerts
	w.alerts = nil
	return slices.DeleteFunc(all, func(f fired) bool {
		return !f.ours || slices.ContainsFunc(strings.Fields(f.text), func(s string) bool { return w.signs[s] })
	})
}

// docker runs the docker client and returns what it prints.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", append([]string{"-H", dockerHost}, args...)...)
	cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// needDocker skips the test if there is no Docker Engine for tests.
func needDocker(t *testing.T) {
	t.Helper()
	if dockerHost == "" || testImage == "" {
		t.Skip("needs a Docker Engine in ROLLCAGE_TEST_DOCKER_HOST and an image in ROLLCAGE_TEST_IMAGE (make test starts one)")
	}
}

// runContainer starts a container that is removed at the end of the test.
func runContainer(t *testing.T, name string, args ...string) {
	t.Helper()
	docker(t, append([]string{"run", "-d", "--name", name}, args...)...)
	t.Cleanup(func() { docker(t, "rm", "-f", name) })
}
