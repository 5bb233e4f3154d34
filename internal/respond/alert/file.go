package alert

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
)

// Writer writes alerts to a stream that others open and close, such as
// standard output: one call of Write per alert.
type Writer struct {
	w      io.Writer
	name   string
	shape  Shape
	buf    []byte
	closed bool
}

// NewWriter returns an output that writes lines of the given shape to w.
func NewWriter(name string, w io.Writer, shape Shape) *Writer {
	return &Writer{w: w, name: name, shape: shape}
}

// Name returns the name given to NewWriter.
func (o *Writer) Name() string { return o.name }

// Send writes the alert and a line end. A stream that blocks holds it up for
// at most as long as ctx lives if it knows deadlines, as pipes do.
func (o *Writer) Send(ctx context.Context, a *Alert) error {
	if o.closed {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	o.buf = append(o.shape.Append(o.buf[:0], a), '\n')
	return writeBefore(ctx, o.w, o.buf)
}

// Reopen does nothing.
func (o *Writer) Reopen() error { return nil }

// Close leaves the stream open.
func (o *Writer) Close() error {
	o.closed = true
	return nil
}

// File appends alerts to a file.
type File struct {
	path     string
	shape    Shape
	keepOpen bool
	file     *os.File
	buf      []byte
	torn     bool // the last line may lack its end
	closed   bool
}

// NewFile returns an output that appends lines to the file at path, which is
// created for its owner alone when it is missing. It is opened for each alert,
// or with keepOpen once, until Reopen. The first alert opens it, so a missing
// folder is an error of Send.
func NewFile(path string, keepOpen bool, shape Shape) *File {
	return &File{path: path, shape: shape, keepOpen: keepOpen}
}

// Name returns "file" and the path.
func (o *File) Name() string { return "file " + o.path }

// Send appends one line. When only a part could be written, as on a full
// disk, the next alert begins on a line of its own.
func (o *File) Send(ctx context.Context, a *Alert) (err error) {
	if o.closed {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if o.file == nil {
		// Without O_NONBLOCK a named pipe that nobody reads would hold us up here.
		if o.file, err = os.OpenFile(o.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY|syscall.O_NONBLOCK, 0o600); err != nil {
			o.file = nil
			return err
		}
	}
	o.buf = o.buf[:0]
	if o.torn {
		o.buf = append(o.buf, '\n')
	}
	o.buf = append(o.shape.Append(o.buf, a), '\n')
	err = writeBefore(ctx, o.file, o.buf)
	o.torn = err != nil
	if !o.keepOpen || err != nil {
		err = errors.Join(err, o.Reopen())
	}
	return err
}

// Reopen closes the file; the next alert opens it by its name.
func (o *File) Reopen() error {
	if o.file == nil {
		return nil
	}
	err := o.file.Close()
	o.file = nil
	return err
}

// Close closes the file.
func (o *File) Close() error {
	o.closed = true
	return o.Reopen()
}
