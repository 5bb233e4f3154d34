package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

// atCWD is AT_FDCWD as a register holds it.
const atCWD = ^uintptr(99)

// listenerFD is where the server finds the socket that its parent made.
const listenerFD = 3

var (
	request = []byte("GET /cart/7 HTTP/1.0\r\nHost: localhost\r\nAccept: application/json\r\n\r\n")
	answer  = append([]byte("HTTP/1.0 200 OK\r\nContent-Length: 960\r\n\r\n"), make([]byte, 960)...)
)

// call makes a system call past the scheduler: a call of the Go runtime more
// for each would be measured too. A call that a signal interrupts is made again.
func call(nr, a, b, c uintptr) (uintptr, error) {
	for {
		switch r, _, errno := syscall.RawSyscall6(nr, a, b, c, 0, 0, 0); errno {
		case 0:
			return r, nil
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}

func addr[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }

// requests starts a server and asks it n times, each on a connection of its own.
func requests(n int) error {
	listener, at, err := listen()
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	pid, err := syscall.ForkExec(self, []string{self, "serve", strconv.Itoa(n)}, &syscall.ProcAttr{
		Files: []uintptr{0, 1, 2, uintptr(listener)},
		Env:   os.Environ(),
		Sys:   &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return err
	}
	buf := make([]byte, 4096)
	for range n {
		if err := ask(at, buf); err != nil {
			return errors.Join(err, syscall.Kill(pid, syscall.SIGKILL))
		}
	}
	return wait(pid)
}

// listen returns a socket that listens on a free port of the loopback interface.
func listen() (int, *syscall.RawSockaddrInet4, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, nil, err
	}
	if err := syscall.Listen(fd, 128); err != nil {
		return 0, nil, err
	}
	at := &syscall.RawSockaddrInet4{}
	size := uint32(unsafe.Sizeof(*at))
	_, err = call(syscall.SYS_GETSOCKNAME, uintptr(fd), addr(at), addr(&size))
	return fd, at, err
}

// ask sends one request and reads the whole answer.
func ask(at *syscall.RawSockaddrInet4, buf []byte) error {
	fd, err := call(syscall.SYS_SOCKET, syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if _, err := call(syscall.SYS_CONNECT, fd, addr(at), unsafe.Sizeof(*at)); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if _, err := call(syscall.SYS_WRITE, fd, addr(&request[0]), uintptr(len(request))); err != nil {
		return fmt.Errorf("send the request: %w", err)
	}
	got := 0
	for {
		n, err := call(syscall.SYS_READ, fd, addr(&buf[0]), uintptr(len(buf)))
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		if n == 0 {
			break
		}
		got += int(n)
	}
	if got != len(answer) {
		return fmt.Errorf("the answer has %d bytes, want %d", got, len(answer))
	}
	_, err = call(syscall.SYS_CLOSE, fd, 0, 0)
	return err
}

// serve answers n requests. It closes first, so that the client's ports are free at once.
func serve(n int) error {
	buf := make([]byte, 4096)
	for range n {
		fd, err := call(syscall.SYS_ACCEPT4, listenerFD, 0, 0) // no flags: the fourth argument is 0
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		if _, err := call(syscall.SYS_READ, fd, addr(&buf[0]), uintptr(len(buf))); err != nil {
			return fmt.Errorf("read the request: %w", err)
		}
		if _, err := call(syscall.SYS_WRITE, fd, addr(&answer[0]), uintptr(len(answer))); err != nil {
			return fmt.Errorf("send the answer: %w", err)
		}
		if _, err := call(syscall.SYS_CLOSE, fd, 0, 0); err != nil {
			return err
		}
	}
	return nil
}
