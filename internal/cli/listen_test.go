package cli

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestDetectAnswersOverHTTPWhetherItDetects(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	w := startDetect(t, "--docker", "off", "--listen", addr)
	get := func(path string) (int, string) {
		r, err := http.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		return r.StatusCode, string(b)
	}
	w.waitUntil(t, "health", func() bool {
		status, body := get("/healthz")
		return status == 200 && body == `{"status": "ok"}`
	})
	if _, body := get("/metrics"); !strings.Contains(body, "\nrollcage_canary_ok 1\n") || !strings.Contains(body, `rollcage_file_info{file="builtin/`) {
		t.Errorf("/metrics:\n%s", body)
	}
	if status, body := get("/versions"); status != 200 || !strings.Contains(body, `"version":`) {
		t.Errorf("/versions: %d %s", status, body)
	}
}
