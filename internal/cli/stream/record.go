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
	// Match reports whether an event is to be recorded, nil for all.
	Match func(*host.Event) bool
	// Wrote is called after each event that was recorded, if set. ErrStop ends the recording.
	Wrote func() error
	// KeepState records the events that change what is known of processes and
	// descriptors even if they do not match, hidden from readers.
	KeepState bool
}

// Record writes the events into the capture file at path, which starts with
// the state before the first of them, until Run would end.
func (s *Stream) Record(ctx context.Context, path string, r Recording) error {
	file := r.File
	file.State = s.State.Snapshot
	var w *capture.Writer
	s.Loaded = func() error {
		if w != nil {
			return w.Section(s.State.Snapshot())
		}
		var err error
		w, err = capture.Create(path, s.State.Snapshot(), file)
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
		if r.Match != nil && !r.Match(he) {
			return hide(he)
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
