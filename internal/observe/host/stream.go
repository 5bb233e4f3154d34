package host

import (
	"context"
	"errors"
	"fmt"
	"io"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/procfs"
)

// Stream runs the events of a source through a State. It belongs to the
// goroutine that calls Run; the source stays its opener's, who closes it.
type Stream struct {
	// Loaded is called with the state before its first event, if set: at the
	// start and with each section of a capture.
	Loaded func() error
	// Idle is called when a live source has nothing for a moment, and on a busy
	// one ten times a second of event time, if set.
	Idle func() error

	// State is the state of the host after the event at hand.
	State *State

	src  event.Source
	ev   event.Event
	he   Event
	live bool
	due  uint64 // event time at which Idle is called next
}

// dueEvery is the time in ns after which what is due by time is done on a host
// that always has a next event.
const dueEvery = 100e6

// NewStream returns a stream over src. What a live one does not tell is looked up in /proc.
func NewStream(src event.Source, live bool) (*Stream, error) {
	var opts Options
	if live {
		r, err := procfs.Open("/proc")
		if err != nil {
			return nil, fmt.Errorf("look up processes: %w", err)
		}
		opts.Healer = procfs.NewHealer(r)
	}
	return &Stream{src: src, State: New(opts), live: live}, nil
}

// ErrStop is returned by a handler that wants no more events.
var ErrStop = errors.New("no more events wanted")

// Run calls handle with each event until the source ends, ctx is done or
// handle returns an error, which Run returns unless it is ErrStop. Hidden
// events change the state and are passed to hidden, if that is not nil. When
// ctx ends the source is closed.
func (s *Stream) Run(ctx context.Context, handle, hidden func(*Event) error) error {
	stop := context.AfterFunc(ctx, func() { _ = s.src.Close() })
	defer stop()
	if err := s.load(); err != nil {
		return err
	}
	for {
		more, err := s.next(ctx)
		if !more || err != nil {
			return err
		}
		h := handle
		if s.ev.Hidden {
			if h = hidden; h == nil {
				continue
			}
		}
		switch err := h(&s.he); {
		case err == nil:
		case errors.Is(err, ErrStop):
			return nil
		default:
			return err
		}
	}
}

// next applies the next event. It reports false when there are no more.
func (s *Stream) next(ctx context.Context) (bool, error) {
	for {
		err := s.src.Next(&s.ev)
		switch {
		case err == nil:
			if s.live && s.ev.Time() >= s.due {
				s.due = s.ev.Time() + dueEvery
				err = s.tend()
			}
			if err == nil {
				s.State.Apply(&s.ev, &s.he)
			}
			return true, err
		case errors.Is(err, event.ErrIdle):
			err = s.tend()
		case errors.Is(err, event.ErrSection):
			err = s.load()
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// tend does what is due by time.
func (s *Stream) tend() error {
	if s.Idle == nil {
		return nil
	}
	return s.Idle()
}

func (s *Stream) load() error {
	s.State.Load(s.src.Snapshot())
	if s.Loaded == nil {
		return nil
	}
	return s.Loaded()
}
