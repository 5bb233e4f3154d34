package action

import (
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pings reports whether a host answers to an echo request.
func pings(t *testing.T, to string) bool {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)
	if err != nil {
		t.Skip("needs a raw socket:", err)
	}
	f := os.NewFile(uintptr(fd), "icmp")
	conn, err := net.FilePacketConn(f)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	echo := []byte{8, 0, 0, 0, 0x12, 0x34, 0, 1}
	var sum uint32
	for i := 0; i < len(echo); i += 2 {
		sum += uint32(echo[i])<<8 | uint32(echo[i+1])
	}
	sum = ^(sum>>16 + sum&0xffff)
	echo[2], echo[3] = byte(sum>>8), byte(sum)
	// The first answer can take as long as the neighbour's address does to be found.
	for range 5 {
		if _, err := conn.WriteTo(echo, &net.IPAddr{IP: net.ParseIP(to)}); err != nil {
			continue
		}
		conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				break
			}
			if from.String() == to && n >= 8 && buf[0] == 0 && buf[4] == 0x12 {
				return true
			}
		}
	}
	return false
}
