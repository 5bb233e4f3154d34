package ruletest

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"rollcage/internal/observe/event"
)

// Socket families in addresses of events.
const (
	familyUnix = 1
	familyIPv4 = 2
	familyIPv6 = 10
)

// client is where connections come from when a test does not say.
var client = map[bool]netip.AddrPort{
	true:  netip.MustParseAddrPort("10.0.0.2:40000"),
	false: netip.MustParseAddrPort("[fd00::2]:40000"),
}

// descriptor reads what a descriptor stands for: /path/of/a/file, a folder
// /ending/in/, tcp or udp and one or two addresses, unix:/path, pipe.
func descriptor(word string) (event.FDInfo, error) {
	proto, rest, _ := strings.Cut(word, ":")
	switch {
	case word == "pipe":
		return event.FDInfo{Type: event.FDPipe}, nil
	case proto == "unix":
		return event.FDInfo{Type: event.FDUnix, Name: rest}, nil
	case strings.HasPrefix(word, "/") && strings.HasSuffix(word, "/"):
		return event.FDInfo{Type: event.FDDirectory, Name: strings.TrimSuffix(word, "/")}, nil
	case strings.HasPrefix(word, "/"):
		return event.FDInfo{Type: event.FDFileV2, Name: word, OpenFlags: 1}, nil
	}
	fd := event.FDInfo{Proto: event.L4TCP}
	switch proto {
	case "udp":
		fd.Proto = event.L4UDP
		fallthrough
	case "tcp":
		word = rest
	}
	from, to, connected := strings.Cut(word, "->")
	var err error
	if fd.Source, err = netip.ParseAddrPort(from); err != nil {
		return fd, fmt.Errorf("%q is no descriptor: write /a/path, a folder/ with a slash at the end, "+
			"ADDRESS:PORT->ADDRESS:PORT, tcp:ADDRESS:PORT, udp:…, unix:/path or pipe", word)
	}
	if connected {
		if fd.Dest, err = netip.ParseAddrPort(to); err != nil {
			return fd, fmt.Errorf("%q is not ADDRESS:PORT", to)
		}
	}
	fd.Type = socketType(fd.Source.Addr(), connected)
	return fd, nil
}

func socketType(a netip.Addr, connected bool) event.FDType {
	switch {
	case a.Is4() && connected:
		return event.FDIPv4
	case a.Is4():
		return event.FDIPv4Server
	case connected:
		return event.FDIPv6
	}
	return event.FDIPv6Server
}

func appendEnd(b []byte, a netip.AddrPort) []byte {
	b = append(b, a.Addr().AsSlice()...)
	return binary.LittleEndian.AppendUint16(b, a.Port())
}

func family(a netip.Addr) byte {
	if a.Is4() {
		return familyIPv4
	}
	return familyIPv6
}

// sockaddr encodes ADDRESS:PORT, or the path of a unix socket.
func sockaddr(word string) ([]byte, error) {
	if path, ok := unixPath(word); ok {
		return append(append([]byte{familyUnix}, path...), 0), nil
	}
	a, err := netip.ParseAddrPort(word)
	if err != nil {
		return nil, fmt.Errorf("%q is neither ADDRESS:PORT nor the path of a unix socket", word)
	}
	return appendEnd([]byte{family(a.Addr())}, a), nil
}

// unixPath reports whether the word is a path, with or without unix: before it.
func unixPath(word string) (string, bool) {
	if path, ok := strings.CutPrefix(word, "unix:"); ok {
		return path, true
	}
	return word, strings.HasPrefix(word, "/")
}

// socktuple encodes ADDRESS:PORT->ADDRESS:PORT, or the path of a unix socket.
// The first address may be left out.
func socktuple(word string) ([]byte, error) {
	if path, ok := unixPath(word); ok {
		b := append([]byte{familyUnix}, make([]byte, 16)...)
		b[1], b[9] = 1, 2 // the kernel's addresses of the two ends
		return append(append(b, path...), 0), nil
	}
	from, to, both := strings.Cut(word, "->")
	if !both {
		from, to = "", word
	}
	dest, err := netip.ParseAddrPort(to)
	if err != nil {
		return nil, fmt.Errorf("%q is not ADDRESS:PORT->ADDRESS:PORT", word)
	}
	source := client[dest.Addr().Is4()]
	if from != "" {
		if source, err = netip.ParseAddrPort(from); err != nil || source.Addr().Is4() != dest.Addr().Is4() {
			return nil, fmt.Errorf("%q is not ADDRESS:PORT->ADDRESS:PORT", word)
		}
	}
	return appendEnd(appendEnd([]byte{family(dest.Addr())}, source), dest), nil
}
