package guard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rollcage/internal/observe/blackbox"
	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/host"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/scene"
)

// maxAfter is how long a capture goes on at most, also when others ask for more of it.
const maxAfter = 2 * time.Minute

// captures takes recordings out of the black box into incidents.
//
// What was before the alert is written at once, and what follows is added from
// time to time, before the box goes round.
type captures struct {
	dir      string
	store    *evidence.Store
	recorder *atomic.Pointer[blackbox.Recorder]
	clock    *atomic.Pointer[host.Clock] // of the events
	shed     func() string               // what is not recorded as load is shed
	log      *slog.Logger
	rush     chan struct{} // closed when guard ends

	reading sync.Mutex // of the black box: a reading takes memory, so one at a time
	mu      sync.Mutex
	jobs    map[string]*job // by incident
	running sync.WaitGroup
	ended   bool

	taken, failed atomic.Uint64
}

// job is a capture that goes on.
type job struct {
	from  uint64        // by the clock of the events, which nobody sets
	back  time.Duration // from there to its begin
	begun time.Time
	end   time.Time // changed with mu held
	done  chan struct{}
	// What became of it, once done is closed.
	text string
	err  error
}

func newCaptures(dir string, store *evidence.Store, rec *atomic.Pointer[blackbox.Recorder], clock *atomic.Pointer[host.Clock], shed func() string, log *slog.Logger) *captures {
	return &captures{dir: dir, store: store, recorder: rec, clock: clock, shed: shed, log: log, rush: make(chan struct{}), jobs: map[string]*job{}}
}

// take is the action "capture". It returns when the capture is in the incident.
// When one goes on for the incident already it goes on for longer.
func (c *captures) take(ctx context.Context, incident string, sc *scene.Scene, before, after time.Duration) (string, error) {
	rec := c.recorder.Load()
	if rec == nil {
		return "", errors.New("there is no black box; see --black-box")
	}
	clock, now := c.clock.Load(), time.Now()
	at := clock.Now()
	back := before
	if sc != nil && sc.Boot > 0 {
		back += time.Duration(max(0, int64(at-clock.At(sc.Boot))))
	}
	end := now.Add(min(after, maxAfter))
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return "", errors.New("guard ends")
	}
	j := c.jobs[incident]
	if joined := j != nil; joined {
		if end.After(j.end) && end.Sub(j.begun)+j.back <= 2*maxAfter {
			j.end = end
		}
	} else {
		j = &job{from: at - uint64(back), back: back, begun: now, end: end, done: make(chan struct{})}
		c.jobs[incident] = j
		c.running.Go(func() { c.run(rec, incident, j) })
	}
	c.mu.Unlock()
	select {
	case <-j.done:
		return j.text, j.err
	case <-ctx.Done():
		return "a capture that goes on for the incident already", nil
	}
}

func (c *captures) run(rec *blackbox.Recorder, incident string, j *job) {
	defer close(j.done)
	defer c.forget(incident)
	j.text, j.err = c.record(rec, incident, j)
	if j.err != nil {
		c.failed.Add(1)
	}
}

func (c *captures) forget(incident string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.jobs, incident)
}

// record writes what was before, adds what follows, and puts the file into the incident.
func (c *captures) record(rec *blackbox.Recorder, incident string, j *job) (string, error) {
	path := filepath.Join(c.dir, fmt.Sprintf("%s.%d.scap", incident, j.from))
	defer os.Remove(path)
	f, err := c.begin(rec, path, j.from)
	if err != nil {
		return "", err
	}
	for more := true; more && err == nil; {
		more = c.wait(j, time.Duration(f.Reach())/3)
		err = c.extend(f)
	}
	report := f.Report()
	// A disk that is full ends a capture early; what it has is evidence all the same.
	cut := errors.Join(err, f.Close())
	note := describe(report, j, c.clock.Load().Ahead())
	if shed := c.shed(); shed != "" {
		note += "; load is shed: " + shed
	}
	if cut != nil {
		note += "; it ended early: " + cut.Error()
	}
	return note, errors.Join(cut, c.add(incident, path, report, note))
}

// begin and extend read the box one at a time.
func (c *captures) begin(rec *blackbox.Recorder, path string, from uint64) (*blackbox.File, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	return rec.Begin(path, from, capture.WriterOptions{Gzip: true})
}

func (c *captures) extend(f *blackbox.File) error {
	c.reading.Lock()
	defer c.reading.Unlock()
	return f.Extend()
}

// How long is waited at least and at most until what happened meanwhile is added to a capture.
const (
	extendSoonest = 500 * time.Millisecond
	extendLatest  = 10 * time.Second
)

// wait waits for a while, and reports whether the capture goes on after it.
func (c *captures) wait(j *job, while time.Duration) bool {
	c.mu.Lock()
	left := time.Until(j.end)
	c.mu.Unlock()
	pause := min(max(while, extendSoonest), extendLatest)
	select {
	case <-time.After(min(left, pause)):
		return left > pause
	case <-c.rush:
		return false
	}
}

// describe says what a capture got.
func describe(r blackbox.Report, j *job, ahead time.Duration) string {
	text := fmt.Sprintf("%d events from %s to %s", r.Events, stamp(r.From), stamp(r.Until))
	if missing := int64(r.From - j.from); missing > int64(time.Second) {
		text += fmt.Sprintf("; %v more were asked for, memory did not reach so far", time.Duration(missing).Round(time.Millisecond))
	}
	if r.Missing > 0 {
		text += fmt.Sprintf("; %v in between are missing, as more happened than the black box holds", time.Duration(r.Missing).Round(time.Millisecond))
	}
	if ahead != 0 {
		text += fmt.Sprintf("; add %v to these times and those in it, as the clock was set since Rollcage started", ahead.Round(time.Millisecond))
	}
	return text
}

func stamp(ns uint64) string { return time.Unix(0, int64(ns)).UTC().Format("15:04:05.000") }

// add puts a file into the incident.
func (c *captures) add(incident, path string, r blackbox.Report, note string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	name := fmt.Sprintf("%s.scap.gz", time.Unix(0, int64(r.From)).UTC().Format("20060102T150405.000Z"))
	err = c.store.AddCapture(incident, evidence.Capture{
		Name: name, From: time.Unix(0, int64(r.From)), To: time.Unix(0, int64(r.Until)), Note: note,
	}, func(w io.Writer) error { _, err := io.Copy(w, f); return err })
	if err == nil {
		c.taken.Add(1)
	}
	return err
}

// adopt puts captures into their incidents that an end of the process interrupted.
func (c *captures) adopt() {
	files, _ := filepath.Glob(filepath.Join(c.dir, "*.scap"))
	for _, path := range files {
		incident, _, _ := strings.Cut(filepath.Base(path), ".")
		if err := c.adoptFile(incident, path); err != nil {
			c.log.Error("a capture that was interrupted cannot be kept", "incident", incident, "error", err)
		}
		_ = os.Remove(path)
	}
}

func (c *captures) adoptFile(incident, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || st.Size() == 0 {
		return err
	}
	return c.store.AddCapture(incident, evidence.Capture{
		Name: fmt.Sprintf("interrupted-%s.scap.gz", st.ModTime().UTC().Format("20060102T150405.000Z")), To: st.ModTime(),
		Note: "the process ended during the capture, so it ends early",
	}, func(w io.Writer) error { _, err := io.Copy(w, f); return err })
}

// hurry ends the waiting of captures that go on.
func (c *captures) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.ended = true
		close(c.rush)
	}
}

func (c *captures) close() {
	c.hurry()
	c.running.Wait()
}
