package alert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// DeliveryOptions change how alerts are delivered. The zero value is good.
type DeliveryOptions struct {
	// Capacity is how many alerts may wait for each output, 4096 if 0.
	Capacity int
	// Timeout is how long an output may take for one alert, with all its
	// tries, 30 s if 0.
	Timeout time.Duration
	// Wait makes Send wait for an output whose queue is full, so that nothing is
	// lost where time does not matter, as when a capture is read.
	Wait bool
	// Patience is how long an output is waited for in vain, with Wait, before it is given up and loses
	// all that comes, 1 min if 0: a receiver that hangs must not keep a run from its end.
	Patience time.Duration
	// Log is told of failures and drops, slog.Default() if nil.
	Log *slog.Logger
	// ReportEvery is the least time between two reports about one output, 10 s if 0.
	ReportEvery time.Duration
}

// Delivery hands alerts to outputs. Each output has a queue and a goroutine of
// its own. Alerts reach each output in the order in which they were sent.
type Delivery struct {
	lanes []*lane
	mu    sync.RWMutex // held for writing once, to close the queues
	done  bool
}

// OutputStats counts what became of the alerts for one output.
type OutputStats struct {
	Name    string
	Sent    uint64 // delivered
	Failed  uint64 // given up by the output
	Dropped uint64 // lost because too many waited already, or at the end
	Waiting int
}

// NewDelivery starts to deliver to the outputs, which it owns from now on.
func NewDelivery(outputs []Output, opts DeliveryOptions) *Delivery {
	setDefault(&opts.Capacity, 4096)
	setDefault(&opts.Timeout, 30*time.Second)
	setDefault(&opts.Patience, time.Minute)
	setDefault(&opts.Log, slog.Default())
	setDefault(&opts.ReportEvery, 10*time.Second)
	d := &Delivery{}
	for _, o := range outputs {
		l := &lane{
			out: o, opts: opts, queue: make(chan *Alert, opts.Capacity), reopen: make(chan struct{}, 1),
			trouble: make(chan struct{}, 1), ended: make(chan struct{}), reported: make(chan struct{}),
		}
		l.ctx, l.cancel = context.WithCancel(context.Background())
		d.lanes = append(d.lanes, l)
		go l.run()
		go l.report()
	}
	return d
}

// Send gives the alert to all outputs. Without the option Wait it never waits:
// an output whose queue is full loses the alert. It may be called by many goroutines; after Close it
// counts the alert as dropped.
func (d *Delivery) Send(a *Alert) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, l := range d.lanes {
		if d.done {
			l.dropped.Add(1)
			continue
		}
		if l.opts.Wait {
			select {
			case l.queue <- a:
			case <-l.ctx.Done(): // Close is pressed
				l.dropped.Add(1)
			}
			continue
		}
		select {
		case l.queue <- a:
		default:
			l.dropped.Add(1)
			wake(l.trouble)
		}
	}
}

// Reopen reopens all outputs, each when it is done with the alert at hand.
func (d *Delivery) Reopen() {
	for _, l := range d.lanes {
		wake(l.reopen)
	}
}

// Stats returns the counters of the outputs.
func (d *Delivery) Stats() []OutputStats {
	out := make([]OutputStats, len(d.lanes))
	for i, l := range d.lanes {
		out[i] = OutputStats{l.out.Name(), l.sent.Load(), l.failed.Load(), l.dropped.Load(), len(l.queue)}
	}
	return out
}

// Close delivers what waits, until ctx ends; what is left then is dropped. It
// returns once all outputs are closed, or do not answer although ctx ended.
// The error says which lost alerts.
func (d *Delivery) Close(ctx context.Context) error {
	// A Send that waits for room holds the lock until it is told to give up.
	stop := context.AfterFunc(ctx, func() {
		for _, l := range d.lanes {
			l.cancel()
		}
	})
	defer stop()
	d.mu.Lock()
	if !d.done {
		d.done = true
		for _, l := range d.lanes {
			l.closing.Store(true)
			close(l.queue)
		}
	}
	d.mu.Unlock()
	var errs []error
	for _, l := range d.lanes {
		errs = append(errs, l.wait(ctx))
	}
	return errors.Join(errs...)
}

// wake signals on a channel of capacity 1 unless a signal waits there.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// lane is an output with its queue.
type lane struct {
	out    Output
	opts   DeliveryOptions
	queue  chan *Alert
	reopen chan struct{}
	ctx    context.Context // ends when waiting for the output does
	cancel context.CancelFunc

	sent, failed, dropped atomic.Uint64
	lastError             atomic.Pointer[error]
	closing               atomic.Bool
	vain                  time.Duration // how long tries took that failed, since one did not or Close was called; of run
	trouble               chan struct{} // something is to be reported
	ended, reported       chan struct{} // closed when run and report return
	closeErr              error
}

// run delivers until the queue is closed and empty.
func (l *lane) run() {
	defer close(l.ended)
	for {
		select {
		case <-l.reopen:
			l.fail(l.out.Reopen())
			continue
		default:
		}
		select {
		case <-l.reopen:
			l.fail(l.out.Reopen())
		case a, ok := <-l.queue:
			if !ok {
				l.closeErr = l.out.Close()
				return
			}
			l.deliver(a)
		}
	}
}

func (l *lane) deliver(a *Alert) {
	if l.ctx.Err() != nil {
		l.dropped.Add(1)
		return
	}
	ctx, cancel := context.WithTimeout(l.ctx, l.opts.Timeout)
	defer cancel()
	begun := time.Now()
	if err := l.out.Send(ctx, a); err != nil {
		l.failed.Add(1)
		l.fail(err)
		l.doubt(time.Since(begun))
		return
	}
	l.sent.Add(1)
	if !l.closing.Load() { // a stream that is made anew takes some before it hangs again
		l.vain = 0
	}
}

// doubt gives the output up when it was waited for too long in vain and somebody waits for it.
func (l *lane) doubt(took time.Duration) {
	l.vain += took
	if !l.opts.Wait || l.ctx.Err() != nil || l.vain < l.opts.Patience {
		return
	}
	l.opts.Log.Warn("an output takes nothing and is given up; it loses all that comes", "output", l.out.Name(),
		"after", l.opts.Patience, "waiting", len(l.queue))
	l.cancel()
}

// fail notes an error for the next report.
func (l *lane) fail(err error) {
	if err != nil {
		l.lastError.Store(&err)
		wake(l.trouble)
	}
}

// report logs trouble when it begins and then, as long as it goes on, from
// time to time. It has a goroutine of its own because the one that delivers
// may hang in the output.
func (l *lane) report() {
	defer close(l.reported)
	var failed, dropped uint64
	for {
		select {
		case <-l.trouble:
		case <-l.ended:
			return
		}
		attrs := []any{"output", l.out.Name()}
		if n := l.failed.Load(); n > failed {
			attrs = append(attrs, "failed", n-failed)
			failed = n
		}
		if n := l.dropped.Load(); n > dropped {
			attrs = append(attrs, "dropped", n-dropped)
			dropped = n
		}
		if err := l.lastError.Swap(nil); err != nil {
			attrs = append(attrs, "error", *err)
		}
		l.opts.Log.Error("alerts are not delivered", attrs...)
		select {
		case <-time.After(l.opts.ReportEvery):
		case <-l.ended:
			return
		}
	}
}

// wait waits for the lane to end, pressing it when ctx ends.
func (l *lane) wait(ctx context.Context) error {
	select {
	case <-l.ended:
	case <-ctx.Done():
		l.cancel()
		// An output that keeps its promise returns soon; one that does not is left behind.
		select {
		case <-l.ended:
		case <-time.After(time.Second):
			return fmt.Errorf("output %s does not answer, %d alerts are lost", l.out.Name(), len(l.queue)+1)
		}
	}
	l.cancel()
	<-l.reported
	if n := l.dropped.Load() + l.failed.Load(); n > 0 {
		return errors.Join(fmt.Errorf("output %s: %d alerts are lost", l.out.Name(), n), l.closeErr)
	}
	return l.closeErr
}
