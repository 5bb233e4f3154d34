package alert

import (
	"context"
	"errors"
	"time"
)

// Output is where alerts go. [Delivery] is its usual caller.
//
// Send and Reopen are called by one goroutine at a time, Close once after the
// last of them. All implementations pass one suite of tests (output_test.go),
// which spells these promises out.
type Output interface {
	// Name tells outputs apart in messages and statistics: "file /var/log/x".
	Name() string
	// Send delivers one alert, whole or not at all as far as the receiver
	// allows, after all that were sent before it. It returns when the receiver
	// has it, when it cannot be delivered, or soon after ctx ends, whatever
	// the receiver does. A failure does not keep later alerts from being
	// delivered once the receiver works again. The alert is not kept.
	Send(ctx context.Context, a *Alert) error
	// Reopen makes the output start afresh: files are opened again by name, as
	// rotating logs needs, programs and connections are restarted.
	Reopen() error
	// Close ends the output. What was sent before is delivered. Sending
	// afterwards fails with ErrClosed; closing again does nothing.
	Close() error
}

// Batcher is an Output that rather takes several alerts at once, as mail does.
type Batcher interface {
	Output
	// Batch returns how many alerts it takes at most, and how long to wait for
	// more once there is one.
	Batch() (most int, wait time.Duration)
	// SendBatch is Send for several alerts, which are delivered all or not at all.
	SendBatch(ctx context.Context, alerts []*Alert) error
}

// ErrRefused is what an error of Send is when the receiver does not take this
// alert, now or later, so that it is in vain to send it again.
var ErrRefused = errors.New("the receiver refuses the alert")

// ErrClosed is returned by Send after Close.
var ErrClosed = errors.New("the output is closed")
