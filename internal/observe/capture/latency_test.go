package capture

import (
	"bytes"
	"io"
	"maps"
	"path/filepath"
	"testing"

	"rollcage/internal/observe/event"
)

// latencies reads the events that a capture shows with their latencies.
func latencies(t *testing.T, file []byte) map[string]uint64 {
	t.Helper()
	r, err := NewReader(bytes.NewReader(file), Options{})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]uint64{}
	var ev event.Event
	for {
		switch err := r.Next(&ev); err {
		case nil:
			out[ev.Info().Name] = ev.Latency
		case io.EOF:
			return out
		default:
			t.Fatal(err)
		}
	}
}

// The old forms of calls: what they have on entry is stored on entry.
func TestTheLatencyOfOldCallsIsTheTimeSinceTheirEntry(t *testing.T) {
	var list []record
	for i, b := range [][]byte{
		eventBytes(t, 100, 7, event.SYSCALL_CLOSE_E, 3),
		eventBytes(t, 110, 8, event.SYSCALL_READ_E, 3, 10),
		eventBytes(t, 150, 7, event.SYSCALL_CLOSE_X, 0),
		eventBytes(t, 300, 8, event.SYSCALL_READ_X, 3, "abc"),
		eventBytes(t, 400, 7, event.SYSCALL_CLOSE_E, 3),
		eventBytes(t, 410, 7, event.SYSCALL_DUP_1_X, 3, 4),      // of another call
		eventBytes(t, 420, 9, event.SYSCALL_CHDIR_X, 0, "/tmp"), // of another thread
	} {
		list = append(list, record{uint64(i + 1), 0, false, string(b)})
	}
	want := map[string]uint64{"close": 50, "read": 190, "dup": 0, "chdir": 0}
	got := latencies(t, written(t, list))
	for name, ns := range want {
		if v, ok := got[name]; !ok || v != ns {
			t.Errorf("%s took %d ns, want %d", name, v, ns)
		}
	}
}

// timed returns a capture with events of which the latency is known, one of
// them in a form that older readers do not know.
func timed(t *testing.T) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file, &event.Snapshot{}, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range [][]byte{
		eventBytes(t, 1, 10, event.SOCKET_SOCKET_X, 3, 2, 1, 6, 0x80000),
		eventBytes(t, 2, 10, event.SYSCALL_CLOSE_X, 0, 3),
		eventBytes(t, 3, 10, event.SYSCALL_CHDIR_X, 0, "/"),
	} {
		ev := record{uint64(i), 0, false, string(b)}.view(t)
		ev.Latency = []uint64{1 << 40, 77, 0}[i]
		if err := w.Write(ev); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestALatencyComesBackFromTheFile(t *testing.T) {
	got := latencies(t, timed(t))
	if want := map[string]uint64{"socket": 1 << 40, "close": 77, "chdir": 0}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := latencies(t, withoutOptions(timed(t))); !maps.Equal(got, map[string]uint64{"socket": 0, "close": 0, "chdir": 0}) {
		t.Errorf("without our options there is %v", got)
	}
}

func TestSysdig041ReadsEventsBesideTheirLatency(t *testing.T) {
	program := sysdig(t, "sid")
	path := filepath.Join(t.TempDir(), "a.scap")
	writeFile(t, path, timed(t))
	if got := lines(t, program, path, "%evt.type"); !equal(got, []string{"socket", "close", "chdir"}) {
		t.Errorf("got %q", got)
	}
}
