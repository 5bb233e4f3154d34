// Package stream is how commands read events: the options that say where they
// come from, and the loop that runs them through the state of the host, to a
// handler or into a capture file.
package stream

import (
	"context"
	"errors"
	"io"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
	"rollcage/internal/observe/procfs"
)

// Stream runs the events of a source through the state of the host.
type Stream struct {
	src event.Source
	// State is the state of the host after the event at hand.
	State *host.State
	ev    event.Event
	he    host.Event
	// Loaded is called with the state before its first event, if set: at the
	// start and with each section of a capture.
	Loaded func() error
	// Idle is called when a live source has nothing for a moment, and on a busy
	// one every dueEvery, if set.
	Idle func() error
	live bool
	due  uint64 // event time at which idle is called next
}

// dueEvery is the time in ns after which what is due by time is done on a host
// that always has a next event.
const dueEvery = 100e6

// New returns a stream over src. What a live one does not tell is looked up in /proc.
func New(src event.Source, live bool) (*Stream, error) {
	var opts host.Options
	if live {
		r, err := procfs.Open("/proc")
		if err != nil {
			return nil, err
		}
		opts.Healer = procfs.NewHealer(r)
	}
	return &Stream{src: src, State: host.New(opts), live: live}, nil
}

// ErrStop is returned by a handler that wants no more events.
var ErrStop = errors.New("no more events wanted")

// Run calls handle with each event until the source ends, ctx is done or
// handle returns an error, which Run returns unless it is ErrStop. Hidden
// events change the state and are passed to hidden, if that is not nil.
func (s *Stream) Run(ctx context.Context, handle, hidden func(*host.Event) error) error {
	stop := context.AfterFunc(ctx, func() { _ = s.src.Close() })
	defer stop()
	if err := s.load(); err != nil {
		return err
	}
	for {
		switch err := s.src.Next(&s.ev); {
		case err == nil:
			if s.live && s.ev.Time() >= s.due {
				if err := s.tend(); err != nil {
					return err
				}
				s.due = s.ev.Time() + dueEvery
			}
		case errors.Is(err, event.ErrIdle):
			if err := s.tend(); err != nil {
				return err
			}
			continue
		case errors.Is(err, event.ErrSection):
			if err := s.load(); err != nil {
				return err
			}
			continue
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			return nil
		default:
			return err
		}
		s.State.Apply(&s.ev, &s.he)
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
