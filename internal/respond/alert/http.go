package alert

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// HTTPOptions describe a receiver of alerts over HTTP. Only URL is required.
type HTTPOptions struct {
	URL       string
	UserAgent string // "rollcage" if empty
	// Shape of the body; the content type follows from it.
	Shape Shape
	// Timeout of one try, 5 s if 0.
	Timeout time.Duration
	// Retries is how often a try is repeated after a failure that may pass,
	// 5 if 0, never if negative. Backoff is the pause before the first repetition, 200 ms if 0; it
	// doubles each time, up to 10 s.
	Retries int
	Backoff time.Duration
	// Compress sends the body gzipped.
	Compress bool
	// NoKeepAlive opens a connection for each alert.
	NoKeepAlive bool
	// Echo receives what the receiver answers.
	Echo io.Writer
	TLS  TLSOptions
}

// TLSOptions say whom to trust and how to prove who we are. Without any the
// system's certificate authorities are trusted.
type TLSOptions struct {
	// Insecure trusts every certificate.
	Insecure bool
	// CACert and CABundle are files, CAPath is a folder of files with PEM
	// certificates of authorities, trusted besides the system's.
	CACert, CABundle, CAPath string
	// ClientCert and ClientKey are PEM files that are presented to the receiver.
	ClientCert, ClientKey string
}

// HTTP posts alerts, in the way that falcosidekick takes them.
type HTTP struct {
	opts   HTTPOptions
	client *http.Client
	closed bool

	body  func(*Alert) []byte       // another form of JSON than that of the Shape, nil for none
	check func(answer []byte) error // whether an answer of success is one, nil if it is
}

// NewHTTP returns an output that posts to opts.URL. It fails when the URL is
// not one or a certificate cannot be read; the receiver is not contacted.
func NewHTTP(opts HTTPOptions) (*HTTP, error) {
	u, err := url.Parse(opts.URL)
	if err != nil {
		return nil, fmt.Errorf("http output: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("http output: %q is not an http or https URL", opts.URL)
	}
	config, err := opts.TLS.config()
	if err != nil {
		return nil, fmt.Errorf("http output: %w", err)
	}
	setDefault(&opts.UserAgent, "rollcage")
	setDefault(&opts.Timeout, 5*time.Second)
	setDefault(&opts.Retries, 5)
	setDefault(&opts.Backoff, 200*time.Millisecond)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = config
	transport.DisableKeepAlives = opts.NoKeepAlive
	return &HTTP{opts: opts, client: &http.Client{Transport: transport, CheckRedirect: checkRedirect}}, nil
}

// checkRedirect follows only where the alert goes along. After some redirects
// clients ask with GET: that the page is there does not mean that anybody got
// the alert, so such an answer is a refusal.
func checkRedirect(req *http.Request, via []*http.Request) error {
	const most = 10
	if req.Method != via[0].Method || len(via) >= most {
		return http.ErrUseLastResponse
	}
	return nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func (o *TLSOptions) config() (*tls.Config, error) {
	c := &tls.Config{InsecureSkipVerify: o.Insecure}
	if o.ClientCert != "" || o.ClientKey != "" {
		cert, err := tls.LoadX509KeyPair(o.ClientCert, o.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("read the client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	files, err := o.authorities()
	if err != nil || len(files) == 0 {
		return c, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	for _, f := range files {
		pem, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("read certificate authorities: %w", err)
		}
		if !pool.AppendCertsFromPEM(pem) && o.CAPath == "" {
			return nil, fmt.Errorf("read certificate authorities: %s holds no certificate in PEM", f)
		}
	}
	c.RootCAs = pool
	return c, nil
}

// authorities returns the files with certificates of authorities.
func (o *TLSOptions) authorities() (files []string, err error) {
	for _, f := range []string{o.CACert, o.CABundle} {
		if f != "" {
			files = append(files, f)
		}
	}
	if o.CAPath == "" {
		return files, nil
	}
	entries, err := os.ReadDir(o.CAPath)
	if err != nil {
		return nil, fmt.Errorf("read certificate authorities: %w", err)
	}
	for _, e := range entries {
		f := filepath.Join(o.CAPath, e.Name())
		if info, err := os.Stat(f); err == nil && info.Mode().IsRegular() {
			files = append(files, f)
		}
	}
	return files, nil
}

// Name returns "http" and the URL without password and query.
func (o *HTTP) Name() string {
	u, err := url.Parse(o.opts.URL)
	if err != nil {
		return "http"
	}
	u.User, u.RawQuery = nil, ""
	return "http " + u.String()
}

// Send posts the alert, and again after a pause as long as the receiver cannot
// be reached, is busy or has an error of its own. An alert that the receiver
// refuses is not sent again.
func (o *HTTP) Send(ctx context.Context, a *Alert) error {
	if o.closed {
		return ErrClosed
	}
	if o.body != nil {
		return o.deliver(ctx, o.pack(o.body(a)))
	}
	return o.deliver(ctx, o.pack(o.opts.Shape.Append(nil, a)))
}

// deliver posts a body until the receiver has it or refuses it.
func (o *HTTP) deliver(ctx context.Context, body []byte) error {
	pause := o.opts.Backoff
	for try := 0; ; try++ {
		err := o.post(ctx, body)
		var refused *refusal
		if err == nil || errors.Is(err, ErrRefused) || errors.As(err, &refused) && !refused.passes() || try >= o.opts.Retries || ctx.Err() != nil {
			return err
		}
		// Half of the pause is left to chance, so that many hosts do not come back at once.
		wait := pause/2 + rand.N(pause/2+1)
		if refused != nil {
			wait = max(wait, refused.after)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w, last: %w", context.Cause(ctx), err)
		case <-time.After(wait):
		}
		pause = min(2*pause, 10*time.Second)
	}
}

// pack returns the body as it is sent. Its memory is used for no other alert: when
// the receiver answers before it has read everything, the rest is still being
// sent after the answer.
func (o *HTTP) pack(line []byte) []byte {
	if !o.opts.Compress {
		return line
	}
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	z.Write(line) // a bytes.Buffer takes everything
	z.Close()
	return body.Bytes()
}

// post tries once.
func (o *HTTP) post(ctx context.Context, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, o.opts.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.opts.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", o.opts.UserAgent)
	req.Header.Set("Content-Type", "text/plain")
	if o.opts.Shape.JSON || o.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if o.opts.Compress {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := o.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	// The answer is read to its end so that the connection can be used again.
	// If that fails, the receiver has the alert all the same.
	const most = 64 << 10
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, most))
	if o.opts.Echo != nil {
		o.opts.Echo.Write(answer)
	}
	if resp.StatusCode >= 300 {
		return newRefusal(resp)
	}
	if o.check != nil {
		return o.check(answer)
	}
	return nil
}

// refusal is an answer of the receiver that is not success.
type refusal struct {
	status int
	text   string
	after  time.Duration // when to come back
}

func newRefusal(resp *http.Response) *refusal {
	r := &refusal{status: resp.StatusCode, text: resp.Status}
	if s, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16); err == nil {
		r.after = min(time.Duration(s)*time.Second, time.Minute)
	}
	return r
}

func (r *refusal) Error() string { return "the receiver answered " + r.text }

// Is makes a refusal for good an ErrRefused. Answers that mean "you may not" or
// "not here" are not: they pass when the receiver or our credentials are put right.
func (r *refusal) Is(target error) bool {
	return target == ErrRefused && (r.status == http.StatusBadRequest || r.status == http.StatusRequestEntityTooLarge ||
		r.status == http.StatusUnprocessableEntity)
}

// passes reports whether the receiver may take the same alert later.
func (r *refusal) passes() bool {
	return r.status >= 500 || r.status == http.StatusTooManyRequests || r.status == http.StatusRequestTimeout
}

// Reopen drops idle connections.
func (o *HTTP) Reopen() error {
	o.client.CloseIdleConnections()
	return nil
}

// Close drops idle connections.
func (o *HTTP) Close() error {
	o.closed = true
	return o.Reopen()
}
