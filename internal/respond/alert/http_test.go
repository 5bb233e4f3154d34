package alert

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// request is what a receiver saw.
type request struct {
	header http.Header
	body   []byte
}

// serve starts a receiver that answers with status and notes requests.
func serve(t *testing.T, status func(n int) int) (url string, requests *[]request) {
	t.Helper()
	requests = new([]request)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		*requests = append(*requests, request{r.Header, body})
		w.WriteHeader(status(len(*requests)))
		io.WriteString(w, "answer")
	}))
	t.Cleanup(s.Close)
	return s.URL, requests
}

func always(status int) func(int) int { return func(int) int { return status } }

func mustHTTP(t *testing.T, opts HTTPOptions) *HTTP {
	t.Helper()
	opts.Backoff = time.Millisecond
	o, err := NewHTTP(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return o
}

func TestHTTPPostsAsFalcosidekickExpects(t *testing.T) {
	tests := []struct {
		name string
		opts HTTPOptions
		want map[string]string
	}{
		{"JSON", HTTPOptions{Shape: JSON()}, map[string]string{"Content-Type": "application/json", "User-Agent": "rollcage", "Content-Encoding": ""}},
		{"text", HTTPOptions{}, map[string]string{"Content-Type": "text/plain"}},
		{"another agent", HTTPOptions{UserAgent: "falcosecurity/falco"}, map[string]string{"User-Agent": "falcosecurity/falco"}},
		{"compressed", HTTPOptions{Shape: JSON(), Compress: true}, map[string]string{"Content-Encoding": "gzip", "Content-Type": "application/json"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url, requests := serve(t, always(http.StatusOK))
			tt.opts.URL = url
			var echo strings.Builder
			tt.opts.Echo = &echo
			if err := mustHTTP(t, tt.opts).Send(t.Context(), sample()); err != nil {
				t.Fatal(err)
			}
			r := (*requests)[0]
			for k, want := range tt.want {
				if got := r.header.Get(k); got != want {
					t.Errorf("%s: got %q, want %q", k, got, want)
				}
			}
			body := r.body
			if tt.opts.Compress {
				z, err := gzip.NewReader(strings.NewReader(string(body)))
				if err != nil {
					t.Fatal(err)
				}
				if body, err = io.ReadAll(z); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(tt.opts.Shape.Append(nil, sample())), string(body)); diff != "" {
				t.Error(diff)
			}
			if echo.String() != "answer" {
				t.Errorf("echo %q", echo.String())
			}
			// The keys that falcosidekick reads.
			var payload struct {
				Output, Priority, Rule, Source, Hostname string
				Time                                     time.Time
				Tags                                     []string
				OutputFields                             map[string]any `json:"output_fields"`
			}
			if tt.opts.Shape.JSON {
				if err := json.Unmarshal(body, &payload); err != nil {
					t.Fatal(err)
				}
				if payload.Rule == "" || payload.Time.IsZero() || len(payload.OutputFields) != 4 || len(payload.Tags) != 2 {
					t.Errorf("got %+v", payload)
				}
			}
		})
	}
}

func TestHTTPRetriesWhatMayPass(t *testing.T) {
	tests := []struct {
		name    string
		status  func(int) int
		retries int
		tries   int
		ok      bool
	}{
		{"success", always(204), 0, 1, true},
		{"an error of the receiver", always(500), 2, 3, false},
		{"an error that passes", func(n int) int { return map[bool]int{true: 503, false: 200}[n < 3] }, 0, 3, true},
		{"too many requests", func(n int) int { return map[bool]int{true: 429, false: 200}[n < 2] }, 0, 2, true},
		{"a refusal", always(400), 0, 1, false},
		{"never again", always(500), -1, 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url, requests := serve(t, tt.status)
			err := mustHTTP(t, HTTPOptions{URL: url, Retries: tt.retries}).Send(t.Context(), sample())
			if (err == nil) != tt.ok || len(*requests) != tt.tries {
				t.Errorf("%d tries, error %v; want %d tries, success %v", len(*requests), err, tt.tries, tt.ok)
			}
		})
	}
}

func TestHTTPRetriesATryThatTakesTooLong(t *testing.T) {
	var tries atomic.Int32
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tries.Add(1) == 1 {
			<-release
		}
	}))
	defer s.Close()
	defer close(release)
	if err := mustHTTP(t, HTTPOptions{URL: s.URL, Timeout: 20 * time.Millisecond, Retries: 100}).Send(t.Context(), sample()); err != nil {
		t.Fatal(err)
	}
	if tries.Load() < 2 {
		t.Errorf("%d tries", tries.Load())
	}
}

func TestHTTPWaitsAsLongAsItIsAskedTo(t *testing.T) {
	r := newRefusal(&http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {"7"}}})
	if r.after != 7*time.Second || !r.passes() {
		t.Errorf("got %+v", r)
	}
	if r := newRefusal(&http.Response{Header: http.Header{"Retry-After": {"60000"}}}); r.after != time.Minute {
		t.Errorf("a long pause is cut to %v", r.after)
	}
}

func TestHTTPRefusesOptionsThatCannotWork(t *testing.T) {
	notPEM := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(notPEM, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, want string
		opts       HTTPOptions
	}{
		{"no URL", "not an http or https URL", HTTPOptions{}},
		{"another scheme", "not an http or https URL", HTTPOptions{URL: "ftp://x"}},
		{"a URL that is none", "parse", HTTPOptions{URL: "http://a b"}},
		{"a missing certificate", "no such file", HTTPOptions{URL: "https://x", TLS: TLSOptions{CACert: "/nowhere"}}},
		{"a certificate that is none", "holds no certificate", HTTPOptions{URL: "https://x", TLS: TLSOptions{CABundle: notPEM}}},
		{"a missing folder", "no such file", HTTPOptions{URL: "https://x", TLS: TLSOptions{CAPath: "/nowhere"}}},
		{"a missing client key", "client certificate", HTTPOptions{URL: "https://x", TLS: TLSOptions{ClientCert: notPEM}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := NewHTTP(tt.opts); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want …%s…", err, tt.want)
			}
		})
	}
}

func TestHTTPNameHidesThePassword(t *testing.T) {
	o := mustHTTP(t, HTTPOptions{URL: "http://user:secret@host:1/path?token=secret"})
	if got := o.Name(); got != "http http://host:1/path" {
		t.Errorf("got %q", got)
	}
}

// clientPair writes a self-signed certificate and its key to files.
func clientPair(t *testing.T) (cert *x509.Certificate, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "agent"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return cert, writePEM(t, "CERTIFICATE", der), writePEM(t, "PRIVATE KEY", keyDER)
}

func writePEM(t *testing.T, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHTTPOverTLS(t *testing.T) {
	client, certFile, keyFile := clientPair(t)
	start := func(auth tls.ClientAuthType) *httptest.Server {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		pool := x509.NewCertPool()
		pool.AddCert(client)
		s.TLS = &tls.Config{ClientAuth: auth, ClientCAs: pool}
		s.StartTLS()
		t.Cleanup(s.Close)
		return s
	}
	plain, mutual := start(tls.NoClientCert), start(tls.RequireAndVerifyClientCert)
	ca := writePEM(t, "CERTIFICATE", plain.Certificate().Raw)
	tests := []struct {
		name   string
		server *httptest.Server
		tls    TLSOptions
		ok     bool
	}{
		{"a certificate that nobody vouches for", plain, TLSOptions{}, false},
		{"any certificate", plain, TLSOptions{Insecure: true}, true},
		{"an authority from a file", plain, TLSOptions{CACert: ca}, true},
		{"an authority from a bundle", plain, TLSOptions{CABundle: ca}, true},
		{"an authority from a folder", plain, TLSOptions{CAPath: filepath.Dir(ca)}, true},
		{"no certificate of ours", mutual, TLSOptions{CACert: ca}, false},
		{"a certificate of ours", mutual, TLSOptions{CACert: ca, ClientCert: certFile, ClientKey: keyFile}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := mustHTTP(t, HTTPOptions{URL: tt.server.URL, TLS: tt.tls, Retries: -1})
			if err := o.Send(context.Background(), sample()); (err == nil) != tt.ok {
				t.Errorf("got %v, want success %v", err, tt.ok)
			}
		})
	}
}

// keeper takes notes of the bodies that it is asked to send, without reading them.
type keeper struct{ bodies []io.Reader }

func (k *keeper) RoundTrip(r *http.Request) (*http.Response, error) {
	k.bodies = append(k.bodies, r.Body)
	return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Body: http.NoBody}, nil
}

func TestHTTPKeepsItsHandsOffABodyThatIsStillBeingSent(t *testing.T) {
	// A receiver may answer before it has read everything. What is left of the
	// body is then read after Send has returned.
	for _, compress := range []bool{false, true} {
		o := mustHTTP(t, HTTPOptions{URL: "http://receiver.invalid/", Shape: JSON(), Compress: compress})
		k := &keeper{}
		o.client.Transport = k
		first, second := sample(), sample()
		second.Rule = strings.Repeat("another", 3)
		want := append([]byte(nil), o.pack(o.opts.Shape.Append(nil, first))...)
		for _, a := range []*Alert{first, second} {
			if err := o.Send(t.Context(), a); err != nil {
				t.Fatal(err)
			}
		}
		got, err := io.ReadAll(k.bodies[0])
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("compressed %v: the first body became %q", compress, got)
		}
	}
}

func TestHTTPNeverTakesAPageForAReceiver(t *testing.T) {
	// Following some redirects turns the POST into a GET without body: the
	// answer to that would be taken for success though nobody got the alert.
	for status, followed := range map[int]bool{
		http.StatusMovedPermanently: false, http.StatusFound: false, http.StatusSeeOther: false,
		http.StatusTemporaryRedirect: true, http.StatusPermanentRedirect: true,
	} {
		target, requests := serve(t, always(http.StatusOK))
		s := httptest.NewServer(http.RedirectHandler(target, status))
		t.Cleanup(s.Close)
		err := mustHTTP(t, HTTPOptions{URL: s.URL, Shape: JSON()}).Send(t.Context(), sample())
		switch {
		case !followed && (err == nil || len(*requests) != 0):
			t.Errorf("%d: error %v, %d requests", status, err, len(*requests))
		case followed && (err != nil || len(*requests) != 1 || len((*requests)[0].body) == 0):
			t.Errorf("%d: error %v, requests %v", status, err, *requests)
		}
	}
}

func TestHTTPSendsAnAlertThatWasTakenOnlyOnce(t *testing.T) {
	var n atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n.Add(1)
		w.Header().Set("Content-Length", "100") // the connection ends before
		w.WriteHeader(http.StatusOK)
	}))
	t.Cleanup(s.Close)
	if err := mustHTTP(t, HTTPOptions{URL: s.URL, Shape: JSON()}).Send(t.Context(), sample()); err != nil {
		t.Error(err)
	}
	if n.Load() != 1 {
		t.Errorf("sent %d times", n.Load())
	}
}
