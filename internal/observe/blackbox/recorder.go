package blackbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
	"rollcage/internal/observe/probe"
)

// Options say how far back the state of the host can be made again.
type Options struct {
	// Keep is how far back it must reach; 0 means a minute.
	Keep time.Duration
	// MaxLog bounds the bytes of events that are kept for it, 0 means 64 MiB. When they are too few for Keep,
	// it reaches less far.
	MaxLog int
}

// Recorder writes captures out of a black box. Note is for the goroutine that
// applies the events to the state, Write may be called from any.
type Recorder struct {
	box  Box
	live *host.State
	opt  Options

	mu          sync.Mutex
	checkpoints []*checkpoint // oldest first
	kept        int           // bytes of all logs
	facts       [][]byte      // the events about containers and users in them, so that nobody need look for those
}

// Box is a black box: *probe.BlackBox.
type Box interface {
	Read(from uint64) (*probe.Recording, error)
}

// checkpoint is the state of a moment and what changed it later.
type checkpoint struct {
	time uint64 // of the last event that is in snap
	snap *event.Snapshot
	log  []byte // events, one behind the other
}

// New returns a recorder for a state that is loaded and has not been given another event since.
func New(box Box, live *host.State, o Options) *Recorder {
	if o.Keep <= 0 {
		o.Keep = time.Minute
	}
	if o.MaxLog <= 0 {
		o.MaxLog = 64 << 20
	}
	r := &Recorder{box: box, live: live, opt: o}
	r.checkpoints = []*checkpoint{{snap: live.Snapshot()}}
	return r
}

// SetKeep changes Options.Keep. A longer one takes effect as time goes on.
func (r *Recorder) SetKeep(keep time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opt.Keep = keep
}

// Note takes down an event that was just applied to the state. Events that change nothing cost nothing.
func (r *Recorder) Note(he *host.Event) {
	if !host.Changes(he.Type()) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.checkpoints[len(r.checkpoints)-1]
	if last.time == 0 {
		last.time = he.Time() - 1
	}
	last.log = append(last.log, he.Bytes()...)
	if isFact(he.Type()) {
		r.facts = append(r.facts, bytes.Clone(he.Bytes()))
	}
	r.kept += len(he.Bytes())
	// Four parts, so that no more than a quarter is kept for nothing.
	if he.Time()-last.time >= uint64(r.opt.Keep/4) || len(last.log) >= r.opt.MaxLog/4 {
		r.checkpoints = append(r.checkpoints, &checkpoint{time: he.Time(), snap: r.live.Snapshot()})
		r.forget(he.Time() - min(he.Time(), uint64(r.opt.Keep)))
	}
}

// forget drops the checkpoints that no window since then needs, and those for which there is no memory.
func (r *Recorder) forget(since uint64) {
	for len(r.checkpoints) > 2 && (r.checkpoints[1].time <= since || r.kept > r.opt.MaxLog) {
		r.kept -= len(r.checkpoints[0].log)
		r.checkpoints = slices.Delete(r.checkpoints, 0, 1)
	}
	first := r.checkpoints[0].time
	r.facts = slices.DeleteFunc(r.facts, func(f []byte) bool { return binary.LittleEndian.Uint64(f) <= first })
}

// Report says what a capture has.
type Report struct {
	// From and Until are the times (ns since the epoch) of what is recorded without a gap. From is later than what was
	// asked for if memory did not reach so far.
	From, Until uint64
	Events      int
	// Missing is how long (ns) in between more happened than the box could hold until it was read.
	Missing uint64

	held uint64 // time from which on the box had everything when it was read last
}

// Write writes a capture of all that the box has from a time on (ns since the
// epoch), with the state of the host as it was then.
func (r *Recorder) Write(path string, from uint64, o capture.WriterOptions) (Report, error) {
	f, err := r.Begin(path, from, o)
	if err != nil {
		return Report{}, err
	}
	return f.Report(), f.Close()
}

// Begin writes a capture like Write and leaves it open, so that what happens
// from now on can be added.
func (r *Recorder) Begin(path string, from uint64, o capture.WriterOptions) (*File, error) {
	rec, err := r.box.Read(from)
	if err != nil {
		return nil, err
	}
	st, begin, err := r.stateAt(max(from, rec.Reaches))
	if err != nil {
		return nil, err
	}
	w, err := capture.Create(path, st.Snapshot(), o)
	if err != nil {
		return nil, err
	}
	f := &File{recorder: r, writer: w, path: path, report: Report{From: begin}, known: begin - 1}
	if err := f.add(rec, begin); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return f, nil
}

// File is a capture that is being written. Its methods are for one goroutine.
type File struct {
	recorder *Recorder
	writer   *capture.Writer
	path     string
	report   Report
	known    uint64 // time of the last fact that is in the capture
}

// Report says what the capture has so far.
func (f *File) Report() Report { return f.report }

// Extend adds what the box got since the last time. It is to be called often
// enough that the box does not go round in between: what was overwritten is
// missing, and in Report.Missing.
func (f *File) Extend() error {
	from := f.report.Until + 1
	rec, err := f.recorder.box.Read(from)
	if err != nil {
		return err
	}
	if rec.Reaches > from {
		f.report.Missing += rec.Reaches - from
	}
	if err := f.add(rec, from); err != nil {
		return err
	}
	return f.writer.Flush()
}

// Reach returns how long the box held at last what happened, in ns: it is to be extended well before.
func (f *File) Reach() uint64 { return f.report.Until - f.report.held }

// Close ends the capture.
func (f *File) Close() error { return f.writer.Close() }

// add writes what was read, from a time on.
func (f *File) add(rec *probe.Recording, from uint64) error {
	f.report.Until, f.report.held = rec.Until, rec.Reaches
	if err := f.addFacts(from); err != nil {
		return err
	}
	for {
		var ev event.Event
		err := rec.Next(&ev)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && ev.Time() < from {
			continue
		}
		if err == nil {
			err = f.writer.Write(&ev)
		}
		if err != nil {
			return fmt.Errorf("write the black box to %s: %w", f.path, err)
		}
		f.report.Events++
	}
}

// addFacts writes what became known about containers and users since the last time, before the events that it
// explains: the box has what the kernel saw, and a runtime tells about a container only after its first process.
func (f *File) addFacts(at uint64) error {
	for _, b := range f.recorder.factsAfter(f.known) {
		var ev event.Event
		if err := ev.Reset(b); err != nil {
			return fmt.Errorf("write what is known of containers to %s: %w", f.path, err)
		}
		f.known = ev.Time()
		ev.SetTime(at)
		if err := f.writer.Write(&ev); err != nil {
			return fmt.Errorf("write what is known of containers to %s: %w", f.path, err)
		}
	}
	return nil
}

// factsAfter returns copies of the events about containers and users that came after a time, in their order.
func (r *Recorder) factsAfter(at uint64) (facts [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.facts {
		if binary.LittleEndian.Uint64(f) > at { // its time
			facts = append(facts, bytes.Clone(f))
		}
	}
	return facts
}

// isFact reports whether events of a type are made by user space.
func isFact(t event.Type) bool {
	switch t {
	case event.CONTAINER_JSON_E, event.CONTAINER_JSON_2_E, event.USER_ADDED_E, event.USER_DELETED_E, event.GROUP_ADDED_E, event.GROUP_DELETED_E:
		return true
	}
	return false
}

// stateAt makes the state before the first event at or after a time, or of the earliest moment that is known after it.
func (r *Recorder) stateAt(at uint64) (*host.State, uint64, error) {
	r.mu.Lock()
	i := len(r.checkpoints) - 1
	for i > 0 && r.checkpoints[i].time >= at {
		i--
	}
	base := *r.checkpoints[i] // logs only grow, so what there is now stays as it is
	r.mu.Unlock()
	at = max(at, base.time+1)
	st := host.New(host.Options{})
	st.Load(base.snap)
	var ev event.Event
	var he host.Event
	for log := base.log; len(log) > 0; log = log[len(ev.Bytes()):] {
		if err := ev.Reset(log); err != nil {
			return nil, at, fmt.Errorf("make the state of the host again: %w", err)
		}
		if ev.Time() >= at {
			break
		}
		st.Apply(&ev, &he)
	}
	return st, at, nil
}
