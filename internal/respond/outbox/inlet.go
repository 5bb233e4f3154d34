package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rollcage/internal/respond/alert"
)

// Inlet is an output that keeps alerts in a box, from which a delivery takes
// them: so a box stands between an [alert.Delivery] and its outputs.
type Inlet struct {
	box      *Box
	delivery *Delivery
	flush    time.Duration
	closed   bool
}

// NewInlet returns an inlet that owns the box and the delivery from it. On
// Close the outputs get so long to take what waits; the rest is delivered the next time.
func NewInlet(box *Box, d *Delivery, flush time.Duration) *Inlet {
	return &Inlet{box: box, delivery: d, flush: flush}
}

// Name returns "outbox" and the folder.
func (i *Inlet) Name() string { return "outbox " + i.box.dir }

// Send puts a copy of the alert into the box. That the disk takes it only
// later is no failure, as it is delivered all the same.
func (i *Inlet) Send(ctx context.Context, a *alert.Alert) error {
	if i.closed {
		return alert.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	own := *a
	err := i.box.Put(&own)
	if errors.Is(err, ErrNotKept) {
		i.box.opts.Log.Warn("an alert waits in memory", "error", err)
		return nil
	}
	return err
}

// Reopen reopens the outputs.
func (i *Inlet) Reopen() error {
	i.delivery.Reopen()
	return nil
}

// Close closes the delivery and the box.
func (i *Inlet) Close() error {
	if i.closed {
		return nil
	}
	i.closed = true
	ctx, cancel := context.WithTimeout(context.Background(), i.flush)
	defer cancel()
	err := i.delivery.Close(ctx)
	for _, s := range i.delivery.Stats() {
		if s.Waiting > 0 {
			i.box.opts.Log.Warn("alerts wait in the outbox for the next time", "output", s.Name, "waiting", s.Waiting)
		}
	}
	if cerr := i.box.Close(); cerr != nil {
		err = errors.Join(err, fmt.Errorf("outbox: %w", cerr))
	}
	return err
}
