package alert

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// Syslog sends alerts to the system's log with the severity of their priority.
type Syslog struct {
	address string
	shape   Shape
	conn    net.Conn
	buf     []byte
	closed  bool
}

// syslogSockets are where the log is listened to.
var syslogSockets = []string{"/dev/log", "/var/run/syslog", "/var/run/log"}

// NewSyslog returns an output that writes to the socket at address, or to the
// usual one if it is empty.
func NewSyslog(address string, shape Shape) *Syslog { return &Syslog{address: address, shape: shape} }

// Name returns "syslog".
func (o *Syslog) Name() string { return "syslog" }

// Send writes one message (RFC 3164, facility user). When the log was
// restarted in the meantime the connection is made anew.
func (o *Syslog) Send(ctx context.Context, a *Alert) error {
	if o.closed {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if o.conn != nil {
		if err := o.write(ctx, a); err == nil || ctx.Err() != nil {
			return err
		}
	}
	if err := o.connect(ctx); err != nil {
		return err
	}
	return o.write(ctx, a)
}

func (o *Syslog) write(ctx context.Context, a *Alert) error {
	const facilityUser = 1 << 3
	o.buf = fmt.Appendf(o.buf[:0], "<%d>%s rollcage[%d]: ", facilityUser|int(a.Priority), time.Now().Format(time.Stamp), os.Getpid())
	o.buf = o.shape.Append(o.buf, a)
	if o.conn.LocalAddr().Network() == "unix" {
		o.buf = append(o.buf, 0) // ends a message on a stream
	}
	err := writeBefore(ctx, o.conn, o.buf)
	if err != nil {
		o.Reopen()
	}
	return err
}

// connect finds the socket and whether it takes datagrams or a stream.
func (o *Syslog) connect(ctx context.Context) error {
	paths := syslogSockets
	if o.address != "" {
		paths = []string{o.address}
	}
	var errs []error
	for _, path := range paths {
		for _, network := range []string{"unixgram", "unix"} {
			var d net.Dialer
			conn, err := d.DialContext(ctx, network, path)
			if err == nil {
				o.conn = conn
				return nil
			}
			errs = append(errs, err)
		}
	}
	return fmt.Errorf("no system log listens: %w", errors.Join(errs...))
}

// Reopen closes the connection; the next alert makes a new one.
func (o *Syslog) Reopen() error {
	if o.conn == nil {
		return nil
	}
	err := o.conn.Close()
	o.conn = nil
	return err
}

// Close closes the connection.
func (o *Syslog) Close() error {
	o.closed = true
	return o.Reopen()
}
