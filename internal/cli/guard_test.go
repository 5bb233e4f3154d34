package cli

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rollcage/internal/observe/probe"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/guard"
	"rollcage/internal/respond/guard/control"
)

// guarded is a guard in a process of its own.
type guarded struct {
	state, run string
	args       []string
	program    string // this one if empty
	cmd        *exec.Cmd
	out, err   lockedBuffer
	ended      chan struct{}
}

// lockedBuffer may be written and read at the same time.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// newGuarded returns a guard that is not started yet, with folders of its own.
func newGuarded(t *testing.T, args ...string) *guarded {
	t.Helper()
	if err := probe.Supported(); err != nil {
		t.Skipf("the live host cannot be watched here: %v", err)
	}
	dir, err := os.MkdirTemp("", "guard") // short, as it is part of a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &guarded{state: filepath.Join(dir, "state"), run: filepath.Join(dir, "run"), args: args}
}

// begin starts the process and does not wait.
func (g *guarded) begin(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if g.program != "" {
		self = g.program
	}
	g.cmd = exec.Command(self, append([]string{"guard", "-o", "json", "--state", g.state, "--run", g.run}, g.args...)...)
	g.cmd.Env = append(os.Environ(), beRollcage+"=1")
	g.cmd.Stdout, g.cmd.Stderr = &g.out, &g.err
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	g.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) { _ = cmd.Wait(); close(ended) }(g.cmd, g.ended)
	t.Cleanup(func() { g.end(t, syscall.SIGTERM) })
}

// start starts it and waits until detection works.
func (g *guarded) start(t *testing.T) {
	t.Helper()
	g.begin(t)
	g.until(t, "detection", func() bool {
		s, err := g.client().Status(context.Background())
		return err == nil && s.Healthy
	})
}

// end sends a signal and waits for the end.
func (g *guarded) end(t *testing.T, sig syscall.Signal) {
	t.Helper()
	_ = g.cmd.Process.Signal(sig)
	select {
	case <-g.ended:
	case <-time.After(30 * time.Second):
		_ = g.cmd.Process.Kill()
		t.Errorf("guard did not end after %v:\n%s", sig, g.err.String())
	}
}

func (g *guarded) client() *control.Client {
	return control.NewClient(filepath.Join(g.run, control.SocketName))
}

func (g *guarded) status(t *testing.T) guard.Status {
	t.Helper()
	s, err := g.client().Status(context.Background())
	if err != nil {
		t.Fatalf("%v\n%s", err, g.err.String())
	}
	return s
}

// until waits for something that must come about.
func (g *guarded) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for !ok() {
		select {
		case <-g.ended:
			t.Fatalf("guard ended before %s:\n%s", what, g.err.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s in 90 s:\n%s", what, g.err.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// verify checks the evidence.
func (g *guarded) verify(t *testing.T) *evidence.Report {
	t.Helper()
	r, err := evidence.Verify(guard.EvidenceDir(g.state), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		t.Errorf("%s: %s", f.Where, f.What)
	}
	return r
}

func TestGuardKeepsActsAndGoesOnWhereItWas(t *testing.T) {
	ctx := context.Background()
	g := newGuarded(t, "--runtime", "docker:unix:///run/no/such.sock", "--black-box", "4", "--out-file", filepath.Join(t.TempDir(), "alerts.json"))
	g.start(t)
	if !strings.Contains(g.err.String(), "no such container runtime yet") {
		t.Errorf("nothing says that the runtime is not there:\n%s", g.err.String())
	}
	if r := g.status(t).Runtimes; len(r) != 1 || r[0].Connected || !r[0].Missing {
		t.Errorf("the runtime is told as %+v", r)
	}
	if out, err := exec.Command("cat", "/etc/shadow").CombinedOutput(); err != nil {
		t.Skipf("cannot read a file with secrets: %v %s", err, out)
	}
	g.until(t, "incident", func() bool { return len(g.status(t).Last) > 0 && g.status(t).Outputs[0].Sent > 0 })
	id := g.status(t).Last[0].ID
	list := exec.Command(g.cmd.Path, "incidents", "list", "--run", g.run)
	list.Env = g.cmd.Env
	if out, err := list.CombinedOutput(); err != nil || !strings.Contains(string(out), id) {
		t.Errorf("the list of the guard at --run: %v\n%s", err, out)
	}

	second := exec.Command(g.cmd.Path, g.cmd.Args[1:]...)
	second.Env = g.cmd.Env
	if out, err := second.CombinedOutput(); err == nil || !strings.Contains(string(out), "runs already") {
		t.Errorf("a second guard: %v %s", err, out)
	}
	if err := g.client().Note(ctx, id, "looked at it"); err != nil {
		t.Error(err)
	}
	if err := g.client().Note(ctx, "20200101T000000Z-00000000", "x"); err == nil {
		t.Error("a note to no incident was taken")
	}
	if _, err := g.client().Act(ctx, id, control.Act{Kind: "kill", Target: "everything"}); err == nil || !strings.Contains(err.Error(), "process, tree or container") {
		t.Errorf("a wrong action: %v", err)
	}
	const takeover = "Stop a takeover of a container"
	if err := g.client().SetMode(ctx, takeover, "enforce"); err != nil {
		t.Error(err)
	}
	if err := g.client().Reload(ctx); err != nil {
		t.Error(err)
	}
	g.end(t, syscall.SIGTERM)
	if code := g.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, g.err.String())
	}
	if r := g.verify(t); r.Captures != 1 {
		t.Errorf("%d captures, want the one that policies take", r.Captures)
	}
	g.start(t)
	s := g.status(t)
	if len(s.Last) == 0 || s.Last[len(s.Last)-1].ID != id {
		t.Errorf("the incident is gone: %+v", s.Last)
	}
	for _, p := range s.Policies {
		if p.Name == takeover && p.Mode != "enforce" {
			t.Errorf("the policy is in mode %s again", p.Mode)
		}
	}
	g.end(t, syscall.SIGTERM)
	g.verify(t)
}
