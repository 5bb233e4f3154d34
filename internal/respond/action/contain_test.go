package action

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"

	"rollcage/internal/respond/policy"
	"rollcage/internal/respond/scene"
)

// hung is a Docker that does not answer.
type hung struct{}

func (hung) wait(ctx context.Context) error                              { <-ctx.Done(); return ctx.Err() }
func (d hung) Pause(ctx context.Context, _ string) error                 { return d.wait(ctx) }
func (d hung) Unpause(ctx context.Context, _ string) error               { return d.wait(ctx) }
func (d hung) Kill(ctx context.Context, _ string) error                  { return d.wait(ctx) }
func (d hung) Stop(ctx context.Context, _ string, _ time.Duration) error { return d.wait(ctx) }

func TestADockerThatHangsKeepsNobodyAlive(t *testing.T) {
	eachHierarchy(t, func(t *testing.T, v1 bool) {
		for _, a := range []policy.Action{{Kind: policy.Kill, Target: policy.KillContainer}, {Kind: policy.Stop, Timeout: time.Millisecond}} {
			c, cmd, _, _ := boxed(t, v1, "sleep 1000; true")
			c.Runtime = "docker"
			r, n := newRunner(t, Options{Docker: hung{}})
			r.dockerWait = 20 * time.Millisecond
			sc := &scene.Scene{Container: c}
			id, err := r.Do(t.Context(), act(policy.Action{Kind: policy.Pause}, sc))
			if err != nil || !isPaused(c) {
				t.Fatal(err)
			}
			if _, o := n.last(); !strings.Contains(o.Done, "through its cgroup, as Docker did not") {
				t.Errorf("%+v", o)
			}
			// Docker answers again, and knows nothing of the pause.
			r.opts.Docker = &flaky{}
			if _, err := r.Undo(t.Context(), id, nil); err != nil || isPaused(c) {
				t.Errorf("paused after the undo; %v", err)
			}
			r.opts.Docker = hung{}
			ended := make(chan bool)
			go func() { ended <- cmd.Wait() != nil }()
			if _, err := r.Do(t.Context(), act(a, sc)); err != nil {
				t.Fatal(err)
			}
			if !<-ended {
				t.Error("it was not killed")
			}
		}
	})
}

func TestWhatSomebodyElsePausedIsNotUnpaused(t *testing.T) {
	eachHierarchy(t, func(t *testing.T, v1 bool) {
		c, _, _, _ := boxed(t, v1, "sleep 1000; true")
		f, err := freezerOf(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.set(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		r, n := newRunner(t, Options{})
		if _, err := r.Do(t.Context(), act(policy.Action{Kind: policy.Pause, For: time.Millisecond}, &scene.Scene{Container: c})); err != nil {
			t.Fatal(err)
		}
		if _, o := n.last(); len(r.InForce()) != 0 || !isPaused(c) || !strings.Contains(o.Done, "not by guard") {
			t.Errorf("in force %+v, %+v", r.InForce(), o)
		}
	})
}

// cutNetworks returns in how many of the namespaces of a container nothing passes.
func cutNetworks(t *testing.T, r *Runner, c *scene.Container) (cut, all int) {
	t.Helper()
	spaces, err := r.networks(c)
	if err != nil {
		t.Fatal(err)
	}
	defer spaces.close()
	for _, f := range spaces.files {
		conn, err := nftables.New(nftables.WithNetNSFd(int(f.Fd())))
		if err != nil {
			t.Fatal(err)
		}
		tables, err := conn.ListTables()
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range tables {
			if table.Name == tableName {
				cut++
			}
		}
	}
	return cut, len(spaces.files)
}

func TestIsolationCutsEveryNetworkOfAContainer(t *testing.T) {
	if _, err := exec.LookPath("unshare"); err != nil {
		t.Skip("needs unshare")
	}
	c, _, in, out := boxed(t, true, "exec unshare -n sh -c 'echo up; while read c; do eval \"$c\"; done'")
	if l, err := out.ReadString('\n'); err != nil || l != "up\n" {
		t.Skipf("no network namespace: %q %v", l, err)
	}
	more := func() {
		t.Helper()
		fmt.Fprintln(in, "unshare -n sh -c 'echo up; sleep 1000; true' &")
		if l, err := out.ReadString('\n'); err != nil || l != "up\n" {
			t.Fatal(l, err)
		}
	}
	more()
	r, _ := newRunner(t, Options{})
	sc := &scene.Scene{Container: c}
	id, err := r.Do(t.Context(), act(policy.Action{Kind: policy.Isolate}, sc))
	if err != nil {
		t.Fatal(err)
	}
	if cut, all := cutNetworks(t, r, c); all != 2 || cut != 2 || len(r.InForce()[0].Networks) != 2 {
		t.Errorf("%d of %d are cut; %+v", cut, all, r.InForce())
	}
	more() // what is added by a second time is taken back with the first
	if _, err := r.Do(t.Context(), act(policy.Action{Kind: policy.Isolate}, sc)); err != nil {
		t.Fatal(err)
	}
	if cut, all := cutNetworks(t, r, c); all != 3 || cut != 3 {
		t.Errorf("%d of %d are cut", cut, all)
	}
	if _, err := r.Undo(t.Context(), id, nil); err != nil {
		t.Fatal(err)
	}
	if cut, _ := cutNetworks(t, r, c); cut != 0 {
		t.Errorf("%d are cut after the undo", cut)
	}
	if n := findNetworks([]uint64{r.own.netns}); n.files[r.own.netns] == nil {
		t.Error("a namespace is not found by its inode")
	} else {
		n.close()
	}
}
