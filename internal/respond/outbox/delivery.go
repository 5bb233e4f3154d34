package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"rollcage/internal/respond/alert"
)

// DeliveryOptions change how alerts are delivered. The zero value is good.
type DeliveryOptions struct {
	// Timeout is how long an output may take for one try, 30 s if 0.
	Timeout time.Duration
	// FirstRetry is the pause after a failure, 1 s if 0; it doubles with each
	// further one up to LastRetry, 1 min if 0.
	FirstRetry, LastRetry time.Duration
	// Log is told of failures, slog.Default() if nil.
	Log *slog.Logger
}

// Delivery hands the alerts of a box to outputs. Each output has a goroutine
// and a position of its own. An alert that an output does not take is tried
// again for as long as it takes, unless it is refused for good ([alert.ErrRefused]).
type Delivery struct {
	box   *Box
	lanes []*lane
	log   *slog.Logger
}

// OutputStats tells how an output is.
type OutputStats struct {
	// Waiting is how many alerts are in the box for it, Failed how many it refused
	// for good, Dropped how many were deleted before it had them or could not be read.
	alert.OutputStats
	// Retrying is the error of the last try while the output takes nothing, else nil.
	Retrying error
}

// placed is an output whose position has a name of its own.
type placed struct {
	alert.Output
	place string
}

// As returns the output with another name for its position than its own, as one whose
// address may change. Only NewDelivery takes it.
func As(place string, o alert.Output) alert.Output { return placed{o, place} }

// NewDelivery starts to deliver from the box to the outputs, which it owns from
// now on. Outputs are told apart by their names, or by what [As] gave them: an output that was there
// before goes on where it was. Positions of others are forgotten.
func NewDelivery(box *Box, outputs []alert.Output, opts DeliveryOptions) (*Delivery, error) {
	setDefault(&opts.Timeout, 30*time.Second)
	setDefault(&opts.FirstRetry, time.Second)
	setDefault(&opts.LastRetry, time.Minute)
	setDefault(&opts.Log, slog.Default())
	d := &Delivery{box: box, log: opts.Log}
	names := map[string]bool{}
	defer box.hold()() // alerts may come on before all are attached
	for _, o := range outputs {
		place := o.Name()
		if p, ok := o.(placed); ok {
			o, place = p.Output, p.place
		}
		if names[place] {
			return nil, errors.Join(fmt.Errorf("outbox: two outputs have the name %q", place), d.abandon())
		}
		names[place] = true
		p, err := box.attach(place, o.Name())
		if err != nil {
			return nil, errors.Join(err, d.abandon())
		}
		d.lanes = append(d.lanes, newLane(box, p, o, opts))
	}
	box.forget()
	for _, l := range d.lanes {
		go l.run()
	}
	return d, nil
}

// abandon lets go of what was attached before an error.
func (d *Delivery) abandon() error {
	var errs []error
	for _, l := range d.lanes {
		errs = append(errs, d.box.detach(l.pos))
	}
	return errors.Join(errs...)
}

// Send puts the alert into the box. What the disk does not take is said.
func (d *Delivery) Send(a *alert.Alert) {
	if err := d.box.Put(a); err != nil {
		d.log.Error("alert is not kept", "rule", a.Rule, "error", err)
	}
}

// Reopen reopens all outputs, each when it is done with the alert at hand.
func (d *Delivery) Reopen() {
	for _, l := range d.lanes {
		select {
		case l.reopen <- struct{}{}:
		default:
		}
	}
}

// Stats tells how the outputs are.
func (d *Delivery) Stats() []OutputStats {
	out := make([]OutputStats, len(d.lanes))
	for i, l := range d.lanes {
		out[i] = l.stats()
	}
	return out
}

// Close delivers what waits until ctx ends, and closes the outputs. What is
// left then stays in the box for the next time. Nothing may be sent meanwhile.
func (d *Delivery) Close(ctx context.Context) error {
	for _, l := range d.lanes {
		close(l.drain)
	}
	var errs []error
	var read []*position
	for _, l := range d.lanes {
		errs = append(errs, l.end(ctx))
		read = append(read, l.pos)
	}
	// All at once: the box must not take one that is still read from for the only one.
	d.box.leave(read...)
	for _, l := range d.lanes {
		errs = append(errs, l.release())
	}
	return errors.Join(errs...)
}
