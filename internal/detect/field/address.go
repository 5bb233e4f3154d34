package field

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"rollcage/internal/observe/event"
)

// The address families of address parameters.
const (
	familyUnix  = 1
	familyInet  = 2
	familyInet6 = 10
)

// Sizes of the addresses in parameters: family byte, addresses, ports.
const (
	inetSize       = 1 + 4 + 2
	inet6Size      = 1 + 16 + 2
	inetTupleSize  = 1 + 2*(4+2)
	inet6TupleSize = 1 + 2*(16+2)
	unixTupleSize  = 1 + 8 + 8 // at least, the path follows
)

// appendSockaddr appends the text of a SOCKADDR parameter.
func (s *Style) appendSockaddr(b, data []byte, proto event.L4Proto) []byte {
	switch {
	case data[0] == familyUnix:
		return event.AppendPrintable(b, event.CString(data[1:]))
	case data[0] == familyInet && len(data) == inetSize, data[0] == familyInet6 && len(data) == inet6Size:
		return s.appendEndpoint(b, endpoint(data[1:]), proto)
	}
	return appendOtherFamily(b, data[0])
}

// appendSocktuple appends the text of a SOCKTUPLE parameter.
func (s *Style) appendSocktuple(b, data []byte, proto event.L4Proto) []byte {
	switch {
	case data[0] == familyUnix && len(data) >= unixTupleSize:
		b = strconv.AppendUint(b, binary.LittleEndian.Uint64(data[1:]), 16)
		b = strconv.AppendUint(append(b, "->"...), binary.LittleEndian.Uint64(data[9:]), 16)
		return event.AppendPrintable(append(b, ' '), event.CString(data[unixTupleSize:]))
	case data[0] == familyInet && len(data) == inetTupleSize, data[0] == familyInet6 && len(data) == inet6TupleSize:
		half := (len(data) - 1) / 2
		return s.appendTuple(b, endpoint(data[1:1+half]), endpoint(data[1+half:]), proto)
	}
	return appendOtherFamily(b, data[0])
}

func appendOtherFamily(b []byte, family byte) []byte {
	switch family {
	case familyInet:
		return append(b, "INVALID IPv4"...)
	case familyInet6:
		return append(b, "INVALID IPv6"...)
	}
	return strconv.AppendUint(append(b, "family "...), uint64(family), 10)
}

// endpoint reads an address of 4 or 16 bytes and the port behind it.
func endpoint(data []byte) netip.AddrPort {
	addr, _ := netip.AddrFromSlice(data[:len(data)-2])
	return netip.AddrPortFrom(addr, binary.LittleEndian.Uint16(data[len(data)-2:]))
}

// appendTuple appends both ends of a connection; if both are IPv4 addresses
// in IPv6 form they are shown as IPv4.
func (s *Style) appendTuple(b []byte, source, dest netip.AddrPort, proto event.L4Proto) []byte {
	if from, ok := asIPv4(source); ok {
		if to, ok := asIPv4(dest); ok {
			source, dest = from, to
		}
	}
	b = s.appendEndpoint(b, source, proto)
	return s.appendEndpoint(append(b, "->"...), dest, proto)
}

// asIPv4 returns an IPv4 address in IPv6 form as such. Of the unspecified
// address nothing tells which family it is meant for; it passes too.
func asIPv4(a netip.AddrPort) (netip.AddrPort, bool) {
	switch {
	case a.Addr().Is4In6():
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), true
	case a.Addr() == netip.IPv6Unspecified():
		return netip.AddrPortFrom(netip.IPv4Unspecified(), a.Port()), true
	}
	return a, false
}

// appendEndpoint appends ADDRESS:PORT, without brackets around an IPv6 address.
func (s *Style) appendEndpoint(b []byte, end netip.AddrPort, proto event.L4Proto) []byte {
	b = append(end.Addr().AppendTo(b), ':')
	if s.Services {
		if name := serviceName(end.Port(), proto); name != "" {
			return append(b, name...)
		}
	}
	return strconv.AppendUint(b, uint64(end.Port()), 10)
}
