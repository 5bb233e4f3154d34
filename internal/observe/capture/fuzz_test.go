package capture

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"rollcage/internal/observe/event"
)

// FuzzReader reads any bytes. What can be read must be numbered without gaps
// and must be the same after it was written and read again.
func FuzzReader(f *testing.F) {
	small, _, _ := smallFile(f)
	f.Add(small)
	f.Add(pack(small))
	f.Add(join(pack(small), small))
	f.Add(join(header(2), closeEvent(f, 1), small))
	var file bytes.Buffer
	w, err := NewWriter(&file, fullSnapshot(), WriterOptions{})
	if err != nil {
		f.Fatal(err)
	}
	newer := record{bytes: string(eventBytes(f, 1, 2, event.SYSCALL_FCNTL_X, 0, 3, 1, 5))}
	writeAll(f, w, append(liveEvents(f, 4), newer))
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	old := []byte{}
	for _, s := range []story{
		{{event.SYSCALL_EXECVE_8_E}, {event.SYSCALL_EXECVE_8_X, 0, "sh", "-c", 7, 7, 1, "/", 10}},
		{{event.CONTAINER_E, "abc", 1, "web", "nginx"}, {event.SOCKET_CONNECT_E, 3}, {event.SOCKET_CONNECT_X, 0, nil}},
	} {
		for _, e := range s {
			old = append(old, block(0x204, uint16(0), oldEvent(f, 1, 7, e[0].(event.Type), e[1:]...))...)
		}
	}
	f.Add(join(header(0), old))

	f.Fuzz(func(t *testing.T, data []byte) {
		readSome(data, Options{Raw: true, NoUsers: true})
		r, err := NewReader(bytes.NewReader(data), Options{})
		if err != nil {
			checkError(t, err)
			return
		}
		snap := r.Snapshot()
		var ev event.Event
		var events []record
		for err == nil || errors.Is(err, event.ErrSection) {
			if err = r.Next(&ev); err == nil {
				events = append(events, record{ev.Num, ev.CPU, ev.Hidden, string(ev.Bytes())})
			}
		}
		if err != io.EOF {
			checkError(t, err)
		}
		for i := range events {
			if events[i].num != uint64(i+1) {
				t.Fatalf("event %d has number %d", i+1, events[i].num)
			}
		}
		if len(events) > 0 {
			rewritten(t, snap, events)
		}
	})
}

func checkError(t *testing.T, err error) {
	t.Helper()
	var where *Error
	if !errors.As(err, &where) || where.Offset < 0 || err.Error() == "" {
		t.Fatalf("error %v does not say where", err)
	}
}

// rewritten writes and reads the events and compares them, without those that
// may belong to a snapshot.
func rewritten(t *testing.T, snap *event.Snapshot, events []record) {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file, snap, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	writeAll(t, w, events)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(bytes.NewReader(file.Bytes()), Options{})
	if errors.Is(err, ErrNoEvents) && w.Events() == 0 {
		return // all that was written were users that the snapshot has
	}
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := readAll(r)
	if err != nil {
		t.Fatal(err)
	}
	before, after := streamOnly(t, events), streamOnly(t, again)
	if len(before) != len(after) {
		t.Fatalf("%d events became %d", len(before), len(after))
	}
	for i := range before {
		a, b := before[i], after[i]
		if a.cpu != b.cpu || a.hidden != b.hidden || a.bytes != b.bytes {
			t.Fatalf("%s: %+v became %+v", a.view(t).Type(), a, b)
		}
	}
}

func streamOnly(t *testing.T, events []record) (list []record) {
	for _, e := range events {
		if !initialTypes.Has(e.view(t).Type()) {
			list = append(list, e)
		}
	}
	return list
}
