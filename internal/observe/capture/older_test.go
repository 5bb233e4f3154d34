package capture

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"testing"

	"rollcage/internal/observe/event"
)

// newerEvents are events that sysdig 0.41 does not know, and one that it does.
func newerEvents(t testing.TB) []record {
	var list []record
	for i, b := range [][]byte{
		eventBytes(t, 1, 10, event.SOCKET_SOCKET_X, 3, 2, 1, 6, 0x80000),
		eventBytes(t, 2, 10, event.SYSCALL_FCNTL_X, 0, 3, 2, 1),
		eventBytes(t, 3, 10, event.SYSCALL_CLOSE_RANGE_X, 0, 3, 100, 4),
		eventBytes(t, 4, 10, event.SYSCALL_KEYCTL_X, 5, 1, nil, nil, nil, nil),
		eventBytes(t, 5, 10, event.SYSCALL_CLOSE_X, 0, 3),
	} {
		list = append(list, record{uint64(i + 1), uint16(i), i == 1, string(b)})
	}
	return list
}

// written returns a capture with the events and no state.
func written(t testing.TB, list []record) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file, &event.Snapshot{}, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	writeAll(t, w, list)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestNewerEventsComeBackWhole(t *testing.T) {
	list := newerEvents(t)
	if _, events := mustRead(t, written(t, list), Options{}); !equal(events, list) {
		t.Errorf("got  %+v\nwant %+v", events, list)
	}
}

// withoutOptions makes a reader's own mark unknown to it, so that it sees what
// another program does.
func withoutOptions(file []byte) []byte {
	return bytes.ReplaceAll(file, []byte(optionMark), []byte("somebody"))
}

func TestOlderReadersGetTheFormThatTheyKnow(t *testing.T) {
	_, events := mustRead(t, withoutOptions(written(t, newerEvents(t))), Options{Raw: true})
	var names []string
	for i, params := range []int{4, 3, 2, 2, 2} {
		ev := events[i].view(t)
		names = append(names, typeName(ev))
		if ev.NumParams() != params || ev.Time() != uint64(i+1) || ev.TID() != 10 {
			t.Errorf("%s has %d parameters, time %d, thread %d", ev.Type(), ev.NumParams(), ev.Time(), ev.TID())
		}
		if flags := binary.LittleEndian.Uint32(events[i].view(t).Bytes()[16:]); int(flags) != len(events[i].bytes) {
			t.Errorf("%s says %d bytes, it has %d", ev.Type(), flags, len(events[i].bytes))
		}
	}
	if want := []string{"socket", "fcntl", "close_range", "keyctl", "close"}; !equal(names, want) {
		t.Errorf("events are %v, want %v", names, want)
	}
}

func TestAnEventWithoutItsNewerParametersIsWrittenAsItIs(t *testing.T) {
	list := []record{{1, 0, false, string(eventBytes(t, 1, 10, event.SOCKET_SOCKET_X, 3, 2, 1, 6))}}
	file := written(t, list)
	if bytes.Contains(file, []byte(optionMark)) {
		t.Error("it has an option")
	}
	if _, events := mustRead(t, file, Options{Raw: true}); !equal(events, list) {
		t.Errorf("got %+v, want %+v", events, list)
	}
}

func TestOptionsOfOthersAreIgnored(t *testing.T) {
	own := raw(uint16(optionEvent), uint16(len(optionMark)+5), optionMark, "short", "\x00\x00\x00")
	future := eventBytes(t, 1, 7, event.SYSCALL_CLOSE_X, 0, 9)
	binary.LittleEndian.PutUint16(future[20:], 5000)
	for name, options := range map[string][]byte{
		"a comment":                     raw(uint16(1), uint16(3), "abc\x00", uint32(0)),
		"none":                          raw(uint32(0)),
		"one that is cut":               raw(uint16(1), uint16(300), "abc\x00"),
		"one of ours without an event":  own,
		"one of ours from a newer time": endOptions(appendOption(nil, optionEvent, future)),
		"one of the same number":        raw(uint16(optionEvent), uint16(40), make([]byte, 40), uint32(0)),
	} {
		b := eventBytes(t, 1, 7, event.SYSCALL_CLOSE_X, 0, 3)
		_, events := mustRead(t, join(header(2), block(eventV2, uint16(1), b, "\x00\x00\x00\x00"[:padding(2+len(b))], options)), Options{})
		if len(events) != 1 || events[0].bytes != string(b) {
			t.Errorf("with %s the event is %+v", name, events)
		}
	}
}

func TestOurOptionIsFoundBehindOthers(t *testing.T) {
	want := eventBytes(t, 1, 7, event.SYSCALL_CLOSE_X, 0, 9)
	options := endOptions(appendOption(raw(uint16(1), uint16(3), "abc\x00"), optionEvent, want))
	if got := readOptions(options).event; !bytes.Equal(got, want) {
		t.Errorf("found %x, want %x", got, want)
	}
}

func TestSysdig041ReadsNewerEventsInTheFormThatItKnows(t *testing.T) {
	program := sysdig(t, "sid")
	path := filepath.Join(t.TempDir(), "a.scap")
	list := newerEvents(t)
	list[1].hidden = false
	writeFile(t, path, written(t, list))
	got := lines(t, program, path, "%evt.num %evt.type %evt.args")
	want := []string{
		"1 socket fd=3(<4>) domain=2(AF_INET) type=1 proto=6",
		"2 fcntl res=0 fd=3(<4>) cmd=2(F_GETFD)",
		"3 close_range ",
		"4 keyctl ",
		"5 close res=0 fd=3(<4>)",
	}
	if !equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
