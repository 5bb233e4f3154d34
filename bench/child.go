package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// quiet is for Go programs that are run: see package workload.
const quiet = "GODEBUG=asyncpreemptoff=1"

// command prepares a program that ends with this one, however that ends.
func command(ctx context.Context, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// run runs a program to its end. An error has what the program said about it.
func run(cmd *exec.Cmd) ([]byte, error) {
	var errors bytes.Buffer
	if cmd.Stderr == nil {
		cmd.Stderr = &errors
	}
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, errors.Bytes())
	}
	return out, nil
}

// child is a program that watches until it is told to stop.
type child struct {
	cmd *exec.Cmd
	log *os.File // what it writes to its stderr
}

// startChild starts a program and waits until it is ready.
func startChild(ctx context.Context, ready func(log string) bool, argv ...string) (*child, error) {
	log, err := os.CreateTemp("", "bench-*.log")
	if err != nil {
		return nil, err
	}
	c := &child{cmd: command(ctx, argv...), log: log}
	if err := os.Remove(log.Name()); err != nil {
		return nil, err
	}
	c.cmd.Stderr = log
	if err := c.cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	for deadline := time.Now().Add(20 * time.Second); !ready(c.said()); time.Sleep(20 * time.Millisecond) {
		if _, err := usageOf(c.cmd.Process.Pid); err != nil || time.Now().After(deadline) || c.ended() {
			said, _ := c.stop()
			return nil, fmt.Errorf("%s does not get ready: %s", strings.Join(argv, " "), said)
		}
	}
	return c, nil
}

// ended reports whether the program is a zombie.
func (c *child) ended() bool {
	u, err := usageOf(c.cmd.Process.Pid)
	return err != nil || u.rss == 0
}

// said returns what the program wrote to its stderr so far.
func (c *child) said() string {
	buf := make([]byte, 64<<10)
	n, _ := c.log.ReadAt(buf, 0) // at the end of the file as at any other place
	return string(buf[:n])
}

// stop ends the program as Ctrl-C does and returns what it wrote to its stderr.
func (c *child) stop() (string, error) {
	defer c.log.Close()
	_ = c.cmd.Process.Signal(os.Interrupt) // it may have ended
	late := time.AfterFunc(5*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	err := c.cmd.Wait()
	if status, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGINT {
		err = nil // the usual end of programs that know no better
	}
	return c.said(), err
}
