package field

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// start is the time of the world's first event.
const start = uint64(1_700_000_000_000_000_000)

// The processes of the world: init, sshd, a login shell, what is run in it, a
// thread of that, and the first process of a container.
const (
	initPID  = 1
	sshdPID  = 100
	shellPID = 200
	workPID  = 300
	workTID  = 301
	boxPID   = 400
)

const boxID = "3ad7b26ded6d"

// world is a host at one moment, to which events happen.
type world struct {
	testing.TB
	state *host.State
	ev    event.Event
	he    host.Event
	now   uint64
	n     uint64
}

func newWorld(t testing.TB) *world {
	w := &world{TB: t, state: host.New(host.Options{}), now: start}
	w.state.Load(&event.Snapshot{
		Machine: event.Machine{Hostname: "node-1", CPUs: 2},
		Users: []event.User{
			{UID: 0, Name: "root", Home: "/root", Shell: "/bin/bash"},
			{UID: 1000, GID: 1000, Name: "ada", Home: "/home/ada", Shell: "/bin/zsh"},
		},
		Groups:  []event.Group{{GID: 0, Name: "root"}, {GID: 1000, Name: "staff"}},
		Threads: worldThreads(),
	})
	w.ev.Hidden = true // as what a capture begins with
	w.happen(boxPID, event.CONTAINER_JSON_2_E, boxJSON)
	w.ev.Hidden = false
	return w
}

func worldThreads() []*event.ThreadInfo {
	info := func(tid, pid, parent int64, comm string) *event.ThreadInfo {
		t := event.NewThreadInfo()
		t.TID, t.PID, t.PTID, t.Comm = tid, pid, parent, comm
		t.VTID, t.VPID, t.SID, t.PGID, t.VPGID = tid, pid, sshdPID, pid, pid
		t.Exe, t.ExePath, t.Cwd, t.Root = comm, "/usr/bin/"+comm, "/", "/"
		t.FDLimit, t.StartTime = 1024, start-60*second
		return t
	}
	system := info(initPID, initPID, 0, "systemd")
	sshd := info(sshdPID, sshdPID, initPID, "sshd")
	sshd.Args, sshd.Env = []string{"-D"}, []string{"LANG=C"}
	shell := info(shellPID, shellPID, sshdPID, "bash")
	shell.Exe, shell.Env = "-bash", []string{"SSH_CONNECTION=10.0.0.9 50000", "LANG=en"}
	shell.TTY = 34816

	work := info(workPID, workPID, shellPID, "python3")
	work.Args = []string{"-m", "http.server", "8080"}
	work.Env = []string{"PATH=/bin", "LD_PRELOAD=/tmp/x.so", "EMPTY="}
	work.Cwd, work.UID, work.GID, work.LoginUID, work.TTY = "/home/ada", 1000, 1000, 1000, 34816
	work.PGID, work.VPGID = shellPID, shellPID
	work.CapEffective, work.CapPermitted = 1<<21|1<<0, 1<<63|1<<21
	work.VMSize, work.VMRSS, work.VMSwap, work.PFMajor, work.PFMinor = 1000, 500, 5, 7, 70
	work.ExeIno, work.ExeCtime, work.ExeMtime = 131074, start-100*second, start-200*second
	work.ExeWritable, work.ExeUpperLayer = true, true
	work.Cgroups = []string{"cpu=/user.slice", "memory=/user.slice/work"}
	work.FDs = []event.FDInfo{
		{Num: 0, Type: event.FDFile, Name: "/dev/pts/0"},
		{Num: 1, Type: event.FDPipe, Name: "pipe:[77]"},
		{Num: 3, Type: event.FDFileV2, Name: "/home/ada/notes.txt", Dev: 8<<8 | 1, Ino: 42},
		{Num: 4, Type: event.FDDirectory, Name: "/srv/www"},
		{Num: 5, Type: event.FDIPv4, Proto: event.L4TCP, Source: addr("10.0.0.5:40000"), Dest: addr("93.184.216.34:443")},
		{Num: 6, Type: event.FDIPv4Server, Proto: event.L4TCP, Source: addr("0.0.0.0:8080")},
		{Num: 7, Type: event.FDUnix, Name: "/dev/log", UnixSource: 0x10, UnixDest: 0x20},
	}
	thread := info(workTID, workPID, shellPID, "worker")
	thread.UID, thread.GID, thread.PGID, thread.VPGID = 1000, 1000, shellPID, shellPID

	box := info(boxPID, boxPID, initPID, "nginx")
	box.VPID, box.VTID, box.SID, box.VPGID = 1, 1, 1, 1
	box.PidnsInitStart = start - 30*second
	box.Cgroups = []string{"cpu=/docker/" + boxID + strings.Repeat("0", 52)}
	return []*event.ThreadInfo{system, sshd, shell, work, thread, box}
}

const boxJSON = `{"container":{"type":0,"id":"3ad7b26ded6d","name":"web","image":"nginx:1.27","imagerepo":"nginx","imagetag":"1.27",` +
	`"imageid":"6f7e2741b66b","imagedigest":"sha256:d977","full_id":"3ad7b26ded6d0000","ip":"172.17.0.2","privileged":true,"host_pid":false,` +
	`"User":"33","rollcage_health":"healthy","labels":{"maintainer":"web-team","com.docker.compose.project":"shop","com.docker.compose.service":"front","empty":"","io.kubernetes.pod.name":"web-1","io.kubernetes.pod.namespace":"shop","io.kubernetes.pod.uid":"u-1","app":"shop"},` +
	`"Mounts":[{"Source":"/proc","Destination":"/host/proc","Mode":"ro","RW":false,"Propagation":"rslave"},` +
	`{"Source":"/var/run/docker.sock","Destination":"/sock","Mode":"","RW":true,"Propagation":"private"}],` +
	`"pod_sandbox_id":"5ca1ab1e0000ffff","pod_sandbox_labels":{"app":"web"},"cni_json":"{\"if\":\"eth0\"}"}}`

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// happen lets an event happen to a thread, one millisecond after the last.
func (w *world) happen(tid int64, t event.Type, values ...any) *host.Event {
	w.Helper()
	b, err := event.Append(nil, w.now, tid, t, values...)
	if err != nil {
		w.Fatal(err)
	}
	return w.raw(b)
}

func (w *world) raw(b []byte) *host.Event {
	w.Helper()
	if err := w.ev.Reset(b); err != nil {
		w.Fatal(err)
	}
	w.n++
	w.ev.Num, w.ev.CPU = w.n, 1
	w.now += 1_000_000
	w.state.Apply(&w.ev, &w.he)
	return &w.he
}

// parse parses a field as it is written in conditions.
func parse(text string) (*Field, error) {
	name, arg, bracket := strings.Cut(text, "[")
	return Parse(name, strings.Trim(strings.TrimSuffix(arg, "]"), `"`), bracket)
}

func mustParse(t testing.TB, text string) *Field {
	t.Helper()
	f, err := parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return f
}

// missing is what show gives for a field without value.
const missing = "(missing)"

func show(t testing.TB, e *host.Event, text string) string {
	t.Helper()
	f := mustParse(t, text)
	var v Value
	if !f.Read(e, &v) {
		return missing
	}
	return string(AppendText(nil, f, &v))
}

// The parameters of events that are not plain values.

func inetTuple(source, dest string) []byte {
	b := []byte{familyInet}
	for _, end := range []string{source, dest} {
		a := addr(end)
		if a.Addr().Is6() {
			b[0] = familyInet6
		}
		b = append(b, a.Addr().AsSlice()...)
		b = binary.LittleEndian.AppendUint16(b, a.Port())
	}
	return b
}

func unixTuple(source, dest uint64, path string) []byte {
	b := binary.LittleEndian.AppendUint64([]byte{familyUnix}, source)
	b = binary.LittleEndian.AppendUint64(b, dest)
	return append(append(b, path...), 0)
}

func inetAddr(end string) []byte {
	a := addr(end)
	family := byte(familyInet)
	if a.Addr().Is6() {
		family = familyInet6
	}
	return binary.LittleEndian.AppendUint16(append([]byte{family}, a.Addr().AsSlice()...), a.Port())
}

func pollFDs(entries ...int) []byte {
	b := binary.LittleEndian.AppendUint16(nil, uint16(len(entries)/2))
	for i := 0; i < len(entries); i += 2 {
		b = binary.LittleEndian.AppendUint64(b, uint64(entries[i]))
		b = binary.LittleEndian.AppendUint16(b, uint16(entries[i+1]))
	}
	return b
}
