package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcage/internal/observe/event"
)

// fullSnapshot fills everything that a file can hold.
func fullSnapshot() *event.Snapshot {
	entry, _ := fdEntries(2)
	s := newSection()
	main := &event.ThreadInfo{
		TID: 10, PID: 10, PTID: 1, SID: 2, PGID: 3, VPGID: 4, VTID: 5, VPID: 6, Comm: "comm", Exe: "exe", ExePath: "/bin/exe",
		Args: []string{"-a", "", "b"}, Env: []string{"A=1"}, Cwd: "/home", Root: "/", Cgroups: []string{"cpu=/a", "memory=/b"},
		FDLimit: 7, Flags: 8, UID: 9, GID: 10, LoginUID: 11, TTY: 12, VMSize: 13, VMRSS: 14, VMSwap: 15, PFMajor: 16, PFMinor: 17,
		PidnsInitStart: 18, CapInheritable: 19, CapPermitted: 20, CapEffective: 21, ExeIno: 22, ExeCtime: 23, ExeMtime: 24,
		ExeWritable: true, ExeUpperLayer: true, ExeLowerLayer: true, ExeFromMemfd: true,
	}
	thread := event.NewThreadInfo()
	thread.TID, thread.PID, thread.PTID, thread.Comm = 11, 10, 1, "worker"
	s.addThread(main)
	s.addThread(thread)
	c := cursor{b: raw(int64(10), join(entry...))}
	loadFDs(s, &c, 2)
	orderEnds(s.snap.Threads)
	// A file leaves descriptors out that it cannot describe.
	for i, fd := range main.FDs {
		if fd.Type == event.FDUnknown {
			main.FDs = append(main.FDs[:i], main.FDs[i+1:]...)
			break
		}
	}
	return &event.Snapshot{
		Machine: event.Machine{CPUs: 8, Memory: 1 << 30, MaxPID: 32768, Hostname: "racer", BootTime: 99, Flags: 1},
		Interfaces: []event.Interface{
			{Name: "eth0", Type: 1, Addr: []byte{1, 2, 3, 4}, Netmask: []byte{255, 0, 0, 0}, Broadcast: []byte{1, 255, 255, 255}, LinkSpeed: 5},
			{Name: "eth0", Type: 2, Addr: make([]byte, 16), Netmask: make([]byte, 16), Broadcast: make([]byte, 16)},
		},
		Users:   []event.User{{UID: 1, GID: 2, Name: "ann", Home: "/home/ann", Shell: "/bin/sh"}},
		Groups:  []event.Group{{GID: 2, Name: "staff"}},
		Threads: s.snap.Threads,
	}
}

// stream is a list of events like those of a live host.
func liveEvents(t testing.TB, n int) []record {
	var list []record
	for i := range n {
		ts := uint64(1_000_000_000 + i*1_000_000)
		b := eventBytes(t, ts, 10, event.SYSCALL_READ_X, 5, "hello", 3, 4096)
		switch i % 3 {
		case 1:
			b = eventBytes(t, ts, 10, event.SYSCALL_OPENAT_2_E, -100, "/f", 1, 0)
		case 2:
			b = eventBytes(t, ts, -1, event.CONTAINER_JSON_2_E, strings.Repeat("x", i))
		}
		list = append(list, record{uint64(i + 1), uint16(i % 4), i%3 == 1, string(b)})
	}
	return list
}

func writeAll(t testing.TB, w *Writer, list []record) {
	t.Helper()
	for _, r := range list {
		if err := w.Write(r.view(t)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatIsWrittenReadsBackTheSame(t *testing.T) {
	for _, packed := range []bool{false, true} {
		t.Run(fmt.Sprintf("gzip %v", packed), func(t *testing.T) {
			var file bytes.Buffer
			snap, list := fullSnapshot(), liveEvents(t, 500)
			w, err := NewWriter(&file, snap, WriterOptions{Gzip: packed})
			if err != nil {
				t.Fatal(err)
			}
			writeAll(t, w, list)
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if w.Events() != 500 {
				t.Errorf("%d events counted, want 500", w.Events())
			}
			if got := file.Bytes()[0] == 0x1f; got != packed {
				t.Errorf("compressed %v, want %v", got, packed)
			}
			r, events := mustRead(t, file.Bytes(), Options{})
			if diff := cmp.Diff(snap, r.Snapshot(), compareAddr); diff != "" {
				t.Errorf("snapshot:\n%s", diff)
			}
			// The user and the group are also the first two events.
			for i := range list {
				list[i].num += 2
			}
			if diff := cmp.Diff(list, events[2:], cmp.AllowUnexported(record{})); diff != "" {
				t.Errorf("events:\n%s", diff)
			}
		})
	}
}

func TestUsersOfContainersAndContainersAreHiddenEvents(t *testing.T) {
	json := eventBytes(t, 0, -1, event.CONTAINER_JSON_2_E, `{"container":{"id":"abc"}}`)
	var file bytes.Buffer
	w, err := NewWriter(&file, &event.Snapshot{
		Users:  []event.User{{UID: 5, Name: "app", Container: "abc"}},
		Groups: []event.Group{{GID: 6, Name: "app", Container: "abc"}},
		Meta:   [][]byte{json},
	}, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	writeAll(t, w, liveEvents(t, 1))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, events := mustRead(t, file.Bytes(), Options{})
	if s := r.Snapshot(); len(s.Users)+len(s.Groups) > 0 {
		t.Errorf("%v and %v are in the list of the host", s.Users, s.Groups)
	}
	var got []string
	for _, e := range events {
		got = append(got, fmt.Sprint(e.view(t).Type(), " ", e.hidden))
	}
	want := []string{"USER_ADDED_E true", "GROUP_ADDED_E true", "CONTAINER_JSON_2_E true", "SYSCALL_READ_X false"}
	if !equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
}

func TestWritingACaptureAgainDoesNotRepeatItsSnapshot(t *testing.T) {
	var first []byte
	snap, list := fullSnapshot(), liveEvents(t, 10)
	for range 3 {
		var file bytes.Buffer
		w, err := NewWriter(&file, snap, WriterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		writeAll(t, w, list)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = file.Bytes()
		} else if !bytes.Equal(first, file.Bytes()) {
			t.Fatalf("written again, %d bytes are others or %d", len(first), file.Len())
		}
		var r *Reader
		r, list = mustRead(t, file.Bytes(), Options{})
		snap = r.Snapshot()
	}
}

func TestSectionsAreWrittenAgainAsSections(t *testing.T) {
	thread, _ := threadEntry(5)
	data := join(header(2), closeEvent(t, 1), header(2), block(0x211, thread), closeEvent(t, 2), closeEvent(t, 3))
	r, err := NewReader(bytes.NewReader(data), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	w, err := NewWriter(&file, r.Snapshot(), WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var ev event.Event
	for err = r.Next(&ev); err != io.EOF; err = r.Next(&ev) {
		if errors.Is(err, event.ErrSection) {
			err = w.Section(r.Snapshot())
		} else if err == nil {
			err = w.Write(&ev)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err = NewReader(bytes.NewReader(file.Bytes()), Options{}); err != nil {
		t.Fatal(err)
	}
	if events, sections, err := readAll(r); err != nil || sections != 1 || len(events) != 3 || len(r.Snapshot().Threads) != 1 {
		t.Errorf("%v, %d sections, %d events, %d threads", err, sections+1, len(events), len(r.Snapshot().Threads))
	}
	if err := w.Section(&event.Snapshot{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a section after Close gives %v", err)
	}
}

func TestTooMuchIsCut(t *testing.T) {
	long := strings.Repeat("x", 5000)
	in := event.NewThreadInfo()
	in.TID, in.PID, in.Comm, in.Cwd, in.Root = 1, 1, long, "", long
	in.Args, in.Env, in.Cgroups = []string{"a", long, "b"}, []string{long}, []string{long}
	in.FDs = []event.FDInfo{{Num: 1, Type: event.FDFile, Name: long}, {Num: 2, Type: event.FDUninitialized}}
	var file bytes.Buffer
	w, err := NewWriter(&file, &event.Snapshot{
		Machine:    event.Machine{Hostname: long},
		Interfaces: []event.Interface{{Name: long, Type: 1}},
		Users:      []event.User{{Name: long}},
		Threads:    []*event.ThreadInfo{in},
	}, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	writeAll(t, w, liveEvents(t, 1))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, _ := mustRead(t, file.Bytes(), Options{})
	s := r.Snapshot()
	got := s.Threads[0]
	for what, n := range map[string][2]int{
		"host name": {len(s.Machine.Hostname), 127}, "interface": {len(s.Interfaces[0].Name), 1023},
		"user": {len(s.Users[0].Name), 255}, "comm": {len(got.Comm), 1024}, "root": {len(got.Root), 1024},
		"arguments": {len(got.Args), 2}, "first argument": {len(got.Args[0]), 1}, "second argument": {len(got.Args[1]), 4093},
		"environment": {len(got.Env[0]), 4095}, "cgroup": {len(got.Cgroups[0]), 4095},
		"descriptors": {len(got.FDs), 1}, "descriptor name": {len(got.FDs[0].Name), 1023}, "unknown cwd, /": {len(got.Cwd), 1},
	} {
		if n[0] != n[1] {
			t.Errorf("%s: %d, want %d", what, n[0], n[1])
		}
	}
}

func TestAddressesAreWrittenInTheWidthOfTheirType(t *testing.T) {
	v4, v6 := netip.MustParseAddr("1.2.3.4"), netip.MustParseAddr("::1")
	for _, c := range []struct {
		ip   netip.Addr
		v6   bool
		want string
	}{
		{v4, false, "\x01\x02\x03\x04"},
		{v6, true, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"},
		{v4, true, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x01\x02\x03\x04"},
		{netip.MustParseAddr("::ffff:1.2.3.4"), false, "\x01\x02\x03\x04"},
		{v6, false, "\x00\x00\x00\x00"},
		{netip.Addr{}, false, "\x00\x00\x00\x00"},
		{netip.Addr{}, true, strings.Repeat("\x00", 16)},
	} {
		if got := string(appendIP(nil, c.ip, c.v6)); got != c.want {
			t.Errorf("%s (IPv6 %v) is %x, want %x", c.ip, c.v6, got, c.want)
		}
	}
}

func TestAnEventOverTheBlockLimitBecomesALargeBlock(t *testing.T) {
	data := make([]byte, 65535)
	b := eventBytes(t, 1, 2, event.SYSCALL_READ_X, len(data), data, 3, len(data))
	var file bytes.Buffer
	w, err := NewWriter(&file, &event.Snapshot{}, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	writeAll(t, w, []record{{1, 0, false, string(b)}})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, events := mustRead(t, file.Bytes(), Options{}); len(events) != 1 || events[0].bytes != string(b) {
		t.Error("the event did not come back")
	}
}

// readFile reads a capture file that is whole.
func readFile(t *testing.T, path string) (*event.Snapshot, []record) {
	t.Helper()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	events, _, err := readAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return r.Snapshot(), events
}

func TestCreateRefuses(t *testing.T) {
	state := func() *event.Snapshot { return nil }
	for _, c := range []struct {
		name, path, text string
		opt              WriterOptions
	}{
		{"limits without a state", "a", "need the state", WriterOptions{MaxEvents: 1}},
		{"limits on the standard output", "-", "standard output", WriterOptions{MaxEvents: 1, State: state}},
		{"a folder that does not exist", "/nonexistent/a", "no such file", WriterOptions{}},
		{"a full device", "/dev/full", "no space left on device", WriterOptions{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Create(c.path, &event.Snapshot{}, c.opt); err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %v, want one with %q", err, c.text)
			}
		})
	}
	if _, err := NewWriter(&bytes.Buffer{}, &event.Snapshot{}, WriterOptions{MaxEvents: 1}); err == nil {
		t.Error("a stream with a limit was accepted")
	}
}

func TestAStateThatIsNoEventIsRefused(t *testing.T) {
	_, err := NewWriter(&bytes.Buffer{}, &event.Snapshot{Meta: [][]byte{[]byte("short")}}, WriterOptions{})
	if !errors.Is(err, event.ErrMalformed) {
		t.Errorf("error %v, want %v", err, event.ErrMalformed)
	}
}

func TestFilesAreForTheirOwnerOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.scap")
	w, err := Create(path, &event.Snapshot{}, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if info, err := os.Stat(w.Path()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

// disk is a file on a disk with room for so many bytes.
type disk struct {
	data []byte
	room int
}

func (d *disk) Write(b []byte) (int, error) {
	n := min(len(b), d.room-len(d.data))
	d.data = append(d.data, b[:n]...)
	if n < len(b) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func (d *disk) truncate(size int64) error {
	d.data = d.data[:size]
	return nil
}

func TestAFullDiskLeavesAValidFile(t *testing.T) {
	list := liveEvents(t, 6000)
	for _, packed := range []bool{false, true} {
		for room := 150_000; room < 150_040; room++ {
			d := &disk{room: room}
			w, err := NewWriter(d, &event.Snapshot{}, WriterOptions{Gzip: packed})
			if err != nil {
				t.Fatal(err)
			}
			w.sink.truncate = d.truncate
			if packed {
				w.sink.chunk = 16 << 10
				d.room /= 10
			}
			n := 0
			for err == nil {
				err = w.Write(list[n%len(list)].view(t))
				n++
			}
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			if again := w.Write(list[0].view(t)); again == nil || again.Error() != err.Error() {
				t.Fatalf("the next write gives %v, want %v", again, err)
			}
			if err := w.Close(); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("Close gives %v", err)
			}
			_, events := mustRead(t, d.data, Options{})
			if len(events) == 0 || len(events) >= n || events[len(events)-1].bytes != list[(len(events)-1)%len(list)].bytes {
				t.Fatalf("%d of %d events are there", len(events), n)
			}
			if !packed && d.room-len(d.data) > 8192 {
				t.Fatalf("%d bytes are left, more than the largest block", d.room-len(d.data))
			}
		}
	}
}

func TestAFullFileSystemLeavesAValidFile(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	defer syscall.Unmount(dir, 0)
	path := filepath.Join(dir, "a.scap")
	w, err := Create(path, fullSnapshot(), WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	list := liveEvents(t, 300)
	for i := 0; err == nil; i++ {
		err = w.Write(list[i%len(list)].view(t))
	}
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one about the space and %s", err, path)
	}
	w.Close()
	readFile(t, path)
}
