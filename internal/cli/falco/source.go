package falco

import (
	"io"
	"sync"
	"time"

	"rollcage/internal/observe/event"
)

// watchedSource passes the events of a source on and does what goes by the
// time of events: it ends after a time and looks for losses.
type watchedSource struct {
	event.Source
	limit  uint64 // ns from the first event on, 0 for none
	first  uint64
	drops  *dropMonitor
	choose func(event.Interest) event.Interest
}

// Next makes ev the next event.
func (s *watchedSource) Next(ev *event.Event) error {
	if err := s.Source.Next(ev); err != nil {
		return err
	}
	at := ev.Time()
	if s.first == 0 {
		s.first = at
	}
	if s.limit > 0 && at >= s.first+s.limit {
		return io.EOF
	}
	return s.drops.check(at, s.Source.Stats)
}

// SetInterest changes which events are sent.
func (s *watchedSource) SetInterest(i event.Interest) error {
	if c, ok := s.Source.(event.Chooser); ok {
		return c.SetInterest(s.choose(i))
	}
	return nil
}

// noDriver is a source without events, for runs that only serve.
type noDriver struct {
	once   sync.Once
	closed chan struct{}
}

func newNoDriver() *noDriver { return &noDriver{closed: make(chan struct{})} }

func (n *noDriver) Snapshot() *event.Snapshot { return &event.Snapshot{} }
func (n *noDriver) Stats() event.Stats        { return event.Stats{} }

func (n *noDriver) Next(*event.Event) error {
	select {
	case <-n.closed:
		return io.EOF
	case <-time.After(100 * time.Millisecond):
		return event.ErrIdle
	}
}

func (n *noDriver) Close() error {
	n.once.Do(func() { close(n.closed) })
	return nil
}

// errDrops ends a run whose configuration wants that when events are lost.
var errDrops = worded("Drop manager internal error")
