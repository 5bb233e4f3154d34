package probe

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

// noticeReader tells of new cgroups. They have a ring and a goroutine of their
// own, so that who asks a container runtime about them has as long as possible
// until the first event comes along.
type noticeReader struct {
	ring *ring
	wake int
	done sync.WaitGroup
}

func startNotices(m *ebpf.Map, onCgroup func(string)) (*noticeReader, error) {
	r, err := openRing(m)
	if err != nil {
		return nil, err
	}
	n := &noticeReader{ring: r}
	if n.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		return nil, errors.Join(fmt.Errorf("make an eventfd: %w", err), r.close())
	}
	n.done.Go(func() { n.run(onCgroup) })
	return n, nil
}

func (n *noticeReader) run(onCgroup func(string)) {
	fds := []unix.PollFd{{Fd: int32(n.ring.m.FD()), Events: unix.POLLIN}, {Fd: int32(n.wake), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		if fds[1].Revents != 0 {
			return
		}
		for rec := n.ring.next(); rec != nil; rec = n.ring.next() {
			if path, ok := noticePath(rec); ok {
				onCgroup(path)
			}
			n.ring.flush()
		}
	}
}

// noticePath returns the path in a notice, which has the layout of an event with one parameter.
func noticePath(rec []byte) (string, bool) {
	const value = event.HeaderSize + 2
	if len(rec) <= value {
		return "", false
	}
	return string([]byte(event.CString(rec[value:]))), true
}

// stop ends the goroutine; it waits for an onCgroup that is running.
func (n *noticeReader) stop() error {
	_, err := unix.Write(n.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	n.done.Wait()
	return errors.Join(err, unix.Close(n.wake), n.ring.close())
}
