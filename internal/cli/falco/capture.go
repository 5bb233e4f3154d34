package falco

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
	"rollcage/internal/respond/alert"
)

// sizeRule is the name of the alert that a capture became too large.
const sizeRule = "Falco internal: capture size limit reached"

// recorder writes captures when rules match: the state of the host, then the
// events from the match on until the time is over. One file is open at a
// time. It is used by the goroutine that reads the source.
type recorder struct {
	captureConfig
	send func(*alert.Alert)
	log  *logger

	path     string
	file     *countedFile
	writer   *capture.Writer
	deadline uint64
}

// countedFile counts what is written.
type countedFile struct {
	io.WriteCloser
	n int64
}

func (f *countedFile) Write(b []byte) (int, error) {
	n, err := f.WriteCloser.Write(b)
	f.n += int64(n)
	return n, err
}

// matched is called with each match, after the event changed the state.
func (r *recorder) matched(m *rule.Rule, he *host.Event) {
	if !r.enabled {
		return
	}
	duration := r.duration
	if m.CaptureDuration > 0 {
		duration = m.CaptureDuration
	}
	deadline := he.Time() + uint64(duration)
	switch {
	case r.writer != nil:
		// Every match makes it longer, whatever the rule says of captures, as in Falco.
		r.deadline = max(r.deadline, deadline)
	case r.all || m.Capture:
		if err := r.open(he); err != nil {
			r.log.logf(logError, "Unable to start a capture: %v", err)
			return
		}
		r.deadline = deadline
	}
}

// open starts a file with the state and the event.
func (r *recorder) open(he *host.Event) error {
	r.path = fmt.Sprintf("%s_%020d_%020d.scap", r.prefix, he.Time(), he.Num)
	f, err := os.OpenFile(r.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	r.file = &countedFile{WriteCloser: f}
	if r.writer, err = capture.NewWriter(r.file, he.State.Snapshot(), capture.WriterOptions{Gzip: true}); err != nil {
		_ = f.Close()
		r.writer = nil
		return err
	}
	r.write(he.Event)
	return nil
}

// event is called with each event before it is judged.
func (r *recorder) event(ev *event.Event) {
	if r.writer == nil {
		return
	}
	if ev.Time() >= r.deadline {
		r.close()
		return
	}
	r.write(ev)
}

// flushEvery is after how many events the size of the file is looked at.
const flushEvery = 256

func (r *recorder) write(ev *event.Event) {
	err := r.writer.Write(ev)
	if err == nil && r.maxBytes > 0 && r.writer.Events()%flushEvery == 0 {
		err = r.writer.Flush()
	}
	switch {
	case err != nil:
		r.log.logf(logError, "The capture %s ends early: %v", r.path, err)
		r.close()
	case r.maxBytes > 0 && r.file.n >= r.maxBytes:
		written, path := r.file.n, r.path
		r.close()
		r.send(alert.Internal(time.Unix(0, int64(ev.Time())), sizeRule, rule.Informational,
			sizeRule+" ("+path+")", map[string]string{
				"max_file_size_mb": strconv.FormatInt(r.maxBytes>>20, 10), "written_bytes": strconv.FormatInt(written, 10),
			}))
	}
}

// close ends the file, if one is open.
func (r *recorder) close() {
	if r.writer == nil {
		return
	}
	err := r.writer.Close()
	if cerr := r.file.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		r.log.logf(logError, "The capture %s may not be whole: %v", r.path, err)
	}
	r.writer = nil
}
