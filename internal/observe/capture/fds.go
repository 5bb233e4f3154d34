package capture

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"rollcage/internal/observe/event"
)

// loadFDs reads the descriptors of one thread. Those of a thread that is not
// in the thread list are left out.
func loadFDs(s *section, c *cursor, version int) {
	thread := s.threads[c.int64()]
	for n := 1; c.more(); n++ {
		e := c
		if version >= 2 {
			entry := c.entry(0)
			e = &entry
		}
		fd, known := readFD(e, version)
		if !known && version < 2 {
			return // nobody can tell where the next entry starts
		}
		s.charge(fdSize, c)
		if c.in("descriptor", n, e.err); c.err == nil && thread != nil {
			thread.FDs = append(thread.FDs, fd)
		}
	}
}

// readFD reads an entry. It reports false for a type that is not known.
func readFD(c *cursor, version int) (event.FDInfo, bool) {
	fd := event.FDInfo{Num: c.int64(), Ino: c.uint64(), Type: event.FDType(c.uint8())}
	switch fd.Type {
	case event.FDUnknown:
	case event.FDIPv4, event.FDIPv6:
		readConnection(c, &fd)
	case event.FDIPv4Server, event.FDIPv6Server:
		ip := readIP(c, fd.Type == event.FDIPv6Server)
		fd.Source, fd.Proto = netip.AddrPortFrom(ip, c.uint16()), event.L4Proto(c.uint8())
	case event.FDUnix:
		fd.UnixSource, fd.UnixDest = c.uint64(), c.uint64()
		fd.Name = c.text("a name", maxFDName)
	case event.FDFileV2:
		fd.OpenFlags = c.uint32()
		fd.Name = c.text("a name", maxFDName)
		if version >= 2 {
			optional4(c, &fd.Dev)
		}
	default:
		if fd.Type < 0 || fd.Type > event.FDPidfd {
			fd.Name = fmt.Sprintf("unknown-type:[%d]", uint8(fd.Type))
			fd.Type = event.FDUnsupported
			return fd, false
		}
		fd.Name = c.text("a name", maxFDName)
	}
	return fd, true
}

// readConnection reads the two ends of an IP socket. IPv4 in IPv6 becomes IPv4.
func readConnection(c *cursor, fd *event.FDInfo) {
	v6 := fd.Type == event.FDIPv6
	source, dest := readIP(c, v6), readIP(c, v6)
	if source.Is4In6() && dest.Is4In6() {
		source, dest, fd.Type = source.Unmap(), dest.Unmap(), event.FDIPv4
	}
	fd.Source, fd.Dest = netip.AddrPortFrom(source, c.uint16()), netip.AddrPortFrom(dest, c.uint16())
	fd.Proto = event.L4Proto(c.uint8())
}

func readIP(c *cursor, v6 bool) netip.Addr {
	n := 4
	if v6 {
		n = 16
	}
	ip, _ := netip.AddrFromSlice(c.take(n)) // the zero Addr after an error
	return ip
}

// orderEnds gives the sockets of the snapshot their direction, which files do
// not have: their addresses are local first. An IPv4 connection from a port
// that somebody on the host listens on was accepted; its ends are swapped, so
// that the client is the source. IPv6 connections are left as they are.
func orderEnds(threads []*event.ThreadInfo) {
	listening := map[uint16]bool{}
	for _, t := range threads {
		for i := range t.FDs {
			if fd := &t.FDs[i]; fd.Type.IsServer() {
				listening[fd.Source.Port()] = true
			}
		}
	}
	for _, t := range threads {
		for i := range t.FDs {
			switch fd := &t.FDs[i]; fd.Type {
			case event.FDIPv4:
				if fd.Server = listening[fd.Source.Port()]; fd.Server {
					fd.Source, fd.Dest = fd.Dest, fd.Source
				}
			case event.FDUnix:
				fd.Server = fd.Name != ""
			}
		}
	}
}

// appendFD appends an entry of today's version.
func appendFD(b []byte, fd *event.FDInfo) []byte {
	le, start := binary.LittleEndian, len(b)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint64(b, uint64(fd.Num))
	b = le.AppendUint64(b, fd.Ino)
	b = append(b, byte(fd.Type))
	switch fd.Type {
	case event.FDIPv4, event.FDIPv6:
		local, remote := fd.Source, fd.Dest
		if fd.Server && (fd.Type == event.FDIPv4 || local.Addr().Is4In6() && remote.Addr().Is4In6()) {
			local, remote = remote, local
		}
		v6 := fd.Type == event.FDIPv6
		b = appendIP(appendIP(b, local.Addr(), v6), remote.Addr(), v6)
		b = le.AppendUint16(le.AppendUint16(b, local.Port()), remote.Port())
		b = append(b, byte(fd.Proto))
	case event.FDIPv4Server, event.FDIPv6Server:
		b = appendIP(b, fd.Source.Addr(), fd.Type == event.FDIPv6Server)
		b = append(le.AppendUint16(b, fd.Source.Port()), byte(fd.Proto))
	case event.FDUnix:
		b = le.AppendUint64(le.AppendUint64(b, fd.UnixSource), fd.UnixDest)
		b = appendText(b, fd.Name, maxFDName)
	case event.FDFileV2:
		b = le.AppendUint32(b, fd.OpenFlags)
		b = appendText(b, fd.Name, maxFDName)
		b = le.AppendUint32(b, fd.Dev)
	default:
		b = appendText(b, fd.Name, maxFDName)
	}
	le.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

// appendIP appends an address in the width of the entry's type, zeroes if it
// has another.
func appendIP(b []byte, ip netip.Addr, v6 bool) []byte {
	switch {
	case v6 && ip.IsValid():
		a := ip.As16()
		return append(b, a[:]...)
	case v6:
		return append(b, make([]byte, 16)...)
	case ip.Unmap().Is4():
		a := ip.Unmap().As4()
		return append(b, a[:]...)
	}
	return append(b, 0, 0, 0, 0)
}
