package alert

import (
	"context"
	"errors"
	"io"
	"os"
	"time"
)

// writeBefore writes b to w before ctx ends. Streams without deadlines, such
// as regular files and terminals, are written to without one.
func writeBefore(ctx context.Context, w io.Writer, b []byte) error {
	d, ok := w.(interface{ SetWriteDeadline(time.Time) error })
	if ok {
		deadline, _ := ctx.Deadline() // the zero time is no deadline
		if d.SetWriteDeadline(deadline) == nil {
			done := make(chan struct{})
			stop := context.AfterFunc(ctx, func() {
				d.SetWriteDeadline(time.Unix(1, 0))
				close(done)
			})
			defer func() {
				if !stop() {
					<-done // or it would hit the next write
				}
			}()
		}
	}
	_, err := w.Write(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		<-ctx.Done() // its timer and ours are not the same
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
