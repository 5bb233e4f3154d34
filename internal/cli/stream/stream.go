// Package stream is how commands read events: the options that say where they
// come from, and how they are written into a capture file.
package stream

import (
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// Stream is a host.Stream that can be recorded.
type Stream struct{ *host.Stream }

// New returns a stream over src. What a live one does not tell is looked up in /proc.
func New(src event.Source, live bool) (*Stream, error) {
	st, err := host.NewStream(src, live)
	return &Stream{st}, err
}

// ErrStop is returned by a handler that wants no more events.
var ErrStop = host.ErrStop
