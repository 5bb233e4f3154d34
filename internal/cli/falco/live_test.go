package falco

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rollcage/internal/observe/probe"
)

// output collects what a run prints.
type output struct {
	mu sync.Mutex
	b  strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// await waits until the output has a text n times.
func (o *output) await(t *testing.T, text string, n int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); strings.Count(o.String(), text) < n; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%q is not there %d times in\n%s", text, n, o)
		}
	}
}

// A live run is served, and reloads on SIGHUP and when its files change while
// another process acts; every act is told exactly once.
func TestALiveRunReloadsWithoutAGap(t *testing.T) {
	if err := probe.Supported(); err != nil {
		t.Skipf("this host cannot be watched: %v", err)
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rules := func(word string) string {
		return fmt.Sprintf("- rule: Act\n  desc: d\n  condition: evt.type in (open, openat) and fd.name startswith %s/act\n  output: %s %%fd.name.\n  priority: NOTICE\n", dir, word)
	}
	rulesPath := write("rules.yaml", rules("first"))
	config := write("falco.yaml", fmt.Sprintf(`
rules_files: [%s]
engine: {kind: modern_ebpf}
stdout_output: {enabled: true}
log_stderr: true
log_syslog: false
webserver: {enabled: true, listen_address: 127.0.0.1, listen_port: 0}
metrics: {enabled: true, interval: 100ms, output_file: %s/metrics}
`, rulesPath, dir))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stdout, stderr output
	code := make(chan int)
	go func() { code <- Main(ctx, []string{"-c", config}, &stdout, &stderr, "test") }()
	stderr.await(t, "listening on", 1)

	const acts = 300
	load := exec.Command("sh", "-c", fmt.Sprintf(`i=0; while [ $i -lt %d ]; do i=$((i+1)); : < %s/act$i; sleep 0.005; done 2>/dev/null`, acts, dir))
	write("act", "")
	for i := range acts {
		write(fmt.Sprintf("act%d", i+1), "")
	}
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	const hangups = 5
	for i := range hangups {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		stderr.await(t, "rules reloaded", i+1)
	}
	write("rules.yaml", rules("second"))
	stderr.await(t, "rules reloaded", hangups+1)
	write("rules.yaml", "- rule: [")
	stdout.await(t, "Falco internal: hot restart failure", 1)
	if err := load.Wait(); err != nil {
		t.Fatal(err)
	}
	last := fmt.Sprintf(" %s/act%d.\n", dir, acts)
	stdout.await(t, last, 1)
	cancel()
	if c := <-code; c != exitDone {
		t.Errorf("exit code %d:\n%s", c, &stderr)
	}
	for i := range acts {
		if n := strings.Count(stdout.String(), fmt.Sprintf(" %s/act%d.\n", dir, i+1)); n != 1 {
			t.Errorf("act %d is told %d times", i+1, n)
		}
	}
	if data, err := os.ReadFile(filepath.Join(dir, "metrics")); err != nil || !strings.Contains(string(data), `"falco.rules.Act":`) {
		t.Errorf("metrics: %v\n%s", err, data)
	}
}

func TestTheWebServerOfARunWithoutDriverAnswers(t *testing.T) {
	dir := t.TempDir()
	config, rules := filepath.Join(dir, "falco.yaml"), filepath.Join(dir, "rules.yaml")
	for path, text := range map[string]string{
		config: "engine: {kind: nodriver}\nstdout_output: {enabled: true}\nlog_stderr: true\nlog_syslog: false\nmetrics: {enabled: true, interval: 1h}\n" +
			"webserver: {enabled: true, listen_address: 127.0.0.1, listen_port: 0, prometheus_metrics_enabled: true}\n",
		rules: "- rule: None\n  desc: d\n  condition: evt.type = openat\n  output: o\n  priority: NOTICE\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var stdout, stderr output
	code := make(chan int)
	go func() { code <- Main(ctx, []string{"-c", config, "-r", rules}, &stdout, &stderr, "test") }()
	stderr.await(t, "listening on", 1)
	for path, want := range map[string]string{
		"/healthz": `{"status": "ok"}`, "/versions": `"engine_version_semver":"0.62.0"`, "/metrics": "falcosecurity_falco_version_info",
	} {
		_, address, _ := strings.Cut(stderr.String(), "listening on ")
		address, _, _ = strings.Cut(address, "\n")
		r, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if r.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s %s", path, r.Status, body)
		}
	}
	cancel()
	if c := <-code; c != exitDone || !strings.Contains(stdout.String(), "Events detected: 0\n") {
		t.Errorf("exit code %d:\n%s", c, &stdout)
	}
}
