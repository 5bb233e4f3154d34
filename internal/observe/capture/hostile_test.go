package capture

import (
	"bytes"
	stdgzip "compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"rollcage/internal/observe/event"
)

// smallFile holds every kind of block. ends are the offsets behind its event
// blocks, starts those of all blocks.
func smallFile(t testing.TB) (data []byte, starts, ends []int) {
	thread, _ := threadEntry(9)
	old, _ := threadEntry(4)
	copy(old, raw(int64(9), int64(9)))
	fds, _ := fdEntries(2)
	oldFDs, _ := fdEntries(1)
	events := [][]byte{
		block(eventLarge, uint16(0), eventBytes(t, 0, -1, event.CONTAINER_JSON_2_E, `{"container":{}}`)),
		block(0x204, uint16(0), oldEvent(t, 1, 7, event.SYSCALL_READ_E, 3, 4096)),
		block(0x208, uint16(0), uint32(1), oldEvent(t, 2, 7, event.SYSCALL_READ_X, 5, "hello")),
		block(eventV2, uint16(1), eventBytes(t, 3, 7, event.SYSCALL_EXECVE_18_E, "/bin/sh")),
		block(eventFlags, uint16(1), uint32(0), eventBytes(t, 4, 7, event.SYSCALL_OPENAT_E, 3, "/etc/shadow", 1, 0)),
		block(eventV2, uint16(1), eventBytes(t, 5, 7, event.SYSCALL_OPENAT_X, 4)),
		block(eventLFlags, uint16(0), uint32(0), eventBytes(t, 6, -1, event.ASYNCEVENT_E, 1, "container", "{}")),
	}
	blocks := append([][]byte{
		header(2),
		block(machineInfo, make([]byte, 180)),
		block(interfaceList, uint32(26), uint16(1), uint16(2), make([]byte, 20), "lo"),
		block(userList, uint32(5+14), uint8(0), uint32(0), uint32(0), str(""), str(""), str("")),
		block(threadList, uint32(4+len(thread)+76), thread, make([]byte, 76)),
		block(0x210, old),
		block(fdList, int64(10), join(fds...)),
		block(0x203, int64(9), join(oldFDs...)),
		block(0x299, "unknown"),
	}, events...)
	for i, b := range blocks {
		starts = append(starts, len(data))
		data = append(data, b...)
		if i >= len(blocks)-len(events) {
			ends = append(ends, len(data))
		}
	}
	return data, starts, ends
}

// whole counts the numbers up to n.
func whole(ends []int, n int) (count int) {
	for _, end := range ends {
		if end <= n {
			count++
		}
	}
	return count
}

// readSome reads what it can.
func readSome(data []byte, opt Options) ([]record, error) {
	r, err := NewReader(bytes.NewReader(data), opt)
	if err != nil {
		return nil, err
	}
	events, _, err := readAll(r)
	return events, err
}

func TestAFileCutAtAnyByteGivesAllWholeEventsThenAnError(t *testing.T) {
	data, starts, ends := smallFile(t)
	for n := range data {
		events, err := readSome(data[:n], Options{Raw: true})
		want := whole(ends, n)
		if len(events) != want {
			t.Fatalf("cut at %d: %d events, want %d", n, len(events), want)
		}
		start := 0
		for _, s := range starts {
			if s <= n {
				start = s
			}
		}
		var where *Error
		switch {
		case n == start && want > 0:
			if err != nil {
				t.Fatalf("cut at the end of a block, %d: %v", n, err)
			}
		case !errors.As(err, &where) || where.Offset != int64(start):
			t.Fatalf("cut at %d: error %v, want one at %d", n, err, start)
		case n == 0 && !errors.Is(err, ErrFormat), n > 0 && n == start && !errors.Is(err, ErrNoEvents),
			n != start && !errors.Is(err, io.ErrUnexpectedEOF):
			t.Fatalf("cut at %d: wrong error %v", n, err)
		}
	}
}

func TestACompressedFileCutAtAnyByteGivesAllWholeEventsThenAnError(t *testing.T) {
	data, _, ends := smallFile(t)
	packed := pack(data)
	for n := range packed {
		var plain []byte
		if gz, err := stdgzip.NewReader(bytes.NewReader(packed[:n])); err == nil {
			plain, _ = io.ReadAll(gz)
		}
		events, err := readSome(packed[:n], Options{Raw: true})
		if len(events) != whole(ends, len(plain)) {
			t.Fatalf("cut at %d: %d events, want %d", n, len(events), whole(ends, len(plain)))
		}
		if n > 1 && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d: error %v, want one that says so", n, err)
		}
	}
}

func TestRecordedCapturesCutSomewhereNeverLoseWholeEvents(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, path := range captures(t) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all, err := readSome(data, Options{})
		if err != nil {
			t.Fatal(err)
		}
		last := 0
		for i := range 24 {
			n := len(data)*i/24 + rnd.IntN(len(data)/24)
			events, err := readSome(data[:n], Options{})
			if err == nil && n > 0 && data[0] == 0x1f {
				t.Errorf("%s cut at %d: no error", path, n)
			}
			if len(events) < last || len(events) > len(all) || !equal(events, all[:len(events)]) {
				t.Fatalf("%s cut at %d: %d events, which are not the first of %d, or fewer than %d", path, n, len(events), len(all), last)
			}
			last = len(events)
		}
	}
}

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestHostileLengthsAllocateNoMoreThanArrives(t *testing.T) {
	data, _, _ := smallFile(t)
	const fixed = streamBuffer + fileBuffer + 64<<10
	for at := range len(data) - 3 {
		for _, length := range []uint32{0xffffffff, 0x00100000} {
			bad := bytes.Clone(data)
			binary.LittleEndian.PutUint32(bad[at:], length)
			if n := allocated(func() { readSome(bad, Options{}) }); n > fixed+16*uint64(len(data)) {
				t.Fatalf("length %#x at %d of %d bytes made the reader allocate %d", length, at, len(data), n)
			}
		}
	}
}

func TestAHostileLengthInAFileOfKnownSizeAllocatesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.scap")
	data := join(header(2), closeEvent(t, 1), raw(uint32(eventLarge), uint32(200<<20)), make([]byte, 8<<20))
	writeFile(t, path, data)
	var err error
	n := allocated(func() {
		var r *Reader
		if r, err = Open(path); err == nil {
			_, _, err = readAll(r)
			r.Close()
		}
	})
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "expecting 209715200 bytes, read 8388616") {
		t.Errorf("error %v, want one about the cut", err)
	}
	if n > 1<<20 {
		t.Errorf("%d bytes allocated", n)
	}
}

func TestBombsAreDefused(t *testing.T) {
	zeros := make([]byte, 4<<20)
	for _, c := range []struct {
		name  string
		start []byte
		limit uint64
	}{
		{"a large event over the limit is refused unread", raw(uint32(eventLarge), uint32(0xfffffff0)), 1 << 20},
		{"a snapshot over the limit is refused unread", raw(uint32(threadList), uint32(0xfffffff0)), 1 << 20},
		{"an event may not be larger than its kind allows", raw(uint32(eventV2), uint32(0xfffffff0)), 1 << 20},
		{"a large event takes what arrives, not what it claims", raw(uint32(eventLarge), uint32(255<<20)), 5 * 4 << 20},
		{"a block that is skipped takes nothing", raw(uint32(0x299), uint32(900<<20)), 1 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			packed := pack(header(2), c.start, zeros)
			var err error
			if n := allocated(func() { _, err = readSome(packed, Options{}) }); n > c.limit {
				t.Errorf("%d bytes of file made the reader allocate %d", len(packed), n)
			}
			if err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestASnapshotThatIsSmallOnDiskOnlyIsRefused(t *testing.T) {
	s := newSection()
	s.size = maxState - 1<<20 // as if a gigabyte had come before
	var entries []byte
	for tid := range int64(100) {
		empty := string(make([]byte, maxList))
		entries = append(entries, raw(tid, tid, int64(1), str("c"), str("e"), str(empty), str("/"), make([]byte, 20))...)
	}
	err := s.load(kindOf(0x202), entries)
	if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "a snapshot of more than") {
		t.Errorf("error %v, want one about the size", err)
	}
	if n := len(s.snap.Threads); n == 0 || n > 20 {
		t.Errorf("%d threads were kept, want those that fit a megabyte", n)
	}
}
