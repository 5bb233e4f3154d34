package host

import (
	"net/netip"

	"rollcage/internal/observe/event"
)

// inProgress is the result of a connect that goes on in the background.
const inProgress = -115 // EINPROGRESS

// sockCloexec is a bit in the type of a socket.
const sockCloexec = 0x80000 // SOCK_CLOEXEC

// protocols says what a socket speaks by its protocol number, and by its type
// if that is 0.
var protocols = map[uint64]event.L4Proto{1: event.L4ICMP, 6: event.L4TCP, 17: event.L4UDP, 58: event.L4ICMP, 255: event.L4Raw}

func l4Proto(typ, proto uint64) event.L4Proto {
	const stream, datagram, raw = 1, 2, 3
	switch typ & 0xff {
	case raw:
		return event.L4Raw
	case stream:
		if proto == 0 {
			return event.L4TCP
		}
	case datagram:
		if proto == 0 {
			return event.L4UDP
		}
	}
	return protocols[proto]
}

func (s *State) applySocket(he *Event) {
	num, ok := he.Int(0)
	if !ok || num < 0 {
		return
	}
	family, _ := he.Uint(1)
	typ, _ := he.Uint(2)
	proto, _ := he.Uint(3)
	fd := s.newFD()
	fd.CloseOnExec = typ&sockCloexec != 0
	if flags, ok := he.Uint(4); ok && flags&flagCloexec != 0 {
		fd.CloseOnExec = true
	}
	switch family {
	case familyUnix:
		fd.Type = event.FDUnix
	case familyIPv4:
		fd.Type, fd.Proto = event.FDIPv4, l4Proto(typ, proto)
	case familyIPv6:
		fd.Type, fd.Proto = event.FDIPv6, l4Proto(typ, proto)
	case familyNetlink:
		fd.Type = event.FDNetlink
	}
	s.created(he, num, fd)
}

func (s *State) applySocketpair(he *Event) {
	one, ok1 := he.Int(1)
	two, ok2 := he.Int(2)
	if !ok1 || !ok2 || one == two || !succeeded(he) {
		return
	}
	source, _ := he.Uint(3)
	peer, _ := he.Uint(4)
	typ, _ := he.Uint(6)
	for _, end := range [2]struct {
		num       int64
		own, peer uint64
	}{{one, source, peer}, {two, peer, source}} { // the event's is the second, as for pipes
		fd := s.newFD()
		fd.Type, fd.UnixSource, fd.UnixDest = event.FDUnix, end.own, end.peer
		fd.Connected, fd.CloseOnExec = true, typ&sockCloexec != 0
		s.created(he, end.num, fd)
	}
}

// applyBind gives a socket its own address. With a port it is taken for a server.
func (s *State) applyBind(he *Event) {
	fd := he.FD
	e, ok := readAddr(he.Param(1))
	if fd == nil || !ok || !succeeded(he) {
		return
	}
	if !e.isIP() {
		s.rename(he, fd, s.printable(e.path))
		return
	}
	fd.Source, fd.Dest = e.dst, netip.AddrPort{}
	if e.dst.Port() != 0 {
		s.makeServer(fd)
	}
	s.scratch = appendEnd(s.scratch[:0], e.dst)
	s.rename(he, fd, s.strings.get(s.scratch))
}

// makeServer makes a socket with its own address one that waits for peers.
func (s *State) makeServer(fd *FD) {
	fd.Type = event.FDIPv6Server
	if fd.Source.Addr().Is4() {
		fd.Type = event.FDIPv4Server
	}
	fd.Role = RoleServer
}

// applyListen finds servers that were bound without a port: the kernel chose one.
func (s *State) applyListen(he *Event) {
	if fd := he.FD; fd != nil && succeeded(he) && fd.Type.IsIP() && !fd.Type.IsServer() && !fd.Connected && fd.Source.IsValid() {
		s.makeServer(fd)
		s.renameIP(he, fd)
	}
}

func (s *State) renameIP(he *Event, fd *FD) {
	s.scratch = appendName(s.scratch[:0], fd)
	s.rename(he, fd, s.strings.get(s.scratch))
}

// applyConnect gives a socket its peer.
func (s *State) applyConnect(he *Event) {
	res, ok := he.Int(0)
	if !ok || res < 0 && res != inProgress {
		return
	}
	e, ok := s.connectEnds(he)
	if he.FD == nil && ok && e.isIP() && he.FDNum >= 0 {
		// The socket was made before we looked: what it speaks is not known.
		fd := s.newFD()
		fd.Type = e.fdType()
		s.created(he, he.FDNum, fd)
	}
	fd := he.FD
	if fd == nil {
		return
	}
	fd.Connected, fd.pending = res >= 0, res == inProgress
	if ok && e.isIP() && e.dst.Port() == 0 && e.dst.Addr().IsUnspecified() {
		fd.Connected = false // connect to AF_UNSPEC takes the peer away
	}
	switch {
	case !ok:
	case e.isIP():
		s.connectIP(he, fd, &e)
	case fd.Type == event.FDUnix:
		fd.UnixSource, fd.UnixDest = e.unixSrc, e.unixDst
		s.scratch = appendUnixName(s.scratch[:0], e.unixSrc, e.unixDst, e.path)
		s.rename(he, fd, s.strings.get(s.scratch))
	}
	if fd.Role == RoleNone {
		fd.Role = RoleClient
	}
}

// connectIP sets the two ends of a connection. A server that connects its
// datagram socket to a client stays the server.
func (s *State) connectIP(he *Event, fd *FD, e *ends) {
	if !e.src.IsValid() {
		e.src = fd.Source // all that is known without a tuple
	}
	fd.Type, fd.Source, fd.Dest = e.fdType(), e.src, e.dst
	if fd.Role == RoleServer && fd.Proto == event.L4UDP {
		fd.Source, fd.Dest = fd.Dest, fd.Source
	}
	s.renameIP(he, fd)
}

// connectEnds returns the two ends as the events of a connect tell them. When
// the kernel's tuple only repeats the address that the program passed, that of
// the enter event is preferred: the program cannot have changed it since.
func (s *State) connectEnds(he *Event) (ends, bool) {
	exit, passed := readAddr(he.Param(3))
	var before ends
	var enter event.Event
	early := s.entered(he, &enter)
	if early {
		before, early = readAddr(enter.Param(1))
	}
	e, ok := readTuple(he.Param(1))
	switch {
	case !ok && early:
		return before, true
	case !ok:
		return exit, passed
	case passed && e.isIP() && e.dst.Addr().IsUnspecified() && exit.family == e.family && !exit.dst.Addr().IsUnspecified():
		// The kernel has not stored the peer yet (datagrams through IPv6).
		e.dst = exit.dst
	case !early || !passed || before.family != e.family:
	case e.isIP() && e.dst == exit.dst:
		e.dst = before.dst
	case e.family == familyUnix && string(e.path) == string(exit.path):
		e.path = before.path
	}
	return e, true
}

// applyAccept adds the server's end of a new connection.
func (s *State) applyAccept(he *Event) {
	num, ok := he.Int(0)
	if !ok || num < 0 {
		return
	}
	e, ok := readTuple(he.Param(1))
	if !ok {
		he.FDNum = num
		return
	}
	fd := s.newFD()
	fd.Type, fd.Role, fd.Connected = e.fdType(), RoleServer, true
	if flags, ok := he.Uint(5); ok {
		fd.CloseOnExec = flags&sockCloexec != 0
	}
	if e.isIP() {
		fd.Proto, fd.Source, fd.Dest = event.L4TCP, e.src, e.dst
		s.scratch = appendName(s.scratch[:0], fd)
	} else {
		fd.UnixSource, fd.UnixDest = e.unixSrc, e.unixDst
		s.scratch = appendUnixName(s.scratch[:0], e.unixSrc, e.unixDst, e.path)
	}
	fd.Name = s.strings.get(s.scratch)
	s.created(he, num, fd)
}

func (s *State) applyShutdown(he *Event) {
	const both = 2 // SHUT_RDWR of shutdown_how
	if how, ok := he.Uint(2); ok && how == both && he.FD != nil && succeeded(he) {
		he.FD.Connected, he.FD.pending = false, false
	}
}

// applyGetsockopt learns how a connect in the background ended: SO_ERROR tells.
func (s *State) applyGetsockopt(he *Event) {
	const socketLevel, soError = 1, 4 // sockopt_levels, sockopt_options
	level, _ := he.Uint(2)
	option, _ := he.Uint(3)
	fd, val := he.FD, he.Param(4)
	if fd == nil || !fd.pending || level != socketLevel || option != soError || len(val) < 2 || !succeeded(he) {
		return
	}
	errno, ok := event.Int(val[1:]) // after the index of the variant
	if ok {
		fd.pending, fd.Connected = false, errno == 0
	}
}
