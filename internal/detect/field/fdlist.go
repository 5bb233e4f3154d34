package field

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// fdListFields are the fields of the descriptors that poll and ppoll wait for.
var fdListFields = []Def{
	{Name: "fdlist.nums", Type: str, Doc: "Numbers of the descriptors that poll waits for, joined by commas.",
		Example: `fdlist.nums = "3,4"`, bind: built(fdList(func(b []byte, n int64, _ *host.FD, _ *Style) []byte { return appendInt(b, n) }))},
	{Name: "fdlist.names", Type: str, Doc: "Names of the descriptors that poll waits for, joined by commas.",
		Example: "fdlist.names contains /dev/tty", bind: built(fdList(listedName))},
	{Name: "fdlist.cips", Type: str, Doc: "Client addresses of the sockets that poll waits for, joined by commas.",
		Example: "fdlist.cips contains 10.0.0.5", bind: built(fdList(listed(anyClient, appendAddr)))},
	{Name: "fdlist.sips", Type: str, Doc: "Server addresses of the sockets that poll waits for, joined by commas.",
		Example: "fdlist.sips contains 10.0.0.5", bind: built(fdList(listed(anyServer, appendAddr)))},
	{Name: "fdlist.cports", Type: str, Doc: "Client ports of the sockets that poll waits for, joined by commas.",
		Example: "fdlist.cports contains 40000", bind: built(fdList(listed(anyClient, appendPort)))},
	{Name: "fdlist.sports", Type: str, Doc: "Server ports of the sockets that poll waits for, joined by commas.",
		Example: "fdlist.sports contains 443", bind: built(fdList(listed(anyServer, appendPort)))},
}

// pollList returns the list of descriptors of a poll event.
func pollList(e *host.Event) []byte {
	switch e.Type() {
	case event.SYSCALL_POLL_E, event.SYSCALL_PPOLL_E:
		return e.Param(0)
	case event.SYSCALL_POLL_X, event.SYSCALL_PPOLL_X:
		return e.Param(1)
	}
	return nil
}

// fdList returns a reader that joins what each descriptor of the list adds; those that add nothing are left out.
func fdList(add func(b []byte, n int64, fd *host.FD, s *Style) []byte) func(b []byte, e *host.Event, s *Style) ([]byte, bool) {
	return func(b []byte, e *host.Event, s *Style) ([]byte, bool) {
		if e.Thread == nil {
			return b, false
		}
		for entries := fdListEntries(pollList(e)); len(entries) > 0; entries = entries[fdListEntry:] {
			n := int64(binary.LittleEndian.Uint64(entries))
			start := len(b)
			if start > 0 {
				b = append(b, ',')
			}
			full := len(b)
			if b = add(b, n, openFD(e.Thread, n), s); len(b) == full {
				b = b[:start]
			}
		}
		return b, len(b) > 0
	}
}

func listedName(b []byte, _ int64, fd *host.FD, s *Style) []byte {
	start := len(b)
	if fd != nil {
		b = s.appendFDName(b, fd)
	}
	if len(b) == start {
		b = append(b, notAvailable...)
	}
	return b
}

// listed returns an adder of a part of one end of a socket.
func listed(which end, part func(b []byte, a netip.AddrPort) []byte) func(b []byte, n int64, fd *host.FD, s *Style) []byte {
	return func(b []byte, _ int64, fd *host.FD, _ *Style) []byte {
		if fd == nil {
			return b
		}
		if a := which(fd); a.IsValid() {
			return part(b, a)
		}
		return b
	}
}

// anyClient is the client's end as far as it is known, even without a role.
func anyClient(fd *host.FD) netip.AddrPort {
	if fd.Type.IsIP() && !fd.Type.IsServer() {
		return fd.Source
	}
	return netip.AddrPort{}
}

// anyServer is the server's end as far as it is known, even without a role.
func anyServer(fd *host.FD) netip.AddrPort {
	switch {
	case fd.Type.IsServer():
		return fd.Source
	case fd.Type.IsIP():
		return fd.Dest
	}
	return netip.AddrPort{}
}

func appendAddr(b []byte, a netip.AddrPort) []byte { return a.Addr().AppendTo(b) }

func appendPort(b []byte, a netip.AddrPort) []byte {
	return strconv.AppendUint(b, uint64(a.Port()), 10)
}
