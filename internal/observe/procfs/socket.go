package procfs

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"time"

	"rollcage/internal/observe/event"
)

// socketTable is the sockets of a network namespace, by inode number.
type socketTable struct {
	sockets map[uint64]event.FDInfo
	retries int
	read    time.Time     // when they were read last
	took    time.Duration // and how long that took
}

// maxRetries bounds how often a scan reads the tables of a namespace again for
// a socket that is not in them. Reading costs milliseconds, and some sockets
// never are: those of other families and those that are not bound yet.
const maxRetries = 16

// Single look-ups read the tables again as often as they like only freeRetries
// times, then for one part in rereadShare of the time: in a namespace with a
// hundred thousand sockets each reading takes a tenth of a second, and what a
// container does must not hold up the events of the host.
const (
	freeRetries = 4
	rereadShare = 20
)

// again reports whether the tables may be read again for a socket that is not in them.
func (t *socketTable) again(scan bool, now time.Time) bool {
	if scan {
		return t.retries < maxRetries
	}
	return t.retries < freeRetries || now.Sub(t.read) > rereadShare*t.took
}

// socketFile is one of the tables below /proc/PID/net.
type socketFile struct {
	name  string
	proto event.L4Proto
	parse func(line []byte, proto event.L4Proto) (event.FDInfo, bool)
}

var socketFiles = [...]socketFile{
	{"tcp", event.L4TCP, parseInet}, {"tcp6", event.L4TCP, parseInet},
	{"udp", event.L4UDP, parseInet}, {"udp6", event.L4UDP, parseInet},
	{"udplite", event.L4UDP, parseInet}, {"udplite6", event.L4UDP, parseInet},
	{"raw", event.L4Raw, parseInet}, {"raw6", event.L4Raw, parseInet},
	{"icmp", event.L4ICMP, parseInet}, {"icmp6", event.L4ICMP, parseInet},
	{"unix", event.L4NA, parseUnix}, {"netlink", event.L4NA, parseNetlink},
}

// socket fills in what the process's network namespace knows about a socket.
// The tables are those of the first time that they were needed since Refresh;
// if the socket is not in them they are read again, but only so often.
// A socket that still is in none stays as it is.
func (r *Reader) socket(pid int64, f *event.FDInfo, scan bool) {
	b, err := r.readlink(r.procPath(pid, 0, "ns/net", -1))
	if err != nil {
		return
	}
	ns := linkNumber(b)
	t := r.nets[ns]
	fresh := t == nil
	if fresh {
		t = &socketTable{}
		r.nets[ns] = t
		r.readSockets(pid, t)
	}
	s, ok := t.sockets[f.Ino]
	if !ok && !fresh && t.again(scan, time.Now()) {
		t.retries++
		r.readSockets(pid, t)
		s, ok = t.sockets[f.Ino]
	}
	if ok {
		s.Num, s.OpenFlags = f.Num, f.OpenFlags
		*f = s
	}
}

// readSockets reads all tables of the process's network namespace.
func (r *Reader) readSockets(pid int64, t *socketTable) {
	begin := time.Now()
	defer func() { t.read, t.took = time.Now(), time.Since(begin) }()
	t.sockets = map[uint64]event.FDInfo{}
	listeners := Listeners{}
	for _, file := range socketFiles {
		b, err := r.read(r.procPath(pid, 0, "net/"+file.name, -1), maxFile)
		if err != nil {
			continue // the kernel may be built without it
		}
		for _, b = line(b); len(b) > 0; { // the first line is the heading
			var l []byte
			l, b = line(b)
			if s, ok := file.parse(l, file.proto); ok && s.Ino != 0 {
				t.sockets[s.Ino] = s
				listeners.Add(0, &s)
			}
		}
	}
	for ino, s := range t.sockets {
		if listeners.Orient(0, &s) {
			t.sockets[ino] = s
		}
	}
}

// Listeners is what server sockets are bound to, by network namespace.
type Listeners map[listener]struct{}

type listener struct {
	netns uint64
	proto event.L4Proto
	port  uint16
}

// Add takes note of f if it is a server socket.
func (l Listeners) Add(netns uint64, f *event.FDInfo) {
	if f.Type.IsServer() && f.Source.Port() != 0 {
		l[listener{netns, f.Proto, f.Source.Port()}] = struct{}{}
	}
}

// Orient gives a socket whose ends are in the order local, remote its role,
// and reports whether it is a server: a connection from a port that somebody
// in the namespace listens on was accepted, so its ends are swapped to have
// the client first; a unix socket with a name was connected to.
func (l Listeners) Orient(netns uint64, f *event.FDInfo) bool {
	switch f.Type {
	case event.FDUnix:
		f.Server = f.Name != ""
	case event.FDIPv4, event.FDIPv6:
		if _, f.Server = l[listener{netns, f.Proto, f.Source.Port()}]; f.Server {
			f.Source, f.Dest = f.Dest, f.Source
		}
	}
	return f.Server
}

// parseInet reads a line of net/tcp, udp, raw, icmp or their 6 variants:
//
//	sl local:port remote:port st tx:rx tr:when retrnsmt uid timeout inode …
//
// Each 32 bits of an address are a number in the host's byte order.
func parseInet(l []byte, proto event.L4Proto) (event.FDInfo, bool) {
	var f event.FDInfo
	var w, local, remote []byte
	_, l = word(l)
	local, l = word(l)
	remote, l = word(l)
	for range 7 { // st, tx:rx, tr:when, retrnsmt, uid, timeout, inode
		w, l = word(l)
	}
	src, ok1 := parseAddrPort(local)
	dst, ok2 := parseAddrPort(remote)
	if !ok1 || !ok2 || len(w) == 0 {
		return f, false
	}
	f.Ino, _ = decimal(w)
	SetInet(&f, proto, src, dst)
	return f, true
}

func parseAddrPort(b []byte) (netip.AddrPort, bool) {
	var a [16]byte
	n := 0
	for n < len(a) && len(b) >= 8 && b[0] != ':' {
		v, rest := hex(b[:8])
		if len(rest) != 0 {
			return netip.AddrPort{}, false
		}
		binary.NativeEndian.PutUint32(a[n:], uint32(v))
		n, b = n+4, b[8:]
	}
	if len(b) < 2 || b[0] != ':' || n != 4 && n != 16 {
		return netip.AddrPort{}, false
	}
	port, rest := hex(b[1:])
	addr, _ := netip.AddrFromSlice(a[:n])
	return netip.AddrPortFrom(addr, uint16(port)), len(rest) == 0
}

// SetInet makes f an IP socket with these ends, the local one as source. One
// that is bound and without a peer is a server, one that is not even bound has
// no ends. A connection between two IPv4 addresses is IPv4, even if it is made
// through IPv6.
func SetInet(f *event.FDInfo, proto event.L4Proto, local, remote netip.AddrPort) {
	if local.Addr().Is4In6() && remote.Addr().Is4In6() {
		local = netip.AddrPortFrom(local.Addr().Unmap(), local.Port())
		remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	}
	f.Proto, f.Source, f.Dest = proto, local, netip.AddrPort{}
	v6 := event.FDType(0)
	if local.Addr().Is6() {
		v6 = event.FDIPv6 - event.FDIPv4
	}
	switch {
	case remote.Port() != 0 || remote.IsValid() && !remote.Addr().IsUnspecified():
		f.Type, f.Dest = event.FDIPv4+v6, remote
	case local.Port() != 0:
		f.Type = event.FDIPv4Server + v6
	default:
		f.Type, f.Source = event.FDIPv4+v6, netip.AddrPort{}
	}
}

// parseUnix reads a line of net/unix: address, reference count, protocol,
// flags, type, state, inode, path. The address is that of the kernel's object
// if we may see it.
func parseUnix(l []byte, _ event.L4Proto) (event.FDInfo, bool) {
	f := event.FDInfo{Type: event.FDUnix}
	num, l := word(l)
	var w []byte
	for range 6 {
		w, l = word(l)
	}
	if len(num) == 0 || len(w) == 0 {
		return f, false
	}
	f.UnixSource, _ = hex(num)
	f.Ino, _ = decimal(w)
	f.Name = clip([]byte(strings.TrimPrefix(string(l), " ")))
	return f, true
}

// parseNetlink reads a line of net/netlink, which ends with the inode.
func parseNetlink(l []byte, _ event.L4Proto) (event.FDInfo, bool) {
	f := event.FDInfo{Type: event.FDNetlink}
	w := lastWord(l)
	if len(w) == 0 {
		return f, false
	}
	f.Ino, _ = decimal(w)
	return f, true
}
