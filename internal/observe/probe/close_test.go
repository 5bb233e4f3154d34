package probe

import (
	"errors"
	"io"
	"testing"

	"rollcage/internal/observe/event"
)

// A reader that looks for the next event without a pause is the one that Close
// must not take the memory away from. The race detector sees it if it does.
func TestCloseLeavesAReaderItsMemory(t *testing.T) {
	needKernel(t)
	p, err := Open(Options{WatchSelf: true, Interest: everything()})
	if err != nil {
		t.Fatal(err)
	}
	began, ended := make(chan struct{}), make(chan error)
	go func() {
		close(began)
		var ev event.Event
		for {
			if err := p.Next(&ev); err != nil && !errors.Is(err, event.ErrIdle) {
				ended <- err
				return
			}
		}
	}()
	<-began
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != io.EOF {
		t.Errorf("the reader got %v", err)
	}
}

// everything is all system calls.
func everything() (i event.Interest) {
	for _, s := range event.Syscalls() {
		i.Syscalls.Add(s.Code)
	}
	return i
}
