package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"rollcage/internal/observe/probe"
)

// TestARecordingReadsBackAlike records this host under load until there are so
// many events as ROLLCAGE_TEST_EVENTS says, 200,000 if it says nothing, and
// counts them by type, once as we read the file and once as sysdig does.
func TestARecordingReadsBackAlike(t *testing.T) {
	if err := probe.Supported(); err != nil {
		t.Skipf("the live host cannot be watched here: %v", err)
	}
	sysdig := cmp.Or(os.Getenv("ROLLCAGE_TEST_SYSDIG"), "../../.cache/sysdig-sid/sysdig")
	if _, err := os.Stat(sysdig); err != nil {
		t.Skip("no second opinion: tools/sysdig.sh brings it: ", err)
	}
	want, err := strconv.Atoi(cmp.Or(os.Getenv("ROLLCAGE_TEST_EVENTS"), "200000"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "live.scap")
	stop := startLoad(t)
	t.Log("recorded: ", rollcage(t, "observe", "--docker", "off", "-n", strconv.Itoa(want), "-w", path))
	stop()

	ours := countLines(t, self(t, "observe", "-r", path, "-p", "*%evt.type"))
	theirs := countLines(t, exec.Command(sysdig, "-D", "-r", path, "-p", "*%evt.type"))
	total := 0
	for _, name := range slices.Sorted(maps.Keys(ours)) {
		total += ours[name]
		if ours[name] != theirs[name] {
			t.Errorf("%s: %d events here, %d there", name, ours[name], theirs[name])
		}
		delete(theirs, name)
	}
	for name, n := range theirs {
		t.Errorf("%s: no event here, %d there", name, n)
	}
	if total != want {
		t.Errorf("%d events, want %d", total, want)
	}
	t.Logf("%d events of %d types", total, len(ours))
}

// self returns a command that runs this program as rollcage.
func self(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), beRollcage+"=1")
	return cmd
}

// rollcage runs a command that must succeed and returns its messages.
func rollcage(t *testing.T, args ...string) string {
	t.Helper()
	cmd := self(t, args...)
	var messages bytes.Buffer
	cmd.Stderr = &messages
	if err := cmd.Run(); err != nil {
		t.Fatalf("rollcage %s: %v\n%s", strings.Join(args, " "), err, messages.String())
	}
	return messages.String()
}

// countLines runs a command and counts how often it prints each line.
func countLines(t *testing.T, cmd *exec.Cmd) map[string]int {
	t.Helper()
	var messages bytes.Buffer
	cmd.Stderr = &messages
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, messages.String())
	}
	counts := map[string]int{}
	for line := range bytes.Lines(out) {
		counts[strings.TrimSuffix(string(line), "\n")]++
	}
	return counts
}

// startLoad keeps the machine busy with files, processes and connections
// until the function that it returns is called.
func startLoad(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	dir := t.TempDir()
	server := startEcho(t)
	for _, work := range []func() error{
		func() error { return touch(filepath.Join(dir, "file")) },
		func() error { return exec.CommandContext(ctx, "/bin/true").Run() },
		func() error { return talk(server) },
	} {
		busy.Go(func() {
			for ctx.Err() == nil {
				if err := work(); err != nil && ctx.Err() == nil {
					t.Error("the load: ", err)
					return
				}
			}
		})
	}
	return func() {
		cancel()
		busy.Wait()
	}
}

// touch writes, reads, renames and removes a file.
func touch(path string) error {
	err := os.WriteFile(path, []byte(path), 0o600)
	_, readErr := os.ReadFile(path)
	return errors.Join(err, readErr, os.Rename(path, path+".new"), os.Remove(path+".new"))
}

// startEcho starts a server that sends back what it gets and returns its address.
func startEcho(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// talk asks the server something.
func talk(address string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("hello")); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, 5))
	return err
}
