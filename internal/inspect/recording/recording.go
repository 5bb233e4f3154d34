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

// Collector gathers something during the survey, in the pass that is made anyway.
type Collector interface {
	// Load is called with the state at the start and with each new section.
	Load(s *host.State)
	// Add is called with each event, hidden ones too.
	Add(he *host.Event)
}

// Options say how a capture is opened. The zero value is good.
type Options struct {
	// NoIndex neither reads nor writes an index file.
	NoIndex bool
	// Collectors are fed by the survey, under the lock that [Recording.Read]
	// takes. With them the survey reads the capture even if there is an index.
	Collectors []Collector
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
	src, err := capture.Open(path)
	if err != nil {
		return nil, err
	}
	m := src.Snapshot().Machine
	r := &Recording{path: path, opt: opt, tree: proctree.New(), done: make(chan struct{})}
	r.info = Info{Name: filepath.Base(path), Size: stat.Size(), Modified: stat.ModTime(), Hostname: m.Hostname, CPUs: m.CPUs, Sections: 1}
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

// Read calls fn with the processes found so far, while the survey waits. What
// fn is given and what collectors hold must not be kept.
func (r *Recording) Read(fn func(*proctree.Tree)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	fn(r.tree)
}

// Scan calls fn with the events of a window in their order, with the state of
// the host as it was; begin, if not nil, is called with the state before the
// first of them, and again when a new section begins. Hidden events are left
// out. It ends with the window, the capture, ctx, or an error of fn, which it
// returns unless it is ErrStop. An end of the capture that is none (a cut file)
// is no error: Info tells it.
func (r *Recording) Scan(ctx context.Context, w Window, begin func(*host.State) error, fn func(*host.Event) error) error {
	return r.scan(ctx, r.before(w.From), w, 0, begin, fn)
}

// ScanFrom is Scan for the events from number num on.
func (r *Recording) ScanFrom(ctx context.Context, num uint64, begin func(*host.State) error, fn func(*host.Event) error) error {
	return r.scan(ctx, r.beforeEvent(num), All, num, begin, fn)
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

func (r *Recording) scan(ctx context.Context, p *checkpoint, w Window, num uint64, begin func(*host.State) error, fn func(*host.Event) error) error {
	src, state, err := r.start(p)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	var ev event.Event
	var he host.Event
	begun := false
	for n := 1; ; n++ {
		if n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		switch err := src.Next(&ev); {
		case err == nil:
		case errors.Is(err, event.ErrSection):
			state.Load(src.Snapshot())
			begun = false
			continue
		case errors.Is(err, io.EOF), isCut(err):
			return nil
		default:
			return err
		}
		at := ev.Time()
		if at > w.end() && !ev.Hidden {
			return nil
		}
		in := at >= w.From && ev.Num >= num
		if in && !begun && begin != nil && !ev.Hidden {
			if err := begin(state); err != nil {
				return stopped(err)
			}
			begun = true
		}
		state.Apply(&ev, &he)
		if ev.Hidden || !in {
			continue
		}
		if err := fn(&he); err != nil {
			return stopped(err)
		}
	}
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
