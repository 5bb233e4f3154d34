package field

import (
	"testing"
	"time"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// expectation is the text that a field has for an event.
type expectation struct{ field, want string }

func check(t *testing.T, e *host.Event, all ...expectation) {
	t.Helper()
	for _, x := range all {
		if got := show(t, e, x.field); got != x.want {
			t.Errorf("%s: %s = %q, want %q", e.Type(), x.field, got, x.want)
		}
	}
}

func TestTimesOfEvents(t *testing.T) {
	defer func(zone *time.Location) { local = zone }(local)
	local = time.FixedZone("CET", 3600)

	w := newWorld(t)
	first := w.happen(workPID, event.SYSCALL_CLOSE_X, 0, 3) // the first that is shown
	check(t, first, expectation{"evt.reltime", "000000000"}, expectation{"evt.deltatime", "0"})
	w.now += 2_500_000_000
	e := w.happen(workPID, event.SYSCALL_CLOSE_X, 0, 4)
	check(t, e, []expectation{
		{"evt.num", "3"},
		{"evt.cpu", "1"},
		{"evt.count", "1"},
		{"evt.time", "23:13:22.502000000"},
		{"evt.time.s", "23:13:22"},
		{"evt.time.iso8601", "2023-11-14T22:13:22.502000000+0000"},
		{"evt.datetime", "2023-11-14 23:13:22.502000000"},
		{"evt.datetime.s", "2023-11-14 23:13:22"},
		{"evt.rawtime", "1700000002502000000"},
		{"evt.rawtime.s", "1700000002"},
		{"evt.rawtime.ns", "502000000"},
		{"evt.reltime", "2501000000"},
		{"evt.reltime.s", "2"},
		{"evt.reltime.ns", "501000000"},
		{"evt.deltatime", "2501000000"},
		{"evt.deltatime.s", "2"},
		{"evt.deltatime.ns", "501000000"},
		{"evt.latency", "0"},
		{"evt.latency.s", "0"},
		{"evt.latency.ns", "000000000"},
		{"evt.latency.quantized", "0"},
		{"evt.latency.human", "0ns"},
		{"evt.wait_latency", "0"},
		{"evt.outputtime", "23:13:22.502000000"},
		{"evt.around[1700000002000000000]", "502"},
		{"evt.around[1700000002502000001]", "1"},
		{"evt.hostname", "node-1"},
		{"evt.source", "syscall"},
		{"evt.pluginname", missing},
		{"evt.plugininfo", missing},
		{"evt.is_async", "false"},
		{"evt.asynctype", missing},
	}...)
}

func TestLatencyIsThatOfTheCall(t *testing.T) {
	w := newWorld(t)
	w.ev.Latency = 2_050_000_123
	e := w.happen(workPID, event.SYSCALL_NANOSLEEP_X, 0)
	check(t, e, []expectation{
		{"evt.latency", "2050000123"},
		{"evt.latency.s", "2"},
		{"evt.latency.ns", "050000123"},
		{"evt.latency.quantized", "75"},
		{"evt.latency.human", "2.05s"},
		{"evt.wait_latency", "2050000123"},
	}...)
	check(t, w.happen(workPID, event.SYSCALL_CLOSE_X, 0, 4), expectation{"evt.wait_latency", "0"})
}

func TestDurationsShowTheDigitsThatMatter(t *testing.T) {
	for ns, want := range map[uint64]string{
		0: "0ns", 999: "999ns", 1_000: "1.00us", 9_999: "9.99us", 10_000: "10us", 999_999: "999us",
		1_000_000: "1.00ms", 9_999_999: "9.99ms", 10_000_000: "10ms", 999_999_999: "999ms",
		1_000_000_000: "1.00s", 59_999_999_999: "59.99s", 61_000_000_000: "1:1", 3_599_000_000_000: "59:59",
		3_600_000_000_000: "01:00:00", 3661 * 100_000_000_000: "101:41:40",
	} {
		if got := string(AppendDuration(nil, ns)); got != want {
			t.Errorf("%d ns are %s, want %s", ns, got, want)
		}
	}
}

func TestLatencyHasEightStepsForEachPowerOfTen(t *testing.T) {
	for ns, want := range map[uint64]uint64{0: 0, 1: 1, 10: 9, 1000: 25, 1e11: LatencySteps, 1e15: LatencySteps} {
		if got := QuantizeLatency(ns); got != want {
			t.Errorf("%d ns are step %d, want %d", ns, got, want)
		}
	}
}

func TestOutputTimeFollowsTheStyle(t *testing.T) {
	w := newWorld(t)
	w.happen(workPID, event.SYSCALL_CLOSE_X, 0, 3)
	w.now += 1_000_000_005
	e := w.happen(workPID, event.SYSCALL_CLOSE_X, 0, 4)
	for format, want := range map[TimeFormat]string{
		TimeAbsolute: "1700000001.2000005",
		TimeRelative: "1.001000005",
		TimeLatency:  "0.000000000",
		TimeDelta:    "1.001000005",
	} {
		f := mustParse(t, "evt.outputtime")
		f.Style = &Style{Time: format}
		var v Value
		if !f.Read(e, &v) || v.Str != want {
			t.Errorf("format %d: %q, want %q", format, v.Str, want)
		}
	}
}

func TestTypesOfEvents(t *testing.T) {
	w := newWorld(t)
	read := event.SyscallByName("sysinfo").Code
	for _, c := range []struct {
		e    *host.Event
		want []expectation
	}{
		{newWorld(t).happen(workPID, event.SYSCALL_OPENAT_2_X, 8, -100, "x", 1, 0), []expectation{
			{"evt.type", "openat"}, {"syscall.type", "openat"}, {"evt.dir", "<"}, {"evt.category", "file"},
			{"evt.type.is.openat", "1"}, {"evt.type.is.open", "0"}, {"evt.type.is.307", "1"}, {"evt.type.is.3", "0"},
			{"evt.is_io", "false"}, {"evt.io_dir", missing}, {"evt.is_wait", "false"}, {"evt.count.exit", "1"}, {"evt.count.open", "1"},
			{"evt.count.procinfo", "0"}, {"evt.count.threadinfo", "0"},
		}},
		{newWorld(t).happen(workPID, event.SYSCALL_READ_X, 4, "data", 3, 10), []expectation{
			{"evt.count.open", "0"}, {"evt.category", "file"}, {"evt.is_io", "true"}, {"evt.is_io_read", "true"}, {"evt.is_io_write", "false"}, {"evt.io_dir", "read"},
		}},
		{newWorld(t).happen(workPID, event.SYSCALL_WRITE_X, 4, "data", 5, 10), []expectation{
			{"evt.category", "net"}, {"evt.is_io_read", "false"}, {"evt.is_io_write", "true"}, {"evt.io_dir", "write"}, {"evt.is_syslog", "false"},
		}},
		{newWorld(t).happen(workPID, event.SYSCALL_WRITE_X, 4, "data", 7, 10), []expectation{
			{"evt.category", "ipc"}, {"evt.is_syslog", "true"},
		}},
		{newWorld(t).happen(workPID, event.SYSCALL_READ_X, 4, "data", 99, 10), []expectation{{"evt.category", "unknown"}}},
		{newWorld(t).happen(workPID, event.SYSCALL_POLL_X, 1, pollFDs(3, 1), 0), []expectation{
			{"evt.category", "wait"}, {"evt.is_wait", "true"},
		}},
		{newWorld(t).happen(workPID, event.SOCKET_SOCKETPAIR_X, 0, 8, 9, 1, 2), []expectation{{"evt.category", "IPC"}}},
		{newWorld(t).happen(workPID, event.GENERIC_X, int(read), 99), []expectation{
			{"evt.type", "sysinfo"}, {"syscall.type", "sysinfo"}, {"evt.args", ""}, {"evt.info", ""}, {"evt.res", missing},
		}},
		{newWorld(t).happen(workPID, event.GENERIC_X, 0), []expectation{{"evt.type", event.SyscallByCode(0).Name}}},
		{newWorld(t).happen(-1, event.ASYNCEVENT_E, 1, "container_removed", "{}"), []expectation{
			{"evt.type", "container_removed"}, {"syscall.type", missing}, {"evt.is_async", "true"}, {"evt.asynctype", "container_removed"}, {"evt.dir", ">"},
			{"evt.count.exit", missing},
		}},
		{newWorld(t).happen(boxPID, event.CONTAINER_JSON_2_E, "{}"), []expectation{{"evt.asynctype", "container"}, {"evt.is_async", "true"}}},
		{newWorld(t).happen(workPID, event.PROCINFO_E, 1, 2), []expectation{{"evt.count.procinfo", "1"}, {"evt.count.threadinfo", "1"}}},
		{newWorld(t).happen(workTID, event.PROCINFO_E, 1, 2), []expectation{{"evt.count.procinfo", "0"}, {"evt.count.threadinfo", "1"}}},
		{w.happen(-1, event.INFRASTRUCTURE_EVENT_E, "docker", "n", "Event:start;ID:0123456789abcdef; name:web;Image:nginx@sha256:1", ""), []expectation{
			{"evt.infra.docker.name", "start"}, {"evt.infra.docker.container.id", "0123456789ab"},
			{"evt.infra.docker.container.name", "web"}, {"evt.infra.docker.container.image", "nginx"},
		}},
	} {
		check(t, c.e, c.want...)
	}
	check(t, w.happen(workPID, event.SYSCALL_CLOSE_X, 0, 3), expectation{"evt.infra.docker.name", missing})
}

func TestResultsOfEvents(t *testing.T) {
	for _, c := range []struct {
		name string
		e    *host.Event
		want []expectation
	}{
		{"a read that succeeds", newWorld(t).happen(workPID, event.SYSCALL_READ_X, 4, "a\x00b\n", 3, 10), []expectation{
			{"evt.res", "SUCCESS"}, {"evt.rawres", "4"}, {"evt.failed", "false"}, {"evt.count.error", "0"}, {"evt.count.error.file", "0"},
			{"evt.buffer", "a.b."}, {"evt.buflen", "4"}, {"evt.buflen.in", "4"}, {"evt.buflen.out", missing},
			{"evt.buflen.file", "4"}, {"evt.buflen.file.in", "4"}, {"evt.buflen.file.out", missing}, {"evt.buflen.net", missing},
		}},
		{"a write to a socket", newWorld(t).happen(workPID, event.SYSCALL_WRITE_X, 9, "x", 5, 10), []expectation{
			{"evt.buflen.out", "9"}, {"evt.buflen.net", "9"}, {"evt.buflen.net.out", "9"}, {"evt.buflen.net.in", missing}, {"evt.count.error.net", "0"},
		}},
		{"a read that fails", newWorld(t).happen(workPID, event.SYSCALL_READ_X, -9, nil, 99, 10), []expectation{
			{"evt.res", "EBADF"}, {"evt.rawres", "-9"}, {"evt.failed", "true"}, {"evt.count.error", "1"},
			{"evt.count.error.other", "1"}, {"evt.count.error.file", missing}, {"evt.count.error.net", missing}, {"evt.count.error.memory", missing},
			{"evt.buffer", missing}, {"evt.buflen", missing},
		}},
		{"an open that fails", newWorld(t).happen(workPID, event.SYSCALL_OPENAT_2_X, -2, -100, "none", 1, 0), []expectation{
			{"evt.res", "ENOENT"}, {"evt.count.error.file", "1"}, {"evt.count.error.other", missing},
		}},
		{"a connect that fails", newWorld(t).happen(workPID, event.SOCKET_CONNECT_X, -111, nil, 55), []expectation{
			{"evt.res", "ECONNREFUSED"}, {"evt.count.error.net", "1"},
		}},
		{"a mapping that fails", newWorld(t).happen(workPID, event.SYSCALL_MUNMAP_X, -22, 1, 2, 3), []expectation{
			{"evt.count.error.memory", "1"}, {"evt.count.error.other", missing},
		}},
		{"an error without name", newWorld(t).happen(workPID, event.SYSCALL_CLOSE_X, -9999, 3), []expectation{{"evt.res", "-9999"}}},
		{"a call that cannot fail", newWorld(t).happen(workPID, event.SYSCALL_GETEUID_X, 1000), []expectation{
			{"evt.res", "SUCCESS"}, {"evt.rawres", "1000"}, {"evt.failed", "false"},
		}},
		{"an event without result", newWorld(t).happen(workPID, event.SYSCALL_CLOSE_X), []expectation{
			{"evt.res", missing}, {"evt.rawres", missing}, {"evt.failed", missing},
		}},
	} {
		t.Run(c.name, func(t *testing.T) { check(t, c.e, c.want...) })
	}
}

func TestHowFilesAreOpened(t *testing.T) {
	fields := [...]string{"evt.is_open_read", "evt.is_open_write", "evt.is_open_exec", "evt.is_open_create"}
	for _, c := range []struct {
		name string
		e    *host.Event
		want [4]string
	}{
		{"for reading", newWorld(t).happen(workPID, event.SYSCALL_OPEN_X, 8, "/x", openRead, 0o755), [4]string{"true", "false", "false", "false"}},
		{"for writing", newWorld(t).happen(workPID, event.SYSCALL_OPENAT_2_X, 8, -100, "/x", openWrite, 0), [4]string{"false", "true", "false", "false"}},
		{"for both, created", newWorld(t).happen(workPID, event.SYSCALL_OPENAT2_X, 8, -100, "/x", openRead|openWrite|openCreate|openCreated, 0o644), [4]string{"true", "true", "false", "true"}},
		{"to make a program", newWorld(t).happen(workPID, event.SYSCALL_OPENAT_2_X, 8, -100, "/x", openWrite|openCreate, 0o700), [4]string{"false", "true", "true", "false"}},
		{"as a nameless file", newWorld(t).happen(workPID, event.SYSCALL_OPENAT_2_X, 8, -100, "/tmp", openWrite|openTmpfile, 0o600), [4]string{"false", "true", "false", "true"}},
		{"as a nameless file, in vain", newWorld(t).happen(workPID, event.SYSCALL_OPENAT_2_X, -2, -100, "/tmp", openWrite|openTmpfile, 0o600), [4]string{"false", "true", "false", "false"}},
		{"by creat", newWorld(t).happen(workPID, event.SYSCALL_CREAT_X, 8, "/x", 0o755), [4]string{"false", "false", "true", "false"}},
		{"by handle", newWorld(t).happen(workPID, event.SYSCALL_OPEN_BY_HANDLE_AT_X, 8, 3, openRead|openCreate, "/x"), [4]string{"true", "false", "false", "false"}},
		{"not at all", newWorld(t).happen(workPID, event.SYSCALL_CLOSE_X, 0, 3), [4]string{"false", "false", "false", "false"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i, f := range fields {
				check(t, c.e, expectation{f, c.want[i]})
			}
		})
	}
}
