package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
	"rollcage/internal/respond/alert"
)

// The names of the alerts about captures.
const (
	CaptureFullRule   = "Rollcage internal: capture size limit reached"
	CaptureFailedRule = "Rollcage internal: capture failed"
)

// Captures say when what happens is recorded. A capture begins with the whole
// state of the host, then has the event that matched and all that follow. There
// is one at a time.
type Captures struct {
	// Prefix is how the paths of captures begin, "" for none; time (ns since the
	// epoch) and number of the event follow, with 20 digits each, and .scap.
	Prefix string
	// AllRules begins one with any match, else it takes a rule that asks for it.
	AllRules bool
	// Duration is how long after the match a capture goes on, if the rule does
	// not say; 5 s if 0. Matches during a capture, of any rule, only make it longer.
	Duration time.Duration
	// MaxBytes ends a capture whose file is that large, 0 is no limit.
	MaxBytes int64
	// FullRule is the name of the alert about that, CaptureFullRule if empty.
	FullRule string
}

const (
	captureDuration = 5 * time.Second
	chunkSize       = 256 << 10 // bytes of events that are handed on together
	chunksWaiting   = 64        // that may wait for the disk
	captureSlack    = time.Second
)

// recorder writes captures. What it is told comes from Run's goroutine; the
// file is written by another, so that a slow disk holds up no event.
type recorder struct {
	agent *Agent
	opts  Captures
	now   *recording // nil if there is none

	begun, failed, lost atomic.Uint64
}

// recording is a capture that is being written.
type recording struct {
	path     string
	deadline uint64 // event time, ns since the epoch
	chunks   chan *chunk
	chunk    *chunk
	lost     uint64
	ended    chan error
	full     chan int64 // the size, when that is too large
}

// chunk is events, copied.
type chunk struct {
	data   []byte
	events []chunkEvent
}

// chunkEvent is what is beside the bytes of an event, and where these end.
type chunkEvent struct {
	num, latency uint64
	cpu          uint16
	hidden       bool
	end          int
}

func newRecorder(a *Agent) *recorder {
	o := a.opts.Captures
	if o.Duration <= 0 {
		o.Duration = captureDuration
	}
	if o.FullRule == "" {
		o.FullRule = CaptureFullRule
	}
	return &recorder{agent: a, opts: o}
}

// before is told of each event before it is judged.
func (r *recorder) before(he *host.Event) {
	if r.now != nil && he.Time() >= r.now.deadline {
		r.end()
	}
}

// matched is told of each match.
func (r *recorder) matched(m *rule.Match, he *host.Event) {
	if r.now == nil && (r.opts.Prefix == "" || !r.opts.AllRules && !m.Capture) {
		return
	}
	d := r.opts.Duration
	if m.CaptureDuration > 0 {
		d = m.CaptureDuration
	}
	if r.now == nil && !r.begin(he) {
		return
	}
	r.now.deadline = max(r.now.deadline, he.Time()+uint64(d))
}

// after is told of each event, hidden ones too, once it was judged.
func (r *recorder) after(he *host.Event) {
	if r.now == nil {
		return
	}
	c := r.now.chunk
	c.data = append(c.data, he.Bytes()...)
	c.events = append(c.events, chunkEvent{he.Num, he.Latency, he.CPU, he.Hidden, len(c.data)})
	if len(c.data) >= chunkSize {
		r.pass()
	}
}

// tend is called from time to time.
func (r *recorder) tend() {
	if r.now == nil {
		return
	}
	r.pass()
	if r.agent.opts.Live && r.agent.clock.Now() > r.now.deadline+uint64(captureSlack) {
		r.end() // nothing has happened since
	}
}

// begin opens a capture with the state as it is.
func (r *recorder) begin(he *host.Event) bool {
	path := fmt.Sprintf("%s_%020d_%020d.scap", r.opts.Prefix, he.Time(), he.Num)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		r.fail(err)
		return false
	}
	n := &recording{
		path: path, chunks: make(chan *chunk, chunksWaiting), chunk: &chunk{}, ended: make(chan error, 1), full: make(chan int64, 1),
	}
	snap := r.agent.stream.State.Snapshot()
	go func() { n.ended <- n.write(f, snap, r.opts.MaxBytes) }()
	r.now = n
	r.begun.Add(1)
	r.agent.opts.Log.Info("capture begun", "path", path)
	return true
}

// pass hands the chunk at hand to the writer, and ends what has ended there.
func (r *recorder) pass() {
	n := r.now
	if len(n.chunk.events) > 0 {
		if r.agent.opts.Live {
			select {
			case n.chunks <- n.chunk:
			default:
				n.lost += uint64(len(n.chunk.events))
			}
		} else {
			n.chunks <- n.chunk
		}
		n.chunk = &chunk{data: make([]byte, 0, chunkSize+1024)}
	}
	select {
	case size := <-n.full:
		r.agent.opts.Log.Warn("capture ended at its size limit", "path", n.path, "bytes", size)
		r.agent.Send(alert.Internal(time.Now(), r.opts.FullRule, rule.Warning, "Capture size limit reached", map[string]string{
			"max_file_size_mb": strconv.FormatInt(r.opts.MaxBytes/(1<<20), 10), "written_bytes": strconv.FormatInt(size, 10), "path": n.path,
		}))
		r.end()
	case err := <-n.ended:
		n.ended <- err
		r.end()
	default:
	}
}

// end closes the capture.
func (r *recorder) end() {
	n := r.now
	if n == nil {
		return
	}
	r.now = nil
	if len(n.chunk.events) > 0 {
		select {
		case n.chunks <- n.chunk:
		default:
			n.lost += uint64(len(n.chunk.events))
		}
	}
	close(n.chunks)
	log := r.agent.opts.Log
	finish := func() {
		if err := <-n.ended; err != nil {
			r.fail(fmt.Errorf("capture %s: %w", n.path, err))
			return
		}
		log.Info("capture ended", "path", n.path, "events_lost", n.lost)
	}
	if r.agent.opts.Live {
		r.agent.finishing.Go(finish)
	} else {
		finish()
	}
	r.lost.Add(n.lost)
}

func (r *recorder) fail(err error) {
	r.failed.Add(1)
	r.agent.opts.Log.Error("capture failed", "error", err)
	r.agent.Send(alert.Internal(time.Now(), CaptureFailedRule, rule.Error, "A capture failed: "+err.Error(), map[string]string{"error": err.Error()}))
}

// write writes the file until the chunks end, an error, or the file is too
// large, which it says in full. It is the writer's goroutine.
func (n *recording) write(f *os.File, snap *event.Snapshot, limit int64) (err error) {
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		for range n.chunks { // nobody is to wait for us
		}
	}()
	out := &counted{w: f}
	w, err := capture.NewWriter(out, snap, capture.WriterOptions{Gzip: true})
	if err != nil {
		return err
	}
	var ev event.Event
	for c := range n.chunks {
		if err := c.write(w, &ev); err != nil {
			return errors.Join(err, w.Close())
		}
		if limit <= 0 {
			continue
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if out.n >= limit {
			n.full <- out.n
			break
		}
	}
	return w.Close()
}

func (c *chunk) write(w *capture.Writer, ev *event.Event) error {
	start := 0
	for _, e := range c.events {
		ev.Num, ev.CPU, ev.Latency, ev.Hidden = e.num, e.cpu, e.latency, e.hidden
		if err := ev.Reset(c.data[start:e.end]); err != nil {
			return err
		}
		start = e.end
		if err := w.Write(ev); err != nil && !errors.Is(err, capture.ErrEventSize) {
			return err
		}
	}
	return nil
}

// counted counts what is written.
type counted struct {
	w io.Writer
	n int64
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
