package procfs

import (
	"bytes"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

// Machine describes the host. What cannot be read is 0 or empty.
func (r *Reader) Machine() event.Machine {
	m := event.Machine{BootTime: r.boot}
	if b, err := os.ReadFile("/sys/devices/system/cpu/online"); err == nil {
		m.CPUs = countRanges(strings.TrimSpace(string(b)))
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.Memory = uint64(info.Totalram) * uint64(info.Unit)
	}
	if b, err := r.read("sys/kernel/pid_max", 64); err == nil {
		m.MaxPID, _ = decimal(b)
	}
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		name, _, _ := bytes.Cut(uts.Nodename[:], []byte{0})
		m.Hostname = string(name)
	}
	return m
}

// countRanges counts the members of a list such as 0-3,8.
func countRanges(s string) uint32 {
	var n uint64
	for part := range strings.SplitSeq(s, ",") {
		from, to, isRange := strings.Cut(part, "-")
		a, _ := decimal([]byte(from))
		b, _ := decimal([]byte(to))
		switch {
		case part == "":
		case !isRange:
			n++
		case b >= a:
			n += b - a + 1
		}
	}
	return uint32(n)
}

// The types of [event.Interface].
const (
	interfaceIPv4 = 1
	interfaceIPv6 = 2
)

// Interfaces returns the addresses of the network interfaces of our network namespace.
func Interfaces() ([]event.Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var list []event.Interface
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			continue // it went away meanwhile
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				list = append(list, newInterface(i, n))
			}
		}
	}
	return list, nil
}

func newInterface(i net.Interface, n *net.IPNet) event.Interface {
	ip, mask := n.IP.To4(), n.Mask
	if ip == nil {
		return event.Interface{Name: i.Name, Type: interfaceIPv6, Addr: n.IP.To16(), Netmask: mask,
			Broadcast: make([]byte, net.IPv6len)}
	}
	broadcast := make([]byte, net.IPv4len)
	if i.Flags&net.FlagBroadcast != 0 && len(mask) == len(ip) {
		for b := range broadcast {
			broadcast[b] = ip[b] | ^mask[b]
		}
	}
	return event.Interface{Name: i.Name, Type: interfaceIPv4, Addr: ip, Netmask: mask, Broadcast: broadcast}
}
