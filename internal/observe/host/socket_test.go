package host

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"rollcage/internal/observe/event"
)

const (
	local4, remote4 = "10.0.0.5:41000", "93.184.216.34:443"
	local6, remote6 = "[2001:db8::5]:41000", "[2001:db8::1]:443"
	tcp, udp        = 1, 2 // SOCK_STREAM, SOCK_DGRAM
)

// socket opens descriptor 7 of the shell.
func (r *run) socket(family, typ int) {
	r.Helper()
	r.do(100, event.SOCKET_SOCKET_X, 7, family, typ, 0, 0)
}

// net is what the tests of sockets look at.
type net struct {
	typ       event.FDType
	name      string
	role      Role
	connected bool
}

func netOf(fd *FD) net {
	if fd == nil {
		return net{typ: event.FDUninitialized}
	}
	return net{fd.Type, fd.Name, fd.Role, fd.Connected}
}

func TestConnect(t *testing.T) {
	for name, tt := range map[string]struct {
		family int
		values []any
		want   net
	}{
		"IPv4": {2, []any{0, tuple(local4, remote4), 7, sockaddr(remote4)},
			net{event.FDIPv4, "10.0.0.5:41000->93.184.216.34:443", RoleClient, true}},
		"IPv6": {10, []any{0, tuple(local6, remote6), 7, sockaddr(remote6)},
			net{event.FDIPv6, "2001:db8::5:41000->2001:db8::1:443", RoleClient, true}},
		"IPv4 through IPv6": {10, []any{0, tuple("[::ffff:10.0.0.5]:1", "[::ffff:10.0.0.6]:2"), 7, nil},
			net{event.FDIPv4, "10.0.0.5:1->10.0.0.6:2", RoleClient, true}},
		"in the background": {2, []any{inProgress, tuple(local4, remote4), 7, nil},
			net{event.FDIPv4, "10.0.0.5:41000->93.184.216.34:443", RoleClient, false}},
		"that fails": {2, []any{-111, tuple(local4, remote4), 7, nil}, net{event.FDIPv4, "", RoleNone, false}},
		"without a tuple": {2, []any{0, nil, 7, sockaddr(remote4)},
			net{event.FDIPv4, "0.0.0.0:0->93.184.216.34:443", RoleClient, true}},
		"whose peer the kernel has not stored yet": {10, []any{0, tuple("[::ffff:10.0.0.5]:1", "[::]:80"), 7, sockaddr("[::ffff:10.0.0.6]:80")},
			net{event.FDIPv4, "10.0.0.5:1->10.0.0.6:80", RoleClient, true}},
		"to nobody, which takes the peer away": {2, []any{0, tuple("0.0.0.0:0", "0.0.0.0:0"), 7, nil},
			net{event.FDIPv4, "0.0.0.0:0->0.0.0.0:0", RoleClient, false}},
		"unix": {1, []any{0, unixTuple(0, 0xffff88003c420800, "/run/x.sock"), 7, nil},
			net{event.FDUnix, "0->ffff88003c420800 /run/x.sock", RoleClient, true}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, Options{})
			r.socket(tt.family, tcp)
			he := r.do(100, event.SOCKET_CONNECT_X, tt.values...)
			if got := netOf(he.FD); got != tt.want || he.FDNum != 7 {
				t.Errorf("got %+v\nwant %+v", got, tt.want)
			}
			if he.NameChanged != (tt.want.name != "") {
				t.Errorf("name changed: %v", he.NameChanged)
			}
		})
	}
	t.Run("of a socket that was missed makes one", func(t *testing.T) {
		r := newRun(t, Options{})
		he := r.do(100, event.SOCKET_CONNECT_X, 0, tuple(local4, remote4), 7, nil)
		if got := netOf(he.FD); got.name != "10.0.0.5:41000->93.184.216.34:443" || he.FD != r.fd(100, 7) {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("prefers the address of the enter event to one that may have been changed", func(t *testing.T) {
		r := newRun(t, Options{})
		r.socket(2, tcp)
		r.do(100, event.SOCKET_CONNECT_E, 7, sockaddr("6.6.6.6:66"))
		he := r.do(100, event.SOCKET_CONNECT_X, 0, tuple(local4, remote4), 7, sockaddr(remote4))
		if he.FD.Name != "10.0.0.5:41000->6.6.6.6:66" {
			t.Errorf("name %q", he.FD.Name)
		}
	})
}

func TestConnectInTheBackgroundEnds(t *testing.T) {
	errno := func(n int64) []byte { return binary.LittleEndian.AppendUint64([]byte{0}, uint64(n)) }
	for name, tt := range map[string]struct {
		typ       event.Type
		values    []any
		connected bool
	}{
		"SO_ERROR says success": {event.SOCKET_GETSOCKOPT_X, []any{0, 7, 1, 4, errno(0), 4}, true},
		"SO_ERROR says failure": {event.SOCKET_GETSOCKOPT_X, []any{0, 7, 1, 4, errno(-111), 4}, false},
		"another option":        {event.SOCKET_GETSOCKOPT_X, []any{0, 7, 1, 3, errno(0), 4}, false},
		"data is sent":          {event.SYSCALL_WRITE_X, []any{5, []byte("hello"), 7, 5}, true},
		"data is received":      {event.SOCKET_RECVFROM_X, []any{5, []byte("hello"), nil, 7, 5}, true},
		"sending fails":         {event.SYSCALL_WRITE_X, []any{-11, nil, 7, 5}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, Options{})
			r.socket(2, tcp)
			r.do(100, event.SOCKET_CONNECT_X, inProgress, tuple(local4, remote4), 7, nil)
			if he := r.do(100, tt.typ, tt.values...); he.FD.Connected != tt.connected {
				t.Errorf("connected %v", he.FD.Connected)
			}
		})
	}
}

func TestServer(t *testing.T) {
	r := newRun(t, Options{})
	r.socket(2, tcp)
	he := r.do(100, event.SOCKET_BIND_X, 0, sockaddr("0.0.0.0:80"), 7)
	if got := netOf(he.FD); got != (net{event.FDIPv4Server, "0.0.0.0:80", RoleServer, false}) || !he.NameChanged || he.OldName != "" {
		t.Errorf("bind: %+v", got)
	}
	r.do(100, event.SOCKET_LISTEN_X, 0, 7, 5)
	he = r.do(100, event.SOCKET_ACCEPT4_6_X, 8, tuple("1.2.3.4:555", "10.0.0.5:80"), 0, 0, 5, sockCloexec)
	if got := netOf(he.FD); got != (net{event.FDIPv4, "1.2.3.4:555->10.0.0.5:80", RoleServer, true}) || he.FDNum != 8 {
		t.Errorf("accept: %+v, number %d", got, he.FDNum)
	}
	if he.FD.Proto != event.L4TCP || !he.FD.CloseOnExec || he.FD.Source != netip.MustParseAddrPort("1.2.3.4:555") {
		t.Errorf("accept: %+v", he.FD)
	}
	he = r.do(100, event.SOCKET_ACCEPT_5_X, 9, unixTuple(1, 2, "/run/s"), 0, 0, 5)
	if got := netOf(he.FD); got != (net{event.FDUnix, "1->2 /run/s", RoleServer, true}) {
		t.Errorf("unix accept: %+v", got)
	}
	if he = r.do(100, event.SOCKET_ACCEPT_5_X, -11, nil, 0, 0, 5); he.FD != nil || he.FDNum != -1 {
		t.Errorf("accept that fails: %+v", he.FD)
	}
	if he = r.do(100, event.SOCKET_SHUTDOWN_X, 0, 8, 2); he.FD.Connected {
		t.Error("still connected after shutdown")
	}
}

func TestBind(t *testing.T) {
	for name, tt := range map[string]struct {
		family int
		addr   []byte
		res    int
		want   net
	}{
		"a port makes a server":       {2, sockaddr("10.0.0.5:80"), 0, net{event.FDIPv4Server, "10.0.0.5:80", RoleServer, false}},
		"no port makes none":          {2, sockaddr("10.0.0.5:0"), 0, net{event.FDIPv4, "10.0.0.5:0", RoleNone, false}},
		"IPv6":                        {10, sockaddr("[2001:db8::5]:80"), 0, net{event.FDIPv6Server, "2001:db8::5:80", RoleServer, false}},
		"any address of both":         {10, sockaddr("[::]:80"), 0, net{event.FDIPv6Server, ":::80", RoleServer, false}},
		"IPv4 through IPv6":           {10, sockaddr("[::ffff:10.0.0.5]:80"), 0, net{event.FDIPv4Server, "10.0.0.5:80", RoleServer, false}},
		"unix":                        {1, append([]byte{1}, "/run/s\x00"...), 0, net{event.FDUnix, "/run/s", RoleNone, false}},
		"one that fails":              {2, sockaddr("10.0.0.5:80"), -98, net{event.FDIPv4, "", RoleNone, false}},
		"an address that is cut":      {2, []byte{2, 10, 0}, 0, net{event.FDIPv4, "", RoleNone, false}},
		"an address of another world": {2, []byte{99, 1, 2, 3, 4, 5, 6, 7}, 0, net{event.FDIPv4, "", RoleNone, false}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, Options{})
			r.socket(tt.family, udp)
			if got := netOf(r.do(100, event.SOCKET_BIND_X, tt.res, tt.addr, 7).FD); got != tt.want {
				t.Errorf("got %+v\nwant %+v", got, tt.want)
			}
		})
	}
	t.Run("listening without a port makes a server", func(t *testing.T) {
		r := newRun(t, Options{})
		r.socket(2, tcp)
		r.do(100, event.SOCKET_BIND_X, 0, sockaddr("10.0.0.5:0"), 7)
		if got := netOf(r.do(100, event.SOCKET_LISTEN_X, 0, 7, 5).FD); got.role != RoleServer || got.typ != event.FDIPv4Server {
			t.Errorf("got %+v", got)
		}
	})
}

func TestDatagramsNameTheirSocket(t *testing.T) {
	r := newRun(t, Options{})
	r.socket(2, udp)
	sent := func(res int, to string) *Event {
		return r.do(100, event.SOCKET_SENDTO_X, res, []byte("x"), 7, 1, tuple("0.0.0.0:5000", to))
	}
	he := sent(1, "8.8.8.8:53")
	if got := netOf(he.FD); got != (net{event.FDIPv4, "0.0.0.0:5000->8.8.8.8:53", RoleClient, false}) || !he.NameChanged || he.OldName != "" {
		t.Errorf("first: %+v, changed %v", got, he.NameChanged)
	}
	if he = sent(1, "8.8.8.8:53"); he.NameChanged {
		t.Error("the same peer changed the name")
	}
	if he = sent(1, "9.9.9.9:53"); !he.NameChanged || he.OldName != "0.0.0.0:5000->8.8.8.8:53" || he.FD.Name != "0.0.0.0:5000->9.9.9.9:53" {
		t.Errorf("another peer: %q, was %q", he.FD.Name, he.OldName)
	}
	if he = sent(-1, "7.7.7.7:53"); he.NameChanged {
		t.Error("a send that failed changed the name")
	}
	he = r.do(100, event.SOCKET_RECVFROM_X, 1, []byte("x"), tuple("9.9.9.9:53", "0.0.0.0:5000"), 7, 1)
	if he.NameChanged || he.FD.Role != RoleClient {
		t.Errorf("the answer: %q, role %d", he.FD.Name, he.FD.Role)
	}
}

func TestDatagramServerSeesTheClientFirst(t *testing.T) {
	r := newRun(t, Options{})
	r.socket(2, udp)
	r.do(100, event.SOCKET_BIND_X, 0, sockaddr("10.0.0.5:53"), 7)
	he := r.do(100, event.SOCKET_RECVMSG_X, 1, 1, []byte("x"), tuple("1.2.3.4:999", "10.0.0.5:53"), nil, 7)
	if got := netOf(he.FD); got != (net{event.FDIPv4, "1.2.3.4:999->10.0.0.5:53", RoleServer, false}) || he.OldName != "10.0.0.5:53" {
		t.Errorf("received: %+v, was %q", got, he.OldName)
	}
	he = r.do(100, event.SOCKET_SENDMSG_X, 1, []byte("x"), 7, 1, tuple("10.0.0.5:53", "1.2.3.4:999"))
	if he.NameChanged {
		t.Errorf("the answer changed the name to %q", he.FD.Name)
	}
}

func TestUnboundSocketsOfASnapshotTakeTheirRoleFromTheFirstMessage(t *testing.T) {
	snap := smallHost()
	own := netip.MustParseAddrPort("0.0.0.0:514")
	snap.Threads[1].FDs = append(snap.Threads[1].FDs,
		event.FDInfo{Num: 8, Type: event.FDIPv4Server, Proto: event.L4UDP, Source: own},
		event.FDInfo{Num: 9, Type: event.FDIPv4Server, Proto: event.L4UDP, Source: own})
	snap.Interfaces = []event.Interface{
		{Name: "lo", Type: 1, Addr: []byte{127, 0, 0, 1}, Netmask: []byte{255, 0, 0, 0}},
		{Name: "eth0", Type: 1, Addr: []byte{10, 0, 0, 5}, Netmask: []byte{255, 255, 255, 0}},
	}
	r := newRun(t, Options{})
	r.Load(snap)
	for _, tt := range []struct{ to, want string }{
		{"127.0.0.1:5", "127.0.0.1:514->127.0.0.1:5"}, {"10.0.0.9:5", "10.0.0.5:514->10.0.0.9:5"}, {"8.8.8.8:5", "10.0.0.5:514->8.8.8.8:5"},
	} {
		he := r.do(100, event.SOCKET_SENDTO_X, 1, []byte("x"), 8, 1, tuple("0.0.0.0:514", tt.to))
		if he.FD.Name != tt.want || he.FD.Role != RoleClient {
			t.Errorf("to %s: %q, role %d", tt.to, he.FD.Name, he.FD.Role)
		}
	}
	he := r.do(100, event.SOCKET_RECVFROM_X, 1, []byte("x"), tuple("10.0.0.9:5", "0.0.0.0:514"), 9, 1)
	if he.FD.Name != "10.0.0.9:5->10.0.0.5:514" || he.FD.Role != RoleServer {
		t.Errorf("received: %q, role %d", he.FD.Name, he.FD.Role)
	}
}

func TestSendOnAMissedSocketMakesOne(t *testing.T) {
	r := newRun(t, Options{})
	he := r.do(100, event.SOCKET_SENDTO_X, 1, []byte("x"), 7, 1, tuple("10.0.0.5:1", "8.8.8.8:53"))
	if got := netOf(he.FD); got.name != "10.0.0.5:1->8.8.8.8:53" || he.FD.Proto != event.L4UDP {
		t.Errorf("got %+v", got)
	}
	if he = r.do(100, event.SOCKET_SENDTO_X, -9, nil, 8, 1, tuple("10.0.0.5:1", "8.8.8.8:53")); he.FD != nil {
		t.Error("a send that failed made a socket")
	}
}

func TestConnectionKeepsItsEnds(t *testing.T) {
	r := newRun(t, Options{})
	r.socket(2, tcp)
	r.do(100, event.SOCKET_CONNECT_X, 0, tuple(local4, remote4), 7, nil)
	he := r.do(100, event.SOCKET_SENDTO_X, 1, []byte("x"), 7, 1, tuple("1.1.1.1:1", "2.2.2.2:2"))
	if he.NameChanged || he.FD.Name != "10.0.0.5:41000->93.184.216.34:443" {
		t.Errorf("name %q", he.FD.Name)
	}
}

func TestUnixSockets(t *testing.T) {
	r := newRun(t, Options{})
	he := r.do(100, event.SOCKET_SOCKETPAIR_X, 0, 7, 8, 0xa, 0xb, 1, 1|sockCloexec, 0)
	if he.FDNum != 8 || he.FD.UnixSource != 0xb || r.fd(100, 7).UnixSource != 0xa || !he.FD.CloseOnExec || !he.FD.Connected {
		t.Errorf("socketpair: %d %+v %+v", he.FDNum, he.FD, r.fd(100, 7))
	}
	he = r.do(100, event.SOCKET_RECVMSG_X, 1, 1, []byte("x"), unixTuple(0xb, 0xa, ""), nil, 7)
	if he.FD.Name != "b->a " || !he.NameChanged {
		t.Errorf("received: %q", he.FD.Name)
	}
	if he = r.do(100, event.SOCKET_RECVMSG_X, 1, 1, []byte("x"), unixTuple(0xb, 0xa, ""), nil, 7); he.NameChanged {
		t.Error("the same ends changed the name")
	}
	if he = r.do(100, event.SOCKET_SOCKETPAIR_X, -1, -1, -1, 0, 0, 1, 1, 0); he.FD != nil || r.need(100).FDs.Len() != 5 {
		t.Errorf("socketpair that fails: %+v", he.FD)
	}
}

// rights is a control message with descriptors.
func rights(nums ...uint32) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(16+4*len(nums)))
	b = binary.LittleEndian.AppendUint32(b, 1)
	b = binary.LittleEndian.AppendUint32(b, 1)
	for _, n := range nums {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return append(b, make([]byte, -len(b)&7)...)
}

func TestReceivedDescriptors(t *testing.T) {
	for name, tt := range map[string]struct {
		live    bool
		control []byte
		want    map[int64]string
	}{
		"are read from the running host": {true, rights(20, 21), map[int64]string{20: "/etc/passwd", 21: ""}},
		"of a capture are unknown":       {false, rights(20, 21), map[int64]string{20: "", 21: ""}},
		"in the second message":          {true, append(rights(21), rights(20)...), map[int64]string{20: "/etc/passwd", 21: ""}},
		"in a message that is cut":       {true, rights(20)[:18], nil},
		"in a message without length":    {true, make([]byte, 24), nil},
	} {
		t.Run(name, func(t *testing.T) {
			h := &fakeHost{fds: map[[2]int64]event.FDInfo{{100, 20}: {Type: event.FDFileV2, Name: "/etc/passwd"}}}
			r := newRun(t, Options{Healer: h})
			r.live = tt.live
			r.socket(1, tcp)
			r.do(100, event.SOCKET_RECVMSG_X, 1, 1, []byte("x"), nil, tt.control, 7)
			for n, name := range tt.want {
				if fd := r.fd(100, n); fd.Name != name {
					t.Errorf("descriptor %d is %q", n, fd.Name)
				}
			}
			if got := r.need(100).FDs.Len(); got != 4+len(tt.want) {
				t.Errorf("%d descriptors", got)
			}
		})
	}
}
