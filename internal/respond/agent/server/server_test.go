package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rollcage/internal/respond/agent"
)

func start(t *testing.T, o Options) *Server {
	t.Helper()
	o.Address = "127.0.0.1:0"
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func get(t *testing.T, c *http.Client, url string) (status int, body string) {
	t.Helper()
	r, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

func TestHealthIsAnsweredAsProbesExpectIt(t *testing.T) {
	at := time.Date(2026, 11, 24, 14, 0, 0, 0, time.UTC)
	var h agent.Health
	s := start(t, Options{HealthPath: "/live", Health: func() agent.Health { return h }, Versions: map[string]int{"a": 1}})
	for _, tt := range []struct {
		name   string
		health agent.Health
		status int
		want   string
	}{
		{"when acts are detected", agent.Health{OK: true, Detected: at}, 200, `{"status": "ok"}`},
		{"before the first one", agent.Health{Since: at, Why: "x"}, 503,
			`{"status":"unhealthy","since":"2026-11-24T14:00:00Z","reason":"x"}` + "\n"},
		{"when they are not any more", agent.Health{Since: at, Detected: at, Why: "y"}, 503,
			`{"status":"unhealthy","since":"2026-11-24T14:00:00Z","reason":"y","last_detected":"2026-11-24T14:00:00Z"}` + "\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h = tt.health
			if status, body := get(t, http.DefaultClient, "http://"+s.Addr()+"/live"); status != tt.status || body != tt.want {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	if status, body := get(t, http.DefaultClient, "http://"+s.Addr()+"/versions"); status != 200 || body != "{\"a\":1}\n" {
		t.Errorf("/versions: %d %s", status, body)
	}
	for _, path := range []string{"/metrics", "/healthz", "/"} {
		if status, _ := get(t, http.DefaultClient, "http://"+s.Addr()+path); status != 404 {
			t.Errorf("%s: %d, which was not asked for", path, status)
		}
	}
}

func TestTLSIsSpokenWithTheCertificate(t *testing.T) {
	path := certificate(t)
	s := start(t, Options{Certificate: path, Versions: 1})
	pool := x509.NewCertPool()
	b, _ := os.ReadFile(path)
	pool.AppendCertsFromPEM(b)
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer c.CloseIdleConnections()
	if status, body := get(t, c, "https://"+s.Addr()+"/versions"); status != 200 || body != "1\n" {
		t.Errorf("%d %s", status, body)
	}
	if _, err := Start(Options{Address: "127.0.0.1:0", Certificate: path + ".missing"}); err == nil {
		t.Error("no error without certificate")
	}
}

// certificate makes a certificate for this machine, in one file with its key.
func certificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	out := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	path := filepath.Join(t.TempDir(), "server.pem")
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAnAddressThatIsTakenIsAnError(t *testing.T) {
	s := start(t, Options{})
	if _, err := Start(Options{Address: s.Addr()}); err == nil {
		t.Error("no error")
	}
}
