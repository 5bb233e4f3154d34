package event

import "net/netip"

// FDType is the type of a descriptor, with the numbers of capture files.
type FDType int8

// The descriptor types.
const (
	FDUninitialized FDType = -1
	FDUnknown       FDType = 0
	FDFile          FDType = 1
	FDDirectory     FDType = 2
	FDIPv4          FDType = 3 // connection, or socket with a peer
	FDIPv6          FDType = 4
	FDIPv4Server    FDType = 5 // listening or bound socket
	FDIPv6Server    FDType = 6
	FDPipe          FDType = 7
	FDUnix          FDType = 8
	FDEvent         FDType = 9
	FDUnsupported   FDType = 10
	FDSignal        FDType = 11
	FDEventPoll     FDType = 12
	FDInotify       FDType = 13
	FDTimer         FDType = 14
	FDNetlink       FDType = 15
	FDFileV2        FDType = 16 // file with open flags and device
	FDBPF           FDType = 17
	FDUserfault     FDType = 18
	FDIOUring       FDType = 19
	FDMemfd         FDType = 20
	FDPidfd         FDType = 21
)

var fdTypes = [...]struct {
	letter byte
	word   string
}{
	{'o', ""}, {'f', "file"}, {'d', "directory"}, {'4', "ipv4"}, {'6', "ipv6"}, {'4', "ipv4"}, {'6', "ipv6"},
	{'p', "pipe"}, {'u', "unix"}, {'e', "event"}, {'X', ""}, {'s', "signalfd"}, {'l', "eventpoll"}, {'i', "inotify"},
	{'t', "timerfd"}, {'n', "netlink"}, {'f', "file"}, {'b', "bpf"}, {'u', "userfaultfd"}, {'r', "io_uring"},
	{'m', "memfd"}, {'P', "pidfd"},
}

// Letter returns the type's letter (fd.typechar), '?' if it is not known.
func (t FDType) Letter() byte {
	if t < 0 || int(t) >= len(fdTypes) {
		return '?'
	}
	return fdTypes[t].letter
}

// Word returns the type's word (fd.type), or "" if it has none.
func (t FDType) Word() string {
	if t < 0 || int(t) >= len(fdTypes) {
		return ""
	}
	return fdTypes[t].word
}

// IsFile reports whether the descriptor is a regular or special file.
func (t FDType) IsFile() bool { return t == FDFile || t == FDFileV2 }

// IsIP reports whether the descriptor is an IPv4 or IPv6 socket.
func (t FDType) IsIP() bool { return t >= FDIPv4 && t <= FDIPv6Server }

// IsServer reports whether the descriptor is a bound IP socket without peer.
func (t FDType) IsServer() bool { return t == FDIPv4Server || t == FDIPv6Server }

// L4Proto is the transport protocol of an IP socket, with the numbers of capture files.
type L4Proto uint8

// The transport protocols.
const (
	L4Unknown L4Proto = 0
	L4NA      L4Proto = 1
	L4TCP     L4Proto = 2
	L4UDP     L4Proto = 3
	L4ICMP    L4Proto = 4
	L4Raw     L4Proto = 5
)

// String returns tcp, udp, icmp or raw, or "".
func (p L4Proto) String() string {
	return [...]string{"", "", "tcp", "udp", "icmp", "raw", "", ""}[p&7]
}

// FDInfo is what is known about a descriptor. Which fields have a meaning
// depends on the type.
type FDInfo struct {
	Num       int64
	Type      FDType
	Proto     L4Proto
	OpenFlags uint32 // file_flags bits
	Dev       uint32 // device of a file, as in struct stat of the kernel's 32-bit encoding
	Ino       uint64
	Name      string // path, or text for what has no path; empty for IP sockets
	// Source and Dest are the two ends of an IP connection: the client's first.
	// A server socket has its own address in Source.
	Source, Dest netip.AddrPort
	// Server is set when the process is the end of a connection that was connected to.
	Server bool
	// UnixSource and UnixDest are kernel addresses of the two ends of a unix socket.
	UnixSource, UnixDest uint64
}
