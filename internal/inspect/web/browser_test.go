package web

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
)

// hostile is a name that would act if somebody did not take it for text.
const hostile = "\x1b[31m<script>alert(1)</script><img src=x onerror=alert(2)>\"'\xff\u202e\u200b\u00ad"

// hostileCapture is 1200 events of a shell with hostile names and data, one a millisecond.
func hostileCapture(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shop.scap")
	shell := event.NewThreadInfo()
	shell.TID, shell.PID, shell.VPID, shell.Comm, shell.Exe, shell.ExePath, shell.Cwd = 100, 100, 100, "bash", "bash", "/usr/bin/bash", "/root"
	shell.Args = []string{hostile}
	shell.FDs = []event.FDInfo{{Num: 3, Type: event.FDFileV2, Name: "/tmp/" + hostile}, {Num: 0, Type: event.FDFileV2, Name: "/dev/pts/0"}}
	snap := &event.Snapshot{Machine: event.Machine{Hostname: "web-1", CPUs: 2}, Users: []event.User{{UID: 0, Name: "root"}}, Threads: []*event.ThreadInfo{shell}}
	w, err := capture.Create(path, snap, capture.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var ev event.Event
	now := uint64(1.7e18)
	add := func(typ event.Type, latency uint64, values ...any) {
		now += 1e6
		b, err := event.Append(nil, now, 100, typ, values...)
		if err != nil {
			t.Fatal(err)
		}
		if err := ev.Reset(b); err != nil {
			t.Fatal(err)
		}
		ev.Latency = latency
		if err := w.Write(&ev); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 400 {
		data := []byte(hostile)
		if i == 0 {
			data = append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 120)...)
		}
		add(event.SYSCALL_READ_X, 5000, len(data), data, 3, 4096)
		add(event.SYSCALL_WRITE_X, 900, 21, []byte("root@web-1:~# \x1b[1mls\x1b[0m"), 0, 21)
		add(event.SYSCALL_OPENAT_2_X, 0, -2, -100, "/none/"+hostile, 1, 0, 0, 0)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// serve starts rollcage inspect and returns the link that it prints.
func serve(t *testing.T, program, path string) string {
	t.Helper()
	cmd := exec.Command(program, "inspect", "--no-index", "--inspect-listen", "127.0.0.1:0", path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "http://") {
		t.Fatalf("rollcage inspect says %q, %v", line, err)
	}
	return strings.TrimSpace(line)
}

// TestThePagesInABrowser runs e2e/ against real servers in a real browser. With
// ROLLCAGE_TEST_PICTURES set to a folder it leaves pictures there.
func TestThePagesInABrowser(t *testing.T) {
	chromium := os.Getenv("ROLLCAGE_TEST_CHROMIUM")
	if chromium == "" {
		t.Skip("no browser; make test brings one and sets ROLLCAGE_TEST_CHROMIUM")
	}
	if _, err := os.Stat("node_modules/playwright-core"); err != nil {
		t.Skip("the packages of the pages are missing; make test installs them")
	}
	program := filepath.Join(t.TempDir(), "rollcage")
	if out, err := exec.Command("go", "build", "-o", program, "rollcage/cmd/rollcage").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	env := append(os.Environ(), "CHROMIUM="+chromium, "LINK_HOSTILE="+serve(t, program, hostileCapture(t)), "PICTURES="+os.Getenv("ROLLCAGE_TEST_PICTURES"))
	dir := os.Getenv("ROLLCAGE_CAPTURES")
	if dir == "" {
		dir = "../../../../shared/captures"
	}
	if real := filepath.Join(dir, "502Error.scap"); exists(real) {
		env = append(env, "LINK_502="+serve(t, program, real))
	}
	cmd := exec.Command("node", "--test", "--test-reporter=spec", "e2e/")
	cmd.Env, cmd.WaitDelay = env, 10*time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	fmt.Println(tail(string(out), 12))
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// tail returns the last lines of a text.
func tail(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
