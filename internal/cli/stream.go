package cli

import (
	"context"
	"errors"
	"io"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
	"rollcage/internal/observe/procfs"
)

// stream runs the events of a source through the state of the host.
type stream struct {
	src   event.Source
	state *host.State
	ev    event.Event
	he    host.Event
	// loaded is called with the state before its first event, if set: at the
	// start and with each section of a capture.
	loaded func() error
	// idle is called when a live source has nothing for a moment, and on a busy
	// one every dueEvery, if set.
	idle func() error
	live bool
	due  uint64 // event time at which idle is called next
}

// dueEvery is the time in ns after which what is due by time is done on a host
// that always has a next event.
const dueEvery = 100e6

// newStream returns a stream over src. What a live one does not tell is looked up in /proc.
func newStream(src event.Source, live bool) (*stream, error) {
	var opts host.Options
	if live {
		r, err := procfs.Open("/proc")
		if err != nil {
			return nil, err
		}
		opts.Healer = procfs.NewHealer(r)
	}
	return &stream{src: src, state: host.New(opts), live: live}, nil
}

// errStop is returned by a handler that wants no more events.
var errStop = errors.New("no more events wanted")

// run calls handle with each event until the source ends, ctx is done or
// handle returns an error, which run returns unless it is errStop. Hidden
// events change the state and are passed to hidden, if that is not nil.
func (s *stream) run(ctx context.Context, handle, hidden func(*host.Event) error) error {
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
		s.state.Apply(&s.ev, &s.he)
		h := handle
		if s.ev.Hidden {
			if h = hidden; h == nil {
				continue
			}
		}
		switch err := h(&s.he); {
		case err == nil:
		case errors.Is(err, errStop):
			return nil
		default:
			return err
		}
	}
}

// tend does what is due by time.
func (s *stream) tend() error {
	if s.idle == nil {
		return nil
	}
	return s.idle()
}

func (s *stream) load() error {
	s.state.Load(s.src.Snapshot())
	if s.loaded == nil {
		return nil
	}
	return s.loaded()
}
