package alert

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// NATSOptions describe a NATS server and a subject. URL and Subject are required.
type NATSOptions struct {
	URL     string // nats://host:4222, or tls:// for servers that must encrypt; several with commas
	Subject string
	Shape   Shape
	// JetStream waits until a stream has the alert. The alert's ID is that of the
	// message, so that the stream drops doubles. Otherwise an alert is delivered
	// when the server has it, and whoever listens then gets it.
	JetStream bool
	// Credentials is a file with a user's JWT and key; or there is a name and a password.
	Credentials        string
	Username, Password string
	TLS                TLSOptions
}

// NATS publishes alerts.
type NATS struct {
	opts   NATSOptions
	make   []nats.Option
	conn   *nats.Conn
	stream jetstream.JetStream
	closed bool
}

// NewNATS returns an output that publishes. The server is not contacted.
func NewNATS(opts NATSOptions) (*NATS, error) {
	if opts.URL == "" || opts.Subject == "" {
		return nil, errors.New("nats output: URL and subject are needed")
	}
	o := &NATS{opts: opts, make: []nats.Option{nats.Name("rollcage"), nats.NoReconnect()}}
	if opts.Credentials != "" {
		o.make = append(o.make, nats.UserCredentials(opts.Credentials))
	}
	if opts.Username != "" {
		o.make = append(o.make, nats.UserInfo(opts.Username, opts.Password))
	}
	if opts.TLS != (TLSOptions{}) {
		config, err := opts.TLS.config()
		if err != nil {
			return nil, fmt.Errorf("nats output: %w", err)
		}
		// A server at nats:// says whether it wants TLS; tls:// wants it in any case.
		o.make = append(o.make, func(n *nats.Options) error { n.TLSConfig = config; return nil })
	}
	return o, nil
}

// Name returns "nats" and the subject.
func (o *NATS) Name() string { return "nats " + o.opts.Subject }

// Send publishes one alert. A connection that is lost is made anew.
func (o *NATS) Send(ctx context.Context, a *Alert) error {
	if o.closed {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if o.conn == nil || o.conn.IsClosed() {
		if err := o.connect(ctx); err != nil {
			return err
		}
	}
	m := &nats.Msg{Subject: o.opts.Subject, Data: o.opts.Shape.Append(nil, a), Header: nats.Header{}}
	if a.ID != "" {
		m.Header.Set(nats.MsgIdHdr, a.ID)
	}
	err := o.publish(ctx, m)
	if err != nil && !errors.Is(err, ErrRefused) {
		o.Reopen() // so that the next try does not wait for a connection that is dead
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}
	return err
}

func (o *NATS) publish(ctx context.Context, m *nats.Msg) error {
	if o.opts.JetStream {
		_, err := o.stream.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0))
		if errors.Is(err, nats.ErrMaxPayload) {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
		return err
	}
	if err := o.conn.PublishMsg(m); err != nil {
		if errors.Is(err, nats.ErrMaxPayload) {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
		return err
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	return o.conn.FlushWithContext(ctx)
}

// withDeadline gives a context that has none a deadline, as the client wants one.
func withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, 30*time.Second)
}

// contextDialer ends attempts to connect, and what they wait for, with a context.
type contextDialer struct{ ctx context.Context }

func (d contextDialer) Dial(network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(d.ctx, network, address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(d.ctx, func() { conn.Close() })
	return conn, nil
}

// connect connects until ctx ends.
func (o *NATS) connect(ctx context.Context) error {
	dialing, stop := context.WithCancel(context.Background())
	detach := context.AfterFunc(ctx, stop)
	opts := append(append([]nats.Option(nil), o.make...), nats.SetCustomDialer(contextDialer{dialing}), nats.Timeout(10*time.Second))
	conn, err := nats.Connect(o.opts.URL, opts...)
	if err == nil && !detach() {
		conn.Close() // ctx ended meanwhile
		err = context.Cause(ctx)
	}
	if err != nil {
		stop()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	// From here on the connection lives until it is closed, and with it the context of its dialer.
	conn.SetClosedHandler(func(*nats.Conn) { stop() })
	if o.stream, err = jetstream.New(conn); err != nil {
		conn.Close()
		return err
	}
	o.conn = conn
	return nil
}

// Reopen closes the connection; the next alert makes a new one.
func (o *NATS) Reopen() error {
	if o.conn != nil {
		o.conn.Close()
		o.conn = nil
	}
	return nil
}

// Close closes the connection.
func (o *NATS) Close() error {
	o.closed = true
	return o.Reopen()
}
