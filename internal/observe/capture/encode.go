package capture

import (
	"encoding/binary"
	"fmt"
	"math"
	"net"

	"rollcage/internal/observe/event"
)

var zeroes [hostnameSize]byte

// appendBlock appends a block whose body is made by fill.
func appendBlock(b []byte, number uint32, fill func([]byte) []byte) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, number)
	b = fill(binary.LittleEndian.AppendUint32(b, 0))
	return endBlock(b, start)
}

// endBlock pads the block that starts at b[start:] and fills its size in.
func endBlock(b []byte, start int) []byte {
	b = append(b, zeroes[:padding(len(b)-start)]...)
	total := uint32(len(b) - start + blockTrailer)
	binary.LittleEndian.PutUint32(b[start+4:], total)
	return binary.LittleEndian.AppendUint32(b, total)
}

// appendText appends a string with its length in front, cut to limit bytes.
func appendText(b []byte, s string, limit int) []byte {
	s = s[:min(len(s), limit)]
	return append(binary.LittleEndian.AppendUint16(b, uint16(len(s))), s...)
}

// appendList appends the items, each with a NUL, cut to what a list may hold.
func appendList(b []byte, items []string) []byte {
	at := len(b)
	b = append(b, 0, 0)
	for _, s := range items {
		room := maxList - 1 - (len(b) - at - 2)
		if room <= 0 {
			break
		}
		b = append(append(b, s[:min(len(s), room)]...), 0)
	}
	binary.LittleEndian.PutUint16(b[at:], uint16(len(b)-at-2))
	return b
}

// appendSnapshot appends the start of a file: all metadata blocks, then the
// events that belong to the state.
func appendSnapshot(b []byte, s *event.Snapshot) ([]byte, error) {
	b = appendBlock(b, sectionHeader, func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint32(b, sectionMagic)
		b = binary.LittleEndian.AppendUint16(b, majorVersion)
		b = binary.LittleEndian.AppendUint16(b, minorVersion)
		return binary.LittleEndian.AppendUint64(b, math.MaxUint64) // length not known
	})
	b = appendBlock(b, machineInfo, func(b []byte) []byte { return appendMachine(b, &s.Machine) })
	if len(s.Interfaces) > 0 {
		b = appendBlock(b, interfaceList, func(b []byte) []byte { return appendInterfaces(b, s.Interfaces) })
	}
	if len(s.Users)+len(s.Groups) > 0 {
		b = appendBlock(b, userList, func(b []byte) []byte { return appendUsers(b, s) })
	}
	if len(s.Threads) > 0 {
		size := len(b)
		b = appendBlock(b, threadList, func(b []byte) []byte {
			for _, t := range s.Threads {
				b = appendThread(b, t)
			}
			return b
		})
		if len(b)-size > math.MaxUint32 {
			return b, fmt.Errorf("the %d threads of the snapshot do not fit a capture", len(s.Threads))
		}
	}
	for _, t := range s.Threads {
		b = appendBlock(b, fdList, func(b []byte) []byte { return appendFDs(b, t) })
	}
	return b, nil
}

func appendMachine(b []byte, m *event.Machine) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(le.AppendUint64(le.AppendUint32(b, m.CPUs), m.Memory), m.MaxPID)
	name := m.Hostname[:min(len(m.Hostname), hostnameSize-1)]
	b = append(append(b, name...), zeroes[:hostnameSize-len(name)]...)
	b = le.AppendUint64(le.AppendUint64(b, m.BootTime), m.Flags)
	return append(b, zeroes[:16]...)
}

func appendInterfaces(b []byte, list []event.Interface) []byte {
	le := binary.LittleEndian
	for i := range list {
		in, width, start := &list[i], net.IPv4len, len(b)
		if in.Type == 2 {
			width = net.IPv6len
		}
		name := in.Name[:min(len(in.Name), maxIfName)]
		b = le.AppendUint32(b, 0)
		b = le.AppendUint16(le.AppendUint16(b, in.Type), uint16(len(name)))
		for _, a := range [][]byte{in.Addr, in.Netmask, in.Broadcast} {
			a = a[:min(len(a), width)]
			b = append(append(b, a...), zeroes[:width-len(a)]...)
		}
		b = append(le.AppendUint64(b, in.LinkSpeed), name...)
		le.PutUint32(b[start:], uint32(len(b)-start-4))
	}
	return b
}

// appendUsers appends those of the host; those of containers are events.
func appendUsers(b []byte, s *event.Snapshot) []byte {
	le := binary.LittleEndian
	for i := range s.Users {
		if u, start := &s.Users[i], len(b); u.Container == "" {
			b = append(le.AppendUint32(b, 0), 0)
			b = le.AppendUint32(le.AppendUint32(b, u.UID), u.GID)
			b = appendText(appendText(appendText(b, u.Name, maxUser), u.Home, maxUser), u.Shell, maxUser)
			le.PutUint32(b[start:], uint32(len(b)-start))
		}
	}
	for i := range s.Groups {
		if g, start := &s.Groups[i], len(b); g.Container == "" {
			b = append(le.AppendUint32(b, 0), 1)
			b = appendText(le.AppendUint32(b, g.GID), g.Name, maxUser)
			le.PutUint32(b[start:], uint32(len(b)-start))
		}
	}
	return b
}

func appendThread(b []byte, t *event.ThreadInfo) []byte {
	le, start := binary.LittleEndian, len(b)
	cwd := t.Cwd
	if cwd == "" && t.TID == t.PID {
		cwd = "/"
	}
	b = le.AppendUint32(b, 0)
	for _, v := range [...]int64{t.TID, t.PID, t.PTID, t.SID, t.VPGID} {
		b = le.AppendUint64(b, uint64(v))
	}
	b = appendText(appendText(appendText(b, t.Comm, maxPath), t.Exe, maxPath), t.ExePath, maxPath)
	b = appendText(appendList(b, t.Args), cwd, maxPath)
	b = le.AppendUint64(b, t.FDLimit)
	for _, v := range [...]uint32{t.Flags, t.UID, t.GID, t.VMSize, t.VMRSS, t.VMSwap} {
		b = le.AppendUint32(b, v)
	}
	b = appendList(le.AppendUint64(le.AppendUint64(b, t.PFMajor), t.PFMinor), t.Env)
	b = appendList(le.AppendUint64(le.AppendUint64(b, uint64(t.VTID)), uint64(t.VPID)), t.Cgroups)
	b = appendText(b, t.Root, maxPath)
	b = appendThreadTail(b, t)
	le.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

func appendThreadTail(b []byte, t *event.ThreadInfo) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(le.AppendUint64(b, t.PidnsInitStart), t.TTY)
	b = append(le.AppendUint32(b, t.LoginUID), bit(t.ExeWritable))
	b = le.AppendUint64(le.AppendUint64(le.AppendUint64(b, t.CapInheritable), t.CapPermitted), t.CapEffective)
	b = append(b, bit(t.ExeUpperLayer))
	b = le.AppendUint64(le.AppendUint64(le.AppendUint64(b, t.ExeIno), t.ExeCtime), t.ExeMtime)
	b = append(b, bit(t.ExeFromMemfd), bit(t.ExeLowerLayer))
	return le.AppendUint64(b, uint64(t.PGID))
}

func bit(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// appendFDs appends the descriptors of a thread. Those of a process are with its main thread.
func appendFDs(b []byte, t *event.ThreadInfo) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(t.TID))
	if t.TID != t.PID {
		return b
	}
	for i := range t.FDs {
		if typ := t.FDs[i].Type; typ > event.FDUnknown && typ <= event.FDPidfd {
			b = appendFD(b, &t.FDs[i])
		}
	}
	return b
}

// stateEvents returns the events that complete the metadata blocks: users and
// groups, of containers too, then the containers.
func stateEvents(s *event.Snapshot) ([][]byte, error) {
	var events [][]byte
	for i := range s.Users {
		u := &s.Users[i]
		b, err := event.Append(nil, 0, -1, event.USER_ADDED_E, u.UID, u.GID, u.Name, u.Home, u.Shell, u.Container)
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", u.Name, err)
		}
		events = append(events, b)
	}
	for i := range s.Groups {
		g := &s.Groups[i]
		b, err := event.Append(nil, 0, -1, event.GROUP_ADDED_E, g.GID, g.Name, g.Container)
		if err != nil {
			return nil, fmt.Errorf("group %s: %w", g.Name, err)
		}
		events = append(events, b)
	}
	return append(events, s.Meta...), nil
}
