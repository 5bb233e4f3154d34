package capture

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcage/internal/observe/event"
)

// names lists the files of a folder.
func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestFilesFollowEachOther(t *testing.T) {
	list := liveEvents(t, 100) // one per ms
	for _, c := range []struct {
		name  string
		path  string
		opt   WriterOptions
		files []string
		first []int // number of the first event that is not hidden state, by file
	}{
		{"one file without limits", "a.scap", WriterOptions{}, []string{"a.scap"}, []int{1}},
		{"by number", "a.scap", WriterOptions{MaxEvents: 40}, []string{"a.scap0", "a.scap1", "a.scap2"}, []int{1, 41, 81}},
		{"exactly full files leave no empty one", "a.scap", WriterOptions{MaxEvents: 50}, []string{"a.scap0", "a.scap1"}, []int{1, 51}},
		{"by time", "a.scap", WriterOptions{MaxTime: 40 * time.Millisecond}, []string{"a.scap0", "a.scap1", "a.scap2"}, []int{1, 42, 83}},
		{"in a ring", "a.scap", WriterOptions{MaxEvents: 20, MaxFiles: 3}, []string{"a.scap0", "a.scap1", "a.scap2"}, []int{61, 81, 41}},
		{"in a ring whose names sort", "a", WriterOptions{MaxEvents: 10, MaxFiles: 11},
			strings.Fields("a00 a01 a02 a03 a04 a05 a06 a07 a08 a09"), []int{1, 11, 21, 31, 41, 51, 61, 71, 81, 91}},
		{"compressed", "a.gz", WriterOptions{MaxEvents: 60}, []string{"a.gz0", "a.gz1"}, []int{1, 61}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			states := 0
			c.opt.State = func() *event.Snapshot {
				states++
				return &event.Snapshot{Machine: event.Machine{Flags: uint64(states)}}
			}
			w, err := Create(filepath.Join(dir, c.path), &event.Snapshot{}, c.opt)
			if err != nil {
				t.Fatal(err)
			}
			writeAll(t, w, list)
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if got := names(t, dir); !equal(got, c.files) {
				t.Fatalf("files %v, want %v", got, c.files)
			}
			for i, name := range c.files {
				snap, events := readFile(t, filepath.Join(dir, name))
				if events[0].bytes != list[c.first[i]-1].bytes {
					t.Errorf("%s starts with another event than %d", name, c.first[i])
				}
				if snap.Machine.Flags == 0 && c.first[i] != 1 {
					t.Errorf("%s does not start with the state of its time", name)
				}
			}
		})
	}
}

func TestFilesBySizeHoldTheirShare(t *testing.T) {
	for _, name := range []string{"a.scap", "a.scap.gz"} {
		dir := t.TempDir()
		w, err := Create(filepath.Join(dir, name), &event.Snapshot{}, WriterOptions{
			MaxBytes: 20_000, State: func() *event.Snapshot { return &event.Snapshot{} },
		})
		if err != nil {
			t.Fatal(err)
		}
		list := liveEvents(t, 3000)
		writeAll(t, w, list)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		total, small, files := 0, 0, names(t, dir)
		for _, name := range files {
			path := filepath.Join(dir, name)
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if info.Size() < 20_000 {
				small++
			}
			if small > 1 || info.Size() > 20_000+gzipChunk {
				t.Errorf("%s has %d bytes", name, info.Size())
			}
			_, events := readFile(t, path)
			total += len(events)
		}
		if total != len(list) || len(files) < 2 {
			t.Errorf("%d events in %d files, want %d in several", total, len(files), len(list))
		}
	}
}

func TestASnapshotOverTheLimitLeavesRoomForEvents(t *testing.T) {
	dir, snap := t.TempDir(), fullSnapshot()
	w, err := Create(filepath.Join(dir, "a"), snap, WriterOptions{MaxBytes: 1, State: func() *event.Snapshot { return snap }})
	if err != nil {
		t.Fatal(err)
	}
	writeAll(t, w, liveEvents(t, 100))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(names(t, dir)); n > 20 {
		t.Errorf("%d files for 100 events", n)
	}
}

func TestNamesByTime(t *testing.T) {
	at := time.Date(2026, 3, 4, 15, 6, 7, 0, time.UTC)
	for pattern, want := range map[string]string{
		"a-%Y%m%d-%H%M%S.scap": "a-20260304-150607.scap", "%F_%T": "2026-03-04_15:06:07", "%s": "1772636767",
		"100%%-%q%": "100%-%q%", "%j %I %p": "063 03 PM",
	} {
		if got := strftime(pattern, at); got != want {
			t.Errorf("%s gives %s, want %s", pattern, got, want)
		}
	}
	row := newFileRow("%M", &WriterOptions{MaxTime: time.Second})
	for i, want := range []string{"06", "06.1", "06"} {
		row.count = i
		if row.path = row.name(at); row.path != want {
			t.Errorf("name %d is %s, want %s", i, row.path, want)
		}
	}
}

func TestOldFilesByTimeAreRemoved(t *testing.T) {
	dir := t.TempDir()
	w, err := Create(filepath.Join(dir, "%s"), &event.Snapshot{}, WriterOptions{
		MaxTime: time.Second, MaxFiles: 2, State: func() *event.Snapshot { return &event.Snapshot{} },
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(5) {
		b := eventBytes(t, (i*2+1)*1e9, 1, event.SYSCALL_CLOSE_X, 0, 3)
		c := eventBytes(t, (i*2+2)*1e9, 1, event.SYSCALL_CLOSE_X, 0, 3)
		writeAll(t, w, []record{{bytes: string(b)}, {bytes: string(c)}})
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); !equal(got, []string{"7", "9"}) {
		t.Errorf("files %v, want the last two", got)
	}
}

func TestAFileThatCannotFollowEndsTheWriting(t *testing.T) {
	dir := t.TempDir()
	w, err := Create(filepath.Join(dir, "a"), &event.Snapshot{}, WriterOptions{
		MaxEvents: 1, State: func() *event.Snapshot { return &event.Snapshot{} },
	})
	if err != nil {
		t.Fatal(err)
	}
	list := liveEvents(t, 2)
	writeAll(t, w, list[:1])
	if err := os.Mkdir(filepath.Join(dir, "a1"), 0o700); err != nil { // in the way of the next file
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Write(list[1].view(t)); !errors.Is(err, syscall.EISDIR) {
			t.Fatalf("error %v, want %v", err, syscall.EISDIR)
		}
	}
	if err := w.Close(); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("Close gives %v", err)
	}
	if _, events := readFile(t, filepath.Join(dir, "a0")); len(events) != 1 {
		t.Errorf("the first file has %d events, want one", len(events))
	}
}

func TestASectionMayBeginInANewFile(t *testing.T) {
	dir := t.TempDir()
	w, err := Create(filepath.Join(dir, "a"), &event.Snapshot{}, WriterOptions{
		MaxEvents: 2, State: func() *event.Snapshot { return &event.Snapshot{} },
	})
	if err != nil {
		t.Fatal(err)
	}
	list := liveEvents(t, 3)
	writeAll(t, w, list[:2])
	if err := w.Section(&event.Snapshot{Machine: event.Machine{Flags: 7}}); err != nil {
		t.Fatal(err)
	}
	writeAll(t, w, list[2:])
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if snap, events := readFile(t, filepath.Join(dir, "a1")); snap.Machine.Flags != 7 || len(events) != 1 {
		t.Errorf("the second file has state %d and %d events", snap.Machine.Flags, len(events))
	}
}

func TestAFileThatIsOverwrittenBecomesPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.scap")
	if err := os.WriteFile(path, []byte("older"), 0o644); err != nil {
		t.Fatal(err)
	}
	w, err := Create(path, &event.Snapshot{}, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}
