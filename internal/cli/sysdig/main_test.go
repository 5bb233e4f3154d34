package sysdig

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"sysdig": func() { os.Exit(Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr, "test")) },
	})
}

// TestScripts runs the terminal sessions in testdata, with a capture in trace.scap.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("TZ", "UTC")
			return writeScene(filepath.Join(e.WorkDir, "trace.scap"))
		},
	})
}

// start is the time of the first event of the scene: 2023-11-14 22:13:20 UTC.
const start = 1_700_000_000_000_000_000

// act is an event of the scene.
type act struct {
	after   time.Duration // since the start
	latency time.Duration
	tid     int64
	typ     event.Type
	values  []any
}

const okHTTP = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

// scene is what happens in the capture of the tests.
var scene = []act{
	{0, 0, 60, event.SYSCALL_EXECVE_19_X, execve(60, 50, "ls", "-l\x00/tmp\x00", "PATH=/bin\x00")},
	{10 * time.Millisecond, 30 * time.Microsecond, 60, event.SYSCALL_OPENAT_2_X, []any{3, -100, "/etc/passwd", 1, 0, 0x801, 77}},
	{20 * time.Millisecond, 5 * time.Millisecond, 60, event.SYSCALL_READ_X, []any{11, "root:x:0:0\n", 3, 4096}},
	{21 * time.Millisecond, 0, 60, event.SYSCALL_READ_X, []any{0, "", 3, 4096}},
	{30 * time.Millisecond, 12 * time.Microsecond, 60, event.SYSCALL_WRITE_X, []any{9, "a\x1b[31mb\nc\n", 1, 9}},
	{40 * time.Millisecond, 0, 60, event.SYSCALL_OPENAT_2_X, []any{-2, -100, "/nowhere", 1, 0, 0, 0}},
	{50 * time.Millisecond, 0, 60, event.PROCEXIT_1_E, []any{0, 0, 0, 0, 0}},
	{100 * time.Millisecond, time.Millisecond, 100, event.SOCKET_SENDTO_X, []any{60, "GET /index.html?q=1 HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\n\r\n", 3, 60, nil}},
	{110 * time.Millisecond, 0, 200, event.SOCKET_RECVFROM_X, []any{60, "GET /index.html?q=1 HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\n\r\n", nil, 5, 60}},
	{130 * time.Millisecond, 0, 200, event.SOCKET_SENDTO_X, []any{len(okHTTP), okHTTP, 5, len(okHTTP), nil}},
	{150 * time.Millisecond, 0, 100, event.SOCKET_RECVFROM_X, []any{len(okHTTP), okHTTP, nil, 3, 100}},
	{1200 * time.Millisecond, 0, 300, event.SYSCALL_READ_X, []any{26, "set color 0 60 4\r\nblue\r\n", 6, 2048}},
	{1300 * time.Millisecond, 0, 300, event.SYSCALL_READ_X, []any{11, "get color\r\n", 6, 2048}},
	{1400 * time.Millisecond, 0, 400, event.SYSCALL_WRITE_X, []any{40, "<38>Jan  1 00:00:00 sshd: no \x1b[2Jentry", 4, 40}},
	{1500 * time.Millisecond, 0, 400, event.SYSCALL_WRITE_X, []any{30, "warning: low\nerror: gone\n", 5, 30}},
	{2100 * time.Millisecond, 0, 500, event.SOCKET_SENDTO_X, []any{5, "ping\x00", 3, 5, nil}},
	{2200 * time.Millisecond, 0, 70, event.SYSCALL_EXECVE_19_X, execve(70, 200, "bash", "-c\x00id\x00", "X=() { :;}; echo pwned\x00A=1\x00")},
	{2300 * time.Millisecond, 0, 50, event.SYSCALL_CHDIR_X, []any{0, "/srv"}},
}

func execve(tid, parent int64, exe, args, env string) []any {
	v := []any{0, exe, []byte(args), tid, tid, parent, "/", 1024, 0, 0, 100, 50, 0, exe, []byte("cpu=/\x00"), []byte(env)}
	return append(v, 0, tid, 0, 0, 0, 0, 0, 0, 0, 0, 0, "/bin/"+exe, tid, 0, "/bin/"+exe)
}

func thread(tid, parent int64, comm string, fds ...event.FDInfo) *event.ThreadInfo {
	t := event.NewThreadInfo()
	t.TID, t.PID, t.PTID, t.VTID, t.VPID, t.Comm, t.Exe, t.ExePath, t.Cwd = tid, tid, parent, tid, tid, comm, comm, "/bin/"+comm, "/"
	t.SID, t.FDLimit, t.VMSize, t.VMRSS, t.FDs = tid, 1024, 2048, 512, fds
	return t
}

func connection(num int64, proto event.L4Proto, from, to string) event.FDInfo {
	return event.FDInfo{Num: num, Type: event.FDIPv4, Proto: proto, Source: netip.MustParseAddrPort(from), Dest: netip.MustParseAddrPort(to)}
}

// writeScene writes the capture.
func writeScene(path string) error {
	file := func(num int64, name string) event.FDInfo {
		return event.FDInfo{Num: num, Type: event.FDFileV2, Name: name}
	}
	w, err := capture.Create(path, &event.Snapshot{
		Machine: event.Machine{CPUs: 1, Hostname: "test"},
		Users:   []event.User{{UID: 0, Name: "root", Home: "/root"}},
		Threads: []*event.ThreadInfo{
			thread(50, 1, "bash", file(0, "/dev/pts/0")),
			thread(60, 50, "bash", file(1, "/dev/pts/0")),
			thread(70, 200, "nginx"),
			thread(100, 50, "curl", connection(3, event.L4TCP, "10.0.0.2:40000", "10.0.0.1:80")),
			thread(200, 1, "nginx", connection(5, event.L4TCP, "10.0.0.2:40000", "10.0.0.1:80")),
			thread(300, 1, "memcached", connection(6, event.L4TCP, "10.0.0.3:50000", "10.0.0.1:11211")),
			thread(400, 1, "sshd", event.FDInfo{Num: 4, Type: event.FDUnix, Name: "/dev/log"}, file(5, "/var/log/app.log")),
			thread(500, 1, "game", connection(3, event.L4UDP, "10.0.0.5:9000", "10.0.0.6:9001")),
		},
	}, capture.WriterOptions{})
	if err != nil {
		return err
	}
	for _, a := range scene {
		b, err := event.Append(nil, start+uint64(a.after), a.tid, a.typ, a.values...)
		if err != nil {
			return err
		}
		var ev event.Event
		if err := ev.Reset(b); err != nil {
			return err
		}
		ev.Latency = uint64(a.latency)
		if err := w.Write(&ev); err != nil {
			return err
		}
	}
	return w.Close()
}
