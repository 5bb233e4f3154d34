package host

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"strings"

	"rollcage/internal/observe/event"
)

// send returns the action of the calls that send on a socket, with the ends in
// a parameter.
func send(tuple int) func(*State, *Event) {
	return func(s *State, he *Event) {
		if !succeeded(he) {
			return
		}
		if he.FD == nil {
			s.inferSocket(he, tuple)
		}
		s.updateEnds(he, tuple, false)
	}
}

// receive returns the action of the calls that receive: the ends are in one
// parameter, control messages in another (-1 if there are none).
func receive(tuple, control int) func(*State, *Event) {
	return func(s *State, he *Event) {
		if !succeeded(he) {
			return
		}
		s.updateEnds(he, tuple, true)
		if control >= 0 && he.FD != nil && he.FD.Type == event.FDUnix {
			s.receiveFDs(he, he.Param(control))
		}
	}
}

// inferSocket makes up the socket of a send when the call that made it was
// missed. It is most likely a datagram socket: the event would not tell the
// peer of a connection.
func (s *State) inferSocket(he *Event, tuple int) {
	e, ok := readTuple(he.Param(tuple))
	if !ok || !e.isIP() || he.FDNum < 0 {
		return
	}
	fd := s.newFD()
	fd.Type, fd.Proto = e.fdType(), event.L4UDP
	s.created(he, he.FDNum, fd)
}

// updateEnds gives a socket without a lasting peer the ends of this message.
// For what is received the sender comes first in the tuple.
func (s *State) updateEnds(he *Event, tuple int, incoming bool) {
	fd := he.FD
	if fd == nil || fd.Name != "" && fd.Proto == event.L4TCP {
		return
	}
	e, ok := readTuple(he.Param(tuple))
	if !ok {
		return
	}
	if !e.isIP() {
		if fd.Type == event.FDUnix && fd.Name != "" && fd.UnixSource == e.unixSrc && fd.UnixDest == e.unixDst &&
			strings.HasSuffix(fd.Name, event.String(e.path)) {
			return
		}
		fd.Type, fd.UnixSource, fd.UnixDest = event.FDUnix, e.unixSrc, e.unixDst
		s.scratch = appendUnixName(s.scratch[:0], e.unixSrc, e.unixDst, e.path)
		s.rename(he, fd, s.strings.get(s.scratch))
		return
	}
	s.completeEnds(&e)
	if fd.Proto == event.L4Unknown && !fd.Connected {
		fd.Proto = event.L4UDP // the peer of a TCP connection does not change
	}
	if fd.Role == RoleNone {
		fd.Role = guessRole(he.Thread, &e, incoming)
	}
	if incoming == (fd.Role == RoleClient) {
		e.src, e.dst = e.dst, e.src // the client's end first
	}
	if typ := e.fdType(); fd.Type != typ || fd.Source != e.src || fd.Dest != e.dst {
		fd.Type, fd.Source, fd.Dest = typ, e.src, e.dst
		s.renameIP(he, fd)
	}
}

// guessRole tells whether the process is the server of the other end: it is if
// it was addressed first, at a port that it is bound to.
func guessRole(t *Thread, e *ends, incoming bool) Role {
	if incoming {
		for _, fd := range t.FDs.All() {
			if fd.Type.IsServer() && fd.Source.Port() == e.dst.Port() {
				return RoleServer
			}
		}
	}
	return RoleClient
}

// completeEnds fills an end without address from the host's interfaces, as a
// socket that is bound to none of them leaves it open.
func (s *State) completeEnds(e *ends) {
	if len(s.networks) == 0 {
		return
	}
	switch {
	case e.src.Addr().IsUnspecified() && !e.dst.Addr().IsUnspecified():
		e.src = netip.AddrPortFrom(s.localAddr(e.dst.Addr(), e.src.Addr()), e.src.Port())
	case e.dst.Addr().IsUnspecified() && !e.src.Addr().IsUnspecified():
		e.dst = netip.AddrPortFrom(s.localAddr(e.src.Addr(), e.dst.Addr()), e.dst.Port())
	}
}

// localAddr returns the host's address from which remote is reached: remote
// itself if it is the host's, else that of an interface in its network, else
// the first that is not a loopback, else the one that was there.
func (s *State) localAddr(remote, was netip.Addr) netip.Addr {
	near, far := netip.Addr{}, netip.Addr{}
	for _, n := range s.networks {
		switch addr := n.Addr(); {
		case addr == remote:
			return addr
		case !near.IsValid() && n.Contains(remote):
			near = addr
		case !far.IsValid() && addr.Is4() == remote.Is4() && !addr.IsLoopback():
			far = addr
		}
	}
	switch {
	case near.IsValid():
		return near
	case far.IsValid():
		return far
	}
	return was
}

// networksOf returns the addresses of the interfaces with their networks.
func networksOf(interfaces []event.Interface) []netip.Prefix {
	var out []netip.Prefix
	for i := range interfaces {
		addr, ok := netip.AddrFromSlice(interfaces[i].Addr)
		if !ok {
			continue
		}
		ones := 0
		for _, b := range interfaces[i].Netmask {
			ones += bits.OnesCount8(b)
		}
		if p := netip.PrefixFrom(addr, ones); p.IsValid() && ones > 0 {
			out = append(out, p)
		}
	}
	return out
}

// maxRights is how many descriptors one control message may carry (SCM_MAX_FD).
const maxRights = 253

// receiveFDs adds the descriptors that came with a message (SCM_RIGHTS):
// cmsghdr of 64-bit hosts, u64 length with the header, i32 level, i32 type,
// then the numbers; padded to 8 bytes. What they are only /proc can tell.
func (s *State) receiveFDs(he *Event, b []byte) {
	const header, socketLevel, rights = 16, 1, 1
	for len(b) >= header {
		size := binary.LittleEndian.Uint64(b)
		if size < header || size > uint64(len(b)) {
			return
		}
		level, typ := binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])
		if data := b[header:size]; level == socketLevel && typ == rights && len(data) <= 4*maxRights {
			for ; len(data) >= 4; data = data[4:] {
				s.receiveFD(he.Thread, int64(int32(binary.LittleEndian.Uint32(data))))
			}
		}
		b = b[min(uint64(len(b)), (size+7)&^7):]
	}
}

func (s *State) receiveFD(t *Thread, num int64) {
	if num < 0 {
		return
	}
	s.removeFD(t.FDs, num)
	if !s.healFD(t, num) {
		s.putFD(t.FDs, num, s.newFD())
	}
}
