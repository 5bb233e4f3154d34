package filter

import (
	"fmt"
	"testing"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// benchMacros and benchRules look like published rules: an event type, a
// process or container, a path or address, exceptions.
var benchMacros = names{
	"spawned":    "evt.type in (execve, execveat) and evt.rawres = 0",
	"open_write": "evt.type in (open, openat, openat2) and evt.is_open_write=true and fd.typechar='f' and fd.num>=0",
	"open_read":  "evt.type in (open, openat, openat2) and evt.is_open_read=true and fd.typechar='f' and fd.num>=0",
	"outbound":   "evt.type in (connect, sendto, sendmsg) and fd.typechar = 4 and not fd.snet in (127.0.0.0/8, 10.0.0.0/8)",
	"container":  "container.id != host",
	"shells":     "[ash, bash, csh, ksh, sh, tcsh, zsh, dash]",
	"managed":    "proc.pname in (dpkg, rpm, apt, yum, dnf) or proc.aname[2] in (dpkg, apt-get) or proc.name startswith apt",
	"login":      "proc.name in (login, systemd, sshd, su, sudo, cron) or proc.aname = sshd",
}

var benchRules = []string{
	"spawned and container and proc.name in (shells) and proc.tty != 0 and not proc.pname in (runc, a%d)",
	"open_write and fd.name startswith /etc/d%d and not managed and not (proc.name = x and user.uid = 0)",
	"open_write and fd.directory in (/bin, /sbin, /usr/bin, /usr/sbin, /d%d) and not managed and not login",
	"open_read and (fd.name pmatch (/etc/shadow, /etc/sudoers, /root/.ssh, /x%d)) and not login",
	"open_read and container and fd.filename in (passwd, shadow, key%d) and proc.cmdline contains secret",
	"outbound and not proc.name in (curl, wget, nc%d) and user.loginuid != -1",
	"spawned and not container and proc.cmdline contains 'nc -e' and proc.pname != p%d",
	"evt.type = chmod and container and evt.arg.mode contains S_ISUID and proc.name != n%d",
	"evt.type in (ptrace, setns, unshare) and not proc.name glob 'systemd-*' and not proc.exepath startswith /opt/%d",
	"evt.type = openat and (proc.exepath endswith /python%d or proc.env[LD_PRELOAD] exists) and fd.name regex '/tmp/.*[.]so'",
}

func benchProgram(b testing.TB, rules int) (*Program, []event.TypeSet) {
	p := NewProgram()
	var types []event.TypeSet
	for i := range rules {
		n, err := Expand(mustParse(b, fmt.Sprintf(benchRules[i%len(benchRules)], i)), benchMacros.lookup)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := p.Add(n); err != nil {
			b.Fatal(err)
		}
		types = append(types, Types(n))
	}
	return p, types
}

// benchEvents are events of three processes with what they refer to.
func benchEvents(b testing.TB) []*host.Event {
	info := func(pid, parent int64, comm string) *event.ThreadInfo {
		t := event.NewThreadInfo()
		t.TID, t.PID, t.PTID, t.Comm = pid, pid, parent, comm
		t.Exe, t.ExePath, t.Cwd, t.Args = comm, "/usr/bin/"+comm, "/", []string{"-x", "--long=yes"}
		t.Env = []string{"PATH=/bin", "HOME=/root"}
		return t
	}
	state := host.New(host.Options{})
	state.Load(&event.Snapshot{Threads: []*event.ThreadInfo{
		info(1, 0, "systemd"), info(20, 1, "sshd"), info(300, 20, "python3"),
	}})
	var out []*host.Event
	for i, e := range []struct {
		pid    int64
		typ    event.Type
		params []any
	}{
		{300, event.SYSCALL_OPENAT_2_X, []any{int64(3), int64(-100), "/etc/ld.so.cache", uint32(1), uint32(0)}},
		{300, event.SYSCALL_OPENAT_2_X, []any{int64(4), int64(-100), "/tmp/out.txt", uint32(6), uint32(0644)}},
		{20, event.SYSCALL_OPENAT_2_X, []any{int64(5), int64(-100), "/etc/shadow", uint32(1), uint32(0)}},
		{300, event.SYSCALL_READ_X, []any{int64(4), []byte("data")}},
		{20, event.SYSCALL_CLOSE_X, []any{int64(0)}},
		{1, event.GENERIC_X, []any{event.SyscallByName("getpid").Code, uint16(39)}},
	} {
		buf, err := event.Append(nil, uint64(1000+i), e.pid, e.typ, e.params...)
		if err != nil {
			b.Fatal(err)
		}
		ev, he := &event.Event{Num: uint64(i + 1)}, &host.Event{}
		if err := ev.Reset(buf); err != nil {
			b.Fatal(err)
		}
		state.Apply(ev, he)
		out = append(out, he)
	}
	return out
}

func BenchmarkEval(b *testing.B) {
	for _, rules := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("%d rules", rules), func(b *testing.B) {
			p, types := benchProgram(b, rules)
			events := benchEvents(b)
			byType := map[event.Type][]CondID{}
			for _, e := range events {
				byType[e.Type()] = nil
				for i := range types {
					if types[i].Has(e.Type()) {
						byType[e.Type()] = append(byType[e.Type()], CondID(i))
					}
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				e := events[i%len(events)]
				e.Num = uint64(i + 1)
				for _, id := range byType[e.Type()] {
					p.Eval(id, e)
				}
			}
		})
	}
}

func BenchmarkFormat(b *testing.B) {
	f, err := ParseFormat("*%evt.type by %user.uid %proc.name (%proc.cmdline parent=%proc.pname file=%fd.name)")
	if err != nil {
		b.Fatal(err)
	}
	events := benchEvents(b)
	var buf []byte
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		e := events[i%len(events)]
		e.Num = uint64(i + 1)
		buf, _ = f.AppendText(buf[:0], e)
	}
}

func BenchmarkProcessSelection(b *testing.B) {
	p, _ := benchProgram(b, 100)
	events := benchEvents(b)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		p.ProcessSelection(CondID(i%p.Len()), events[0])
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for range b.N {
		if _, err := Parse(benchRules[3]); err != nil {
			b.Fatal(err)
		}
	}
}

// TestEvalDoesNotAllocate covers what a condition can do with every kind of value.
func TestEvalDoesNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes package regexp allocate")
	}
	p, _ := benchProgram(t, 100)
	for _, text := range []string{
		"proc.aname in (sshd, x) or proc.apid > 100000 or proc.acmdline contains zzz",
		"tolower(proc.name) = x or concat(proc.name, fd.name) = y or basename(fd.name) in (z, zz)",
		"join('-', (proc.name, 'a')) = x or getopt((proc.name, '-b', fd.name), 'ab:')[b] = x or getopt((proc.args, fd.name), 'b') intersects (x)",
		"fd.name glob '*/[a-c]*x?z' or fd.name iglob '*/PASSWD' or fd.name regex '(/[a-z]+)+x'",
		"fd.name startswith oneof (/etc, /tmp, /var) and fd.name contains allof (x, y)",
		"fd.ip = 1.2.3.4 or fd.net in (10.0.0.0/8) or fd.port in (80, 443) or fd.sip in (::1)",
		"proc.name = val(proc.pname) or fd.num > val(evt.rawres) or evt.rawarg.flags = 5",
		"evt.arg.flags contains O_CREAT or evt.res = ENOENT or evt.type glob openat",
		"b64(proc.name) = x or evt.buffer bcontains cafe or proc.fdusage > 50",
	} {
		mustAdd(t, p, text)
	}
	events := benchEvents(t)
	num := uint64(100)
	run := func() {
		for _, e := range events {
			num++
			e.Num = num
			for id := range CondID(p.Len()) {
				p.Eval(id, e)
			}
		}
	}
	run() // room for the answers about the processes, and for built strings
	if n := testing.AllocsPerRun(200, run); n > 0 {
		t.Errorf("%v allocations for %d events", n, len(events))
	}
}
