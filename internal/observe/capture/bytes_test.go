package capture

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"rollcage/internal/observe/event"
)

// raw concatenates integers in their width, strings and bytes as they are.
func raw(values ...any) []byte {
	var b []byte
	for _, v := range values {
		switch v := v.(type) {
		case string:
			b = append(b, v...)
		case []byte:
			b = append(b, v...)
		default:
			var err error
			if b, err = binary.Append(b, binary.LittleEndian, v); err != nil {
				panic(err)
			}
		}
	}
	return b
}

// str is a string with its length in front.
func str(s string) []byte { return raw(uint16(len(s)), s) }

// block frames a body.
func block(number uint32, body ...any) []byte {
	b := raw(body...)
	total := uint32(8 + len(b) + padding(len(b)) + 4)
	return raw(number, total, b, make([]byte, padding(len(b))), total)
}

func header(minor uint16) []byte {
	return block(sectionHeader, uint32(sectionMagic), uint16(1), minor, ^uint64(0))
}

// eventBytes builds an event of today.
func eventBytes(t testing.TB, ts uint64, tid int64, typ event.Type, values ...any) []byte {
	t.Helper()
	b, err := event.Append(nil, ts, tid, typ, values...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// oldEvent builds an event of version 1.
func oldEvent(t testing.TB, ts uint64, tid int64, typ event.Type, values ...any) []byte {
	t.Helper()
	b := eventBytes(t, ts, tid, typ, values...)
	binary.LittleEndian.PutUint32(b[16:], uint32(len(b)-4))
	return append(b[:22:22], b[26:]...)
}

// closeEvent is the smallest event of interest, in a block of its own.
func closeEvent(t testing.TB, ts uint64) []byte {
	return block(eventV2, uint16(1), eventBytes(t, ts, 7, event.SYSCALL_CLOSE_X, 0, 3))
}

func pack(b ...[]byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	for _, b := range b {
		w.Write(b)
	}
	w.Close()
	return out.Bytes()
}

func join(b ...[]byte) []byte { return bytes.Join(b, nil) }

// record is a copy of what Next handed out.
type record struct {
	num    uint64
	cpu    uint16
	hidden bool
	bytes  string
}

func (r record) view(t testing.TB) *event.Event {
	t.Helper()
	ev := &event.Event{Num: r.num, CPU: r.cpu, Hidden: r.hidden}
	if err := ev.Reset([]byte(r.bytes)); err != nil {
		t.Fatal(err)
	}
	return ev
}

// readAll reads to the end. The error is nil at a clean end; an ErrSection is
// counted.
func readAll(r *Reader) (events []record, sections int, err error) {
	for {
		var ev event.Event
		switch err := r.Next(&ev); {
		case errors.Is(err, event.ErrSection):
			sections++
		case err == io.EOF:
			return events, sections, nil
		case err != nil:
			return events, sections, err
		default:
			events = append(events, record{ev.Num, ev.CPU, ev.Hidden, string(ev.Bytes())})
		}
	}
}

// mustRead reads a capture that is whole.
func mustRead(t testing.TB, data []byte, opt Options) (*Reader, []record) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(data), opt)
	if err != nil {
		t.Fatal(err)
	}
	events, _, err := readAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return r, events
}

// captures returns the recorded captures, and skips the test if they are not there.
func captures(t testing.TB) []string {
	t.Helper()
	dir := os.Getenv("ROLLCAGE_CAPTURES")
	if dir == "" {
		dir = "../../../../shared/captures"
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.scap"))
	if len(files) == 0 {
		t.Skipf("no captures in %s; set ROLLCAGE_CAPTURES", dir)
	}
	return files
}

func writeFile(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
