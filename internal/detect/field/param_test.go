package field

import (
	"strings"
	"testing"
	"time"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// args returns the text of evt.args.
func args(t testing.TB, e *host.Event) string { return show(t, e, "evt.args") }

func TestArgumentsOfEvents(t *testing.T) {
	defer func(zone *time.Location) { local = zone }(local)
	local = time.FixedZone("CET", 3600)

	for _, c := range []struct {
		name string
		e    *host.Event
		want string
	}{
		{
			"an open file and its flags",
			newWorld(t).happen(workPID, event.SYSCALL_OPEN_X, 3, "/etc/ld.so.cache", 4097, 0, nil, nil),
			"fd=3(<f>/etc/ld.so.cache) name=/etc/ld.so.cache flags=4097(O_RDONLY|O_CLOEXEC) mode=0 dev=<NA> ino=<NA>",
		}, {
			"a relative path",
			newWorld(t).happen(workPID, event.SYSCALL_OPENAT_2_X, 8, 4, "a/../b", 0x7, 0o644, 0x801, 42),
			"fd=8(<f>/srv/www/b) dirfd=4(<d>/srv/www) name=a/../b(/srv/www/b) flags=7(O_CREAT|O_RDWR) mode=0644 dev=801 ino=42",
		}, {
			"the working directory",
			newWorld(t).happen(workPID, event.SYSCALL_UNLINKAT_2_X, -2, -100, "x", 512),
			"res=-2(ENOENT) dirfd=-100(AT_FDCWD) name=x(/home/ada/x) flags=512(AT_REMOVEDIR)",
		}, {
			"a socket that is not there",
			newWorld(t).happen(workPID, event.SOCKET_CONNECT_X, -2, unixTuple(0, 0xffff88003c420800, "/var/run/nscd/socket"), 7, nil),
			"res=-2(ENOENT) tuple=0->ffff88003c420800 /var/run/nscd/socket fd=7(<u>/dev/log) addr=<NA>",
		}, {
			"a connection",
			newWorld(t).happen(workPID, event.SOCKET_CONNECT_X, 0, inetTuple("10.0.0.5:40001", "1.2.3.4:53"), 5, inetAddr("1.2.3.4:53")),
			"res=0 tuple=10.0.0.5:40001->1.2.3.4:53 fd=5(<4t>10.0.0.5:40001->1.2.3.4:53) addr=1.2.3.4:53",
		}, {
			"protection and mapping",
			newWorld(t).happen(workPID, event.SYSCALL_MMAP_X, 4096, 1, 2, 3, 0xABCDEF, 10, 3, 10, uint64(0xffffffff), 0),
			"res=4096 vm_size=1 vm_rss=2 vm_swap=3 addr=ABCDEF length=10 prot=3(PROT_READ|PROT_WRITE) flags=10(MAP_PRIVATE|MAP_ANONYMOUS) fd=4294967295 offset=0",
		}, {
			"a list of descriptors",
			newWorld(t).happen(workPID, event.SYSCALL_POLL_X, 1, pollFDs(4, 4, 99, 0x8001), 0),
			"res=1 fds=4:d4 99:?8001 timeout=0",
		}, {
			"an empty list of descriptors",
			newWorld(t).happen(workPID, event.SYSCALL_POLL_X, 0, pollFDs(), -1),
			"res=0 fds= timeout=-1",
		}, {
			"signals and times",
			newWorld(t).happen(workPID, event.SYSCALL_PPOLL_X, 0, nil, 500_000_000, 1<<8|1<<1),
			"res=0 fds=NULL timeout=500000000(0.5s) sigmask=SIGINT SIGKILL",
		}, {
			"no time",
			newWorld(t).happen(workPID, event.SYSCALL_PPOLL_X, 0, nil, ^uint64(0), nil),
			"res=0 fds=NULL timeout=none sigmask=<NA>",
		}, {
			"a step back in a parameter without sign",
			newWorld(t).happen(workPID, event.SYSCALL_LSEEK_X, 599, 3, uint64(1<<64-1263), 1),
			"res=599 fd=3(<f>/home/ada/notes.txt) offset=-1263 whence=1(SEEK_CUR)",
		}, {
			"a sleep",
			newWorld(t).happen(workPID, event.SYSCALL_NANOSLEEP_X, 0, 0),
			"res=0 interval=0(0s)",
		}, {
			"a signal to a process",
			newWorld(t).happen(workPID, event.SYSCALL_KILL_X, 0, 200, 9),
			"res=0 pid=200(bash) sig=9(SIGKILL)",
		}, {
			"users",
			newWorld(t).happen(workPID, event.SYSCALL_SETRESUID_X, -1, 1000, 77, ^uint32(0)),
			"res=-1(EPERM) ruid=1000(ada) euid=77(<NA>) suid=-1(<NONE>)",
		}, {
			"groups",
			newWorld(t).happen(workPID, event.SYSCALL_SETGID_X, -1, 1000),
			"res=-1(EPERM) gid=1000(staff)",
		}, {
			"a mode",
			newWorld(t).happen(workPID, event.SYSCALL_CHMOD_X, 0, "/x", 0o6755),
			"res=0 filename=/x mode=06755(S_IXOTH|S_IROTH|S_IXGRP|S_IRGRP|S_IXUSR|S_IWUSR|S_IRUSR|S_ISGID|S_ISUID)",
		}, {
			"an enumeration with aliases",
			newWorld(t).happen(workPID, event.SOCKET_SOCKET_X, 9, 1, 1, 0, nil),
			"fd=9(<u>) domain=1(AF_LOCAL|AF_UNIX) type=1 proto=0 flags=<NA>",
		}, {
			"a data buffer",
			newWorld(t).happen(workPID, event.SYSCALL_WRITE_X, 5, "a\x00\xffé\n", 1, 5),
			"res=5 data=a.....  fd=1(<p>pipe:[77]) size=5",
		}, {
			"an empty data buffer",
			newWorld(t).happen(workPID, event.SYSCALL_READ_X, 0, nil, 1, 5),
			"res=0 data=NULL fd=1(<p>pipe:[77]) size=5",
		}, {
			"a variant: a number of bytes",
			newWorld(t).happen(workPID, event.SOCKET_SETSOCKOPT_X, 0, 5, 1, 8, []byte{2, 0xff, 0xff, 0, 0}, 4),
			"res=0 fd=5(<4t>10.0.0.5:40000->93.184.216.34:443) level=1(SOL_SOCKET) optname=8(SO_RCVBUF) val=65535 optlen=4",
		}, {
			"a variant: an error",
			newWorld(t).happen(workPID, event.SOCKET_GETSOCKOPT_X, 0, 5, 1, 4, []byte{1, 0x91, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 4),
			"res=0 fd=5(<4t>10.0.0.5:40000->93.184.216.34:443) level=1(SOL_SOCKET) optname=4(SO_ERROR) val=-111(ECONNREFUSED) optlen=4",
		}, {
			"a variant: a time",
			newWorld(t).happen(workPID, event.SOCKET_SETSOCKOPT_X, 0, 99, 1, 20, []byte{4, 0, 0xca, 0x9a, 0x3b, 0, 0, 0, 0}, 16),
			"res=0 fd=99 level=1(SOL_SOCKET) optname=20(SO_RCVTIMEO) val=1000000000(1s) optlen=16",
		}, {
			"a variant that nobody knows",
			newWorld(t).happen(workPID, event.SYSCALL_PTRACE_X, 0, []byte{9, 1}, nil, 16, 200),
			"res=0 addr=<NA> data=NULL request=16(PTRACE_GETSIGINFO) pid=200(bash)",
		}, {
			"a null path of an old capture",
			newWorld(t).happen(workPID, event.SYSCALL_MOUNT_X, 0, "(NULL)", "(NULL)", "tmpfs", 1),
			"res=0 dev=<NA> dir=<NA> type=tmpfs flags=1(RDONLY)",
		}, {
			"an address of a unix socket",
			newWorld(t).happen(workPID, event.SOCKET_BIND_X, 0, append([]byte{familyUnix}, "/run/x\x01\x00"...), 99),
			"res=0 addr=/run/x\uFFFD fd=99",
		}, {
			"an address of an unknown family",
			newWorld(t).happen(workPID, event.SOCKET_BIND_X, 0, []byte{16, 1, 2}, 99),
			"res=0 addr=family 16 fd=99",
		}, {
			"addresses of a wrong length",
			newWorld(t).happen(workPID, event.SOCKET_BIND_X, 0, []byte{familyInet, 1, 2}, 99),
			"res=0 addr=INVALID IPv4 fd=99",
		}, {
			"an IPv6 address",
			newWorld(t).happen(workPID, event.SOCKET_BIND_X, 0, inetAddr("[::1]:80"), 99),
			"res=0 addr=::1:80 fd=99",
		}, {
			"an IPv6 tuple",
			newWorld(t).happen(workPID, event.SOCKET_CONNECT_X, 0, inetTuple("[2001:db8::1]:5", "[2001:db8::2]:6"), 99, nil),
			"res=0 tuple=2001:db8::1:5->2001:db8::2:6 fd=99(<6>2001:db8::1:5->2001:db8::2:6) addr=<NA>",
		}, {
			"IPv4 in an IPv6 tuple",
			newWorld(t).happen(workPID, event.SOCKET_CONNECT_X, 0, inetTuple("[::ffff:10.0.0.1]:5", "[::ffff:10.0.0.2]:6"), 99, nil),
			"res=0 tuple=10.0.0.1:5->10.0.0.2:6 fd=99(<4>10.0.0.1:5->10.0.0.2:6) addr=<NA>",
		}, {
			"no address in an IPv6 tuple",
			newWorld(t).happen(workPID, event.SOCKET_CONNECT_X, -22, inetTuple("[::]:0", "[::]:0"), 99, nil),
			"res=-22(EINVAL) tuple=0.0.0.0:0->0.0.0.0:0 fd=99 addr=<NA>",
		}, {
			"fewer parameters than the type has",
			newWorld(t).happen(workPID, event.SYSCALL_CLOSE_X, 0),
			"res=0",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := strings.ReplaceAll(c.want, "  ", " ")
			if got := args(t, c.e); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestArgumentsOfAnExec(t *testing.T) {
	defer func(zone *time.Location) { local = zone }(local)
	local = time.FixedZone("CET", 3600)
	e := newWorld(t).happen(workPID, event.SYSCALL_EXECVE_19_X,
		0, "curl", []byte("-6\x00http://www.google.com\x00"), workPID, workPID, shellPID, "/home/ada", 1024,
		1, 2, 3, 4, 5, "curl", []byte("cpu=/\x00"), []byte("A=1\x00B=2\x00"), 34816, 300, 1000, 2,
		0, 1<<21, 0x1FF, 42, start, start, 1000, "/usr/bin/curl", 300, 1000, "curl")
	check(t, e, []expectation{
		{"evt.arg.res", "0"},
		{"evt.arg.args", "-6.http://www.google.com."},
		{"evt.arg.tid", "curl"},
		{"evt.arg[3]", "curl"},
		{"evt.arg.env", "A=1.B=2."},
		{"evt.arg.loginuid", "ada"},
		{"evt.arg.flags", "EXE_UPPER_LAYER"},
		{"evt.arg.cap_effective", "1FF"},
		{"evt.arg.exe_ino_ctime", "2023-11-14 23:13:20.000000000 +0100"},
		{"evt.arg.uid", "ada"},
		{"evt.arg.gid", "staff"},
		{"evt.arg.trusted_exepath", "/usr/bin/curl"},
		{"evt.arg.filename", "/home/ada/curl"},
		{"evt.arg[99]", missing},
		{"evt.arg.data", missing},
		{"evt.rawarg.uid", "1000"},
		{"evt.rawarg.args", "-6.http://www.google.com."},
		{"evt.rawarg.cap_effective", "1FF"},
		{"evt.rawarg.filename", "curl"},
		{"evt.rawarg.data", missing},
	}...)
}

func TestRawArgumentsKeepTheirType(t *testing.T) {
	for _, c := range []struct {
		field string
		e     *host.Event
		text  string
		json  string
	}{
		{"evt.rawarg.res", newWorld(t).happen(workPID, event.SYSCALL_CLOSE_X, -9, 3), "-9", "-9"},
		{"evt.rawarg.fd", newWorld(t).happen(workPID, event.SYSCALL_CLOSE_X, 0, 3), "3", "3"},
		{"evt.rawarg.flags", newWorld(t).happen(workPID, event.SYSCALL_OPEN_X, 3, "/x", 4097, 0o644, 0, 0), "1001", `"1001"`},
		{"evt.rawarg.mode", newWorld(t).happen(workPID, event.SYSCALL_OPEN_X, 3, "/x", 4097, 0o644, 0, 0), "0644", `"0644"`},
		{"evt.rawarg.name", newWorld(t).happen(workPID, event.SYSCALL_OPEN_X, 3, "/x\n", 1, 0, 0, 0), "/x�", `"/x\n"`},
		{"evt.rawarg.name", newWorld(t).happen(workPID, event.SYSCALL_OPEN_X, 3, nil, 1, 0, 0, 0), "<NA>", `"<NA>"`},
		{"evt.rawarg.sig", newWorld(t).happen(workPID, event.SYSCALL_KILL_X, 0, 200, 9), "9", "9"},
		{"evt.rawarg.tuple", newWorld(t).happen(workPID, event.SOCKET_CONNECT_X, 0, inetTuple("10.0.0.5:1", "1.2.3.4:53"), 99, nil), "10.0.0.5:1->1.2.3.4:53", `"10.0.0.5:1->1.2.3.4:53"`},
		{"evt.rawarg.data", newWorld(t).happen(workPID, event.SYSCALL_READ_X, 3, "a\n\"", 3, 3), `a."`, `"a.\""`},
		{"evt.rawarg.fds", newWorld(t).happen(workPID, event.SYSCALL_POLL_X, 1, pollFDs(3, 1), 0), "3:f1", `"3:f1"`},
	} {
		f := mustParse(t, c.field)
		var v Value
		if !f.Read(c.e, &v) {
			t.Errorf("%s of %s is missing", c.field, c.e.Type())
			continue
		}
		if got := string(AppendText(nil, f, &v)); got != c.text {
			t.Errorf("%s of %s: %q, want %q", c.field, c.e.Type(), got, c.text)
		}
		if got := string(AppendJSON(nil, f, &v)); got != c.json {
			t.Errorf("%s of %s: JSON %s, want %s", c.field, c.e.Type(), got, c.json)
		}
	}
}

func TestNumbersOfAWrongWidthAreNotAvailable(t *testing.T) {
	e := newWorld(t).happen(workPID, event.SYSCALL_CLOSE_X, []byte{1, 2, 3}, []byte{1})
	if got := args(t, e); got != "res=<NA> fd=1(<p>pipe:[77])" {
		t.Error(got)
	}
}

func TestPortsByServiceWhenAskedFor(t *testing.T) {
	f := mustParse(t, "fd.name")
	f.Style = &Style{Services: true}
	var v Value
	if !f.Read(use(t, 5), &v) || v.Str != "10.0.0.5:40000->93.184.216.34:https" {
		t.Error(v.Str)
	}
}

func TestFormatsOfDataBuffers(t *testing.T) {
	const text = "GET /\r\n\x00é\nlast line\tend"
	for _, c := range []struct {
		name  string
		style Style
		data  string
		want  string
	}{
		{"dots", Style{}, text, "GET /.....\x2elast line.end"},
		{"dots, cut", Style{Limit: 8}, text, "GET /..."},
		{"dots, not cut", Style{Limit: 24}, text, "GET /......last line.end"},
		{"dots, cut to nearly nothing", Style{Limit: 2}, text, "..."},
		{"lines", Style{Buffer: BufferLines}, text, "\nGET /\n\nlast lineend"},
		{"lines inline", Style{Buffer: BufferLinesInline}, "\na\rb", "\na\nb"},
		{"hexadecimal", Style{Buffer: BufferHex}, "0123456789abcdefX", "\n\t0x0000: 3031 3233 3435 3637 3839 6162 6364 6566\n\t0x0010: 58\n"},
		{"hexadecimal and ASCII", Style{Buffer: BufferHexASCII}, "0123456789abcdef\x00X!", "\n\t0x0000: 3031 3233 3435 3637 3839 6162 6364 6566  0123456789abcdef" +
			"\n\t0x0010: 0058 21                                .X!\n"},
		{"base64", Style{Buffer: BufferBase64, Limit: 1}, "a\x00b", "YQBi"},
	} {
		if got := string(c.style.appendBuffer(nil, c.data)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
