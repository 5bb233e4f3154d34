package alert

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"
)

// SMTPOptions describe a mail server and a mail. Address, From and To are required.
type SMTPOptions struct {
	Address string // host:port
	// Encryption is starttls (required of the server; the default), tls (from the
	// first byte, as on port 465) or none.
	Encryption string
	// Username and Password log in, if there are any; never without encryption but to this host itself.
	Username, Password string
	From               string
	To                 []string
	// Most is how many alerts go into a mail, 50 if 0; Wait is how long the first
	// of them waits for others, 10 s if 0.
	Most int
	Wait time.Duration
	// Hello is the name by which we greet, Hostname if empty.
	Hello string
	TLS   TLSOptions
}

// The ways to encrypt a connection with a mail server.
const (
	SMTPStartTLS = "starttls"
	SMTPTLS      = "tls"
	SMTPPlain    = "none"
)

// SMTP sends alerts as mail, several in one.
type SMTP struct {
	opts   SMTPOptions
	host   string
	config *tls.Config
	from   *mail.Address
	to     []*mail.Address
	closed bool
}

// NewSMTP returns an output that sends mail. It fails when an option cannot be
// right; the server is not contacted.
func NewSMTP(opts SMTPOptions) (*SMTP, error) {
	setDefault(&opts.Encryption, SMTPStartTLS)
	setDefault(&opts.Most, 50)
	setDefault(&opts.Wait, 10*time.Second)
	setDefault(&opts.Hello, Hostname())
	o := &SMTP{opts: opts}
	host, _, err := net.SplitHostPort(opts.Address)
	if err != nil {
		return nil, fmt.Errorf("smtp output: %w; want host:port", err)
	}
	o.host = host
	switch opts.Encryption {
	case SMTPStartTLS, SMTPTLS, SMTPPlain:
	default:
		return nil, fmt.Errorf("smtp output: encryption %q is none of starttls, tls, none", opts.Encryption)
	}
	if o.from, err = mail.ParseAddress(opts.From); err != nil {
		return nil, fmt.Errorf("smtp output: sender %q: %w", opts.From, err)
	}
	if len(opts.To) == 0 {
		return nil, errors.New("smtp output: there is no recipient")
	}
	for _, to := range opts.To {
		a, err := mail.ParseAddress(to)
		if err != nil {
			return nil, fmt.Errorf("smtp output: recipient %q: %w", to, err)
		}
		o.to = append(o.to, a)
	}
	if o.config, err = opts.TLS.config(); err != nil {
		return nil, fmt.Errorf("smtp output: %w", err)
	}
	o.config.ServerName = host
	return o, nil
}

// Name returns "smtp", the server and the recipients.
func (o *SMTP) Name() string {
	return "smtp " + o.opts.Address + " to " + strings.Join(o.opts.To, ", ")
}

// Batch returns how many alerts go into a mail, and how long the first waits.
func (o *SMTP) Batch() (int, time.Duration) { return o.opts.Most, o.opts.Wait }

// Send sends a mail with one alert.
func (o *SMTP) Send(ctx context.Context, a *Alert) error { return o.SendBatch(ctx, []*Alert{a}) }

// SendBatch sends a mail. It is delivered when the server has taken it.
func (o *SMTP) SendBatch(ctx context.Context, alerts []*Alert) (err error) {
	if o.closed {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}()
	conn, err := o.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	// Whatever the server does, the connection ends with the context.
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	c, err := smtp.NewClient(conn, o.host)
	if err != nil {
		return err
	}
	if err := o.greet(c); err != nil {
		return err
	}
	return o.mail(c, o.message(alerts))
}

func (o *SMTP) dial(ctx context.Context) (net.Conn, error) {
	if o.opts.Encryption == SMTPTLS {
		return (&tls.Dialer{Config: o.config}).DialContext(ctx, "tcp", o.opts.Address)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", o.opts.Address)
}

// greet begins the session: encrypted and logged in, as the options say.
func (o *SMTP) greet(c *smtp.Client) error {
	if err := c.Hello(o.opts.Hello); err != nil {
		return err
	}
	if o.opts.Encryption == SMTPStartTLS {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return errors.New("the mail server does not offer STARTTLS")
		}
		if err := c.StartTLS(o.config); err != nil {
			return err
		}
	}
	if o.opts.Username == "" {
		return nil
	}
	if err := c.Auth(smtp.PlainAuth("", o.opts.Username, o.opts.Password, o.host)); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	return nil
}

func (o *SMTP) mail(c *smtp.Client, message []byte) error {
	if err := c.Mail(o.from.Address); err != nil {
		return err
	}
	for _, to := range o.to {
		if err := c.Rcpt(to.Address); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err = w.Write(message); err == nil {
		err = w.Close()
	}
	var answer *textproto.Error
	if errors.As(err, &answer) && answer.Code >= 500 {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err != nil {
		return err
	}
	c.Quit() // it has the mail; how it says good-bye does not matter
	return nil
}

// message returns the mail with its headers.
func (o *SMTP) message(alerts []*Alert) []byte {
	first, last := alerts[0], alerts[len(alerts)-1]
	var b bytes.Buffer
	header := func(key, value string) { fmt.Fprintf(&b, "%s: %s\r\n", key, value) }
	worst := first
	for _, a := range alerts {
		if a.Priority < worst.Priority {
			worst = a
		}
	}
	subject := fmt.Sprintf("[Rollcage] %s: %s on %s", worst.Priority, worst.Rule, worst.Hostname)
	if n := len(alerts) - 1; n > 0 {
		subject += fmt.Sprintf(" and %d more", n)
	}
	header("From", o.from.String())
	var to []string
	for _, a := range o.to {
		to = append(to, a.String())
	}
	header("To", strings.Join(to, ", "))
	header("Subject", mime.QEncoding.Encode("utf-8", subject))
	header("Date", time.Now().Format(time.RFC1123Z))
	if first.ID != "" {
		// The same for the same alerts, so that a mail that is sent again is known again.
		header("Message-ID", fmt.Sprintf("<%s.%s@rollcage>", first.ID, last.ID))
	}
	header("Auto-Submitted", "auto-generated")
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	q := quotedprintable.NewWriter(&b)
	for _, a := range alerts { // a bytes.Buffer takes everything
		q.Write(Shape{ISO8601: true}.Append(nil, a))
		fmt.Fprintf(q, "\r\n")
		if a.ID != "" {
			fmt.Fprintf(q, "    rule %s, tags %s, id %s\r\n", a.Rule, strings.Join(a.Tags, " "), a.ID)
		}
	}
	q.Close()
	return b.Bytes()
}

// Reopen does nothing: each mail has a connection of its own.
func (o *SMTP) Reopen() error { return nil }

// Close does nothing more.
func (o *SMTP) Close() error {
	o.closed = true
	return nil
}
