package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
)

// secretCapture writes a capture in which cat, run by bash, reads /etc/shadow n times.
func secretCapture(t *testing.T, n int) string {
	t.Helper()
	bash, cat := event.NewThreadInfo(), event.NewThreadInfo()
	bash.TID, bash.PID, bash.PTID, bash.Comm, bash.Exe, bash.ExePath, bash.Cwd = 20, 20, 1, "bash", "bash", "/usr/bin/bash", "/"
	cat.TID, cat.PID, cat.PTID, cat.Comm, cat.Exe, cat.ExePath, cat.Cwd = 21, 21, 20, "cat", "cat", "/usr/bin/cat", "/"
	path := filepath.Join(t.TempDir(), "secret.scap")
	w, err := capture.Create(path, &event.Snapshot{
		Machine: event.Machine{CPUs: 1, Hostname: "test"}, Threads: []*event.ThreadInfo{bash, cat},
	}, capture.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	flags, _ := event.Table("file_flags").Value("O_RDONLY")
	for i := range n {
		b, err := event.Append(nil, 1_700_000_000_000_000_000+uint64(i), 21, event.SYSCALL_OPENAT_2_X,
			3, -100, "/etc/shadow", flags, 0, 0x801, 77)
		if err != nil {
			t.Fatal(err)
		}
		var ev event.Event
		if err := ev.Reset(b); err != nil {
			t.Fatal(err)
		}
		if err := w.Write(&ev); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// runCommand runs a command line and returns what it printed.
func runCommand(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errOut bytes.Buffer
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&errOut)
	err = root.ExecuteContext(t.Context())
	return out.String(), errOut.String(), err
}

func TestAnAlertOfACaptureGoesToEveryOutput(t *testing.T) {
	var mu sync.Mutex
	var posted []map[string]any
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var a map[string]any
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &a); err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %s", r.Method, r.Header.Get("Content-Type"), body)
		}
		mu.Lock()
		posted = append(posted, a)
		mu.Unlock()
	}))
	defer receiver.Close()
	file := filepath.Join(t.TempDir(), "alerts.log")
	stdout, stderr, err := runCommand(t, "detect", "-r", secretCapture(t, 2), "--out-file", file, "--out-http", receiver.URL)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const want = "Warning A file with secrets was read (file=/etc/shadow)"
	if n := strings.Count(stdout, want); n != 2 || string(written) != stdout {
		t.Errorf("%d alerts on standard output:\n%s\nin the file:\n%s", n, stdout, written)
	}
	if !strings.Contains(stdout, "ancestors=bash<") {
		t.Errorf("the parent is missing: %s", stdout)
	}
	if len(posted) != 2 || posted[0]["rule"] != "Sensitive file read" || posted[0]["priority"] != "Warning" {
		t.Errorf("posted: %v", posted)
	}
	if !strings.Contains(stderr, "2 alerts raised") || !strings.Contains(stderr, "Sensitive file read: 2") {
		t.Errorf("the sum is missing: %s", stderr)
	}
}

func TestNoAlertOfACaptureIsLostToASlowOutput(t *testing.T) {
	const n = 20_000 // far more than an output's queue holds
	stdout, stderr, err := runCommand(t, "detect", "-o", "json", "-r", secretCapture(t, n))
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	if got := strings.Count(stdout, "\n"); got != n {
		t.Errorf("%d alerts, want %d", got, n)
	}
}

func TestAlertsOfACaptureAreDeliveredWithoutHurry(t *testing.T) {
	running := t.Context()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for _, tt := range []struct {
		name    string
		ctx     context.Context
		live    bool
		pressed bool
	}{
		{"a capture at its end", running, false, false},
		{"a capture that is interrupted", stopped, false, true},
		{"a live host", running, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := flushContext(tt.ctx, tt.live)
			defer cancel()
			if _, pressed := ctx.Deadline(); pressed != tt.pressed || ctx.Err() != nil {
				t.Errorf("a deadline: %v, %v", pressed, ctx.Err())
			}
		})
	}
}

func TestACutCaptureGivesItsAlertsAndAnError(t *testing.T) {
	path := secretCapture(t, 3)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data[:len(data)-10], 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, _, err := runCommand(t, "detect", "-r", path)
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("the error is %v", err)
	}
	if n := strings.Count(stdout, "\n"); n != 2 {
		t.Errorf("%d alerts before the cut, want 2", n)
	}
}

func TestObserveFiltersAndFormats(t *testing.T) {
	path := secretCapture(t, 3)
	stdout, _, err := runCommand(t, "observe", "-r", path, "-n", "1", "-p", "%evt.type %proc.name %fd.name", "fd.name startswith /etc")
	if err != nil || stdout != "openat cat /etc/shadow\n" {
		t.Errorf("%q, %v", stdout, err)
	}
	stdout, _, err = runCommand(t, "observe", "-r", path, "-o", "json", "-n", "1", "-p", "%fd.num %proc.name %container.id")
	if err != nil || stdout != `{"fd.num":3,"proc.name":"cat","container.id":"host"}`+"\n" {
		t.Errorf("%q, %v", stdout, err)
	}
	_, _, err = runCommand(t, "observe", "-r", path, "fd.name startwith /etc")
	if err == nil || !strings.Contains(err.Error(), "^") {
		t.Errorf("the error does not point: %v", err)
	}
	stdout, _, err = runCommand(t, "observe", "-r", path, "-p", "%fd.name", "proc.name = nobody")
	if err != nil || stdout != "" {
		t.Errorf("%q, %v", stdout, err)
	}
}

func TestARecordingOfACaptureReadsTheSame(t *testing.T) {
	path := secretCapture(t, 500)
	copied := filepath.Join(t.TempDir(), "copy.scap.gz")
	if _, _, err := runCommand(t, "observe", "-r", path, "-w", copied); err != nil {
		t.Fatal(err)
	}
	const format = "%evt.time %proc.name %proc.pname %fd.name %evt.args"
	want, _, err := runCommand(t, "observe", "-r", path, "-p", format)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := runCommand(t, "observe", "-r", copied, "-p", format)
	if err != nil || got != want || strings.Count(got, "\n") != 500 {
		t.Errorf("%v: the copy has %d lines, the original %d", err, strings.Count(got, "\n"), strings.Count(want, "\n"))
	}
}
