package probe

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Times to sleep when the rings are empty, in ms: little after an event, as
// more are likely to follow, then longer. An event waits at most that long; a ring that
// fills is a reason to wake up early.
const (
	shortNap = 4
	longNap  = 50
)

// waiter sleeps until there may be something to read.
type waiter struct {
	epoll, wake int
	waits       interface{ Set(any) error } // the programs' variable that says that we sleep
	nap         int
	slept       int // ms since something was handed out
}

func newWaiter(k *kernelSide) (*waiter, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an epoll: %w", err)
	}
	w := &waiter{epoll: epoll, wake: -1, waits: k.objs.ReaderWaits, nap: shortNap}
	if w.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, errors.Join(fmt.Errorf("make an eventfd: %w", err), w.close())
	}
	// Edge-triggered: records that the kernel did not wake us for are no reason to wake up.
	add := func(fd int, events uint32) error {
		return unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
	}
	errs := []error{add(w.wake, unix.EPOLLIN)}
	for _, r := range k.rings {
		errs = append(errs, add(r.m.FD(), unix.EPOLLIN|unix.EPOLLET))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(fmt.Errorf("wait for rings: %w", err), w.close())
	}
	return w, nil
}

// busy says that there was something to hand out.
func (w *waiter) busy() { w.nap, w.slept = shortNap, 0 }

// wait sleeps for a moment. It reports false when it has slept long enough
// to say that there is nothing.
func (w *waiter) wait() bool {
	if w.slept >= longNap {
		w.slept = 0
		return false
	}
	_ = w.waits.Set(uint32(1)) // without it nobody wakes us: we wake by time
	var events [1]unix.EpollEvent
	_, _ = unix.EpollWait(w.epoll, events[:], w.nap) // whatever ends it is fine
	_ = w.waits.Set(uint32(0))
	w.slept += w.nap
	w.nap = min(2*w.nap, longNap)
	return true
}

// stop wakes a wait up.
func (w *waiter) stop() error {
	_, err := unix.Write(w.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	return err
}

func (w *waiter) close() error {
	err := unix.Close(w.epoll)
	if w.wake >= 0 {
		err = errors.Join(err, unix.Close(w.wake))
	}
	return err
}
