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

func (r *Runner) pause(q *Request) (plan, error) {
	c, err := r.container(q)
	if err != nil {
		return plan{}, err
	}
	return plan{what: "pause container " + containerName(c), act: func(ctx context.Context) (*Undo, error) {
		if err := r.setPaused(ctx, c, true); err != nil {
			return nil, err
		}
		return &Undo{Container: c}, nil
	}}, nil
}

func (r *Runner) unpause(q *Request) (plan, error) {
	c := q.Scene.Container
	if c == nil {
		return plan{}, errors.New("it is not in a container")
	}
	return plan{what: "unpause container " + containerName(c), act: func(ctx context.Context) (*Undo, error) {
		return nil, r.setPaused(ctx, c, false)
	}}, nil
}

// setPaused pauses a container or lets it go on. That it is so already is no error.
func (r *Runner) setPaused(ctx context.Context, c *scene.Container, paused bool) error {
	if r.useDocker(c) {
		if paused {
			return r.opts.Docker.Pause(ctx, fullID(c))
		}
		return r.opts.Docker.Unpause(ctx, fullID(c))
	}
	f, err := freezerOf(c)
	if err != nil {
		return err
	}
	return f.set(ctx, paused)
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
	return plan{what: "stop container " + containerName(c), act: func(ctx context.Context) (*Undo, error) {
		if r.useDocker(c) {
			return nil, r.opts.Docker.Stop(ctx, fullID(c), timeout)
		}
		return nil, stopProcesses(ctx, c, timeout)
	}}, nil
}

// defaultStop is how long a container may take to end by itself.
const defaultStop = 10 * time.Second

func (r *Runner) killContainer(q *Request) (plan, error) {
	c, err := r.container(q)
	if err != nil {
		return plan{}, err
	}
	return plan{what: "kill container " + containerName(c), act: func(ctx context.Context) (*Undo, error) {
		if r.useDocker(c) {
			return nil, r.opts.Docker.Kill(ctx, fullID(c))
		}
		return nil, killContainer(ctx, c)
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
			return killContainer(ctx, c)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
