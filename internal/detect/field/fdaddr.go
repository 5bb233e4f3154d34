package field

import (
	"net/netip"
	"strconv"
	"sync/atomic"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

const (
	ipaddr   = event.TypeIPAddr
	ipnet    = event.TypeIPNet
	port     = event.TypePort
	bothEnds = FilterOnly | NoTransformer | NoRHS
)

// fdAddrFields are the fields of the addresses of an IP socket. Client is who
// connected, server who was connected to, local the end of the event's
// process, remote the other one. A socket that only listens has a server end.
var fdAddrFields = []Def{
	{Name: "fd.ip", Type: ipaddr, Flags: bothEnds, Doc: "Address of either end of the connection.",
		Example: "fd.ip = 127.0.0.1", bind: either(putAddr)},
	{Name: "fd.cip", Type: ipaddr, Doc: "Address of the client.", Example: "fd.cip = 10.0.0.5", bind: address(clientEnd)},
	{Name: "fd.sip", Type: ipaddr, Doc: "Address of the server.", Example: "fd.sip = 10.0.0.5", bind: address(serverEnd)},
	{Name: "fd.lip", Type: ipaddr, Doc: "Address of the process's own end.", Example: "fd.lip = 10.0.0.5", bind: address(localEnd)},
	{Name: "fd.rip", Type: ipaddr, Doc: "Address of the other end.", Example: "fd.rip = 10.0.0.5", bind: address(remoteEnd)},
	{Name: "fd.port", Type: port, Flags: bothEnds, Doc: "Port of either end of the connection.",
		Example: "fd.port = 443", bind: either(putPort)},
	{Name: "fd.cport", Type: port, Doc: "Port of the client.", Example: "fd.cport > 1024", bind: portOf(clientEnd)},
	{Name: "fd.sport", Type: port, Doc: "Port of the server.", Example: "fd.sport in (80, 443)", bind: portOf(serverEnd)},
	{Name: "fd.lport", Type: port, Doc: "Port of the process's own end.", Example: "fd.lport = 8080", bind: portOf(localEnd)},
	{Name: "fd.rport", Type: port, Doc: "Port of the other end.", Example: "fd.rport = 53", bind: portOf(remoteEnd)},
	{Name: "fd.l4proto", Type: str, Doc: "Transport protocol of the socket: tcp, udp, icmp or raw.",
		Example: "fd.l4proto = udp", bind: fdString(protoWord)},
	{Name: "fd.sockfamily", Type: str, Doc: "Family of the socket: ip or unix.",
		Example: "fd.sockfamily = ip", bind: text(socketFamily)},
	{Name: "fd.is_server", Type: boolean, Doc: "Whether the process has the server's end of the connection.",
		Example: "fd.is_server = true", bind: fdTruth(isServer)},
	{Name: "fd.proto", Type: port, Flags: bothEnds, Doc: "Service of the port of either end, by name or number.",
		Example: "fd.proto = https", bind: either(putPort)},
	{Name: "fd.cproto", Type: str, Doc: "Service of the client's port, or the port if it has none.", Example: "fd.cproto = bootpc", bind: service(clientEnd)},
	{Name: "fd.sproto", Type: str, Doc: "Service of the server's port, or the port if it has none.", Example: "fd.sproto = https", bind: service(serverEnd)},
	{Name: "fd.lproto", Type: str, Doc: "Service of the port of the process's own end, or the port if it has none.", Example: "fd.lproto = ssh", bind: service(localEnd)},
	{Name: "fd.rproto", Type: str, Doc: "Service of the port of the other end, or the port if it has none.", Example: "fd.rproto = domain", bind: service(remoteEnd)},
	{Name: "fd.net", Type: ipnet, Flags: bothEnds, Doc: "Network that either end of the connection is in.",
		Example: "fd.net = 10.0.0.0/8", bind: either(putAddr)},
	{Name: "fd.cnet", Type: ipnet, Flags: bothEnds, Doc: "Network that the client is in.", Example: "fd.cnet = 10.0.0.0/8", bind: address(clientEnd)},
	{Name: "fd.snet", Type: ipnet, Flags: bothEnds, Doc: "Network that the server is in.", Example: "fd.snet in (10.0.0.0/8, 192.168.0.0/16)", bind: address(serverEnd)},
	{Name: "fd.lnet", Type: ipnet, Flags: bothEnds, Doc: "Network that the process's own end is in.", Example: "fd.lnet = 10.0.0.0/8", bind: address(localEnd)},
	{Name: "fd.rnet", Type: ipnet, Flags: bothEnds, Doc: "Network that the other end is in.", Example: "fd.rnet = 10.0.0.0/8", bind: address(remoteEnd)},
	{Name: "fd.connected", Type: boolean, Doc: "Whether the socket has a peer.",
		Example: "fd.connected = true", bind: fdTruth(func(fd *host.FD) bool { return fd.Connected })},
	{Name: "fd.cip.name", Type: str, Flags: NoTransformer | NoRHS, Doc: "Domain name that stands for the client's address.", Example: "fd.cip.name = example.com", bind: domain(clientEnd)},
	{Name: "fd.sip.name", Type: str, Flags: NoTransformer | NoRHS, Doc: "Domain name that stands for the server's address.", Example: "fd.sip.name = example.com", bind: domain(serverEnd)},
	{Name: "fd.lip.name", Type: str, Flags: NoTransformer | NoRHS, Doc: "Domain name that stands for the address of the process's own end.", Example: "fd.lip.name = example.com", bind: domain(localEnd)},
	{Name: "fd.rip.name", Type: str, Flags: NoTransformer | NoRHS, Doc: "Domain name that stands for the address of the other end.", Example: "fd.rip.name = example.com", bind: domain(remoteEnd)},
}

// end chooses one end of an IP socket; the zero AddrPort if there is none.
type end func(fd *host.FD) netip.AddrPort

// hasPeer reports whether the socket has two ends of which it is known which
// is whose.
func hasPeer(fd *host.FD) bool {
	return fd.Type.IsIP() && !fd.Type.IsServer() && fd.Role != host.RoleNone
}

func clientEnd(fd *host.FD) netip.AddrPort {
	if hasPeer(fd) {
		return fd.Source
	}
	return netip.AddrPort{}
}

func serverEnd(fd *host.FD) netip.AddrPort {
	switch {
	case fd.Type.IsServer():
		return fd.Source
	case hasPeer(fd):
		return fd.Dest
	}
	return netip.AddrPort{}
}

func localEnd(fd *host.FD) netip.AddrPort {
	switch {
	case !hasPeer(fd):
		return netip.AddrPort{}
	case fd.Role == host.RoleServer:
		return fd.Dest
	}
	return fd.Source
}

func remoteEnd(fd *host.FD) netip.AddrPort {
	switch {
	case !hasPeer(fd):
		return netip.AddrPort{}
	case fd.Role == host.RoleServer:
		return fd.Source
	}
	return fd.Dest
}

// endOf returns one end of the event's socket.
func endOf(e *host.Event, which end) (netip.AddrPort, bool) {
	if !hasFD(e) {
		return netip.AddrPort{}, false
	}
	a := which(e.FD)
	return a, a.IsValid()
}

func putAddr(v *Value, a netip.AddrPort) { v.Addr = a.Addr() }
func putPort(v *Value, a netip.AddrPort) { v.Num = uint64(a.Port()) }

// address binds the address of one end.
func address(which end) binder {
	return func(f *Field) error {
		f.Read = func(e *host.Event, v *Value) bool {
			a, ok := endOf(e, which)
			putAddr(v, a)
			return ok
		}
		return nil
	}
}

func portOf(which end) binder {
	return number(func(e *host.Event) (uint16, bool) {
		a, ok := endOf(e, which)
		return a.Port(), ok
	})
}

// either binds a field that stands for both ends. That it exists says only
// that the event has a descriptor, of whatever kind.
func either(put func(v *Value, a netip.AddrPort)) binder {
	return func(f *Field) error {
		f.Read = func(e *host.Event, v *Value) bool {
			if !hasFD(e) {
				return false
			}
			put(v, e.FD.Source)
			return true
		}
		f.EachValue = func(e *host.Event, v *Value, yield func() bool) {
			if !hasFD(e) || !e.FD.Type.IsIP() || !e.FD.Source.IsValid() {
				return
			}
			if put(v, e.FD.Source); !yield() || e.FD.Type.IsServer() || !e.FD.Dest.IsValid() {
				return
			}
			put(v, e.FD.Dest)
			yield()
		}
		return nil
	}
}

func protoWord(fd *host.FD) string {
	if p := transport(fd).String(); p != "" {
		return p
	}
	return notAvailable
}

func socketFamily(e *host.Event) (string, bool) {
	switch {
	case !hasFD(e):
	case e.FD.Type.IsIP():
		return "ip", true
	case e.FD.Type == event.FDUnix:
		return "unix", true
	}
	return "", false
}

func isServer(fd *host.FD) bool {
	return fd.Type.IsServer() || fd.Type.IsIP() && fd.Role == host.RoleServer
}

// service binds the name of the service of one end's port.
func service(which end) binder {
	return built(func(b []byte, e *host.Event, _ *Style) ([]byte, bool) {
		a, ok := endOf(e, which)
		if !ok {
			return b, false
		}
		if name := serviceName(a.Port(), e.FD.Proto); name != "" {
			return append(b, name...), true
		}
		return strconv.AppendUint(b, uint64(a.Port()), 10), true
	})
}

// domains holds the names of addresses that somebody has looked up. The map is
// never changed but replaced.
var domains atomic.Pointer[map[netip.Addr]string]

// SetDomain says that name stands for these addresses, for fd.sip.name and the
// like, which give only names that somebody asked for. It may be called from
// any goroutine.
func SetDomain(name string, addrs []netip.Addr) {
	for {
		old := domains.Load()
		m := map[netip.Addr]string{}
		if old != nil {
			for a, n := range *old {
				if n != name {
					m[a] = n
				}
			}
		}
		for _, a := range addrs {
			m[a.Unmap()] = name
		}
		if domains.CompareAndSwap(old, &m) {
			return
		}
	}
}

// domain binds the domain name of one end's address.
func domain(which end) binder {
	return text(func(e *host.Event) (string, bool) {
		a, ok := endOf(e, which)
		m := domains.Load()
		if !ok || m == nil {
			return "", false
		}
		name, ok := (*m)[a.Addr().Unmap()]
		return name, ok
	})
}
