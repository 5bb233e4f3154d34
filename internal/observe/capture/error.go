package capture

import (
	"errors"
	"fmt"
	"io"
)

var (
	// ErrFormat is wrapped by errors about bytes that are no valid capture.
	ErrFormat = errors.New("malformed capture")
	// ErrVersion is wrapped when the major version of a capture is newer than ours.
	ErrVersion = errors.New("unknown version of the format")
	// ErrNoEvents is wrapped when a capture, or a section of it, has no event.
	ErrNoEvents = errors.New("no events in file")
)

// Error says what is wrong with a capture and where. It wraps
// [io.ErrUnexpectedEOF] when the capture was cut, [ErrFormat], [ErrVersion],
// [ErrNoEvents], or the error of the file.
type Error struct {
	Name   string // of the capture, as given to Open; may be empty
	Offset int64  // of the block in bytes, counted after decompression
	Packed bool   // the capture is compressed
	Err    error
}

func (e *Error) Error() string {
	name, where := e.Name, "byte"
	if name == "" {
		name = "capture"
	}
	if e.Packed {
		where = "uncompressed byte"
	}
	return fmt.Sprintf("%s: at %s %d: %v", name, where, e.Offset, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrFormat, fmt.Errorf(format, args...))
}

// cut is the error for want bytes of which only got are there.
func cut(what string, want, got int) error {
	return fmt.Errorf("%w in %s: expecting %d bytes, read %d", io.ErrUnexpectedEOF, what, want, got)
}
