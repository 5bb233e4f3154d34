package host

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"rollcage/internal/observe/event"
)

// Address families.
const (
	familyUnix    = 1
	familyIPv4    = 2
	familyIPv6    = 10
	familyNetlink = 16
)

// ends are the two ends of a socket as an event tells them: SOCKTUPLE values,
// and with only the destination SOCKADDR values.
type ends struct {
	family           uint8
	src, dst         netip.AddrPort
	unixSrc, unixDst uint64
	path             []byte // of the unix socket, without NUL
}

// readTuple reads a SOCKTUPLE. It reports false if it is empty, malformed, or of
// another family.
func readTuple(b []byte) (e ends, ok bool) {
	if len(b) == 0 {
		return e, false
	}
	e.family, b = b[0], b[1:]
	switch {
	case e.family == familyIPv4 && len(b) >= 12:
		e.src, e.dst = readIPv4(b), readIPv4(b[6:])
	case e.family == familyIPv6 && len(b) >= 36:
		e.src, e.dst = readIPv6(b), readIPv6(b[18:])
		e.unmap()
	case e.family == familyUnix && len(b) >= 16:
		e.unixSrc, e.unixDst = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
		e.path = untilNUL(b[16:])
	default:
		return e, false
	}
	return e, true
}

// readAddr reads a SOCKADDR like readTuple, as the destination.
func readAddr(b []byte) (e ends, ok bool) {
	if len(b) == 0 {
		return e, false
	}
	e.family, b = b[0], b[1:]
	switch {
	case e.family == familyIPv4 && len(b) >= 6:
		e.dst = readIPv4(b)
	case e.family == familyIPv6 && len(b) >= 18:
		if e.dst = readIPv6(b); e.dst.Addr().Is4In6() {
			e.family, e.dst = familyIPv4, netip.AddrPortFrom(e.dst.Addr().Unmap(), e.dst.Port())
		}
	case e.family == familyUnix:
		e.path = untilNUL(b)
	default:
		return e, false
	}
	return e, true
}

func readIPv4(b []byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b)), binary.LittleEndian.Uint16(b[4:]))
}

func readIPv6(b []byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b)), binary.LittleEndian.Uint16(b[16:]))
}

func untilNUL(b []byte) []byte { return b[:len(event.CString(b))] }

// unmap makes a tuple IPv4 if both ends are IPv4 addresses used through IPv6.
// An end without address fits either.
func (e *ends) unmap() {
	src, ok1 := unmapped(e.src)
	dst, ok2 := unmapped(e.dst)
	if ok1 && ok2 {
		e.family, e.src, e.dst = familyIPv4, src, dst
	}
}

func unmapped(a netip.AddrPort) (netip.AddrPort, bool) {
	switch ip := a.Addr(); {
	case ip.Is4In6():
		return netip.AddrPortFrom(ip.Unmap(), a.Port()), true
	case ip.IsUnspecified():
		return netip.AddrPortFrom(netip.IPv4Unspecified(), a.Port()), true
	}
	return a, false
}

// isIP reports whether the ends are IP addresses.
func (e *ends) isIP() bool { return e.family == familyIPv4 || e.family == familyIPv6 }

// fdType returns the type of a connection between such ends.
func (e *ends) fdType() event.FDType {
	switch e.family {
	case familyIPv4:
		return event.FDIPv4
	case familyIPv6:
		return event.FDIPv6
	}
	return event.FDUnix
}

func appendEnd(b []byte, a netip.AddrPort) []byte {
	if a.Addr().IsValid() {
		b = a.Addr().AppendTo(b)
	} else {
		b = append(b, "0.0.0.0"...)
	}
	return strconv.AppendUint(append(b, ':'), uint64(a.Port()), 10)
}

// appendName appends the name of an IP socket: ADDR:PORT->ADDR:PORT, ADDR:PORT
// for one without a peer, nothing for one without any address.
func appendName(b []byte, fd *FD) []byte {
	switch {
	case fd.Type.IsServer():
		return appendEnd(b, fd.Source)
	case fd.Type.IsIP() && (fd.Source.IsValid() || fd.Dest.IsValid()):
		return appendEnd(append(appendEnd(b, fd.Source), "->"...), fd.Dest)
	}
	return b
}

// appendUnixName appends SOURCE->DEST PATH, the first two as kernel addresses in hex.
func appendUnixName(b []byte, src, dst uint64, path []byte) []byte {
	b = strconv.AppendUint(b, src, 16)
	b = strconv.AppendUint(append(b, "->"...), dst, 16)
	return event.AppendPrintable(append(b, ' '), event.String(path))
}
