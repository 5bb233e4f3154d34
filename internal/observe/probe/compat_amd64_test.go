package probe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

// A static 32-bit program is put together here, as no compiler for one need be
// there: it makes calls through int $0x80 and ends.
type program32 struct {
	code, data []byte
	fixups     []int // offsets in code of addresses relative to the data
}

const base32 = 0x08048000

// call adds a system call with constant arguments.
func (p *program32) call(nr uint32, args ...any) {
	mov := []byte{0xbb, 0xb9, 0xba, 0xbe, 0xbf, 0xbd} // mov imm32 to ebx, ecx, edx, esi, edi, ebp
	for i, a := range args {
		p.code = append(p.code, mov[i])
		switch a := a.(type) {
		case int:
			p.code = binary.LittleEndian.AppendUint32(p.code, uint32(a))
		case address:
			p.fixups = append(p.fixups, len(p.code))
			p.code = binary.LittleEndian.AppendUint32(p.code, uint32(a))
		}
	}
	p.code = append(p.code, 0xb8)
	p.code = binary.LittleEndian.AppendUint32(p.code, nr)
	p.code = append(p.code, 0xcd, 0x80)
}

// child adds a call that makes a child, and that child's end.
func (p *program32) child(nr uint32) {
	p.call(nr)
	p.code = append(p.code,
		0x85, 0xc0, // test eax, eax
		0x75, 0x07, // jnz behind the rest
		0xb8, 1, 0, 0, 0, // mov eax, exit
		0xcd, 0x80) // int 0x80
}

// address is an offset in the data.
type address uint32

// put adds data and returns its address.
func (p *program32) put(b ...byte) address {
	at := address(len(p.data))
	p.data = append(p.data, b...)
	for len(p.data)%8 != 0 {
		p.data = append(p.data, 0)
	}
	return at
}

func (p *program32) str(s string) address { return p.put(append([]byte(s), 0)...) }

// words adds 32-bit words; addresses among them are kept as such.
func (p *program32) words(values ...any) address {
	var b []byte
	at := address(len(p.data))
	for _, v := range values {
		switch v := v.(type) {
		case int:
			b = binary.LittleEndian.AppendUint32(b, uint32(v))
		case address:
			p.fixups = append(p.fixups, -1-int(at)-len(b))
			b = binary.LittleEndian.AppendUint32(b, uint32(v))
		}
	}
	return p.put(b...)
}

// image returns the program as an ELF file with one segment.
func (p *program32) image() []byte {
	const headers = 52 + 32
	p.call(1, 0) // exit
	data := uint32(base32 + headers + len(p.code))
	for _, at := range p.fixups {
		where := p.code
		if at < 0 {
			at, where = -1-at, p.data
		}
		binary.LittleEndian.PutUint32(where[at:], binary.LittleEndian.Uint32(where[at:])+data)
	}
	size := uint32(headers + len(p.code) + len(p.data))
	var b bytes.Buffer
	b.WriteString("\x7fELF\x01\x01\x01")
	b.Write(make([]byte, 9))
	for _, v := range []any{
		uint16(2), uint16(3), uint32(1), uint32(base32 + headers), uint32(52), uint32(0), uint32(0), // executable for 386
		uint16(52), uint16(32), uint16(1), uint16(40), uint16(0), uint16(0),
		uint32(1), uint32(0), uint32(base32), uint32(base32), size, size, uint32(7), uint32(4096), // load, readable, writable, executable
	} {
		_ = binary.Write(&b, binary.LittleEndian, v)
	}
	b.Write(p.code)
	b.Write(p.data)
	return b.Bytes()
}

func TestCallsOf32BitProgramsAreTranslated(t *testing.T) {
	p := sharedProbe(t)
	dir := t.TempDir()
	var prog program32
	name, text := prog.str("file32"), prog.str("thirty-two")
	iov := prog.words(text, 6, text+7, 3)
	sockaddr := prog.put(2, 0, 0, 80, 127, 0, 0, 1)
	msg := prog.words(0, 0, iov, 2, 0, 0, 0)
	argv := prog.words(name, text, 0)
	rlimit := prog.words(-1, -1)
	ts := prog.words(0, 1000)
	buf := prog.put(make([]byte, 128)...)
	prog.call(5, name, unix.O_CREAT|unix.O_RDWR, 0o600)          // open: 3
	prog.call(4, 3, text, 10)                                    // write
	prog.call(146, 3, iov, 2)                                    // writev
	prog.call(181, 3, text, 2, 7, 1)                             // pwrite64 at 1<<32 + 7, too far
	prog.call(102, 1, prog.words(2, 1, 0))                       // socketcall socket: 4
	prog.call(102, 3, prog.words(4, sockaddr, 16))               // socketcall connect
	prog.call(102, 16, prog.words(4, msg, unix.MSG_NOSIGNAL))    // socketcall sendmsg
	prog.call(102, 9, prog.words(4, text, 5, unix.MSG_NOSIGNAL)) // socketcall send
	prog.call(11, prog.str("/not/there"), argv, 0)               // execve
	prog.call(191, 7, rlimit)                                    // getrlimit
	prog.call(162, ts, 0)                                        // nanosleep
	prog.call(22, prog.str("/nomount"))                          // umount
	prog.call(213, 99)                                           // setuid32
	prog.call(6, 3)                                              // close
	prog.call(20)                                                // getpid, which is no writev
	prog.call(90, prog.words(0, 4096, 3, 0x22, -1, 0))           // mmap by a struct
	prog.call(192, 0, 4096, 1, 0x22, -1, 0)                      // mmap2
	prog.call(140, 98, 1, 2, rlimit, 1)                          // _llseek
	prog.call(195, name, buf)                                    // stat64
	prog.call(196, name, buf)                                    // lstat64
	prog.call(197, 98, buf)                                      // fstat64
	prog.call(102, 10, prog.words(4, buf, 5, 0x40))              // socketcall recv
	prog.call(102, 5, prog.words(4, 0, 0))                       // socketcall accept
	prog.child(190)                                              // vfork
	prog.call(102, 6, prog.words(4, 0, 0))                       // socketcall getsockname
	prog.call(102, 7, prog.words(4, 0, 0))                       // socketcall getpeername
	prog.call(7, -1, 0, 1)                                       // waitpid, which has no event of its own
	prog.call(403, 1, buf)                                       // clock_gettime64, which 64-bit programs call clock_gettime
	prog.call(422, rlimit, 129, 5, 0)                            // futex_time64
	path := filepath.Join(dir, "program32")
	if err := os.WriteFile(path, prog.image(), 0o755); err != nil {
		t.Fatal(err)
	}

	var in event.Interest
	in.AddSyscalls("write", "writev", "pwrite64", "sendmsg", "send", "nanosleep", "getrlimit", "mmap", "mmap2", "_llseek", "stat64", "lstat64",
		"fstat64", "recv", "accept", "getsockname", "getpeername", "waitpid", "clock_gettime", "futex")
	if err := p.SetInterest(in); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.Dir = dir
	events := watch(t, p, func() {
		err := cmd.Run()
		if errors.Is(err, unix.ENOEXEC) {
			t.Skip("the kernel runs no 32-bit programs")
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	pid := cmd.Process.Pid
	var got []string
	began := false
	for _, ev := range events {
		if ev.TID() != int64(pid) {
			continue
		}
		if began {
			got = append(got, describe(ev))
		}
		began = began || ev.Type() == event.SYSCALL_EXECVE_19_X
	}
	wantLines(t, got,
		`SYSCALL_OPEN_X fd=3 name="file32" flags=O_CREAT|O_RDWR*|O_F_CREATED mode=384 dev=* ino=*`,
		`SYSCALL_WRITE_X res=10 data="thirty-two" fd=3 size=10`,
		`SYSCALL_WRITEV_X res=9 data="thirtytwo" fd=3 size=9`,
		fmt.Sprintf(`SYSCALL_PWRITE_X res=-27 data="th" fd=3 size=2 pos=%d`, 1<<32+7),
		`SOCKET_SOCKET_X fd=4 domain=AF_INET type=1 proto=0 flags=*`,
		`SOCKET_CONNECT_X res=-111 tuple=*->127.0.0.1:80 fd=4 addr=127.0.0.1:80`,
		`SOCKET_SENDMSG_X res=-32 data="thirtytwo" fd=4 size=9 tuple=*`,
		`SOCKET_SEND_X res=-32 data="thirt" fd=4 size=5 tuple=*`,
		`SYSCALL_EXECVE_19_X res=-2 exe="file32" args="thirty-two\x00" * filename="/not/there"`,
		`SYSCALL_GETRLIMIT_X res=0 cur=* max=* resource=RLIMIT_NOFILE`,
		`SYSCALL_NANOSLEEP_X res=0 interval=1000`,
		`SYSCALL_UMOUNT_1_X res=-2 name="/nomount"`,
		`SYSCALL_SETUID_X res=0 uid=99`,
		`SYSCALL_CLOSE_X res=0 fd=3`,
		`SYSCALL_MMAP_X res=* vm_size=* addr=0 length=4096 prot=PROT_READ|PROT_WRITE flags=MAP_PRIVATE|MAP_ANONYMOUS fd=-1 offset=0`,
		`SYSCALL_MMAP2_X res=* vm_size=* addr=0 length=4096 prot=PROT_READ flags=MAP_PRIVATE|MAP_ANONYMOUS fd=-1 pgoffset=0`,
		fmt.Sprintf(`SYSCALL_LLSEEK_X res=-9 fd=98 offset=%d whence=SEEK_CUR`, 1<<32+2),
		`SYSCALL_STAT64_X res=0 path="file32"`,
		`SYSCALL_LSTAT64_X res=0 path="file32"`,
		`SYSCALL_FSTAT64_X res=-9`,
		`SOCKET_RECV_X res=-107 data=- fd=4 size=5 tuple=-`,
		`SOCKET_ACCEPT_5_X fd=-22 tuple=- queuepct=0 queuelen=0 queuemax=*`,
		`SYSCALL_VFORK_20_X res=* flags=CLONE_VM|CLONE_VFORK* *`,
		`SOCKET_GETSOCKNAME_X`,
		`SOCKET_GETPEERNAME_X`,
		fmt.Sprintf("GENERIC_X ID=%d nativeID=7", event.SyscallByName("waitpid").Code),
		fmt.Sprintf("GENERIC_X ID=%d nativeID=403", event.SyscallByName("clock_gettime").Code),
		`SYSCALL_FUTEX_X res=* addr=* op=* val=5`,
		`PROCEXIT_1_E status=0 *`)
}
