package cli

import (
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// blocked starts a command that writes to a pipe which is full: one byte of it was read.
func blocked(t *testing.T) (cmd *exec.Cmd, output *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	cmd = exec.Command(os.Args[0], "observe", "-r", secretCapture(t, 50_000))
	cmd.Env = append(os.Environ(), beRollcage+"=1")
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	if _, err := r.Read(make([]byte, 1)); err != nil { // no more than that: the pipe fills
		t.Fatal(err)
	}
	return cmd, r
}

func TestASignalThatArrivesTwiceAsFromTimeoutIsOneWishToEnd(t *testing.T) {
	cmd, output := blocked(t)
	for range 2 {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // or the kernel makes one of them
	}
	if _, err := io.Copy(io.Discard, output); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signaled() {
		t.Errorf("killed instead of ended: %v", cmd.ProcessState)
	}
}

func TestALaterSignalEndsACommandWhoseOutputNobodyReads(t *testing.T) {
	cmd, _ := blocked(t)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for range 100 {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
			if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || s.ExitStatus() == 0 {
				t.Errorf("ended with %v", cmd.ProcessState)
			}
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
	_ = cmd.Process.Kill()
	t.Error("it does not end")
}
