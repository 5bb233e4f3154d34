package access

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// CertificateFiles is a certificate in PEM files that may be renewed while they are served:
// files that changed are read again with the next connection. Its methods may be called by many goroutines.
type CertificateFiles struct {
	cert, key string

	mu     sync.Mutex
	seen   [2]time.Time // of the files that current is from
	failed [2]time.Time // of those that could not be read
	now    *tls.Certificate
}

// OpenCertificate reads a certificate and its key, which may be in one file.
func OpenCertificate(cert, key string) (*CertificateFiles, error) {
	if key == "" {
		key = cert
	}
	c := &CertificateFiles{cert: cert, key: key}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.read(c.times()); err != nil {
		return nil, err
	}
	return c, nil
}

// times returns when the files were changed. A renewal is a new file or new content, which both
// change that.
func (c *CertificateFiles) times() (t [2]time.Time) {
	for i, path := range []string{c.cert, c.key} {
		if st, err := os.Stat(path); err == nil {
			t[i] = st.ModTime()
		}
	}
	return t
}

func (c *CertificateFiles) read(at [2]time.Time) error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		c.failed = at
		return fmt.Errorf("certificate %s: %w", c.cert, err)
	}
	c.now, c.seen = &pair, at
	return nil
}

// Get returns the certificate; it is for tls.Config.GetCertificate. While the files cannot be
// read, as when only one of them is written yet, it is the one of before.
func (c *CertificateFiles) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.times(); at != c.seen && at != c.failed {
		if err := c.read(at); err != nil {
			slog.Error("a renewed certificate cannot be read; the one of before is served", "error", err)
		} else {
			slog.Info("a renewed certificate is served", "file", c.cert)
		}
	}
	return c.now, nil
}
