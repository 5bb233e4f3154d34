package outbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"rollcage/internal/respond/alert"
)

// lane delivers to one output.
type lane struct {
	box    *Box
	pos    *position
	out    alert.Output
	opts   DeliveryOptions
	ctx    context.Context // ends when waiting for the output does
	cancel context.CancelFunc
	reopen chan struct{}
	drain  chan struct{} // closed when there will be nothing new
	ended  chan struct{} // closed when run returns
	err    error         // why the output could not be closed

	sent, failed, dropped atomic.Uint64
	retrying              atomic.Pointer[error]
}

func newLane(box *Box, pos *position, out alert.Output, opts DeliveryOptions) *lane {
	l := &lane{
		box: box, pos: pos, out: out, opts: opts,
		reopen: make(chan struct{}, 1), drain: make(chan struct{}), ended: make(chan struct{}),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

func (l *lane) stats() OutputStats {
	s := OutputStats{OutputStats: alert.OutputStats{
		Name: l.out.Name(), Sent: l.sent.Load(), Failed: l.failed.Load(), Dropped: l.dropped.Load(),
		Waiting: int(l.box.waiting(l.pos)),
	}}
	if err := l.retrying.Load(); err != nil {
		s.Retrying = *err
	}
	return s
}

// run delivers until the box is read to its end and drained, or the lane is cancelled.
func (l *lane) run() {
	defer close(l.ended)
	defer func() { l.err = l.out.Close() }()
	next := l.pos.seq
	for l.ctx.Err() == nil {
		alerts, after, news := l.batch(next)
		switch {
		case len(alerts) > 0:
			if !l.deliver(alerts) {
				return
			}
		case after == next:
			if !l.wait(news, nil) {
				return
			}
			continue
		}
		if err := l.box.advance(l.pos, after); err != nil {
			l.opts.Log.Error("the position of an output cannot be noted; after a restart it gets alerts again",
				"output", l.out.Name(), "error", err)
		}
		next = after
	}
}

// batch returns the alerts from number next on, as many as the output takes at
// once, and the number that comes after them; without any, what to wait for.
func (l *lane) batch(next uint64) (alerts []*alert.Alert, after uint64, news <-chan struct{}) {
	most, patience := 1, time.Duration(0)
	if b, ok := l.out.(alert.Batcher); ok {
		most, patience = b.Batch()
	}
	var over <-chan time.Time
	after = next
	for len(alerts) < most {
		r, news := l.box.read(l.pos, after)
		if news == nil {
			l.dropped.Add(r.seq - after)
			after = r.seq + 1
			a, err := alert.ParseRecord(r.payload)
			if err != nil {
				l.failed.Add(1)
				l.opts.Log.Error("an alert of the outbox cannot be read", "output", l.out.Name(), "error", err)
				continue
			}
			alerts = append(alerts, a)
			continue
		}
		if len(alerts) == 0 {
			return nil, after, news
		}
		if over == nil {
			t := time.NewTimer(patience)
			defer t.Stop()
			over = t.C
		}
		if !l.wait(news, over) {
			break
		}
	}
	return alerts, after, nil
}

// wait waits for news, and reports whether there may be some: not when the
// time is over, or there will be none.
func (l *lane) wait(news <-chan struct{}, over <-chan time.Time) bool {
	for {
		select {
		case <-news:
			return true
		case <-over:
			return false
		case <-l.ctx.Done():
			return false
		case <-l.reopen:
			l.reopenOutput()
		case <-l.drain:
			select {
			case <-news:
				return true
			default:
				return false
			}
		}
	}
}

func (l *lane) reopenOutput() {
	if err := l.out.Reopen(); err != nil {
		l.opts.Log.Error("an output cannot be reopened", "output", l.out.Name(), "error", err)
	}
}

// deliver tries until the output has the alerts or refuses them for good. It
// reports false if the lane ends before.
func (l *lane) deliver(alerts []*alert.Alert) bool {
	pause := l.opts.FirstRetry
	for {
		select {
		case <-l.reopen:
			l.reopenOutput()
		default:
		}
		err := l.send(alerts)
		switch {
		case err == nil:
			l.sent.Add(uint64(len(alerts)))
			l.recovered()
			return true
		case l.ctx.Err() != nil || errors.Is(err, alert.ErrClosed):
			return false
		case errors.Is(err, alert.ErrRefused) && len(alerts) > 1:
			// One of them is why: it must not take the others along.
			for _, a := range alerts {
				if !l.deliver([]*alert.Alert{a}) {
					return false
				}
			}
			return true
		case errors.Is(err, alert.ErrRefused):
			l.failed.Add(1)
			l.opts.Log.Error("an alert is refused for good", "output", l.out.Name(), "alert", alerts[0].ID, "error", err)
			l.recovered()
			return true
		}
		if l.retrying.Swap(&err) == nil {
			l.opts.Log.Error("alerts are not delivered; they stay in the outbox and are tried again", "output", l.out.Name(), "error", err)
		}
		// Half of the pause is left to chance, so that many hosts do not come back at once.
		select {
		case <-time.After(pause/2 + rand.N(pause/2+1)):
		case <-l.ctx.Done():
			return false
		}
		pause = min(2*pause, l.opts.LastRetry)
	}
}

func (l *lane) recovered() {
	if l.retrying.Swap(nil) != nil {
		l.opts.Log.Info("alerts are delivered again", "output", l.out.Name(), "waiting", l.box.waiting(l.pos))
	}
}

func (l *lane) send(alerts []*alert.Alert) error {
	ctx, cancel := context.WithTimeout(l.ctx, l.opts.Timeout)
	defer cancel()
	if b, ok := l.out.(alert.Batcher); ok {
		return b.SendBatch(ctx, alerts)
	}
	return l.out.Send(ctx, alerts[0])
}

// end waits for the lane, pressing it when ctx ends.
func (l *lane) end(ctx context.Context) error {
	select {
	case <-l.ended:
	case <-ctx.Done():
		l.cancel()
		// An output that keeps its promise returns soon; one that does not is left behind.
		select {
		case <-l.ended:
		case <-time.After(time.Second):
			return fmt.Errorf("output %s does not answer", l.out.Name())
		}
	}
	l.cancel()
	return l.err
}

// release gives up the position, unless the lane was left behind and may still note it.
func (l *lane) release() error {
	select {
	case <-l.ended:
		return l.pos.close()
	default:
		return nil
	}
}
