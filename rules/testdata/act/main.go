// Command act does one bad act for the live tests of the rules, as harmlessly
// as it can be done. Under any other name, or with other arguments, it does
// nothing, and so can stand in for a tool that must not really run.
package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// acts are the acts by name.
var acts = map[string]func(args []string) error{
	"connect": connect, "dial": dial, "stdin": stdin, "memfd": memfd, "packet": packet, "ring": ring, "faults": faults,
	"bpf": bpf, "ptrace": ptrace, "mount": mount, "hide": hide, "setns": setns, "write": write, "disk": disk, "drop": drop, "suid": suid,
	"serve": serve, "wait": wait, "shell": shell,
}

func main() {
	if len(os.Args) < 2 || acts[os.Args[1]] == nil {
		return
	}
	runtime.LockOSThread()
	if err := acts[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// wait does nothing until it is killed.
func wait([]string) error {
	for {
		time.Sleep(time.Hour)
	}
}

// shell runs a command in a shell.
func shell([]string) error { return exec.Command("sh", "-c", "true").Run() }

// serve takes connections at an address and closes them.
func serve(args []string) error {
	l, err := net.Listen("tcp", args[0])
	for err == nil {
		var c net.Conn
		if c, err = l.Accept(); err == nil {
			err = c.Close()
		}
	}
	return err
}

// connect connects to an address of this network namespace.
func connect(args []string) error {
	c, err := connected(args[0])
	if err == nil {
		err = c.Close()
	}
	return err
}

func connected(addr string) (net.Conn, error) {
	if _, err := net.Listen("tcp", addr); err != nil {
		return nil, err
	}
	return net.Dial("tcp", addr)
}

// dial connects to a unix socket.
func dial(args []string) error {
	c, err := net.Dial("unix", args[0])
	if err == nil {
		err = c.Close()
	}
	return err
}

// stdin makes a connection the standard input.
func stdin(args []string) error {
	c, err := connected(args[0])
	if err != nil {
		return err
	}
	f, err := c.(*net.TCPConn).File()
	if err != nil {
		return err
	}
	return unix.Dup3(int(f.Fd()), 0, 0)
}

// memfd runs this program from memory.
func memfd([]string) error {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	fd, err := unix.MemfdCreate("act", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	if _, err := unix.Write(fd, self); err != nil {
		return err
	}
	return unix.Exec(fmt.Sprintf("/proc/self/fd/%d", fd), []string{"act"}, nil)
}

func packet([]string) error {
	_, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	return err
}

// ring sets up io_uring.
func ring([]string) error {
	var params [120]byte
	if _, _, e := unix.Syscall(unix.SYS_IO_URING_SETUP, 4, uintptr(unsafe.Pointer(&params)), 0); e != 0 {
		return e
	}
	return nil
}

// faults opens a handler for page faults of user mode as nobody.
func faults([]string) error {
	const userModeOnly = 1
	if err := unix.Setresuid(65534, 65534, 65534); err != nil {
		return err
	}
	if _, _, e := unix.Syscall(unix.SYS_USERFAULTFD, userModeOnly, 0, 0); e != 0 {
		return e
	}
	return nil
}

// bpf loads a socket filter that does nothing.
func bpf([]string) error {
	const progLoad, socketFilter = 5, 1
	program := [16]byte{0xb7, 8: 0x95} // r0 = 0; exit
	licence := [4]byte{'G', 'P', 'L'}
	attr := struct {
		kind, count      uint32
		program, licence unsafe.Pointer
		_                [104]byte
	}{kind: socketFilter, count: 2, program: unsafe.Pointer(&program), licence: unsafe.Pointer(&licence)}
	fd, _, e := unix.Syscall(unix.SYS_BPF, progLoad, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(&attr)
	if e != 0 {
		return e
	}
	return unix.Close(int(fd))
}

// ptrace attaches to a child and lets it go.
func ptrace([]string) error {
	child := exec.Command("/proc/self/exe", "wait")
	if err := child.Start(); err != nil {
		return err
	}
	defer func() { _ = child.Process.Kill() }()
	if err := unix.PtraceAttach(child.Process.Pid); err != nil {
		return err
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(child.Process.Pid, &status, 0, nil); err != nil {
		return err
	}
	return unix.PtraceDetach(child.Process.Pid)
}

// mount mounts an empty filesystem.
func mount(args []string) error { return unix.Mount("tmpfs", args[0], "tmpfs", 0, "size=4k") }

// hide mounts over the folder of this process in /proc, where nobody else sees it.
func hide([]string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return err
	}
	return mount([]string{fmt.Sprintf("/proc/%d", os.Getpid())})
}

// setns enters the network namespace that it is in.
func setns([]string) error {
	fd, err := unix.Open("/proc/self/ns/net", unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return unix.Setns(fd, unix.CLONE_NEWNET)
}

// write opens a file for writing, and writes nothing.
func write(args []string) error {
	fd, err := unix.Open(args[0], unix.O_WRONLY|unix.O_APPEND, 0)
	if err == nil {
		err = unix.Close(fd)
	}
	return err
}

// disk makes the file of a disk that is not there.
func disk(args []string) error {
	return unix.Mknod(args[0], unix.S_IFBLK|0o600, int(unix.Mkdev(240, 0)))
}

// drop copies itself to a path and runs it there.
func drop(args []string) error {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	if err := os.WriteFile(args[0], self, 0o700); err != nil {
		return err
	}
	return exec.Command(args[0]).Run()
}

// suid makes a file that has the set-user-id bit from the start.
func suid(args []string) error {
	fd, err := unix.Open(args[0], unix.O_WRONLY|unix.O_CREAT, 0o4700)
	if err == nil {
		err = unix.Close(fd)
	}
	return err
}
