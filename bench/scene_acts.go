package main

import (
	"fmt"

	"rollcage/internal/observe/event"
)

// Descriptors that every process of the scene has, and that acts open and close.
const (
	logFD    = 2
	listenFD = 3
	pollFD   = 4
	fileFD   = 10
	peerFD   = 11
)

// Flags of events, as in the label tables.
const (
	atCWD      = -100
	readOnly   = 1
	openFolder = readOnly | 1<<10 | 1<<12 // O_DIRECTORY, O_CLOEXEC
	tcpSocket  = 1
	familyInet = 2
	setCloexec = 3 // F_SETFD
	protRead   = 1
	mapPrivate = 2
)

// payload is what reads and writes carry: as much as captures keep.
var payload = []byte("GET /cart/7 HTTP/1.1\r\nHost: shop\r\nAccept: application/json\r\nUser-Agent: bench\r\n")

// answerRequest: a client connects, is sent a file and noted in the log.
func (s *scene) answerRequest(p *process) {
	client := fmt.Sprintf("10.0.%d.%d:%d", s.rng.IntN(256), s.rng.IntN(256), 1024+s.rng.IntN(60_000))
	tuple := address(client, "172.17.0.2:8080")
	s.do(p.pid, event.SYSCALL_EPOLLWAIT_X, 1, 512)
	s.do(p.pid, event.SOCKET_ACCEPT4_6_X, peerFD, tuple, 0, 0, 128, 0)
	s.do(p.pid, event.SOCKET_RECVFROM_X, len(payload), payload, tuple, peerFD, 4096)
	s.readFile(p, fmt.Sprintf("/srv/www/page%d.html", s.rng.IntN(500)))
	s.do(p.pid, event.SYSCALL_WRITEV_X, 4096, payload, peerFD, 4096)
	s.do(p.pid, event.SYSCALL_WRITE_X, len(payload), payload, logFD, len(payload))
	s.do(p.pid, event.SYSCALL_CLOSE_X, 0, peerFD)
}

// queryDatabase: a connection to another service, a few messages each way.
func (s *scene) queryDatabase(p *process) {
	tuple := address("172.17.0.2:40000", "172.17.0.3:5432")
	s.do(p.pid, event.SOCKET_SOCKET_X, peerFD, familyInet, tcpSocket, 0, 0)
	s.do(p.pid, event.SYSCALL_FCNTL_X, 0, peerFD, setCloexec, 1)
	s.do(p.pid, event.SOCKET_CONNECT_X, 0, tuple, peerFD, address("172.17.0.3:5432"))
	for range 4 {
		s.do(p.pid, event.SOCKET_SENDTO_X, len(payload), payload, peerFD, len(payload), tuple)
		s.do(p.pid, event.SYSCALL_READ_X, 512, payload, peerFD, 4096)
	}
	s.do(p.pid, event.SYSCALL_CLOSE_X, 0, peerFD)
}

// wait: what threads do that have nothing to do.
func (s *scene) wait(p *process) {
	s.do(p.pid, event.SYSCALL_FUTEX_X, 0, 0xc000123450, 0, 1)
	s.do(p.pid, event.SYSCALL_EPOLLWAIT_X, 0, 512)
	s.do(p.pid, event.SYSCALL_READ_X, -11, nil, pollFD, 8)
	s.do(p.pid, event.SYSCALL_FUTEX_X, 1, 0xc000123450, 1, 1)
}

// walkFolder: a folder is listed, each file in it looked at.
func (s *scene) walkFolder(p *process) {
	folder := fmt.Sprintf("/usr/share/doc/package%d", s.rng.IntN(300))
	s.do(p.pid, event.SYSCALL_OPENAT_2_X, fileFD, atCWD, folder, openFolder, 0, 1, 2)
	s.do(p.pid, event.SYSCALL_FSTAT_X, 0, fileFD)
	s.do(p.pid, event.SYSCALL_GETDENTS64_X, 480, fileFD)
	for i := range 10 {
		s.do(p.pid, event.SYSCALL_NEWFSTATAT_X, 0, fileFD, fmt.Sprintf("file%d", i), 0)
	}
	s.do(p.pid, event.SYSCALL_GETDENTS64_X, 0, fileFD)
	s.do(p.pid, event.SYSCALL_CLOSE_X, 0, fileFD)
}

// runCommand: a process that loads its libraries, reads a file and ends.
func (s *scene) runCommand(p *process) {
	child := s.fork(p)
	s.exec(child, "/usr/bin/stat", "-c", "%s", "/srv/www")
	for _, lib := range []string{"/etc/ld.so.cache", "/lib/x86_64-linux-gnu/libselinux.so.1", "/lib/x86_64-linux-gnu/libc.so.6"} {
		s.do(child.pid, event.SYSCALL_OPENAT_2_X, fileFD, atCWD, lib, readOnly, 0, 1, 2)
		s.do(child.pid, event.SYSCALL_READ_X, 832, payload, fileFD, 832)
		s.do(child.pid, event.SYSCALL_FSTAT_X, 0, fileFD)
		s.do(child.pid, event.SYSCALL_MMAP_X, 0x7f0000000000, 10_000, 4000, 0, 0, 1<<20, protRead, mapPrivate, fileFD, 0)
		s.do(child.pid, event.SYSCALL_MMAP_X, 0x7f0000100000, 10_000, 4000, 0, 0, 1<<20, protRead, mapPrivate, fileFD, 4096)
		s.do(child.pid, event.SYSCALL_CLOSE_X, 0, fileFD)
	}
	s.do(child.pid, event.SYSCALL_MPROTECT_X, 0, 0x7f0000100000, 4096, protRead)
	s.do(child.pid, event.SYSCALL_BRK_4_X, 0x560000000000, 10_000, 4000, 0, 0)
	s.readFile(child, "/srv/www/page1.html")
	s.do(child.pid, event.SYSCALL_WRITE_X, 5, []byte("4096\n"), logFD, 5)
	s.exit(child)
}

// steal: a command of a service reads the passwords, which rules tell of.
func (s *scene) steal(p *process) {
	child := s.fork(p)
	s.exec(child, "/usr/bin/cat", "/etc/shadow")
	s.readFile(child, "/etc/shadow")
	s.exit(child)
}

func (s *scene) readFile(p *process, path string) {
	s.do(p.pid, event.SYSCALL_OPENAT_2_X, fileFD, atCWD, path, readOnly, 0, 1, 2)
	s.do(p.pid, event.SYSCALL_FSTAT_X, 0, fileFD)
	s.do(p.pid, event.SYSCALL_READ_X, 4096, payload, fileFD, 4096)
	s.do(p.pid, event.SYSCALL_CLOSE_X, 0, fileFD)
}
