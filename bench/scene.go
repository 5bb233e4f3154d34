package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"

	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
)

// The made-up host: containers with services of several workers each.
const (
	containers = 12
	workers    = 6
	second     = uint64(1e9)
)

// scene plays the work of a made-up host into a capture: the same events
// each time, in about the proportions that were recorded on a host that
// serves requests, runs shell scripts and walks through folders.
type scene struct {
	w    *capture.Writer
	rng  *rand.Rand
	now  uint64 // ns since the epoch
	num  uint64
	pid  int64 // last one given away
	left int   // events still to write
	buf  []byte
	err  error
}

// process is one that works.
type process struct {
	pid, parent int64
	comm        string
	exe         string
	cgroups     []string
	inContainer bool
}

// act is something that processes do, and how often compared to others.
type act struct {
	weight int
	play   func(*scene, *process)
}

var acts = []act{
	{30, (*scene).answerRequest},
	{15, (*scene).queryDatabase},
	{12, (*scene).wait},
	{6, (*scene).walkFolder},
	{2, (*scene).runCommand},
}

// theftEvery is the number of acts after which there is one that rules tell of.
const theftEvery = 1000

// writeScene writes a capture with that many events.
func writeScene(path string, events int) error {
	procs := cast()
	w, err := capture.Create(path, snapshot(procs), capture.WriterOptions{})
	if err != nil {
		return err
	}
	s := &scene{w: w, rng: rand.New(rand.NewPCG(1, 2)), now: 1_700_000_000 * second, pid: 20_000, left: events}
	total := 0
	for _, a := range acts {
		total += a.weight
	}
	for n := 1; s.left > 0 && s.err == nil; n++ {
		p := procs[s.rng.IntN(len(procs))]
		if n%theftEvery == 0 {
			s.steal(p)
			continue
		}
		pick := s.rng.IntN(total)
		for _, a := range acts {
			if pick -= a.weight; pick < 0 {
				a.play(s, p)
				break
			}
		}
	}
	if err := w.Close(); s.err == nil {
		s.err = err
	}
	return s.err
}

// cast returns the processes of the made-up host.
func cast() []*process {
	init := &process{pid: 1, comm: "systemd", exe: "/usr/lib/systemd/systemd", cgroups: []string{"unified=/init.scope"}}
	procs := []*process{init}
	for i, name := range []string{"sshd", "cron", "rsyslogd", "dbus-daemon", "backup"} {
		procs = append(procs, &process{
			pid: int64(100 + i), parent: 1, comm: name, exe: "/usr/sbin/" + name,
			cgroups: []string{"unified=/system.slice/" + name + ".service"},
		})
	}
	for c := range containers {
		name := []string{"nginx", "java", "postgres", "node"}[c%4]
		cgroups := []string{"unified=/system.slice/docker-" + containerID(c) + ".scope"}
		main := int64(1000 + 100*c)
		for n := range int64(workers) {
			p := &process{pid: main + n, parent: main, comm: name, exe: "/usr/bin/" + name, cgroups: cgroups, inContainer: true}
			if n == 0 {
				p.parent = 1
			}
			procs = append(procs, p)
		}
	}
	return procs
}

func containerID(c int) string { return strings.Repeat(fmt.Sprintf("%02x", 0xa0+c), 32) }

// snapshot returns the state of the host before the first event.
func snapshot(procs []*process) *event.Snapshot {
	snap := &event.Snapshot{
		Machine: event.Machine{CPUs: 8, Memory: 32 << 30, MaxPID: 4 << 20, Hostname: "bench", BootTime: 1_699_000_000 * second},
		Users:   []event.User{{UID: 0, Name: "root", Home: "/root", Shell: "/bin/bash"}},
		Groups:  []event.Group{{GID: 0, Name: "root"}},
	}
	for _, p := range procs {
		t := event.NewThreadInfo()
		t.TID, t.PID, t.PTID, t.VTID, t.VPID = p.pid, p.pid, p.parent, p.pid, p.pid
		t.SID, t.PGID, t.VPGID = p.pid, p.pid, p.pid
		t.Comm, t.Exe, t.ExePath, t.Args = p.comm, p.exe, p.exe, []string{"--config", "/etc/" + p.comm + ".conf"}
		t.Env, t.Cwd, t.Root, t.Cgroups = []string{"PATH=/usr/bin:/bin", "HOME=/root"}, "/", "/", p.cgroups
		t.FDs = []event.FDInfo{
			{Num: 0, Type: event.FDFileV2, Name: "/dev/null"},
			{Num: logFD, Type: event.FDFileV2, Name: "/var/log/" + p.comm + "/access.log"},
			{Num: listenFD, Type: event.FDIPv4Server, Proto: event.L4TCP, Source: netip.MustParseAddrPort("0.0.0.0:8080")},
			{Num: pollFD, Type: event.FDEventPoll, Name: "[eventpoll]"},
		}
		snap.Threads = append(snap.Threads, t)
	}
	for c := range containers {
		name := []string{"nginx", "java", "postgres", "node"}[c%4]
		json := fmt.Sprintf(`{"container":{"id":%q,"full_id":%q,"type":0,"name":"shop-%s-%d","image":"%s:1.2","imagerepo":%q,`+
			`"imagetag":"1.2","lookup_state":1,"privileged":false,"labels":{"com.docker.compose.project":"shop"}}}`,
			containerID(c)[:12], containerID(c), name, c, name, name)
		b, err := event.Append(nil, 0, -1, event.CONTAINER_JSON_2_E, json)
		if err != nil {
			panic(err) // the parameters are those of the type
		}
		snap.Meta = append(snap.Meta, b)
	}
	return snap
}

// do writes an event of a thread, a few microseconds after the last one.
func (s *scene) do(tid int64, t event.Type, values ...any) {
	if s.err != nil || s.left == 0 {
		return
	}
	s.left--
	s.num++
	s.now += uint64(1000 + s.rng.IntN(9000))
	if s.buf, s.err = event.Append(s.buf[:0], s.now, tid, t, values...); s.err != nil {
		return
	}
	ev := event.Event{Num: s.num, CPU: uint16(tid % 8)}
	if s.err = ev.Reset(s.buf); s.err == nil {
		s.err = s.w.Write(&ev)
	}
}

func (s *scene) fork(p *process) *process {
	s.pid++
	child := *p
	child.pid, child.parent = s.pid, p.pid
	for _, self := range []*process{p, &child} {
		res := int64(0)
		if self == p {
			res = child.pid
		}
		s.do(self.pid, event.SYSCALL_CLONE_20_X, res, self.exe, nil, self.pid, self.pid, self.parent, "", 1024, 0, 40,
			10_000, 4000, 0, self.comm, list(self.cgroups...), 0, 0, 0, self.pid, self.pid, 0)
	}
	return &child
}

func (s *scene) exec(p *process, exe string, args ...string) {
	p.exe, p.comm = exe, exe[strings.LastIndexByte(exe, '/')+1:]
	s.do(p.pid, event.SYSCALL_EXECVE_19_X, 0, exe, list(args...), p.pid, p.pid, p.parent, "/", 1024, 0, 60,
		10_000, 4000, 0, p.comm, list(p.cgroups...), list("PATH=/usr/bin:/bin", "HOME=/root"), 0, p.pid, -1, 0,
		0, 0, 0, 4711, s.now, s.now, 0, exe, p.pid, 0, exe)
}

func (s *scene) exit(p *process) { s.do(p.pid, event.PROCEXIT_1_E, 0, 0, 0, 0, p.parent) }

// list lays strings out as a parameter that holds several.
func list(items ...string) []byte {
	if len(items) == 0 {
		return nil
	}
	return []byte(strings.Join(items, "\x00") + "\x00")
}

// address lays out an IPv4 address with its family, as sockaddr, and two as tuple.
func address(ends ...string) []byte {
	const familyIPv4 = 2
	b := []byte{familyIPv4}
	for _, end := range ends {
		a := netip.MustParseAddrPort(end)
		b = binary.LittleEndian.AppendUint16(append(b, a.Addr().AsSlice()...), a.Port())
	}
	return b
}
