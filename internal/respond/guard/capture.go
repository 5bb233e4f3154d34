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
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/scene"
)

// maxAfter is how long a capture goes on at most, also when others ask for more of it.
const maxAfter = 2 * time.Minute

// captures takes recordings out of the black box into incidents.
//
// What is before the alert is written at once, as memory may not reach so far
// when the capture ends. At the end all is written into one file; if memory
// does not reach back to the beginning by then, there are two.
type captures struct {
	dir      string
	store    *evidence.Store
	recorder *atomic.Pointer[blackbox.Recorder]
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
	from time.Time
	end  time.Time // changed with mu held
	done chan struct{}
	// What became of it, once done is closed.
	text string
	err  error
}

func newCaptures(dir string, store *evidence.Store, rec *atomic.Pointer[blackbox.Recorder], log *slog.Logger) *captures {
	return &captures{dir: dir, store: store, recorder: rec, log: log, rush: make(chan struct{}), jobs: map[string]*job{}}
}

// take is the action "capture". It returns when the capture is in the incident.
// When one goes on for the incident already it goes on for longer.
func (c *captures) take(ctx context.Context, incident string, sc *scene.Scene, before, after time.Duration) (string, error) {
	rec := c.recorder.Load()
	if rec == nil {
		return "", errors.New("there is no black box; see --black-box")
	}
	now := time.Now()
	at := now
	if sc != nil && !sc.Time.IsZero() && sc.Time.Before(now) {
		at = sc.Time
	}
	end := now.Add(min(after, maxAfter))
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return "", errors.New("guard ends")
	}
	j := c.jobs[incident]
	if joined := j != nil; joined {
		if end.After(j.end) && end.Sub(j.from) <= 2*maxAfter {
			j.end = end
		}
	} else {
		j = &job{from: at.Add(-before), end: end, done: make(chan struct{})}
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

// record writes what is before, waits, writes it all, and adds it to the incident.
func (c *captures) record(rec *blackbox.Recorder, incident string, j *job) (string, error) {
	name := fmt.Sprintf("%s.%d", incident, j.from.UnixNano())
	early, late := filepath.Join(c.dir, name+".before.scap"), filepath.Join(c.dir, name+".scap")
	defer os.Remove(early)
	defer os.Remove(late)
	first, err := c.write(rec, early, j.from)
	if err != nil {
		return "", err
	}
	c.wait(j)
	whole, err := c.write(rec, late, j.from)
	if err != nil {
		return "", errors.Join(err, c.add(incident, early, first, j, "ended too early"))
	}
	if whole.From <= first.From {
		return describe(whole, j), c.add(incident, late, whole, j, describe(whole, j))
	}
	// Memory was too small for all of it. The first part ends where the alert was
	// acted on; what the second lacks in between is lost, and said.
	note := describe(first, j)
	if whole.From > first.Until {
		note += fmt.Sprintf("; %v after it are missing, as more happened than the black box holds", time.Duration(whole.From-first.Until).Round(time.Millisecond))
	}
	return note, errors.Join(c.add(incident, early, first, j, note), c.add(incident, late, whole, j, "what came after it"))
}

// write writes a file out of the black box.
func (c *captures) write(rec *blackbox.Recorder, path string, from time.Time) (blackbox.Report, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	return rec.Write(path, uint64(from.UnixNano()), capture.WriterOptions{Gzip: true})
}

// wait waits for the end of a capture.
func (c *captures) wait(j *job) {
	for {
		c.mu.Lock()
		left := time.Until(j.end)
		c.mu.Unlock()
		if left <= 0 {
			return
		}
		select {
		case <-time.After(left):
		case <-c.rush:
			return
		}
	}
}

// describe says what a capture got.
func describe(r blackbox.Report, j *job) string {
	text := fmt.Sprintf("%d events from %s to %s", r.Events, stamp(r.From), stamp(r.Until))
	if missing := int64(r.From) - j.from.UnixNano(); missing > int64(time.Second) {
		text += fmt.Sprintf("; %v more were asked for, memory did not reach so far", time.Duration(missing).Round(time.Millisecond))
	}
	return text
}

func stamp(ns uint64) string { return time.Unix(0, int64(ns)).UTC().Format("15:04:05.000") }

// add puts a file into the incident.
func (c *captures) add(incident, path string, r blackbox.Report, j *job, note string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	// The name tells captures of an incident apart; the first one is the plain one.
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
	files, _ := filepath.Glob(filepath.Join(c.dir, "*.before.scap"))
	for _, path := range files {
		incident, _, _ := strings.Cut(filepath.Base(path), ".")
		st, err := os.Stat(path)
		if err != nil {
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		err = c.store.AddCapture(incident, evidence.Capture{
			Name: fmt.Sprintf("interrupted-%s.scap.gz", st.ModTime().UTC().Format("20060102T150405.000Z")), To: st.ModTime(),
			Note: "the process ended during the capture, so it may end early",
		}, func(w io.Writer) error { _, err := io.Copy(w, f); return err })
		_ = f.Close()
		if err != nil {
			c.log.Error("a capture that was interrupted cannot be kept", "incident", incident, "error", err)
		}
	}
	rest, _ := filepath.Glob(filepath.Join(c.dir, "*.scap"))
	for _, path := range rest {
		_ = os.Remove(path)
	}
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
