package recording

import (
	"cmp"
	"context"
	"errors"
	"io"

	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// The survey puts a checkpoint by every so many events. When there are more
// than maxPoints every second one is dropped and the distance doubled, so that
// their number stays bounded whatever the size of the capture.
const (
	firstSpacing = 16384
	maxPoints    = 96
	maxBytes     = 64 << 20
	batch        = 2048 // events surveyed under one lock
)

// survey reads the whole capture once.
type survey struct {
	*Recording
	src     *capture.Reader
	state   *host.State
	ev      event.Event
	he      host.Event
	spacing uint64
	next    uint64 // number of the event after which the next checkpoint is due
	bytes   int64  // of all checkpoints
	facts   *facts
}

// run reads the index if it is good, else surveys the capture and writes one.
func (r *Recording) run(ctx context.Context, src *capture.Reader) {
	defer close(r.done)
	defer func() { _ = src.Close() }()
	if !r.opt.NoIndex {
		switch err := r.readIndex(); {
		case err == nil:
			return
		case !errors.Is(err, errNoIndex):
			r.opt.Log("the index is made anew: %v", err)
		}
	}
	s := &survey{Recording: r, src: src, state: host.New(host.Options{}), spacing: cmp.Or(r.opt.Spacing, firstSpacing)}
	s.next = s.spacing
	var err error
	if s.facts, err = newFacts(); err != nil {
		r.opt.Log("%v", err)
		return
	}
	if !s.all(ctx) {
		return
	}
	if !r.opt.NoIndex {
		if err := r.writeIndex(); err != nil {
			r.opt.Log("the index could not be kept, the next start reads the capture anew: %v", err)
		}
	}
}

// all reads to the end. It reports false if it was stopped before.
func (s *survey) all(ctx context.Context) bool {
	s.locked(s.load)
	for {
		if ctx.Err() != nil {
			return false
		}
		more := true
		s.locked(func() { more = s.some() })
		if !more {
			return true
		}
	}
}

func (s *survey) locked(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
}

// load starts over with the state at the start of a section.
func (s *survey) load() {
	s.state.Load(s.src.Snapshot())
	s.tree.Load(s.state)
}

// some surveys a batch and reports whether there is more.
func (s *survey) some() bool {
	for range batch {
		switch err := s.src.Next(&s.ev); {
		case err == nil:
			s.one()
		case errors.Is(err, event.ErrSection):
			s.info.Sections++
			s.load()
		default:
			s.finish(err)
			return false
		}
	}
	if s.info.Size > 0 {
		s.info.Progress = min(1, float64(s.src.Consumed())/float64(s.info.Size))
	}
	return true
}

func (s *survey) one() {
	s.state.Apply(&s.ev, &s.he)
	s.tree.Add(&s.he)
	s.info.Last = s.ev.Num
	if !s.ev.Hidden {
		s.summary.Add(&s.he)
		s.facts.add(&s.he)
		if s.info.Start == 0 {
			s.info.Start = s.ev.Time()
		}
		s.info.End = max(s.info.End, s.ev.Time())
		s.info.Events++
	}
	if s.ev.Num >= s.next {
		s.putBy()
	}
}

// putBy puts a checkpoint by, as far as all of them together stay small
// beside the capture.
func (s *survey) putBy() {
	s.next = s.ev.Num + s.spacing
	p, err := putBy(s.src, s.state, s.ev.Time(), s.info.Events)
	if err != nil {
		s.opt.Log("%v", err)
		return
	}
	p.Kinds, s.casts = s.facts.take(), s.facts.casts
	s.points, s.bytes = append(s.points, p), s.bytes+p.size()
	for len(s.points) > 1 && (len(s.points) > maxPoints || s.bytes > s.room()) {
		s.thin()
	}
}

// room returns how many bytes the checkpoints may take.
func (s *survey) room() int64 {
	if s.opt.NoIndex {
		return maxBytes
	}
	return min(maxBytes, s.info.Size/20)
}

// thin drops every second checkpoint.
func (s *survey) thin() {
	kept := s.points[:0]
	s.bytes = 0
	if n := len(s.points); n%2 == 1 {
		s.facts.giveBack(s.points[n-1].Kinds)
	}
	for i, p := range s.points {
		if i%2 == 1 {
			p.Kinds = merge(s.points[i-1].Kinds, p.Kinds)
			kept, s.bytes = append(kept, p), s.bytes+p.size()
		}
	}
	clear(s.points[len(kept):])
	s.points = kept
	s.spacing *= 2
	s.next = s.ev.Num + s.spacing
}

// finish notes how the capture ended.
func (s *survey) finish(err error) {
	if !errors.Is(err, io.EOF) || isCut(err) {
		s.info.Problem = err.Error()
	}
	s.rest, s.casts = s.facts.take(), s.facts.casts
	s.info.Packed = s.src.Packed()
	s.overview, s.summary = s.summary.Overview(), nil
	s.info.Progress, s.info.Done = 1, true
}
