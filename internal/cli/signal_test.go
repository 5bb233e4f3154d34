package cli

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

func TestASecondSignalEndsACommandWhoseOutputNobodyReads(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command(os.Args[0], "observe", "-r", secretCapture(t, 50_000))
	cmd.Env = append(os.Environ(), beRollcage+"=1")
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if _, err := r.Read(make([]byte, 1)); err != nil { // no more than that: the pipe fills
		t.Fatal(err)
	}
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
