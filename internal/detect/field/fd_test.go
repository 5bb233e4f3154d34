package field

import (
	"net/netip"
	"testing"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// use is an event that reads a descriptor of the world's process.
func use(t testing.TB, fd int) *host.Event {
	return newWorld(t).happen(workPID, event.SYSCALL_READ_X, 1, "x", fd, 1)
}

func TestFieldsOfFiles(t *testing.T) {
	check(t, use(t, 3), []expectation{
		{"fd.num", "3"},
		{"fd.type", "file"},
		{"fd.typechar", "f"},
		{"fd.name", "/home/ada/notes.txt"},
		{"fd.directory", "/home/ada"},
		{"fd.filename", "notes.txt"},
		{"fd.uid", "3003"},
		{"fd.containername", ":/home/ada/notes.txt"},
		{"fd.containerdirectory", ":/home/ada"},
		{"fd.name_changed", "false"},
		{"fd.dev", "801"},
		{"fd.dev.major", "8"},
		{"fd.dev.minor", "1"},
		{"fd.ino", "42"},
		{"fd.is_upper_layer", "false"},
		{"fd.is_lower_layer", "false"},
		{"fd.l4proto", "<NA>"},
		{"fd.sockfamily", missing},
		{"fd.cip", missing},
		{"fd.sport", missing},
		{"fd.sproto", missing},
		{"fd.connected", "false"},
		{"fd.is_server", "false"},
	}...)
	check(t, use(t, 4), []expectation{
		{"fd.type", "directory"}, {"fd.typechar", "d"}, {"fd.directory", "/srv/www"}, {"fd.filename", missing}, {"fd.containerdirectory", ":/srv/www"},
	}...)
	check(t, use(t, 1), expectation{"fd.typechar", "p"}, expectation{"fd.directory", missing})
	check(t, use(t, 7), expectation{"fd.type", "unix"}, expectation{"fd.sockfamily", "unix"}, expectation{"fd.name", "/dev/log"})
}

func TestFieldsOfConnections(t *testing.T) {
	check(t, use(t, 5), []expectation{
		{"fd.type", "ipv4"},
		{"fd.typechar", "4"},
		{"fd.name", "10.0.0.5:40000->93.184.216.34:443"},
		{"fd.cip", "10.0.0.5"},
		{"fd.sip", "93.184.216.34"},
		{"fd.lip", "10.0.0.5"},
		{"fd.rip", "93.184.216.34"},
		{"fd.cport", "40000"},
		{"fd.sport", "443"},
		{"fd.lport", "40000"},
		{"fd.rport", "443"},
		{"fd.cproto", "40000"},
		{"fd.sproto", "https"},
		{"fd.lproto", "40000"},
		{"fd.rproto", "https"},
		{"fd.l4proto", "tcp"},
		{"fd.sockfamily", "ip"},
		{"fd.is_server", "false"},
		{"fd.connected", "true"},
		{"fd.directory", missing},
	}...)
	check(t, use(t, 6), []expectation{
		{"fd.name", "0.0.0.0:8080"},
		{"fd.sip", "0.0.0.0"},
		{"fd.sport", "8080"},
		{"fd.sproto", "http-alt"},
		{"fd.cip", missing},
		{"fd.lport", missing},
		{"fd.is_server", "true"},
		{"fd.l4proto", "tcp"},
	}...)
}

func TestTheServersOwnEndIsTheDestination(t *testing.T) {
	w := newWorld(t)
	e := w.happen(workPID, event.SOCKET_ACCEPT4_6_X, 9, inetTuple("10.0.0.7:5000", "10.0.0.5:8080"), 0, 0, 5, 0)
	check(t, e, []expectation{
		{"fd.name", "10.0.0.7:5000->10.0.0.5:8080"},
		{"fd.cip", "10.0.0.7"},
		{"fd.lip", "10.0.0.5"},
		{"fd.rip", "10.0.0.7"},
		{"fd.lport", "8080"},
		{"fd.rport", "5000"},
		{"fd.is_server", "true"},
	}...)
}

func TestFieldsOfBothEndsYieldEach(t *testing.T) {
	each := func(e *host.Event, name string) (got []string) {
		f := mustParse(t, name)
		var v Value
		f.EachValue(e, &v, func() bool {
			got = append(got, string(AppendText(nil, f, &v)))
			return true
		})
		return got
	}
	for _, c := range []struct {
		fd           int
		addrs, ports []string
	}{
		{5, []string{"10.0.0.5", "93.184.216.34"}, []string{"40000", "443"}},
		{6, []string{"0.0.0.0"}, []string{"8080"}},
		{3, nil, nil},
	} {
		e := use(t, c.fd)
		for _, name := range []string{"fd.ip", "fd.net"} {
			if got := each(e, name); !equal(got, c.addrs) {
				t.Errorf("%s of descriptor %d: %v, want %v", name, c.fd, got, c.addrs)
			}
		}
		for _, name := range []string{"fd.port", "fd.proto"} {
			if got := each(e, name); !equal(got, c.ports) {
				t.Errorf("%s of descriptor %d: %v, want %v", name, c.fd, got, c.ports)
			}
		}
		var v Value
		if !mustParse(t, "fd.ip").Read(e, &v) {
			t.Errorf("fd.ip of descriptor %d does not exist", c.fd)
		}
	}
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestCallsThatFailSayWhatTheyWereAbout(t *testing.T) {
	for _, c := range []struct {
		name string
		e    *host.Event
		want []expectation
	}{
		{"open", newWorld(t).happen(workPID, event.SYSCALL_OPEN_X, -2, "/none", 1, 0), []expectation{
			{"fd.name", "/none"}, {"fd.typechar", "f"}, {"fd.directory", "/"}, {"fd.type", missing}, {"fd.num", "-1"}, {"fd.nameraw", "/none"},
			{"fd.containername", ":/none"},
		}},
		{"openat", newWorld(t).happen(workPID, event.SYSCALL_OPENAT_2_X, -2, 4, "..//sub//./none", 1, 0), []expectation{
			{"fd.name", "/srv/sub/none"}, {"fd.nameraw", "../sub/./none"}, {"fd.directory", "/srv/sub"}, {"fd.filename", missing},
		}},
		{"openat below the working directory", newWorld(t).happen(workPID, event.SYSCALL_OPENAT_2_X, -13, -100, "x", 1, 0), []expectation{{"fd.name", "/home/ada/x"}}},
		{"openat below an unknown directory", newWorld(t).happen(workPID, event.SYSCALL_OPENAT_2_X, -13, 77, "x", 1, 0), []expectation{{"fd.name", "<UNKNOWN>/x"}}},
		{"open by handle", newWorld(t).happen(workPID, event.SYSCALL_OPEN_BY_HANDLE_AT_X, -13, 4, 1, "/x"), []expectation{{"fd.name", "/x"}}},
		{"connect", newWorld(t).happen(workPID, event.SOCKET_CONNECT_X, -111, inetTuple("10.0.0.5:1", "10.0.0.6:22"), 88), []expectation{
			{"fd.name", "10.0.0.5:1->10.0.0.6:22"},
		}},
		{"accept", newWorld(t).happen(workPID, event.SOCKET_ACCEPT4_6_X, -11, nil, 0, 0, 0, 0), []expectation{{"fd.name", "NULL"}, {"fd.typechar", "4"}}},
		{"pipe", newWorld(t).happen(workPID, event.SYSCALL_PIPE2_X, -24, -1, -1, 0, 0), []expectation{{"fd.typechar", "p"}}},
		{"read", newWorld(t).happen(workPID, event.SYSCALL_READ_X, -9, nil, 99, 1), []expectation{
			{"fd.name", ""}, {"fd.typechar", "o"}, {"fd.directory", missing}, {"fd.type", missing}, {"fd.ino", missing},
		}},
		{"unlink", newWorld(t).happen(workPID, event.SYSCALL_UNLINK_2_X, 0, "/x"), []expectation{
			{"fd.name", missing}, {"fd.num", missing}, {"fd.typechar", missing}, {"fd.uid", missing}, {"fd.nameraw", missing}, {"fd.name_changed", missing},
		}},
	} {
		t.Run(c.name, func(t *testing.T) { check(t, c.e, c.want...) })
	}
}

func TestTypesOfAllDescriptors(t *testing.T) {
	e := use(t, 3)
	check(t, e, []expectation{
		{"fd.types", "(file,pipe,directory,ipv4,unix)"},
		{"fd.types[4]", "(directory)"},
		{"fd.types[99]", missing},
	}...)
	check(t, something(t, workPID), expectation{"fd.types", missing})
}

func TestDomainNamesAreThoseThatSomebodyAskedFor(t *testing.T) {
	defer domains.Store(domains.Load())
	SetDomain("example.com", []netip.Addr{netip.MustParseAddr("93.184.216.34"), netip.MustParseAddr("::ffff:93.184.216.35")})
	e := use(t, 5)
	check(t, e, []expectation{
		{"fd.sip.name", "example.com"}, {"fd.rip.name", "example.com"}, {"fd.cip.name", missing}, {"fd.lip.name", missing},
	}...)
	SetDomain("example.com", []netip.Addr{netip.MustParseAddr("10.1.1.1")})
	check(t, e, expectation{"fd.sip.name", missing})
}

func TestServicesHavePorts(t *testing.T) {
	if p, ok := ServicePort("https"); !ok || p != 443 {
		t.Errorf("https is %d, %v", p, ok)
	}
	if p, ok := ServicePort("nothing"); ok {
		t.Errorf("nothing is %d", p)
	}
	if name := serviceName(53, event.L4UDP); name != "domain" {
		t.Errorf("port 53 is %q", name)
	}
	if name := serviceName(53, event.L4ICMP); name != "" {
		t.Errorf("icmp 53 is %q", name)
	}
}

func TestDescriptorsThatPollWaitsFor(t *testing.T) {
	list := pollFDs(3, 1, 99, 1, 5, 4, 6, 1)
	for _, typ := range []event.Type{event.SYSCALL_POLL_X, event.SYSCALL_PPOLL_X} {
		check(t, newWorld(t).happen(workPID, typ, 1, list, 0), []expectation{
			{"fdlist.nums", "3,99,5,6"},
			{"fdlist.names", "/home/ada/notes.txt,<NA>,10.0.0.5:40000->93.184.216.34:443,0.0.0.0:8080"},
			{"fdlist.cips", "10.0.0.5"},
			{"fdlist.sips", "93.184.216.34,0.0.0.0"},
			{"fdlist.cports", "40000"},
			{"fdlist.sports", "443,8080"},
		}...)
	}
	check(t, newWorld(t).happen(workPID, event.SYSCALL_POLL_X, 1, pollFDs(), 0), expectation{"fdlist.nums", missing})
	check(t, newWorld(t).happen(workPID, event.SYSCALL_POLL_X, 1, list[:25], 0), expectation{"fdlist.nums", "3,99"})
	check(t, use(t, 3), expectation{"fdlist.nums", missing})
}

func TestPathsThatEventsWorkOn(t *testing.T) {
	for _, c := range []struct {
		name string
		e    *host.Event
		want []expectation
	}{
		{"mkdir", newWorld(t).happen(workPID, event.SYSCALL_MKDIR_2_X, 0, "a/../b/", 0o755), []expectation{
			{"fs.path.name", "/home/ada/b"}, {"fs.path.nameraw", "a/../b/"}, {"fs.path.source", missing},
		}},
		{"mkdir that fails", newWorld(t).happen(workPID, event.SYSCALL_MKDIR_2_X, -17, "b", 0o755), []expectation{{"fs.path.name", missing}, {"fs.path.nameraw", missing}}},
		{"unlinkat", newWorld(t).happen(workPID, event.SYSCALL_UNLINKAT_2_X, 0, 4, "x", 0), []expectation{{"fs.path.name", "/srv/www/x"}, {"evt.abspath", "/srv/www/x"}}},
		{"openat", newWorld(t).happen(workPID, event.SYSCALL_OPENAT_2_X, 8, -100, "x", 1, 0), []expectation{{"fs.path.name", "/home/ada/x"}, {"evt.abspath", "/home/ada/x"}}},
		{"fchmod", newWorld(t).happen(workPID, event.SYSCALL_FCHMOD_X, 0, 3, 0o600), []expectation{
			{"fs.path.name", "/home/ada/notes.txt"}, {"fs.path.nameraw", "/home/ada/notes.txt"}, {"fs.path.source", missing}, {"evt.abspath", missing},
		}},
		{"renameat", newWorld(t).happen(workPID, event.SYSCALL_RENAMEAT_X, 0, -100, "old", 4, "new"), []expectation{
			{"fs.path.source", "/home/ada/old"}, {"fs.path.sourceraw", "old"}, {"fs.path.target", "/srv/www/new"}, {"fs.path.targetraw", "new"},
			{"fs.path.name", missing}, {"evt.abspath", "/home/ada/old"}, {"evt.abspath.src", "/home/ada/old"}, {"evt.abspath.dst", "/srv/www/new"},
		}},
		{"symlinkat", newWorld(t).happen(workPID, event.SYSCALL_SYMLINKAT_X, 0, "../etc", 4, "link"), []expectation{
			{"fs.path.source", "/srv/www/link"}, {"fs.path.target", "../etc"}, {"evt.abspath.dst", "/srv/www/link"},
		}},
		{"linkat", newWorld(t).happen(workPID, event.SYSCALL_LINKAT_2_X, 0, 4, "old", -100, "/new", 0), []expectation{
			{"fs.path.source", "/new"}, {"fs.path.target", "/srv/www/old"}, {"evt.abspath", "/srv/www/old"}, {"evt.abspath.dst", "/new"},
		}},
		{"mount", newWorld(t).happen(workPID, event.SYSCALL_MOUNT_X, 0, "tmpfs", "mnt", "tmpfs", 0), []expectation{
			{"fs.path.source", "tmpfs"}, {"fs.path.target", "/home/ada/mnt"},
		}},
		{"open by handle", newWorld(t).happen(workPID, event.SYSCALL_OPEN_BY_HANDLE_AT_X, 8, 4, 1, "/a/../x"), []expectation{{"evt.abspath", "/x"}}},
		{"close", newWorld(t).happen(workPID, event.SYSCALL_CLOSE_X, 0, 3), []expectation{{"fs.path.name", missing}, {"evt.abspath", missing}}},
	} {
		t.Run(c.name, func(t *testing.T) { check(t, c.e, c.want...) })
	}
}
