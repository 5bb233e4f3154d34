package procfs

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

func TestStatIsReadBehindTheLastParenthesis(t *testing.T) {
	const numbers = " S 10 20 30 34816 -1 4194304 7 0 8 0 1 2 3 4 20 0 1 0 9000 1000 200\n"
	for _, tt := range []struct{ name, comm string }{
		{"a plain name", "cat"},
		{"a name with blanks and parentheses", "a) R 1 (b"},
		{"a name with a newline", "x\ny"},
		{"an empty name", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parseStat([]byte("5 (" + tt.comm + ")" + numbers))
			if err != nil {
				t.Fatal(err)
			}
			if string(s.comm) != tt.comm || s.state != 'S' || s.ppid != 10 || s.pgrp != 20 || s.session != 30 ||
				s.tty != 34816 || s.minor != 7 || s.major != 8 || s.start != 9000 || s.kernelTask {
				t.Errorf("got %+v", s)
			}
			if got := s.startTime(1e9); got != 91e9 {
				t.Errorf("started at %d, want 91 s after the epoch", got)
			}
		})
	}
	exiting, err := parseStat([]byte("5 (true) R 1 1 1 0 -1 4194308 0 0 0 0 0 0 0 0 20 0 1 0 9000"))
	if err != nil || !exiting.dead() {
		t.Errorf("a task that runs its exit is alive: %+v, %v", exiting, err)
	}
	for _, bad := range []string{"", "1", "1 (x", "1 (x)", "1 (x) S 1 2 3", ") ("} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestStatusGivesCredentialsAndInnerIDs(t *testing.T) {
	const text = "Name:\tnginx\nTgid:\t900\nUid:\t0\t33\t0\t0\nGid:\t0\t34\t0\t0\nGroups:\t4 33 \nNStgid:\t900\t7\nNSpid:\t901\t8\n" +
		"NSpgid:\t900\t1\nVmSize:\t   5344 kB\nVmRSS:\t 4456 kB\nVmSwap:\t12 kB\n" +
		"CapInh:\t0000000000000001\nCapPrm:\t000001ffffffffff\nCapEff:\t0000000000000402\nnonsense\n"
	want := status{pid: 900, uid: 33, gid: 34, groups: []uint32{4, 33}, vtid: 8, vpid: 7, vpgid: 1, depth: 2,
		vmSize: 5344, vmRSS: 4456, vmSwap: 12, inheritable: 1, permitted: 0x1ffffffffff, effectv: 0x402}
	if diff := cmp.Diff(want, parseStatus([]byte(text)), cmp.AllowUnexported(status{})); diff != "" {
		t.Error(diff)
	}
	old := parseStatus([]byte("Name:\tx\n")) // without CONFIG_PID_NS there are no NS lines
	if old.vtid != -1 || old.vpid != -1 || old.vpgid != -1 || old.depth != 1 {
		t.Errorf("ids that are not said: %+v", old)
	}
}

func TestCgroupFileOfEachHierarchy(t *testing.T) {
	for _, tt := range []struct {
		name, text, unified string
		want                []string
	}{
		{"v2 has one line", "0::/system.slice/docker-1f.scope\n", "/system.slice/docker-1f.scope", nil},
		{"v1 names its subsystems", "5:cpu,cpuacct:/docker/1f\n1:name=systemd:/x\n", "",
			[]string{"cpu=/docker/1f", "cpuacct=/docker/1f", "name=systemd=/x"}},
		{"a path may hold colons", "3:pids:/a:b:c\n0::/\n", "/", []string{"pids=/a:b:c"}},
		{"a deleted one keeps its path", "0::/gone (deleted)\n", "/gone", nil},
		{"malformed lines are left out", "x\n:\n9:cpu\n::\n", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			list, unified := parseCgroup(nil, []byte(tt.text))
			if diff := cmp.Diff(tt.want, list); diff != "" || unified != tt.unified {
				t.Errorf("unified %q, %s", unified, diff)
			}
		})
	}
}

func TestArgumentsKeepEmptyOnesButNotPadding(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"two arguments", "-c\x00id\x00", []string{"-c", "id"}},
		{"one empty argument", "\x00", []string{""}},
		{"an empty one at the end", "a\x00\x00", []string{"a", ""}},
		{"what a title leaves behind", "a\x00\x00\x00\x00\x00", []string{"a"}},
		{"an end without NUL", "a\x00b", []string{"a", "b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, CutPadding(List([]byte(tt.text)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMountOfAnOverlayNamesItsUpperDirectory(t *testing.T) {
	m, ok := parseMount([]byte(`36 35 0:45 / /mnt/a\040b rw,noatime shared:1 master:2 - overlay overlay rw,lowerdir=/l1:/l2,upperdir=/up\134,per,workdir=/w`))
	want := mount{id: 36, dev: 45, root: "/", point: "/mnt/a b", fstype: "overlay", upper: "/up,per"}
	if diff := cmp.Diff(want, m, cmp.AllowUnexported(mount{})); diff != "" || !ok {
		t.Error(ok, diff)
	}
	m, ok = parseMount([]byte("22 1 259:300 /sub / rw - ext4 /dev/x rw"))
	if !ok || m.dev != 300&0xff|259<<8|(300&^0xff)<<12 || m.root != "/sub" || m.upper != "" {
		t.Errorf("%+v %v", m, ok)
	}
	for _, bad := range []string{"", "1 2 3 4 5", "1 2 0:1 / / rw shared:1 overlay", "a b c d e f - g h i"} {
		if m, ok := parseMount([]byte(bad)); ok {
			t.Errorf("%q: %+v", bad, m)
		}
	}
}

func TestDescriptorTypeFollowsFromItsLink(t *testing.T) {
	const reg, chr, dir, fifo, sock = 0o100000, 0o020000, 0o040000, 0o010000, 0o140000
	for _, tt := range []struct {
		link string
		mode uint16
		want event.FDType
		name string
	}{
		{"/etc/passwd", reg, event.FDFileV2, "/etc/passwd"},
		{"/dev/null", chr, event.FDFileV2, "/dev/null"},
		{"/proc", dir, event.FDDirectory, "/proc"},
		{"pipe:[5]", fifo, event.FDPipe, "pipe:[5]"},
		{"/run/x.fifo", fifo, event.FDPipe, "/run/x.fifo"},
		{"/memfd:x", reg, event.FDMemfd, "/memfd:x"},
		{"socket:[7]", sock, event.FDUnsupported, "socket:[7]"},
		{"/run/opened-by-path.sock", sock, event.FDFileV2, "/run/opened-by-path.sock"},
		{"anon_inode:[eventfd]", 0o600, event.FDEvent, ""},
		{"anon_inode:[eventpoll]", 0o600, event.FDEventPoll, ""},
		{"anon_inode:inotify", 0o600, event.FDInotify, ""},
		{"anon_inode:[signalfd]", 0o600, event.FDSignal, ""},
		{"anon_inode:[timerfd]", 0o600, event.FDTimer, ""},
		{"anon_inode:[io_uring]", 0o600, event.FDIOUring, ""},
		{"anon_inode:[userfaultfd]", 0o600, event.FDUserfault, ""},
		{"anon_inode:bpf-map", 0o600, event.FDBPF, ""},
		{"anon_inode:[pidfd]", 0o600, event.FDPidfd, ""},
		{"pidfd:[42]", reg, event.FDPidfd, "pidfd:[42]"},
		{"anon_inode:[perf_event]", 0o600, event.FDUnsupported, "anon_inode:[perf_event]"},
		{"net:[4026531840]", reg, event.FDFileV2, "net:[4026531840]"},
		{"", sock, event.FDUnsupported, ""},
	} {
		if typ, name := classify([]byte(tt.link), tt.mode); typ != tt.want || name != tt.name {
			t.Errorf("%s: type %d %q, want %d %q", tt.link, typ, name, tt.want, tt.name)
		}
	}
}

func TestFDInfoGivesOpenFlagsAndThePidOfAPidfd(t *testing.T) {
	f := parseFDInfo([]byte("pos:\t0\nflags:\t02002002\nmnt_id:\t15\nino:\t9\nPid:\t77\nNSpid:\t77\n"))
	if f.pid != 77 || OpenFlags(f.flags) != 3|1<<3|1<<12 {
		t.Errorf("%+v, flags %#x", f, OpenFlags(f.flags))
	}
	if f := parseFDInfo([]byte("flags:\t0\nPid:\t-1\n")); f.pid != -1 || OpenFlags(f.flags) != 1 {
		t.Errorf("%+v", f)
	}
}

// addrPort is the zero AddrPort for "".
func addrPort(s string) netip.AddrPort {
	if s == "" {
		return netip.AddrPort{}
	}
	return netip.MustParseAddrPort(s)
}

func TestSocketTablesGiveEndsAndType(t *testing.T) {
	const heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	for _, tt := range []struct {
		name, file, line, source, dest string
		want                           event.FDType
	}{
		{"a listening IPv4 socket", "tcp", "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11453 1 0 100",
			"127.0.0.1:8080", "", event.FDIPv4Server},
		{"a connection", "tcp", "   1: 0A00020F:0050 01020304:BEEF 01 00000000:00000000 00:00000000 00000000     0        0 11453 1",
			"15.2.0.10:80", "4.3.2.1:48879", event.FDIPv4},
		{"a listening IPv6 socket", "tcp6", "   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 11453 1",
			"[::]:22", "", event.FDIPv6Server},
		{"a connection over IPv6", "tcp6", "   0: B80D0120000000000000000001000000:0016 B80D0120000000000000000002000000:C000 01 0:0 0:0 0 0 0 11453 1",
			"[2001:db8::1]:22", "[2001:db8::2]:49152", event.FDIPv6},
		{"IPv4 through an IPv6 socket", "tcp6", "   0: 0000000000000000FFFF00000100007F:0016 0000000000000000FFFF00000100007F:C000 01 0:0 0:0 0 0 0 11453 1",
			"127.0.0.1:22", "127.0.0.1:49152", event.FDIPv4},
		{"a bound UDP socket", "udp", " 12: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 11453 2 0 0",
			"0.0.0.0:53", "", event.FDIPv4Server},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, ok := parseInet([]byte(tt.line), event.L4TCP)
			if !ok || f.Type != tt.want || f.Ino != 11453 || f.Source != addrPort(tt.source) || f.Dest != addrPort(tt.dest) {
				t.Errorf("%v %+v", ok, f)
			}
		})
	}
	for _, bad := range []string{"", heading, "0: 1:1 2:2", "0: 0100007F:ZZ 00000000:0000 0A 0:0 0:0 0 0 0 5",
		"0: 0100007F0:11 00000000:0000 0A 0:0 0:0 0 0 0 5"} {
		if f, ok := parseInet([]byte(bad), event.L4TCP); ok {
			t.Errorf("%q: %+v", bad, f)
		}
	}
	u, ok := parseUnix([]byte("ffff8f6d51880000: 00000002 00000000 00010000 0001 01 10950 /run/a b.sock"), 0)
	if want := (event.FDInfo{Type: event.FDUnix, Ino: 10950, UnixSource: 0xffff8f6d51880000, Name: "/run/a b.sock"}); !ok || u != want {
		t.Errorf("unix socket %+v", u)
	}
	if u, ok := parseUnix([]byte("0000: 3 0 0 1 3 11525"), 0); !ok || u.Name != "" || u.Ino != 11525 {
		t.Errorf("unix socket without name %+v %v", u, ok)
	}
	n, ok := parseNetlink([]byte("ffff88 15 1033 00000001 0 0 0 2 0 15321   "), 0)
	if want := (event.FDInfo{Type: event.FDNetlink, Ino: 15321}); !ok || n != want {
		t.Errorf("netlink socket %+v", n)
	}
}

func TestConnectionsToListenedPortsAreServers(t *testing.T) {
	l := Listeners{}
	l.Add(1, &event.FDInfo{Type: event.FDIPv6Server, Proto: event.L4TCP, Source: addrPort("[::]:80")})
	l.Add(1, &event.FDInfo{Type: event.FDIPv4Server, Proto: event.L4UDP, Source: addrPort("0.0.0.0:0")})
	for _, tt := range []struct {
		name   string
		netns  uint64
		proto  event.L4Proto
		local  string
		server bool
	}{
		{"from the port, of the namespace", 1, event.L4TCP, "10.0.0.1:80", true},
		{"from another port", 1, event.L4TCP, "10.0.0.1:81", false},
		{"in another namespace", 2, event.L4TCP, "10.0.0.1:80", false},
		{"with another protocol", 1, event.L4UDP, "10.0.0.1:80", false},
		{"without port", 1, event.L4UDP, "10.0.0.1:0", false},
		{"IPv6", 1, event.L4TCP, "[2001:db8::1]:80", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			local, remote := addrPort(tt.local), addrPort("10.9.9.9:40000")
			if local.Addr().Is6() {
				remote = addrPort("[2001:db8::9]:40000")
			}
			f := event.FDInfo{}
			SetInet(&f, tt.proto, local, remote)
			if got := l.Orient(tt.netns, &f); got != tt.server || f.Server != tt.server {
				t.Errorf("server: %v", got)
			}
			if tt.server {
				local, remote = remote, local
			}
			if f.Source != local || f.Dest != remote {
				t.Errorf("from %v to %v", f.Source, f.Dest)
			}
		})
	}
	named, unnamed := event.FDInfo{Type: event.FDUnix, Name: "/run/x"}, event.FDInfo{Type: event.FDUnix}
	l.Orient(1, &named)
	l.Orient(1, &unnamed)
	if !named.Server || unnamed.Server {
		t.Error("of unix sockets, the one with a name is the server")
	}
}

func TestUserDatabasesLeaveOutWhatIsMalformed(t *testing.T) {
	long := strings.Repeat("x", maxName+1)
	users := parsePasswd("root:x:0:0:root:/root:/bin/sh\n\n#c:x:1:1::/:/\nbad:x:a:1::/:/\nshort:x:1\n" +
		"big:x:4294967296:1::/:/\n" + long + ":x:5:5::/:/\nwww:x:33:34:,,,:/var/www:")
	want := []event.User{{UID: 0, GID: 0, Name: "root", Home: "/root", Shell: "/bin/sh"}, {UID: 33, GID: 34, Name: "www", Home: "/var/www"}}
	if diff := cmp.Diff(want, users); diff != "" {
		t.Error(diff)
	}
	groups := parseGroup("root:x:0:\nadm:x:4:a,b\nx:y\n:x:5:\n")
	if diff := cmp.Diff([]event.Group{{GID: 0, Name: "root"}, {GID: 4, Name: "adm"}}, groups); diff != "" {
		t.Error(diff)
	}
}

func TestUsersOfARootNeverComeFromOutside(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(outside, []byte("evil:x:0:0::/:/\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		make   func(root string) error
		users  int
		failed bool
	}{
		{"a file", func(root string) error {
			return os.WriteFile(root+"/etc/passwd", []byte("a:x:1:1::/:/\n"), 0o600)
		}, 1, false},
		{"no file", func(string) error { return nil }, 0, false},
		{"a link inside", func(root string) error {
			return os.WriteFile(root+"/p", []byte("a:x:1:1::/:/\nb:x:2:2::/:/\n"), 0o600)
		}, 2, false},
		{"a link out, relative", func(root string) error { return os.Symlink("../.."+outside, root+"/etc/passwd") }, 0, false},
		{"a link out, absolute", func(root string) error { return os.Symlink(outside, root+"/etc/passwd") }, 0, false},
		{"a directory", func(root string) error { return os.Mkdir(root+"/etc/passwd", 0o700) }, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			if err := os.Mkdir(root+"/etc", 0o700); err != nil {
				t.Fatal(err)
			}
			if tt.name == "a link inside" {
				if err := os.Symlink("/p", root+"/etc/passwd"); err != nil {
					t.Fatal(err)
				}
			}
			if err := tt.make(root); err != nil {
				t.Fatal(err)
			}
			users, _, err := ReadUsers(root)
			if len(users) != tt.users || (err != nil) != tt.failed {
				t.Errorf("%v, %v", users, err)
			}
		})
	}
}

func TestModeDecidesWhoMayWriteAnExecutable(t *testing.T) {
	thread := event.ThreadInfo{UID: 33, GID: 34}
	for _, tt := range []struct {
		name     string
		uid, gid uint32
		mode     uint16
		want     bool
	}{
		{"its owner with w", 33, 0, 0o200, true},
		{"its owner without w, though others have it", 33, 34, 0o022, false},
		{"its group with w", 0, 34, 0o020, true},
		{"a further group with w", 0, 99, 0o020, true},
		{"its group without w, though others have it", 0, 34, 0o002, false},
		{"others with w", 0, 0, 0o002, true},
		{"others without", 0, 0, 0o775, false},
	} {
		st := unix.Statx_t{Uid: tt.uid, Gid: tt.gid, Mode: tt.mode}
		if got := modeAllows(&st, &thread, []uint32{99}); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestCPUListIsCounted(t *testing.T) {
	for list, want := range map[string]uint32{"0": 1, "0-3": 4, "0-1,4,6-7": 5, "": 0, "3-1": 0} {
		if got := countRanges(list); got != want {
			t.Errorf("%q: %d, want %d", list, got, want)
		}
	}
}
