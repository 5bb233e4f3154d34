package falco

import (
	"bufio"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"rollcage/internal/respond/alert"
)

// delivery is the outputs that are open.
type delivery struct {
	*alert.Delivery
	flush func() error // writes what stdout holds back
}

// unbounded is how many alerts may wait for an output when the configuration sets no bound.
const unbounded = 1 << 17

// patience is how long an output may try to deliver one alert.
const patience = 30 * time.Second

// openOutputs opens the outputs of a configuration.
func (c *command) openOutputs(live bool) (*delivery, error) {
	o := c.outputs
	d := &delivery{flush: func() error { return nil }}
	var list []alert.Output
	if o.stdout {
		w := c.stdout
		if c.buffered && !c.opts.unbuffered {
			b := &lockedBuffer{w: bufio.NewWriterSize(w, 1<<16)}
			w, d.flush = b, b.Flush
		}
		list = append(list, alert.NewWriter("stdout", w, c.shape))
	}
	if o.file != "" {
		f := alert.NewFile(o.file, o.fileKeep, c.shape)
		if err := f.Reopen(); err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	if o.program != "" {
		list = append(list, alert.NewProgram(o.program, o.programKeep, c.shape))
	}
	if o.syslog {
		list = append(list, alert.NewSyslog("", c.shape))
	}
	if o.http != nil {
		h, err := alert.NewHTTP(c.httpOptions())
		if err != nil {
			return nil, err
		}
		list = append(list, h)
	}
	if len(list) == 0 {
		return nil, errNoOutput
	}
	for i := range list {
		list[i] = &timedOutput{list[i], o.timeout, c.log}
	}
	opts := alert.DeliveryOptions{Capacity: o.capacity, Timeout: max(patience, o.timeout), Wait: !live, Log: c.log.slog()}
	if opts.Capacity == 0 && live {
		opts.Capacity = unbounded
	}
	d.Delivery = alert.NewDelivery(list, opts)
	return d, nil
}

var errNoOutput = worded("No output configured, please make sure at least one output is configured and enabled.")

// httpOptions are those of the configuration; where the answers go depends on the run.
func (c *command) httpOptions() alert.HTTPOptions {
	h := *c.outputs.http
	if c.httpEcho {
		h.Echo = c.stdout
	}
	return h
}

// outputsInUse are the outputs of the configuration that was read last.
type outputsInUse struct {
	mu  sync.RWMutex
	now *delivery
}

func (o *outputsInUse) get() *delivery {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.now
}

// send gives an alert to the outputs. They are not replaced meanwhile, so
// that none gets an alert after it was closed.
func (o *outputsInUse) send(a *alert.Alert) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	o.now.Send(a)
}

// swap puts outputs in the place of those in use and returns these.
func (o *outputsInUse) swap(d *delivery) (old *delivery) {
	o.mu.Lock()
	defer o.mu.Unlock()
	old, o.now = o.now, d
	return old
}

// close delivers what waits until ctx ends.
func (d *delivery) close(ctx context.Context) error { return errors.Join(d.Close(ctx), d.flush()) }

// timedOutput logs when an output takes too long.
type timedOutput struct {
	alert.Output
	limit time.Duration
	log   *logger
}

func (o *timedOutput) Send(ctx context.Context, a *alert.Alert) error {
	if o.limit <= 0 {
		return o.Output.Send(ctx, a)
	}
	late := time.AfterFunc(o.limit, func() {
		o.log.logf(logError, "\"%s\" output timeout, all output channels are blocked: the output has not taken an alert for %v", o.Name(), o.limit)
	})
	defer late.Stop()
	return o.Output.Send(ctx, a)
}

// lockedBuffer collects what is written, for a stream that two goroutines write to.
type lockedBuffer struct {
	mu sync.Mutex
	w  *bufio.Writer
}

var _ io.Writer = (*lockedBuffer)(nil)

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.w.Write(p)
}

func (b *lockedBuffer) Flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.w.Flush()
}
