package action

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"rollcage/internal/respond/policy"
	"rollcage/internal/respond/scene"
)

// handle is a process that is pinned: signals reach it or nobody.
type handle struct {
	fd  int
	pid int64
	stat
	container string
}

// pin opens a process. The number may be that of another one by then; what is
// read after the opening is about the one that is pinned, if that still lives.
func pin(pid int64) (*handle, error) {
	if pid <= 0 {
		return nil, errors.New("the process is not known")
	}
	fd, err := unix.PidfdOpen(int(pid), 0)
	if err != nil {
		if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
			err = ErrGone
		}
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	h := &handle{fd: fd, pid: pid}
	if h.stat, err = readStat(pid); err == nil {
		h.container = containerOfProcess(pid)
		if err = h.signal(0); err == nil && h.over(0) {
			err = ErrGone // a zombie, to which signals do nothing
		}
	}
	if err != nil {
		h.close()
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	return h, nil
}

func (h *handle) close() { unix.Close(h.fd) }

func (h *handle) signal(sig unix.Signal) error {
	err := unix.PidfdSendSignal(h.fd, sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	return err
}

// over reports whether all threads of the process have ended, after waiting for so many ms.
func (h *handle) over(ms int) bool {
	fds := []unix.PollFd{{Fd: int32(h.fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, ms)
	return err == nil && n > 0
}

// ended waits until the process has ended.
func (h *handle) ended(ctx context.Context) error {
	for {
		if h.over(20) {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("process %d does not end: %w", h.pid, context.Cause(ctx))
		}
	}
}

// identify pins the process at work in a scene. It is another one that has the
// number by now if it started after the event, or is elsewhere.
func (r *Runner) identify(sc *scene.Scene) (*handle, error) {
	p := sc.Process()
	if p == nil {
		return nil, errors.New("the process is not known")
	}
	if sc.Container != nil {
		if err := r.checkContainer(sc.Container, sc.Host); err != nil {
			return nil, err
		}
	}
	h, err := pin(p.PID)
	if err != nil {
		return nil, err
	}
	err = r.checkProcess(h.pid, h.stat, h.container)
	switch {
	case err != nil:
	case sc.Boot <= 0:
		err = errors.New("it is not known when the event happened, so not whether the process is still the same")
	case h.start > sc.Boot:
		err = fmt.Errorf("process %d: %w; another one has its number now", h.pid, ErrGone)
	case h.container != sc.ContainerID():
		err = fmt.Errorf("process %d: %w; one with its number is elsewhere", h.pid, ErrGone)
	}
	if err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

func (r *Runner) kill(q *Request) (plan, error) {
	if q.Target == policy.KillContainer {
		return r.killContainer(q)
	}
	if k := q.Scene.Killed; q.Fast && k != nil {
		return killedInKernel(k), nil
	}
	if q.Target == policy.KillTree {
		return r.killTree(q)
	}
	h, err := r.identify(q.Scene)
	if errors.Is(err, ErrGone) {
		return plan{}, fmt.Errorf("%w%s", err, r.remains(q.Scene, "kill: tree"))
	}
	if err != nil {
		return plan{}, err
	}
	name := fmt.Sprintf("kill process %d (%s)", h.pid, h.comm)
	h.close() // the plan may never be carried out; then it is pinned again
	got := name
	return plan{what: name, got: &got, act: func(ctx context.Context) (*Undo, error) {
		h, err := r.identify(q.Scene)
		if err != nil {
			return nil, err
		}
		defer h.close()
		if err := h.signal(unix.SIGKILL); err != nil {
			return nil, fmt.Errorf("process %d: %w", h.pid, err)
		}
		err = h.ended(ctx)
		got += fmt.Sprintf(", which ended %v after the act", (bootTime() - time.Duration(q.Scene.Boot)).Round(time.Microsecond))
		return nil, err
	}}, nil
}

// killedInKernel tells of what was done at the event itself, whatever holds by now.
func killedInKernel(k *scene.Killed) plan {
	got := "killed by the kernel at the event itself"
	return plan{what: got, got: &got, act: func(ctx context.Context) (*Undo, error) {
		select {
		case <-k.Ended:
			got += fmt.Sprintf("; the process ended %v after the act", k.After.Round(time.Microsecond))
			return nil, nil
		case <-ctx.Done():
			return nil, errors.New("the kernel sent the signal at the event itself, but the end of the process was not seen")
		}
	}}
}

// bootTime returns the time since the machine started.
func bootTime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // cannot fail
	return time.Duration(ts.Nano())
}

// stopGrace is how much longer than its timeout a container may take to stop.
const stopGrace = 10 * time.Second

// signalAll sends a signal to the processes of a container; to those whose
// parent is outside alone, if top is set. ErrGone says that there are none.
func signalAll(c *scene.Container, sig unix.Signal, top bool) error {
	pids, err := pidsOf(c)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		h, err := pin(pid)
		if err != nil {
			continue // it ended
		}
		if h.container == c.ID && !(top && containerOfProcess(h.ppid) == c.ID) {
			err = h.signal(sig)
		}
		h.close()
		if err != nil && !errors.Is(err, ErrGone) {
			return fmt.Errorf("process %d: %w", pid, err)
		}
	}
	return nil
}

// killAll kills the processes of a container until none is left.
func killAll(ctx context.Context, c *scene.Container) error {
	for {
		switch err := signalAll(c, unix.SIGKILL, false); {
		case errors.Is(err, ErrGone):
			return nil
		case err != nil:
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("processes of container %s do not end: %w", containerName(c), context.Cause(ctx))
		}
	}
}
