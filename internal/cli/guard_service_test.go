package cli

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcage/internal/respond/confine"
)

func TestTheServiceFileIsRight(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("needs systemd-analyze")
	}
	b, err := os.ReadFile("../../dist/rollcage.service")
	if err != nil {
		t.Fatal(err)
	}
	// The program of the service is not installed here.
	path := filepath.Join(t.TempDir(), "rollcage-test.service")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(b), "/usr/local/bin/rollcage", "/bin/true")), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemd-analyze", "verify", path).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
	for _, c := range confine.Kept {
		if !strings.Contains(string(b), c.Name) {
			t.Errorf("the service may not have %s", c.Name)
		}
	}
}

// TestAConfinedGuardTellsTheServiceManagerAndStillWorks runs a program that is built as it is shipped: tests themselves
// are built with cgo, which keeps Go from dropping capabilities.
func TestAConfinedGuardTellsTheServiceManagerAndStillWorks(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	policies, ran := filepath.Join(dir, "policies.yaml"), filepath.Join(dir, "ran")
	if err := os.WriteFile(policies, fmt.Appendf(nil, `
- policy: Run
  mode: enforce
  rules: {names: [Sensitive file read]}
  actions: [{capture: {before: 1s, after: 1s}}, {run: {command: "cat >%[1]s; grep -E 'CapPrm|NoNewPrivs|Seccomp:' /proc/self/status >>%[1]s"}}]
`, ran), 0o600); err != nil {
		t.Fatal(err)
	}
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", filepath.Join(dir, "notify"))
	t.Setenv("WATCHDOG_USEC", "3000000")
	g := newGuarded(t, "--docker", "off", "--policies", policies, "--black-box", "4")
	g.program = shipped(t)
	g.start(t)
	told := ""
	for !strings.Contains(told, "READY=1") || !strings.Contains(told, "WATCHDOG=1") {
		buf := make([]byte, 4096)
		_ = socket.SetReadDeadline(time.Now().Add(30 * time.Second))
		n, err := socket.Read(buf)
		if err != nil {
			t.Fatalf("the service manager was told only %q: %v", told, err)
		}
		told += string(buf[:n]) + "\n"
	}
	keep := uint64(0)
	for _, c := range confine.Kept {
		keep |= 1 << c.Number
	}
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", g.cmd.Process.Pid))
	for _, path := range threads {
		b, _ := os.ReadFile(path)
		checkConfined(t, path, string(b), keep)
	}
	// Everything still works: rules change, a program runs, a capture is taken.
	if err := g.client().Reload(t.Context()); err != nil {
		t.Error(err)
	}
	if out, err := exec.Command("cat", "/etc/shadow").CombinedOutput(); err != nil {
		t.Skipf("cannot read a file with secrets: %v %s", err, out)
	}
	g.until(t, "capture", func() bool { return g.status(t).Captures > 0 })
	var got []byte
	g.until(t, "run of the command", func() bool { got, _ = os.ReadFile(ran); return strings.Contains(string(got), "Seccomp:") })
	checkConfined(t, "the command", string(got), keep)
	if !strings.Contains(string(got), "Sensitive file read") {
		t.Errorf("the command got %q", got)
	}
	g.end(t, syscall.SIGTERM)
	if r := g.verify(t); r.Captures == 0 {
		t.Error("no capture")
	}
}

// shipped builds the program as it is shipped, without cgo, so that guard can drop capabilities in all its threads.
func shipped(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "rollcage")
	build := exec.Command("go", "build", "-o", program, "../../cmd/rollcage")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// checkConfined looks at lines of /proc/PID/status.
func checkConfined(t *testing.T, who, status string, keep uint64) {
	t.Helper()
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch name {
		case "CapPrm", "CapEff", "CapBnd":
			var set uint64
			if _, err := fmt.Sscanf(value, "%x", &set); err != nil || set&^keep != 0 {
				t.Errorf("%s: %s %s, want nothing but %x", who, name, value, keep)
			}
		case "NoNewPrivs":
			if value != "1" {
				t.Errorf("%s: %s %s", who, name, value)
			}
		case "Seccomp":
			if value != "2" {
				t.Errorf("%s: %s %s", who, name, value)
			}
		}
	}
}
