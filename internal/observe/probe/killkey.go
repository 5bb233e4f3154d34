package probe

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

// Opened says which files a Kill is about: regular ones, devices and the like, but no directories, that are opened by an
// absolute name without links, dots and double slashes. What is reached in another way is not what the name says.
type Opened struct {
	// Name is that name, at most 247 bytes. With Below, it is what the name begins with.
	Name  string
	Below bool
	// Reads and Writes limit it to files that are opened for reading, for writing, or for both.
	Reads, Writes bool
}

// Connected says what a Kill is about: TCP sockets that connect to an address in Net, and port Port. IPv4 through a
// socket of IPv6 is not what Net says.
type Connected struct {
	Net netip.Prefix
	// Port is 0 for all.
	Port uint16
	// Done limits it to connects that return 0, so are not finished in the background.
	Done bool
}

// The bits that the keys of tries have before the name or the address.
const trieHeader = 8 * 4

// openTypes are the events that Opened can be about.
var openTypes = []event.Type{event.SYSCALL_OPEN_X, event.SYSCALL_OPENAT_2_X, event.SYSCALL_OPENAT2_X}

// key returns what the programs look up for one of the types.
func (o *Opened) key(t event.Type) (bpfKillName, error) {
	key := bpfKillName{Type: uint16(t), Prefixlen: uint32(trieHeader + 8*len(o.Name))}
	switch {
	case !slices.Contains(openTypes, t):
		return key, fmt.Errorf("kill at an open of %q: %s opens no file by a name", o.Name, t)
	case !strings.HasPrefix(o.Name, "/") || len(o.Name) >= len(key.Name) || !o.Below && (path.Clean(o.Name) != o.Name || o.Name == "/"):
		return key, fmt.Errorf("kill at an open of %q: not an absolute path in its shortest form, of at most %d bytes", o.Name, len(key.Name)-1)
	}
	for i := range len(o.Name) {
		key.Name[i] = int8(o.Name[i])
	}
	if !o.Below {
		key.Prefixlen += 8 // the NUL
	}
	if o.Reads {
		key.Access |= uint8(bpfKillAccessKILL_READS)
	}
	if o.Writes {
		key.Access |= uint8(bpfKillAccessKILL_WRITES)
	}
	return key, nil
}

// key is as that of Opened.
func (c *Connected) key(t event.Type) (bpfKillPeer, error) {
	key := bpfKillPeer{Port: c.Port, Prefixlen: uint32(trieHeader + c.Net.Bits())}
	addr := c.Net.Masked().Addr()
	switch {
	case t != event.SOCKET_CONNECT_X:
		return key, fmt.Errorf("kill at a connect to %s: %s is not one", c.Net, t)
	case !c.Net.IsValid() || addr.Is4In6():
		return key, fmt.Errorf("kill at a connect to %s: not a network of IPv4 or IPv6", c.Net)
	case addr.Is4():
		key.Family = unix.AF_INET
	default:
		key.Family = unix.AF_INET6
	}
	copy(key.Addr[:], addr.AsSlice())
	if c.Done {
		key.Done = 1
	}
	return key, nil
}

// The keys of tries, cut to their first bits as entries have them: zeros follow.

func (k bpfKillName) Length() uint32 { return k.Prefixlen }
func (k bpfKillPeer) Length() uint32 { return k.Prefixlen }

func (k bpfKillName) Shortened(bits uint32) bpfKillName {
	k.Prefixlen = bits
	clear(k.Name[(bits-trieHeader)/8:])
	return k
}

func (k bpfKillPeer) Shortened(bits uint32) bpfKillPeer {
	k.Prefixlen = bits
	n := bits - trieHeader
	if n%8 != 0 {
		k.Addr[n/8] &= 0xff << (8 - n%8)
		n += 8 - n%8
	}
	clear(k.Addr[n/8:])
	return k
}
