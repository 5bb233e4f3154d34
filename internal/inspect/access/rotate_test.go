package access

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestARenewedCertificateIsServedAndABrokenOneIsNot(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	age := time.Now().Add(-time.Hour)
	write := func(path string, data []byte) {
		t.Helper()
		age = age.Add(time.Second) // file systems tell times apart no better than that
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, age, age); err != nil {
			t.Fatal(err)
		}
	}
	renew := func(name string) (cert, key []byte) {
		t.Helper()
		cert, key, err := sign([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		return cert, key
	}
	cert, key := renew("one.example")
	write(certFile, cert)
	write(keyFile, key)
	files, err := OpenCertificate(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: files.Get})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func(c net.Conn) { _ = c.(*tls.Conn).Handshake(); c.Close() }(c)
		}
	}()
	served := func() string {
		t.Helper()
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].DNSNames[0]
	}
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"at the start", func() {}, "one.example"},
		{"while only the certificate is new", func() { cert, key = renew("two.example"); write(certFile, cert) }, "one.example"},
		{"when both are new", func() { write(keyFile, key) }, "two.example"},
		{"when it is broken", func() { write(certFile, []byte("nothing")) }, "two.example"},
		{"when it is gone", func() { os.Remove(certFile) }, "two.example"},
	} {
		step.do()
		if got := served(); got != step.want {
			t.Errorf("%s: %s is served, want %s", step.name, got, step.want)
		}
	}
	if _, err := OpenCertificate(certFile, ""); err == nil {
		t.Error("a certificate that is not there is opened")
	}
}
