package capture

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"rollcage/internal/observe/event"
)

var compareAddr = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})

// snapshotOf reads the snapshot of a file made of the blocks and one event.
func snapshotOf(t *testing.T, blocks ...[]byte) *event.Snapshot {
	t.Helper()
	r, events := mustRead(t, join(header(2), join(blocks...), closeEvent(t, 1)), Options{})
	if len(events) != 1 {
		t.Fatalf("%d events, want 1", len(events))
	}
	return r.Snapshot()
}

// threadEntry builds an entry of a thread list of that version, without its
// length and tail. Absent fields leave the defaults in the wanted thread.
func threadEntry(version int) ([]byte, *event.ThreadInfo) {
	want := event.NewThreadInfo()
	want.TID, want.PID, want.PTID = 10, 10, 1
	b := raw(int64(10), int64(10), int64(1))
	if version >= 6 {
		b, want.SID = raw(b, int64(11)), 11
	}
	if version >= 8 {
		b, want.VPGID = raw(b, int64(12)), 12
	}
	b = raw(b, str("comm"), str("exe"))
	want.Comm, want.Exe = "comm", "exe"
	if version >= 7 {
		b, want.ExePath = raw(b, str("/bin/exe (deleted)")), "/bin/exe"
	}
	b = raw(b, str("-a\x00\x00-b\x00"), str("/home"), uint64(1024), uint32(0x10), uint32(1000), uint32(100))
	want.Args, want.Cwd = []string{"-a", "", "-b"}, "/home"
	want.FDLimit, want.Flags, want.UID, want.GID = 1024, 0x10, 1000, 100
	if version >= 2 {
		b = raw(b, uint32(1), uint32(2), uint32(3), uint64(4), uint64(5))
		want.VMSize, want.VMRSS, want.VMSwap, want.PFMajor, want.PFMinor = 1, 2, 3, 4, 5
	}
	if version >= 3 {
		b, want.Env = raw(b, str("A=1\x00B=2")), []string{"A=1", "B=2"}
	}
	if version >= 4 {
		b = raw(b, int64(20), int64(21), str("cpu=/a\x00memory=/b\x00"))
		want.VTID, want.VPID, want.Cgroups = 20, 21, []string{"cpu=/a", "memory=/b"}
	}
	if version >= 5 {
		b, want.Root = raw(b, str("/root")), "/root"
	}
	return b, want
}

func TestThreadListOfEachVersionFillsWhatItHas(t *testing.T) {
	numbers := [][]uint32{
		1: {0x202, 0x8000ABCD}, 2: {0x207, 0x8013ABCD}, 3: {0x209, 0x8014ABCD},
		4: {0x210}, 5: {0x211}, 6: {0x212}, 7: {0x213}, 8: {0x214},
	}
	for version, list := range numbers {
		for _, number := range list {
			entry, want := threadEntry(version)
			got := snapshotOf(t, block(number, entry)).Threads
			if diff := cmp.Diff([]*event.ThreadInfo{want}, got, compareAddr); diff != "" {
				t.Errorf("block %#x, version %d:\n%s", number, version, diff)
			}
		}
	}
}

func TestThreadListTailIsReadAsFarAsItGoes(t *testing.T) {
	tail := raw(uint64(1), uint32(2), uint32(3), uint8(1), uint64(4), uint64(5), uint64(6), uint8(1),
		uint64(7), uint64(8), uint64(9), uint8(1), uint8(1), int64(10))
	full := func(t *event.ThreadInfo) {
		t.PidnsInitStart, t.TTY, t.LoginUID, t.ExeWritable = 1, 2, 3, true
		t.CapInheritable, t.CapPermitted, t.CapEffective, t.ExeUpperLayer = 4, 5, 6, true
		t.ExeIno, t.ExeCtime, t.ExeMtime, t.ExeFromMemfd, t.ExeLowerLayer, t.PGID = 7, 8, 9, true, true, 10
	}
	for _, c := range []struct {
		name string
		tail []byte
		want func(*event.ThreadInfo)
	}{
		{"none, as in 2018", nil, func(*event.ThreadInfo) {}},
		{"login uid only, as in 2019", raw(uint32(3)), func(t *event.ThreadInfo) { t.LoginUID = 3 }},
		{"29 bytes have no namespace start", tail[12:41], func(t *event.ThreadInfo) {
			t.LoginUID, t.ExeWritable = 3, true
			t.CapInheritable, t.CapPermitted, t.CapEffective = 4, 5, 6
		}},
		{"66 bytes, as in 2023", tail[:66], func(t *event.ThreadInfo) {
			full(t)
			t.ExeFromMemfd, t.ExeLowerLayer, t.PGID = false, false, -1
		}},
		{"68 bytes, as in 2025", tail[:68], func(t *event.ThreadInfo) { full(t); t.PGID = -1 }},
		{"76 bytes, as today", tail, full},
		{"more than is known today", raw(tail, "what comes next"), full},
	} {
		t.Run(c.name, func(t *testing.T) {
			entry, want := threadEntry(9)
			c.want(want)
			b := raw(uint32(4+len(entry)+len(c.tail)), entry, c.tail)
			got := snapshotOf(t, block(threadList, b, b)).Threads
			if diff := cmp.Diff([]*event.ThreadInfo{want}, got, compareAddr); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEnvAndCwdBelongToMainThreads(t *testing.T) {
	entry, _ := threadEntry(5)
	copy(entry, raw(int64(11)))
	got := snapshotOf(t, block(0x211, entry)).Threads[0]
	if got.TID != 11 || got.PID != 10 || got.Env != nil || got.Cwd != "" {
		t.Errorf("thread %d of %d has env %q, cwd %q; want none", got.TID, got.PID, got.Env, got.Cwd)
	}
}

func TestMachineInfo(t *testing.T) {
	host := make([]byte, 128)
	copy(host, "racer")
	body := raw(uint32(8), uint64(1<<30), uint64(32768), host, uint64(99), uint64(1), uint64(0), uint64(0))
	want := event.Machine{CPUs: 8, Memory: 1 << 30, MaxPID: 32768, Hostname: "racer", BootTime: 99, Flags: 1}
	for _, number := range []uint32{0x201, 0x8002ABCD} {
		if got := snapshotOf(t, block(number, body)).Machine; got != want {
			t.Errorf("block %#x: %+v, want %+v", number, got, want)
		}
	}
	if got := snapshotOf(t).Machine.CPUs; got != 0xffffffff {
		t.Errorf("without machine info there are %d CPUs, want all ones", got)
	}
}

func TestInterfaceLists(t *testing.T) {
	ip4, ip6 := "\x0a\x00\x00\x01\xff\xff\xff\x00\x0a\x00\x00\xff", make([]byte, 48)
	ip6[0] = 0xfe
	v1 := [][]byte{
		raw(uint16(1), uint16(4), ip4, uint64(100), "eth0"), raw(uint16(2), uint16(4), ip6, uint64(100), "eth0"),
		raw(uint16(3), uint16(2), ip4, "lo"), raw(uint16(4), uint16(2), ip6, "lo"),
	}
	four := func(name string, speed uint64) event.Interface {
		return event.Interface{Name: name, Type: 1, LinkSpeed: speed,
			Addr: []byte(ip4[:4]), Netmask: []byte(ip4[4:8]), Broadcast: []byte(ip4[8:])}
	}
	six := func(name string, speed uint64) event.Interface {
		return event.Interface{Name: name, Type: 2, LinkSpeed: speed, Addr: ip6[:16], Netmask: ip6[16:32], Broadcast: ip6[32:]}
	}
	want := []event.Interface{four("eth0", 100), six("eth0", 100), four("lo", 0), six("lo", 0)}
	var v2 []byte
	for _, e := range v1 {
		v2 = raw(v2, uint32(len(e)+1), e, "?")
	}
	for number, body := range map[uint32][]byte{0x205: join(v1...), 0x8011ABCD: join(v1...), 0x219: v2} {
		got := snapshotOf(t, block(0x205, v1[0]), block(number, body)).Interfaces // the later replaces
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("block %#x:\n%s", number, diff)
		}
	}
}

func TestUserLists(t *testing.T) {
	user := raw(uint8(0), uint32(1), uint32(2), str("ann"), str("/home/ann"), str("/bin/sh"))
	group := raw(uint8(1), uint32(2), str("staff"))
	v1 := join(user, group)
	v2 := raw(uint32(len(user)+4), user, uint32(len(group)+5), group, "?")
	for number, body := range map[uint32][]byte{0x206: v1, 0x8012ABCD: v1, 0x220: v2} {
		s := snapshotOf(t, block(0x206, group, group), block(number, body))
		if diff := cmp.Diff([]event.User{{UID: 1, GID: 2, Name: "ann", Home: "/home/ann", Shell: "/bin/sh"}}, s.Users); diff != "" {
			t.Errorf("block %#x:\n%s", number, diff)
		}
		if diff := cmp.Diff([]event.Group{{GID: 2, Name: "staff"}}, s.Groups); diff != "" {
			t.Errorf("block %#x:\n%s", number, diff)
		}
	}
	r, _ := mustRead(t, join(header(2), block(0x206, v1), closeEvent(t, 1)), Options{NoUsers: true})
	if s := r.Snapshot(); s.Users != nil || s.Groups != nil {
		t.Errorf("with NoUsers there are %v and %v", s.Users, s.Groups)
	}
}

// fdEntries holds one entry of each type and the descriptor that it is.
func fdEntries(version int) ([][]byte, []event.FDInfo) {
	v6a, v6b := make([]byte, 16), make([]byte, 16)
	v6a[15], v6b[15] = 1, 2
	mapped := func(last byte) []byte {
		return raw("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x7f\x00\x00", last)
	}
	ap := netip.MustParseAddrPort
	type fd = event.FDInfo
	list := []struct {
		body []byte
		want fd
	}{
		{raw("\x0a\x00\x00\x01\x0a\x00\x00\x02", uint16(1000), uint16(80), uint8(2)),
			fd{Type: 3, Proto: event.L4TCP, Source: ap("10.0.0.1:1000"), Dest: ap("10.0.0.2:80")}},
		{raw("\x0a\x00\x00\x01\x0a\x00\x00\x02", uint16(443), uint16(2000), uint8(2)),
			fd{Type: 3, Proto: event.L4TCP, Source: ap("10.0.0.2:2000"), Dest: ap("10.0.0.1:443"), Server: true}},
		{raw(v6a, v6b, uint16(443), uint16(80), uint8(3)),
			fd{Type: 4, Proto: event.L4UDP, Source: ap("[::1]:443"), Dest: ap("[::2]:80")}},
		{raw(mapped(1), mapped(2), uint16(443), uint16(80), uint8(2)),
			fd{Type: 3, Proto: event.L4TCP, Source: ap("127.0.0.2:80"), Dest: ap("127.0.0.1:443"), Server: true}},
		{raw("\x00\x00\x00\x00", uint16(443), uint8(2)), fd{Type: 5, Proto: event.L4TCP, Source: ap("0.0.0.0:443")}},
		{raw(v6a, uint16(53), uint8(3)), fd{Type: 6, Proto: event.L4UDP, Source: ap("[::1]:53")}},
		{raw(uint64(5), uint64(6), str("/run/s")), fd{Type: 8, UnixSource: 5, UnixDest: 6, Name: "/run/s", Server: true}},
		{raw(uint64(5), uint64(6), str("")), fd{Type: 8, UnixSource: 5, UnixDest: 6}},
		{nil, fd{Type: 0}},
	}
	for _, typ := range []event.FDType{1, 2, 7, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20, 21} {
		list = append(list, struct {
			body []byte
			want fd
		}{str("name"), fd{Type: typ, Name: "name"}})
	}
	if version >= 2 {
		list = append(list, []struct {
			body []byte
			want fd
		}{
			{raw(uint32(1), str("/f"), uint32(8)), fd{Type: 16, OpenFlags: 1, Name: "/f", Dev: 8}},
			{raw(uint32(1), str("/f")), fd{Type: 16, OpenFlags: 1, Name: "/f"}},
			{raw("something new"), fd{Type: 77, Name: "unknown-type:[77]"}},
		}...)
	} else {
		list = append(list, struct {
			body []byte
			want fd
		}{raw(uint32(1), str("/f")), fd{Type: 16, OpenFlags: 1, Name: "/f"}})
	}
	var entries [][]byte
	var want []fd
	for i, e := range list {
		e.want.Num, e.want.Ino = int64(i), uint64(100+i)
		entry := raw(int64(i), uint64(100+i), uint8(e.want.Type), e.body)
		switch {
		case e.want.Type == 77:
			e.want.Type = event.FDUnsupported
		case e.want.Server && e.want.Type == 3 && e.want.Source.Addr().IsLoopback():
			entry[16] = 4 // IPv4 in an IPv6 socket
		}
		if version >= 2 {
			entry = raw(uint32(4+len(entry)), entry)
		}
		entries, want = append(entries, entry), append(want, e.want)
	}
	return entries, want
}

func TestDescriptorListOfEachVersionAndType(t *testing.T) {
	thread, _ := threadEntry(5)
	for number, version := range map[uint32]int{0x203: 1, 0x8001ABCD: 1, 0x218: 2} {
		entries, want := fdEntries(version)
		s := snapshotOf(t, block(0x211, thread), block(number, int64(10), join(entries...)), block(number, int64(999), join(entries...)))
		if diff := cmp.Diff(want, s.Threads[0].FDs, compareAddr); diff != "" {
			t.Errorf("block %#x:\n%s", number, diff)
		}
	}
}

func TestUnknownDescriptorTypeWithoutLengthEndsTheBlockOnly(t *testing.T) {
	thread, _ := threadEntry(5)
	known := raw(int64(1), uint64(0), uint8(1), str("/f"))
	s := snapshotOf(t, block(0x211, thread), block(0x203, int64(10), known, int64(2), uint64(0), uint8(77), "????????????????"))
	if got := s.Threads[0].FDs; len(got) != 1 || got[0].Name != "/f" {
		t.Errorf("descriptors %v, want the one before the unknown", got)
	}
}
