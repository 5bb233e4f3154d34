package probe

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

// The attacks here write another argument where a call was given one, while the call runs. The process knows by
// other means what the kernel has used, and what the events say must agree.

const raceRounds = 3000

func init() {
	allScenes["race of opens"] = func() []string { return raceOfOpens() }
	allScenes["race of connects"] = func() []string { return raceOfConnects() }
	allScenes["open that waits"] = func() []string { return openThatWaits() }
	allScenes["connect that fails late"] = func() []string { return connectThatFailsLate() }
	allScenes["links"] = func() []string { return openThroughLinks() }
}

// flipping writes two words in turn to the same place until the process ends.
func flipping(at *uint64, words ...uint64) {
	go func() {
		for {
			for _, w := range words {
				atomic.StoreUint64(at, w)
				for range 300 { // about as long as a call takes, so that some are hit at each point
					_ = atomic.LoadUint64(at)
				}
			}
		}
	}()
}

func word(s string) uint64 { return binary.NativeEndian.Uint64([]byte(s)) }

// raceOfOpens opens one of two files by a name that flips, and returns the names of those that it got.
func raceOfOpens() []string {
	dir := inTemp()
	var ids []string
	for _, name := range []string{"innocent", "shadow--"} {
		check(os.WriteFile(name, nil, 0o600))
		fd := must(unix.Open(name, unix.O_RDONLY, 0))
		ids = append(ids, fileID(fd))
		check(unix.Close(fd))
	}
	buf := make([]uint64, 512)
	path := (*[4096]byte)(unsafe.Pointer(&buf[0]))
	prefix := dir + "/" + strings.Repeat("./", 8)
	prefix = prefix[:len(prefix)-len(prefix)%8]
	if !strings.HasSuffix(prefix, "/") {
		prefix = dir + strings.Repeat("/", 8-len(dir)%8)
	}
	copy(path[:], prefix)
	copy(path[len(prefix):], "innocent")
	flipping(&buf[len(prefix)/8], word("innocent"), word("shadow--"))
	var got []string
	for range raceRounds {
		fd, _, e := unix.RawSyscall6(unix.SYS_OPENAT, ^uintptr(99), uintptr(unsafe.Pointer(path)), unix.O_RDONLY, 0, 0, 0)
		if e != 0 {
			panic(e)
		}
		name := "innocent"
		if fileID(int(fd)) == ids[1] {
			name = "shadow--"
		}
		check(unix.Close(int(fd)))
		got = append(got, name)
	}
	return got
}

func TestNoOpenHidesWhatItOpens(t *testing.T) {
	sc, events := playAndWatch(t, scene{name: "race of opens"})
	var got []string
	for _, ev := range events {
		name, _ := ev.Str(2)
		if base := filepath.Base(name); ev.TID() == int64(sc.TID) && ev.Type() == event.SYSCALL_OPENAT_2_X &&
			(base == "innocent" || base == "shadow--") {
			got = append(got, base)
		}
	}
	got = got[2:] // those that made the files and looked at them come first
	got = got[len(got)-len(sc.Want):]
	compareRace(t, got, sc.Want)
}

// compareRace compares what events say with what has happened.
func compareRace(t *testing.T, got, want []string) {
	t.Helper()
	count := map[string]int{}
	lies := 0
	for i := range want {
		count[want[i]]++
		if got[i] != want[i] {
			lies++
		}
	}
	if lies > 0 {
		t.Errorf("%d of %d events tell something else than what happened", lies, len(want))
	}
	if len(count) < 2 {
		t.Skipf("the race was never won: %v", count)
	}
	t.Logf("what happened: %v", count)
}

// raceOfConnects connects to one of two ports of an address that flips, and returns those that it got.
func raceOfConnects() []string {
	var words []uint64
	var addr [2]uint64
	raw := (*[16]byte)(unsafe.Pointer(&addr))
	for range 2 {
		l := must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0))
		check(unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
		check(unix.Listen(l, raceRounds)) // nobody accepts
		port := must(unix.Getsockname(l)).(*unix.SockaddrInet4).Port
		binary.NativeEndian.PutUint16(raw[:], unix.AF_INET)
		binary.BigEndian.PutUint16(raw[2:], uint16(port))
		copy(raw[4:], []byte{127, 0, 0, 1})
		words = append(words, addr[0])
	}
	flipping(&addr[0], words...)
	var got []string
	for range raceRounds / 3 {
		s := must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0))
		if _, _, e := unix.RawSyscall(unix.SYS_CONNECT, uintptr(s), uintptr(unsafe.Pointer(&addr)), 16); e != 0 {
			panic(e)
		}
		peer := must(unix.Getpeername(s)).(*unix.SockaddrInet4)
		got = append(got, netip.AddrPortFrom(netip.AddrFrom4(peer.Addr), uint16(peer.Port)).String())
		check(unix.SetsockoptLinger(s, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
		check(unix.Close(s))
	}
	return got
}

func TestNoConnectHidesWhereItGoes(t *testing.T) {
	sc, events := playAndWatch(t, scene{name: "race of connects"})
	var tuples, addrs []string
	for _, ev := range events {
		if ev.TID() == int64(sc.TID) && ev.Type() == event.SOCKET_CONNECT_X {
			_, remote, _ := strings.Cut(value(ev, 1, &ev.Info().Params[1]), "->")
			tuples = append(tuples, remote)
			addrs = append(addrs, value(ev, 3, &ev.Info().Params[3]))
		}
	}
	if len(tuples) != len(sc.Want) {
		t.Fatalf("%d events of %d calls", len(tuples), len(sc.Want))
	}
	compareRace(t, tuples, sc.Want)
	compareRace(t, addrs, sc.Want)
}

// later writes into the memory of a call that has surely begun.
func later(path []byte, name string) {
	go func() {
		time.Sleep(50 * time.Millisecond)
		copy(path, name+"\x00")
	}()
}

// openThatWaits opens a FIFO, which waits for the other end, and has its name rewritten meanwhile.
func openThatWaits() []string {
	dir := inTemp()
	fifo := dir + "/fifo"
	check(unix.Mkfifo(fifo, 0o600))
	path := append([]byte(fifo), 0)
	go func() {
		time.Sleep(100 * time.Millisecond)
		_, _ = unix.Open(fifo, unix.O_WRONLY, 0)
		select {}
	}()
	later(path, dir+"/good")
	fd, _, e := unix.RawSyscall6(unix.SYS_OPENAT, ^uintptr(99), uintptr(unsafe.Pointer(&path[0])), unix.O_RDONLY, 0, 0, 0)
	if e != 0 || !strings.HasSuffix(string(path), "good\x00") {
		panic(fmt.Sprintf("%v, %q", e, path))
	}
	return []string{fmt.Sprintf(`SYSCALL_OPENAT_2_X fd=%d dirfd=-100 name="%s" flags=O_RDONLY mode=0 %s`, fd, fifo, fileID(int(fd)))}
}

func TestAnOpenThatWaitsCannotChangeItsName(t *testing.T) {
	sc, events := playAndWatch(t, scene{name: "open that waits"})
	if got := of(events, sc.TID, event.SYSCALL_OPENAT_2_X); !pattern(sc.Want[0]).MatchString(got[len(got)-1]) {
		t.Errorf("%s, want %s", got[len(got)-1], sc.Want[0])
	}
}

// connectThatFailsLate connects to a socket that nobody accepts from, until the time is up, and has the path
// rewritten meanwhile.
func connectThatFailsLate() []string {
	dir := inTemp()
	l := must(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0))
	check(unix.Bind(l, &unix.SockaddrUnix{Name: "socket"}))
	check(unix.Listen(l, 0))
	first := must(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0))
	check(unix.Connect(first, &unix.SockaddrUnix{Name: "socket"}))
	s := must(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0))
	check(unix.SetsockoptTimeval(s, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Usec: 200_000}))
	addr := make([]byte, 110)
	binary.NativeEndian.PutUint16(addr, unix.AF_UNIX)
	copy(addr[2:], dir+"/socket")
	later(addr[2:], dir+"/good")
	if _, _, e := unix.RawSyscall(unix.SYS_CONNECT, uintptr(s), uintptr(unsafe.Pointer(&addr[0])), 110); e != unix.EAGAIN {
		panic(e)
	}
	return []string{
		fmt.Sprintf(`SOCKET_CONNECT_X res=-11 tuple=*"%s/good\x00" fd=%d addr=unix:"%s/good\x00"`, dir, s, dir),
		fmt.Sprintf(`SOCKET_CONNECT_X res=-11 tuple=*"%s/socket\x00" fd=%d addr=unix:"%s/socket\x00"`, dir, s, dir),
	}
}

func TestAFailedCallIsToldWithBothItsArguments(t *testing.T) {
	p := openProbe(t, Options{SampleArguments: true})
	sc, events := playAndWatchWith(t, p, scene{name: "connect that fails late"})
	got := of(events, sc.TID, event.SOCKET_CONNECT_X)
	wantLines(t, got[len(got)-2:], sc.Want...)
}

// openThroughLinks opens files by names that are not their paths.
func openThroughLinks() []string {
	dir := inTemp()
	check(os.WriteFile("file", nil, 0o600))
	check(os.Symlink("file", "link"))
	check(os.Mkdir("sub", 0o700))
	check(os.Symlink(dir, "sub/up"))
	sub := must(unix.Open("sub", unix.O_PATH, 0))
	for _, name := range []string{"link", "./file", "sub/../file", dir + "//file", "sub/up/link", "sub/up/file", ".", "sub/", "/proc/self/exe",
		"/proc/self/status", "/proc/thread-self/status", "/dev/fd/1"} {
		_ = unix.Close(must(unix.Open(name, unix.O_RDONLY, 0)))
	}
	_ = unix.Close(must(unix.Openat(sub, "../link", unix.O_RDONLY, 0)))
	_, _ = io.Copy(io.Discard, os.Stdin) // so that the reader finds us
	return []string{"link", "./file", "sub/../file", dir + "//file", "sub/up/link", "sub/up/file", ".", "sub/", "/proc/self/exe",
		"/proc/self/status", "/proc/thread-self/status", "/dev/fd/1", "../link"}
}

func TestANameThatLeadsToTheFileStays(t *testing.T) {
	p := sharedProbe(t)
	drain(t, p, uint64(time.Now().UnixNano()))
	var out bytes.Buffer
	cmd := sceneCommand("links")
	cmd.Stdout = &out
	in := must(cmd.StdinPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- cmd.Wait() }()
	var events []*event.Event
	for running := true; running; {
		select {
		case err := <-ended:
			if running = false; err != nil {
				t.Fatal(err)
			}
		default:
		}
		events = append(events, drain(t, p, uint64(time.Now().UnixNano()))...) // while it is there
		for _, ev := range events {
			if dir, _ := ev.Int(1); ev.Type() == event.SYSCALL_OPENAT_2_X && ev.TID() == int64(cmd.Process.Pid) && dir >= 0 {
				_ = in.Close() // that was its last
			}
		}
	}
	var sc script
	if err := json.Unmarshal(out.Bytes(), &sc); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, ev := range events {
		if name, _ := ev.Str(2); ev.TID() == int64(sc.TID) && ev.Type() == event.SYSCALL_OPENAT_2_X {
			got = append(got, name)
		}
	}
	got = got[len(got)-len(sc.Want):]
	for i := range got {
		if got[i] != sc.Want[i] {
			t.Errorf("the event says %s, the call said %s", got[i], sc.Want[i])
		}
	}
}
