package probe

import (
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// portOf returns the local port of a socket.
func portOf(fd int) int {
	switch a := must(unix.Getsockname(fd)).(type) {
	case *unix.SockaddrInet4:
		return a.Port
	case *unix.SockaddrInet6:
		return a.Port
	}
	panic("no port")
}

// listening returns a TCP socket that listens on the loopback, and its port.
func listening(family int) (int, int) {
	fd := must(unix.Socket(family, unix.SOCK_STREAM, 0))
	check(unix.Bind(fd, loopback(family, 0)))
	check(unix.Listen(fd, 5))
	return fd, portOf(fd)
}

func loopback(family, port int) unix.Sockaddr {
	if family == unix.AF_INET {
		return &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
	}
	return &unix.SockaddrInet6{Port: port, Addr: netip.IPv6Loopback().As16()}
}

// tcp plays a whole connection over a family.
func tcp(family int, host string) []string {
	l, port := listening(family)
	c := must(unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	check(unix.Connect(c, loopback(family, port)))
	s, _, err := unix.Accept4(l, unix.SOCK_NONBLOCK)
	check(err)
	must(unix.Write(c, []byte("hi")))
	check(unix.Sendto(c, []byte("ping"), 0, nil))
	buf := make([]byte, 20)
	_, _, err = unix.Recvfrom(s, buf, 0)
	check(err)
	check(unix.Shutdown(c, unix.SHUT_WR))
	local := portOf(c)
	addr := func(p int) string { return fmt.Sprintf("%s:%d", host, p) }
	families := map[int]string{unix.AF_INET: "AF_INET", unix.AF_INET6: "AF_INET6"}
	return []string{
		fmt.Sprintf("SOCKET_SOCKET_X fd=%d domain=%s type=1 proto=0 flags=*", l, families[family]),
		fmt.Sprintf("SOCKET_BIND_X res=0 addr=%s fd=%d", addr(0), l),
		fmt.Sprintf("SOCKET_LISTEN_X res=0 fd=%d backlog=5", l),
		fmt.Sprintf("SOCKET_SOCKET_X fd=%d domain=%s type=524289 proto=0 flags=O_CLOEXEC", c, families[family]),
		fmt.Sprintf("SOCKET_CONNECT_X res=0 tuple=%s->%s fd=%d addr=%s", addr(local), addr(port), c, addr(port)),
		fmt.Sprintf("SOCKET_ACCEPT4_6_X fd=%d tuple=%s->%s queuepct=0 queuelen=0 queuemax=5 flags=2048", s, addr(local), addr(port)),
		fmt.Sprintf(`SYSCALL_WRITE_X res=2 data="hi" fd=%d size=2`, c),
		fmt.Sprintf(`SOCKET_SENDTO_X res=4 data="ping" fd=%d size=4 tuple=%s->%s`, c, addr(local), addr(port)),
		fmt.Sprintf(`SOCKET_RECVFROM_X res=6 data="hiping" tuple=%s->%s fd=%d size=20`, addr(local), addr(port), s),
		fmt.Sprintf("SOCKET_SHUTDOWN_X res=0 fd=%d how=SHUT_WR", c),
	}
}

var tcpCalls = []string{"socket", "bind", "listen", "connect", "accept", "accept4", "sendto", "recvfrom", "shutdown", "write"}

var socketScenes = []scene{
	{"a TCP connection over IPv4 shows both ends in the direction of each call", tcpCalls, func() []string {
		return tcp(unix.AF_INET, "127.0.0.1")
	}},
	{"a TCP connection over IPv6 shows both ends in the direction of each call", tcpCalls, func() []string {
		return tcp(unix.AF_INET6, "[::1]")
	}},
	{"connect that is refused shows where to", nil, func() []string {
		c := must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0))
		err := unix.Connect(c, loopback(unix.AF_INET, 1))
		return []string{fmt.Sprintf("SOCKET_CONNECT_X res=%d tuple=*->127.0.0.1:1 fd=%d addr=127.0.0.1:1", -int(err.(unix.Errno)), c)}
	}},
	{"connect without a socket has no tuple", nil, func() []string {
		err := unix.Connect(0, loopback(unix.AF_INET, 1))
		return []string{fmt.Sprintf("SOCKET_CONNECT_X res=%d tuple=- fd=0 addr=127.0.0.1:1", -int(err.(unix.Errno)))}
	}},
	{"datagrams show the address that they go to and come from", []string{"sendto", "recvfrom", "sendmsg", "recvmsg"}, func() []string {
		a := must(unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0))
		b := must(unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0))
		check(unix.Bind(a, loopback(unix.AF_INET, 0)))
		check(unix.Bind(b, loopback(unix.AF_INET, 0)))
		to, from := portOf(b), portOf(a)
		check(unix.Sendto(a, []byte("one"), 0, loopback(unix.AF_INET, to)))
		must(unix.SendmsgBuffers(a, [][]byte{[]byte("tw"), []byte("o")}, nil, loopback(unix.AF_INET, to), 0))
		buf := make([]byte, 9)
		_, _, err := unix.Recvfrom(b, buf, 0)
		check(err)
		_, _, _, _, err = unix.RecvmsgBuffers(b, [][]byte{buf}, nil, 0)
		check(err)
		ends := fmt.Sprintf("127.0.0.1:%d->127.0.0.1:%d", from, to)
		return []string{
			fmt.Sprintf(`SOCKET_SENDTO_X res=3 data="one" fd=%d size=3 tuple=%s`, a, ends),
			fmt.Sprintf(`SOCKET_SENDMSG_X res=3 data="two" fd=%d size=3 tuple=%s`, a, ends),
			fmt.Sprintf(`SOCKET_RECVFROM_X res=3 data="one" tuple=%s fd=%d size=9`, ends, b),
			fmt.Sprintf(`SOCKET_RECVMSG_X res=3 size=9 data="two" tuple=%s msgcontrol=- fd=%d`, ends, b),
		}
	}},
	{"unix sockets show their path and the kernel's addresses", []string{"bind", "connect", "accept", "accept4"}, func() []string {
		inTemp()
		l := must(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0))
		check(unix.Bind(l, &unix.SockaddrUnix{Name: "door"}))
		check(unix.Listen(l, 1))
		c := must(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0))
		check(unix.Connect(c, &unix.SockaddrUnix{Name: "door"}))
		s, _, err := unix.Accept(l)
		check(err)
		d := must(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0))
		gone := unix.Connect(d, &unix.SockaddrUnix{Name: "/no/door"})
		return []string{
			fmt.Sprintf(`SOCKET_BIND_X res=0 addr=unix:"door\x00" fd=%d`, l),
			fmt.Sprintf(`SOCKET_CONNECT_X res=0 tuple=sock->sock "door\x00" fd=%d addr=unix:"door\x00"`, c),
			fmt.Sprintf(`SOCKET_ACCEPT*_X fd=%d tuple=sock->sock "door\x00" queuepct=0 queuelen=0 queuemax=1*`, s),
			fmt.Sprintf(`SOCKET_CONNECT_X res=%d tuple=0->sock "/no/door\x00" fd=%d addr=unix:"/no/door\x00"`, -int(gone.(unix.Errno)), d),
		}
	}},
	{"an abstract unix socket begins with an @", nil, func() []string {
		l := must(unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0))
		name := fmt.Sprintf("@scene%d", unix.Getpid())
		check(unix.Bind(l, &unix.SockaddrUnix{Name: name}))
		return []string{fmt.Sprintf(`SOCKET_BIND_X res=0 addr=unix:"%s\x00" fd=%d`, name, l)}
	}},
	{"socketpair tells both descriptors and sockets", nil, func() []string {
		p := must(unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0))
		_, err := unix.Socketpair(unix.AF_INET, unix.SOCK_DGRAM, 0)
		return []string{
			fmt.Sprintf("SOCKET_SOCKETPAIR_X res=0 fd1=%d fd2=%d source=* peer=* domain=AF_LOCAL|AF_UNIX type=2 proto=0", p[0], p[1]),
			fmt.Sprintf("SOCKET_SOCKETPAIR_X res=%d fd1=-1 fd2=-1 source=0 peer=0 domain=AF_INET type=2 proto=0", -int(err.(unix.Errno))),
		}
	}},
	{"socket options tell level, name and value", []string{"setsockopt", "getsockopt"}, func() []string {
		fd := must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0))
		check(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1))
		check(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2, Usec: 3}))
		check(unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
		must(unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR))
		must(unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE))
		must(unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE))
		_, err := unix.GetsockoptInt(0, unix.SOL_SOCKET, unix.SO_TYPE)
		return []string{
			fmt.Sprintf("SOCKET_SETSOCKOPT_X res=0 fd=%d level=SOL_SOCKET optname=SO_KEEPALIVE val=2:1 optlen=4", fd),
			fmt.Sprintf("SOCKET_SETSOCKOPT_X res=0 fd=%d level=SOL_SOCKET optname=SO_RCVTIMEO val=4:2000003000 optlen=16", fd),
			fmt.Sprintf(`SOCKET_SETSOCKOPT_X res=0 fd=%d level=SOL_TCP optname=UNKNOWN val=0:"\x01\x00\x00\x00" optlen=4`, fd),
			fmt.Sprintf("SOCKET_GETSOCKOPT_X res=0 fd=%d level=SOL_SOCKET optname=SO_ERROR val=1:0 optlen=4", fd),
			fmt.Sprintf("SOCKET_GETSOCKOPT_X res=0 fd=%d level=SOL_SOCKET optname=SO_TYPE val=2:1 optlen=4", fd),
			fmt.Sprintf("SOCKET_GETSOCKOPT_X res=0 fd=%d level=SOL_SOCKET optname=SO_COOKIE val=3:* optlen=8", fd),
			fmt.Sprintf("SOCKET_GETSOCKOPT_X res=%d fd=0 level=SOL_SOCKET optname=SO_TYPE val=- optlen=4", -int(err.(unix.Errno))),
		}
	}},
	{"recvmsg carries the control data", []string{"recvmsg"}, func() []string {
		p := must(unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0))
		check(unix.Sendmsg(p[0], []byte("x"), unix.UnixRights(0), nil, 0))
		oob := make([]byte, 64)
		_, _, _, _, err := unix.Recvmsg(p[1], make([]byte, 5), oob, 0)
		check(err)
		return []string{fmt.Sprintf(`SOCKET_RECVMSG_X res=1 size=5 data="x" tuple=sock->sock "\x00" `+
			`msgcontrol="\x14\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00*" fd=%d`, p[1])}
	}},
	{"sendmmsg and recvmmsg give an event for each message", []string{"sendmmsg", "recvmmsg"}, func() []string {
		p := must(unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0))
		type mmsghdr struct {
			hdr unix.Msghdr
			n   uint32
			_   uint32
		}
		vector := func(bufs ...[]byte) []mmsghdr {
			v := make([]mmsghdr, len(bufs))
			for i, b := range bufs {
				iov := &unix.Iovec{Base: &b[0], Len: uint64(len(b))}
				v[i].hdr = unix.Msghdr{Iov: iov, Iovlen: 1}
			}
			return v
		}
		out := vector([]byte("first"), []byte("second"))
		_, _, e := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(p[0]), uintptr(unsafe.Pointer(&out[0])), 2, 0, 0, 0)
		if e != 0 {
			panic(e)
		}
		in := vector(make([]byte, 8), make([]byte, 8))
		_, _, e = unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(p[1]), uintptr(unsafe.Pointer(&in[0])), 2, 0, 0, 0)
		if e != 0 {
			panic(e)
		}
		return []string{
			fmt.Sprintf(`SOCKET_SENDMMSG_X res=5 fd=%d size=5 data="first" tuple=*`, p[0]),
			fmt.Sprintf(`SOCKET_SENDMMSG_X res=6 fd=%d size=6 data="second" tuple=*`, p[0]),
			fmt.Sprintf(`SOCKET_RECVMMSG_X res=5 fd=%d size=8 data="first" tuple=* msgcontrol=-`, p[1]),
			fmt.Sprintf(`SOCKET_RECVMMSG_X res=6 fd=%d size=8 data="second" tuple=* msgcontrol=-`, p[1]),
		}
	}},
}
