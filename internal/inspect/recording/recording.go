// Package recording opens a capture file for exploration: windows of it are
// read again and again, each as quickly as if the file began there.
//
// [Open] returns at once; a survey then reads the file from start to end, and
// everything that it finds out can be asked for while it is on its way. It puts
// checkpoints by: places in the file with the state of the host there. Scan
// starts at the nearest one before the window that it is asked for. What the
// survey found is kept in an index file beside the capture (docs/formats/index.md),
// which is made anew when it is missing, stale or damaged, and is never larger
// than a tenth of the capture.
//
// A Recording may be used by many goroutines.
package recording

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"rollcage/internal/inspect/proctree"
	"rollcage/internal/inspect/view"
	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// Window is a span of time in ns since the epoch, both ends included. A zero
// end is the end of the capture.
type Window struct{ From, To uint64 }

// All is the whole capture.
var All = Window{}

// end returns the last ns of the window.
func (w Window) end() uint64 {
	if w.To == 0 {
		return ^uint64(0)
	}
	return w.To
}

// Has reports whether the window has that time.
func (w Window) Has(at uint64) bool { return at >= w.From && at <= w.end() }

// Info is what is known of a capture.
type Info struct {
	Name     string    `json:"name"` // of the file, without folder
	Size     int64     `json:"size"` // bytes on disk
	Modified time.Time `json:"modified"`
	Packed   bool      `json:"packed"` // compressed
	Hostname string    `json:"hostname,omitempty"`
	CPUs     uint32    `json:"cpus,omitempty"`
	// Start and End are the times of the first and last event that are shown, ns since the epoch.
	Start uint64 `json:"start"`
	End   uint64 `json:"end"`
	// Events counts those that are shown, Last is the number of the last event of all.
	Events   uint64 `json:"events"`
	Last     uint64 `json:"last"`
	Sections int    `json:"sections"`
	// Progress is how much of the file has been surveyed, 0 to 1.
	Progress float64 `json:"progress"`
	Done     bool    `json:"done"`
	// Problem says why the capture ends before its end, empty if it does not.
	Problem string `json:"problem,omitempty"`
	// Indexed is true when the survey was read from the index.
	Indexed bool `json:"indexed"`
}

// Options say how a capture is opened. The zero value is good.
type Options struct {
	// NoIndex neither reads nor writes an index file.
	NoIndex bool
	// Samples is how many samples the time lines of the overview have, 400 if 0.
	Samples int
	// Spacing is the number of events between checkpoints at the start, 16384 if 0.
	Spacing uint64
	// Log is told when an index cannot be written, for instance; may be nil.
	Log func(format string, args ...any)
}

// Recording is a capture that is being explored.
type Recording struct {
	path string
	opt  Options

	mu     sync.RWMutex // held for writing while the survey works on a batch
	info   Info
	points []*checkpoint // in order of time; the first is the start of the file
	tree   *proctree.Tree
	casts  []cast      // that kinds of events name
	rest   []kindCount // of the events behind the last checkpoint
	// The overview grows in summary while the survey is on its way; at its end it is overview.
	summary  *view.Summary
	overview *view.Overview

	stop context.CancelFunc
	done chan struct{}
}

// ErrStop is returned by the function of a scan that wants no more events.
var ErrStop = errors.New("no more events wanted")

// Open opens a capture file. It fails when the file is no capture; what is
// wrong further behind is in Info.Problem when the survey comes to it.
func Open(path string, opt Options) (*Recording, error) {
	stat, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !stat.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file: a recording is read more than once", path)
	}
	if opt.Log == nil {
		opt.Log = func(string, ...any) {}
	}
	src, err := capture.Open(path, capture.Options{Points: true})
	if err != nil {
		return nil, err
	}
	m := src.Snapshot().Machine
	r := &Recording{path: path, opt: opt, tree: proctree.New(), done: make(chan struct{})}
	r.info = Info{Name: filepath.Base(path), Size: stat.Size(), Modified: stat.ModTime(), Hostname: m.Hostname, CPUs: m.CPUs, Sections: 1}
	if r.summary, err = view.NewSummary(view.SummaryOptions{Samples: opt.Samples}); err != nil {
		_ = src.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go r.run(ctx, src)
	return r, nil
}

// Close ends the survey. Scans that are on their way go on.
func (r *Recording) Close() error {
	r.stop()
	<-r.done
	return nil
}

// Done is closed when the survey is over.
func (r *Recording) Done() <-chan struct{} { return r.done }

// Path returns where the capture is.
func (r *Recording) Path() string { return r.path }

// Info returns what is known by now.
func (r *Recording) Info() Info {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.info
}

// Overview returns what the events add up to, as far as they are surveyed.
func (r *Recording) Overview() *view.Overview {
	r.mu.Lock() // not for reading: a summary that grows is brought up to date
	defer r.mu.Unlock()
	if r.overview == nil {
		return r.summary.Overview()
	}
	return r.overview
}

// Read calls fn with the processes found so far, while the survey waits. What
// fn is given must not be kept.
func (r *Recording) Read(fn func(*proctree.Tree)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	fn(r.tree)
}

// Visitor is called by a scan. Only Event is required.
type Visitor struct {
	// Begin is called with the state before the first event, and again when a
	// new section of the capture begins.
	Begin func(*host.State) error
	// Event is called with each event that is shown, with the state as it was.
	Event func(*host.Event) error
	// Hidden is called with the others of the window, which only change the state.
	Hidden func(*host.Event) error
	// End is called with the state after the last event, if the scan came to an end by itself.
	End func(*host.State) error
}

// Scan visits the events of a window in their order. It ends with the window,
// the capture, ctx, or an error of the visitor, which it returns unless it is
// ErrStop. An end of the capture that is none (a cut file) is no error: Info
// tells it.
func (r *Recording) Scan(ctx context.Context, w Window, v Visitor) error {
	return r.scan(ctx, r.before(w.From), w, 0, v)
}

// ScanFrom is Scan for the events of the window from number num on.
func (r *Recording) ScanFrom(ctx context.Context, num uint64, w Window, v Visitor) error {
	p := r.beforeEvent(num)
	if later := r.before(w.From); p == nil || later != nil && later.Mark.Num > p.Mark.Num {
		p = later
	}
	return r.scan(ctx, p, w, num, v)
}

// Stretch is a part of a capture that a scan can start at without reading
// what is before it.
type Stretch struct {
	First uint64 // number of its first event
	Time  uint64 // ns since the epoch; what is before it happened at that time or earlier
	Shown uint64 // events before it that are shown
}

// Stretches returns the parts of the capture, as far as it is surveyed.
func (r *Recording) Stretches() []Stretch {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]Stretch, 1, len(r.points)+1)
	out[0] = Stretch{First: 1}
	for _, p := range r.points {
		out = append(out, Stretch{First: p.Mark.Num + 1, Time: p.Time, Shown: p.Shown})
	}
	return out
}

// before returns the last checkpoint before a time.
func (r *Recording) before(at uint64) *checkpoint {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var best *checkpoint
	for _, p := range r.points {
		if p.Time >= at {
			break
		}
		best = p
	}
	return best
}

// beforeEvent returns the last checkpoint before an event.
func (r *Recording) beforeEvent(num uint64) *checkpoint {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var best *checkpoint
	for _, p := range r.points {
		if p.Mark.Num >= num {
			break
		}
		best = p
	}
	return best
}

// start opens the capture at a checkpoint, nil for its start.
func (r *Recording) start(p *checkpoint) (*capture.Reader, *host.State, error) {
	if p != nil {
		return p.restore(r.path)
	}
	src, err := capture.Open(r.path)
	if err != nil {
		return nil, nil, err
	}
	s := host.New(host.Options{})
	s.Load(src.Snapshot())
	return src, s, nil
}

// checkEvery is after how many events a scan looks whether it is still wanted.
const checkEvery = 4096

func (r *Recording) scan(ctx context.Context, p *checkpoint, w Window, num uint64, v Visitor) error {
	src, state, err := r.start(p)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	var ev event.Event
	var he host.Event
	begun := v.Begin == nil
	for n := 1; ; n++ {
		if n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		switch err := src.Next(&ev); {
		case err == nil:
		case errors.Is(err, event.ErrSection):
			state.Load(src.Snapshot())
			begun = v.Begin == nil
			continue
		case errors.Is(err, io.EOF), isCut(err):
			return v.end(state)
		default:
			return err
		}
		at := ev.Time()
		if at > w.end() && !ev.Hidden {
			return v.end(state)
		}
		in := at >= w.From && ev.Num >= num
		if in && !begun && !ev.Hidden {
			if err := v.Begin(state); err != nil {
				return stopped(err)
			}
			begun = true
		}
		state.Apply(&ev, &he)
		visit := v.Event
		if ev.Hidden {
			visit = v.Hidden
		}
		if !in || visit == nil || !begun {
			continue
		}
		if err := visit(&he); err != nil {
			return stopped(err)
		}
	}
}

func (v *Visitor) end(s *host.State) error {
	if v.End == nil {
		return nil
	}
	return v.End(s)
}

func stopped(err error) error {
	if errors.Is(err, ErrStop) {
		return nil
	}
	return err
}

// isCut reports whether an error is about the content of the capture.
func isCut(err error) bool {
	var e *capture.Error
	return errors.As(err, &e)
}
