// Command workload runs loops that ask much of the kernel and little of
// themselves, so that what watches system calls shows.
//
//	workload openclose|readwrite|forkexec|requests N
//	workload idle MILLISECONDS
//
// It prints a JSON object: what it did how often, and the time and CPU time
// that it, with its children, took for that. With asyncpreemptoff=1 in GODEBUG
// the Go runtime sends no signals, which would be events themselves.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"
)

var loops = map[string]func(n int) error{
	"openclose": openClose,
	"readwrite": readWrite,
	"forkexec":  forkExec,
	"requests":  requests,
	"serve":     serve, // the child of requests
	"idle": func(n int) error {
		time.Sleep(time.Duration(n) * time.Millisecond)
		return nil
	},
}

// Result is what the program prints.
type Result struct {
	Ops    int   `json:"ops"`
	WallNS int64 `json:"wall_ns"`
	CPUNS  int64 `json:"cpu_ns"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "workload:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 || loops[args[0]] == nil {
		return fmt.Errorf("usage: workload openclose|readwrite|forkexec|requests|idle N")
	}
	n, err := strconv.Atoi(args[1])
	if err != nil || n <= 0 {
		return fmt.Errorf("%q is no number of times", args[1])
	}
	// Nothing but the loop runs: no collector, no other thread that takes over.
	debug.SetGCPercent(-1)
	runtime.LockOSThread()
	cpu, start := cpuTime(), time.Now()
	if err := loops[args[0]](n); err != nil {
		return err
	}
	r := Result{Ops: n, WallNS: time.Since(start).Nanoseconds(), CPUNS: cpuTime() - cpu}
	if args[0] == "serve" {
		return nil
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// cpuTime returns the CPU time of this process and of its children that ended, in ns.
func cpuTime() (sum int64) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil { // it cannot fail with these arguments
			sum += u.Utime.Nano() + u.Stime.Nano()
		}
	}
	return sum
}

// openClose opens and closes a file.
func openClose(n int) error {
	path, err := syscall.BytePtrFromString("/etc/passwd")
	if err != nil {
		return err
	}
	for range n {
		fd, err := call(syscall.SYS_OPENAT, atCWD, addr(path), syscall.O_RDONLY|syscall.O_CLOEXEC)
		if err != nil {
			return err
		}
		if _, err := call(syscall.SYS_CLOSE, fd, 0, 0); err != nil {
			return err
		}
	}
	return nil
}

// readWrite writes data to a pipe and reads them.
func readWrite(n int) error {
	var pipe [2]int
	if err := syscall.Pipe(pipe[:]); err != nil {
		return err
	}
	data := make([]byte, 4096)
	for range n {
		if _, err := call(syscall.SYS_WRITE, uintptr(pipe[1]), addr(&data[0]), uintptr(len(data))); err != nil {
			return err
		}
		if _, err := call(syscall.SYS_READ, uintptr(pipe[0]), addr(&data[0]), uintptr(len(data))); err != nil {
			return err
		}
	}
	return nil
}

// forkExec runs a program that does nothing and waits for its end.
func forkExec(n int) error {
	for range n {
		pid, err := syscall.ForkExec("/bin/true", []string{"true"}, &syscall.ProcAttr{Files: []uintptr{0, 1, 2}})
		if err != nil {
			return err
		}
		if err := wait(pid); err != nil {
			return err
		}
	}
	return nil
}

func wait(pid int) error {
	var status syscall.WaitStatus
	for {
		switch _, err := syscall.Wait4(pid, &status, 0, nil); {
		case err == syscall.EINTR:
		case err != nil:
			return err
		case status.ExitStatus() != 0:
			return fmt.Errorf("the child ended with %d", status.ExitStatus())
		default:
			return nil
		}
	}
}
