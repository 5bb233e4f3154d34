package stream

import (
	"context"

	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// Recording says what goes into a capture file, and how.
type Recording struct {
	// File are the options of the file. Its State is set by Record.
	File capture.WriterOptions
	// Match reports whether an event is to be recorded, nil for all. ErrStop ends the recording before it.
	Match func(*host.Event) (bool, error)
	// Wrote is called after each event that was recorded, if set. ErrStop ends the recording.
	Wrote func() error
	// KeepState records the events that change what is known of processes and
	// descriptors even if they do not match, hidden from readers.
	KeepState bool
	// State returns what a file starts with, nil for all that the state knows.
	State func(*host.State) *event.Snapshot
}

// Record writes the events into the capture file at path, which starts with
// the state before the first of them, until Run would end.
func (s *Stream) Record(ctx context.Context, path string, r Recording) error {
	snapshot := s.State.Snapshot
	if r.State != nil {
		snapshot = func() *event.Snapshot { return r.State(s.State) }
	}
	file := r.File
	file.State = snapshot
	var w *capture.Writer
	s.Loaded = func() error {
		if w != nil {
			return w.Section(snapshot())
		}
		var err error
		w, err = capture.Create(path, snapshot(), file)
		return err
	}
	s.Idle = func() error { return w.Flush() }
	hide := func(he *host.Event) error {
		if !r.KeepState || he.Info().Flags&event.ModifiesState == 0 && he.Info().Origin != event.OriginMeta {
			return nil
		}
		he.Hidden = true
		return w.Write(he.Event)
	}
	err := s.Run(ctx, func(he *host.Event) error {
		if r.Match != nil {
			if ok, err := r.Match(he); err != nil {
				return err
			} else if !ok {
				return hide(he)
			}
		}
		if err := w.Write(he.Event); err != nil || r.Wrote == nil {
			return err
		}
		return r.Wrote()
	}, hide)
	if w == nil {
		return err
	}
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	return err
}
