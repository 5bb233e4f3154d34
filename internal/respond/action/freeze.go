package action

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rollcage/internal/respond/policy"
	"rollcage/internal/respond/scene"
)

// freezer is a cgroup whose processes can be frozen: of the second version, or
// of the freezer hierarchy of the first.
type freezer struct {
	dir string
	v1  bool
}

// freezerOf finds the cgroup of a container.
func freezerOf(c *scene.Container) (*freezer, error) {
	pids, err := pidsOf(c)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pids[0]))
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", containerName(c), ErrGone)
	}
	mounts, err := cgroupMounts()
	if err != nil {
		return nil, err
	}
	id := c.FullID
	if id == "" {
		id = c.ID
	}
	for line := range strings.Lines(string(b)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		p, ok := cutBelow(parts[2], id)
		mount := mounts[parts[1]]
		if !ok || mount == "" || parts[1] != "" && parts[1] != "freezer" {
			continue
		}
		f := &freezer{dir: filepath.Join(mount, p), v1: parts[1] != ""}
		if _, err := os.Stat(f.file()); err == nil {
			return f, nil
		}
	}
	return nil, fmt.Errorf("container %s has no cgroup that can be frozen", containerName(c))
}

// cutBelow returns the path up to the part that names the container: it may
// have made cgroups of its own below.
func cutBelow(p, id string) (string, bool) {
	p = path.Clean("/" + p)
	i := strings.LastIndex(p, id)
	if i < 0 {
		return "", false
	}
	if end := strings.IndexByte(p[i:], '/'); end >= 0 {
		p = p[:i+end]
	}
	return p, true
}

// cgroupMounts returns where the freezer hierarchy ("freezer") and that of the second version ("") are mounted.
func cgroupMounts() (map[string]string, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("find the cgroups: %w", err)
	}
	mounts := map[string]string{}
	for line := range strings.Lines(string(b)) {
		left, right, ok := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 5 || len(r) < 3 || l[3] != "/" {
			continue
		}
		switch {
		case r[0] == "cgroup2":
			mounts[""] = l[4]
		case r[0] == "cgroup" && strings.Contains(","+r[2]+",", ",freezer,"):
			mounts["freezer"] = l[4]
		}
	}
	return mounts, nil
}

func (f *freezer) file() string {
	if f.v1 {
		return filepath.Join(f.dir, "freezer.state")
	}
	return filepath.Join(f.dir, "cgroup.freeze")
}

// set freezes or thaws, and waits until that is so.
func (f *freezer) set(ctx context.Context, frozen bool) error {
	value := map[[2]bool]string{{false, true}: "1", {false, false}: "0", {true, true}: "FROZEN", {true, false}: "THAWED"}[[2]bool{f.v1, frozen}]
	if err := os.WriteFile(f.file(), []byte(value), 0); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = ErrGone
		}
		return err
	}
	for {
		is, err := f.frozen()
		if err != nil || is == frozen {
			return err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s is not %s: %w", f.dir, value, context.Cause(ctx))
		}
	}
}

func (f *freezer) frozen() (bool, error) {
	name, want := "cgroup.events", []byte("frozen 1")
	if f.v1 {
		name, want = "freezer.state", []byte("FROZEN")
	}
	b, err := os.ReadFile(filepath.Join(f.dir, name))
	return bytes.Contains(b, want), err
}

func byDocker(c *scene.Container) bool { return c.Runtime == "docker" }

// useDocker reports whether a container is Docker's and Docker can be asked.
// Docker knows the states of its containers, so it is asked rather than passed over.
func (r *Runner) useDocker(c *scene.Container) bool { return r.opts.Docker != nil && byDocker(c) }

func fullID(c *scene.Container) string {
	if c.FullID != "" {
		return c.FullID
	}
	return c.ID
}

// dockerWait is how long Docker may take. One that hangs must not keep an attacker alive: then the kernel is asked itself.
const dockerWait = 5 * time.Second

// viaDocker has Docker act on a container of its own, within so much more than dockerWait. If Docker did not, kernel does
// it through the cgroup, and how says so.
func (r *Runner) viaDocker(ctx context.Context, c *scene.Container, more time.Duration, ask func(context.Context) error, kernel func() error) (how string, err error) {
	if !r.useDocker(c) {
		return "", kernel()
	}
	limited, cancel := context.WithTimeout(ctx, r.dockerWait+more)
	defer cancel()
	asked := ask(limited)
	if asked == nil || ctx.Err() != nil {
		return "", asked
	}
	err = kernel()
	if errors.Is(err, ErrGone) && !errors.Is(asked, ErrGone) {
		return "", fmt.Errorf("%w; and no process of it is found", asked) // it is for Docker to say that a container is gone
	}
	if err != nil {
		return "", errors.Join(asked, err)
	}
	r.opts.Log.Warn("a container is acted on through its cgroup, as Docker does not do it", "container", c.ID, "error", asked)
	return fmt.Sprintf(", through its cgroup, as Docker did not: %v", asked), nil
}

func (r *Runner) pause(q *Request) (plan, error) {
	c, err := r.container(q)
	if err != nil {
		return plan{}, err
	}
	got := "pause container " + containerName(c)
	return plan{what: got, got: &got, act: func(ctx context.Context) (*Undo, error) {
		if isPaused(c) && !r.pending.has(policy.Pause, c) {
			got = "container " + containerName(c) + " was paused before, not by guard, and stays so"
			return nil, nil
		}
		how, err := r.setPaused(ctx, c, true)
		if err != nil {
			return nil, err
		}
		got += how
		return &Undo{Container: c}, nil
	}}, nil
}

func (r *Runner) unpause(q *Request) (plan, error) {
	c := q.Scene.Container
	if c == nil {
		return plan{}, errors.New("it is not in a container")
	}
	got := "unpause container " + containerName(c)
	return plan{what: got, got: &got, act: func(ctx context.Context) (*Undo, error) {
		how, err := r.setPaused(ctx, c, false)
		got += how
		return nil, err
	}}, nil
}

func isPaused(c *scene.Container) bool {
	f, err := freezerOf(c)
	if err != nil {
		return false
	}
	frozen, err := f.frozen()
	return err == nil && frozen
}

// setPaused pauses a container or lets it go on. That it is so already is no error.
func (r *Runner) setPaused(ctx context.Context, c *scene.Container, paused bool) (how string, err error) {
	kernel := func() error {
		f, err := freezerOf(c)
		if err != nil {
			return err
		}
		return f.set(ctx, paused)
	}
	return r.viaDocker(ctx, c, 0, func(ctx context.Context) error {
		if paused {
			return r.opts.Docker.Pause(ctx, fullID(c))
		}
		err := r.opts.Docker.Unpause(ctx, fullID(c))
		if err == nil && isPaused(c) { // Docker does not know of a pause that was done without it
			err = kernel()
		}
		return err
	}, kernel)
}

func (r *Runner) stop(q *Request) (plan, error) {
	c, err := r.container(q)
	if err != nil {
		return plan{}, err
	}
	timeout := q.Timeout
	if timeout == 0 {
		timeout = defaultStop
	}
	got := "stop container " + containerName(c)
	return plan{what: got, got: &got, act: func(ctx context.Context) (*Undo, error) {
		how, err := r.viaDocker(ctx, c, timeout, func(ctx context.Context) error {
			return r.opts.Docker.Stop(ctx, fullID(c), timeout)
		}, func() error {
			if r.useDocker(c) {
				timeout = min(timeout, lateStop)
			}
			return stopProcesses(ctx, c, timeout)
		})
		got += how
		return nil, err
	}}, nil
}

// lateStop is how long a container may take to end by itself after Docker took all of the time.
const lateStop = 2 * time.Second

// defaultStop is how long a container may take to end by itself.
const defaultStop = 10 * time.Second

func (r *Runner) killContainer(q *Request) (plan, error) {
	c, err := r.container(q)
	if err != nil {
		return plan{}, err
	}
	got := "kill container " + containerName(c)
	return plan{what: got, got: &got, act: func(ctx context.Context) (*Undo, error) {
		how, err := r.viaDocker(ctx, c, 0, func(ctx context.Context) error {
			return r.opts.Docker.Kill(ctx, fullID(c))
		}, func() error { return killContainer(ctx, c) })
		got += how
		return nil, err
	}}, nil
}

// killContainer kills through the cgroup where the kernel can (5.14), else one by one.
func killContainer(ctx context.Context, c *scene.Container) error {
	f, err := freezerOf(c)
	if errors.Is(err, ErrGone) {
		return err
	}
	if err == nil && !f.v1 {
		// What fails here is done by killAll; a process that was frozen is killed by both.
		_ = os.WriteFile(filepath.Join(f.dir, "cgroup.kill"), []byte("1"), 0)
	}
	if err == nil && f.v1 {
		// A process that is frozen by the first version takes the signal once it is thawed, before it does anything else.
		if err := signalAll(c, unix.SIGKILL, false); err != nil {
			return err
		}
		if err := f.set(ctx, false); err != nil && !errors.Is(err, ErrGone) {
			return err
		}
	}
	return killAll(ctx, c)
}

// stopProcesses asks the first process of the container to end, and kills all after the timeout.
func stopProcesses(ctx context.Context, c *scene.Container, timeout time.Duration) error {
	if err := signalAll(c, unix.SIGTERM, true); err != nil {
		return err
	}
	for soft := time.After(timeout); ; {
		if _, err := pidsOf(c); errors.Is(err, ErrGone) {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-soft:
			if err := killContainer(ctx, c); !errors.Is(err, ErrGone) { // it may have ended just now
				return err
			}
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
