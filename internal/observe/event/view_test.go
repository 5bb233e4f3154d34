package event

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

// sample returns a value that fits a parameter, and its bytes.
func sample(p *ParamInfo, i int) (any, []byte) {
	if n := p.Type.Size(); n > 0 && n <= 8 {
		v := uint64(0x1122334455667788) + uint64(i)
		return v, binary.LittleEndian.AppendUint64(nil, v)[:n]
	}
	data := []byte(strings.Repeat("x", i+1))
	switch p.Type {
	case TypeCharbuf, TypeFSPath, TypeFSRelPath:
		return string(data), append(data, 0)
	}
	return data, data
}

func TestEventsOfEveryTypeComeBackAsTheyWereAppended(t *testing.T) {
	for _, info := range All() {
		var values []any
		var want [][]byte
		for i := range info.Params {
			v, b := sample(&info.Params[i], i)
			values, want = append(values, v), append(want, b)
		}
		for n := range len(values) + 1 { // shorter events, as older producers wrote them
			b, err := Append([]byte("in front"), 5, -1, info.Type, values[:n]...)
			if err != nil {
				t.Fatalf("%s: %v", info.Enum, err)
			}
			var ev Event
			if err := ev.Reset(append(b[8:], "behind"...)); err != nil {
				t.Fatalf("%s: %v", info.Enum, err)
			}
			if ev.Time() != 5 || ev.TID() != -1 || ev.Type() != info.Type || ev.Info() != info || ev.NumParams() != n {
				t.Fatalf("%s: time %d, tid %d, type %s, %d parameters", info.Enum, ev.Time(), ev.TID(), ev.Type(), ev.NumParams())
			}
			if !bytes.Equal(ev.Bytes(), b[8:]) {
				t.Fatalf("%s: the bytes are others", info.Enum)
			}
			for i := range n {
				if !bytes.Equal(ev.Param(i), want[i]) {
					t.Fatalf("%s parameter %d is %x, want %x", info.Enum, i, ev.Param(i), want[i])
				}
			}
			if ev.Param(n) != nil || ev.Param(-1) != nil {
				t.Fatalf("%s has a parameter beyond its %d", info.Enum, n)
			}
		}
	}
}

func TestAppendStoresWhatTheTypeAsksFor(t *testing.T) {
	for _, c := range []struct {
		name  string
		typ   Type
		param int
		value any
		want  string
	}{
		{"not available", SYSCALL_CLOSE_X, 0, nil, ""},
		{"a negative number", SYSCALL_CLOSE_X, 0, -2, "\xfe\xff\xff\xff\xff\xff\xff\xff"},
		{"int32", SYSCALL_CLOSE_X, 0, int32(-2), "\xfe\xff\xff\xff\xff\xff\xff\xff"},
		{"int64", SYSCALL_CLOSE_X, 0, int64(2), "\x02\x00\x00\x00\x00\x00\x00\x00"},
		{"two bytes", GENERIC_X, 0, uint16(0x102), "\x02\x01"},
		{"four bytes of a longer number", USER_ADDED_E, 0, uint64(1<<32 + 7), "\x07\x00\x00\x00"},
		{"four bytes", USER_ADDED_E, 0, uint32(7), "\x07\x00\x00\x00"},
		{"a boolean", USER_ADDED_E, 0, true, "\x01\x00\x00\x00"},
		{"one byte", SIGNALDELIVER_E, 2, 9, "\x09"},
		{"a string has a NUL", USER_ADDED_E, 2, "ann", "ann\x00"},
		{"a buffer has none", SYSCALL_READ_X, 1, "data", "data"},
		{"bytes stay as they are", USER_ADDED_E, 2, []byte("ann"), "ann"},
	} {
		t.Run(c.name, func(t *testing.T) {
			values := make([]any, c.param+1)
			values[c.param] = c.value
			b, err := Append(nil, 1, 2, c.typ, values...)
			if err != nil {
				t.Fatal(err)
			}
			var ev Event
			if err := ev.Reset(b); err != nil {
				t.Fatal(err)
			}
			if got := string(ev.Param(c.param)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAppendRefusesAndLeavesTheBufferAlone(t *testing.T) {
	for _, c := range []struct {
		name   string
		typ    Type
		values []any
		text   string
	}{
		{"a type that is not in the table", 9999, nil, "UNKNOWN_9999"},
		{"too many parameters", SYSCALL_CLOSE_X, []any{1, 2, 3}, "at most 2 parameters"},
		{"a value of a strange type", SYSCALL_CLOSE_X, []any{1.5}, "float64"},
		{"a number for a string", USER_ADDED_E, []any{1, 1, 5}, "CHARBUF"},
		{"a parameter that is too long", SYSCALL_READ_X, []any{0, make([]byte, 65536)}, "too many"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := Append([]byte("before"), 1, 2, c.typ, c.values...)
			if err == nil || !strings.Contains(err.Error(), c.text) || string(b) != "before" {
				t.Errorf("%q, %v; want the old bytes and an error with %q", b, err, c.text)
			}
		})
	}
	if _, err := Append(nil, 1, 2, CONTAINER_JSON_2_E, make([]byte, 1<<20)); err != nil {
		t.Errorf("a type with wide lengths refuses a megabyte: %v", err)
	}
}

func TestResetRefusesWhatDoesNotFit(t *testing.T) {
	whole, err := Append(nil, 1, 2, SYSCALL_READ_X, 5, "hello", 3, 100)
	if err != nil {
		t.Fatal(err)
	}
	patched := func(at int, v uint16) []byte {
		b := bytes.Clone(whole)
		binary.LittleEndian.PutUint16(b[at:], v)
		return b
	}
	for _, c := range []struct {
		name string
		b    []byte
		text string
	}{
		{"nothing", nil, "0 bytes are less than a header"},
		{"half a header", whole[:25], "less than a header"},
		{"an unknown type", patched(20, 9999), "unknown type 9999"},
		{"a size over the end", patched(16, uint16(len(whole)+1)), "are there"},
		{"a size below a header", patched(16, 10), "does not fit 10 bytes"},
		{"more lengths than bytes", patched(22, 1000), "1000 parameters"},
		{"so many lengths that the sum wraps", patched(24, 0x8000), "parameters does not fit"},
		{"a parameter over the end", patched(28, 0xffff), "parameter data does not fit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var ev Event
			if err := ev.Reset(c.b); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %v, want one with %q", err, c.text)
			}
		})
	}
}

func TestParametersThatTheTableLacksAreIgnored(t *testing.T) {
	b, err := Append(nil, 1, 2, SYSCALL_CLOSE_X, 0, 3)
	if err != nil {
		t.Fatal(err)
	}
	more := append(bytes.Clone(b[:HeaderSize+4]), 1, 0)
	more = append(append(more, b[HeaderSize+4:]...), 77)
	binary.LittleEndian.PutUint32(more[16:], uint32(len(more)))
	binary.LittleEndian.PutUint32(more[22:], 3)
	var ev Event
	if err := ev.Reset(more); err != nil {
		t.Fatal(err)
	}
	if fd, ok := ev.Int(1); ev.NumParams() != 2 || fd != 3 || !ok || ev.Param(2) != nil {
		t.Errorf("%d parameters, descriptor %d", ev.NumParams(), fd)
	}
}

func TestResetKeepsWhatIsNotInTheBytes(t *testing.T) {
	b, err := Append(nil, 1, 2, SYSCALL_CLOSE_X, 0, 3)
	if err != nil {
		t.Fatal(err)
	}
	ev := Event{Num: 7, CPU: 3, Hidden: true}
	if err := ev.Reset(b); err != nil || ev.Num != 7 || ev.CPU != 3 || !ev.Hidden {
		t.Errorf("%v: number %d, CPU %d, hidden %v", err, ev.Num, ev.CPU, ev.Hidden)
	}
}

func TestStringsThatAreNull(t *testing.T) {
	for value, want := range map[string]string{"ann\x00": "ann", "ann": "ann", "a\x00b\x00": "a", "\x00": "", "(NULL)": "(NULL)"} {
		if got, ok := strOf(t, value); got != want || !ok {
			t.Errorf("%q is %q, %v; want %q", value, got, ok, want)
		}
	}
	for _, value := range []string{"", "(NULL)\x00"} {
		if got, ok := strOf(t, value); ok {
			t.Errorf("%q is %q, want none", value, got)
		}
	}
}

func strOf(t *testing.T, value string) (string, bool) {
	t.Helper()
	b, err := Append(nil, 1, 2, USER_ADDED_E, 1, 1, []byte(value))
	if err != nil {
		t.Fatal(err)
	}
	var ev Event
	if err := ev.Reset(b); err != nil {
		t.Fatal(err)
	}
	return ev.Str(2)
}

func TestNumbersOfEachWidth(t *testing.T) {
	for _, c := range []struct {
		bytes string
		uint  uint64
		int   int64
	}{
		{"\xff", 0xff, -1}, {"\xfe\xff", 0xfffe, -2}, {"\xfe\xff\xff\xff", 0xfffffffe, -2},
		{"\xfe\xff\xff\xff\xff\xff\xff\xff", 0xfffffffffffffffe, -2}, {"\x02\x01", 0x102, 0x102},
	} {
		u, ok1 := Uint([]byte(c.bytes))
		i, ok2 := Int([]byte(c.bytes))
		if u != c.uint || i != c.int || !ok1 || !ok2 {
			t.Errorf("%x: %d %d, want %d %d", c.bytes, u, i, c.uint, c.int)
		}
	}
	for _, b := range []string{"", "123", "123456789"} {
		if _, ok := Uint([]byte(b)); ok {
			t.Errorf("%d bytes are a number", len(b))
		}
		if _, ok := Int([]byte(b)); ok {
			t.Errorf("%d bytes are a signed number", len(b))
		}
	}
}

func TestResult(t *testing.T) {
	for _, c := range []struct {
		name   string
		typ    Type
		values []any
		want   int64
		ok     bool
	}{
		{"an error", SYSCALL_CLOSE_X, []any{-9, 3}, -9, true},
		{"a descriptor", SYSCALL_OPEN_X, []any{4}, 4, true},
		{"a process", SYSCALL_CLONE_20_X, []any{77}, 77, true},
		{"an empty one", SYSCALL_OPEN_X, []any{nil}, 0, false},
		{"an enter event has none", SYSCALL_CLOSE_E, []any{3}, 0, false},
		{"a user id is none", SYSCALL_GETUID_X, []any{1000}, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := Append(nil, 1, 2, c.typ, c.values...)
			if err != nil {
				t.Fatal(err)
			}
			var ev Event
			if err := ev.Reset(b); err != nil {
				t.Fatal(err)
			}
			if got, ok := ev.Result(); got != c.want || ok != c.ok {
				t.Errorf("%d %v, want %d %v", got, ok, c.want, c.ok)
			}
		})
	}
}

// readParams does what the stages above do with an event.
func readParams(ev *Event, b []byte) (n int64, err error) {
	if err := ev.Reset(b); err != nil {
		return 0, err
	}
	res, _ := ev.Result()
	path, _ := ev.Str(2)
	flags, _ := ev.Uint(3)
	return res + int64(len(path)) + int64(flags), nil
}

func TestReadingAllocatesNothing(t *testing.T) {
	b, err := Append(nil, 1, 2, SYSCALL_OPENAT_2_X, 4, -100, "/etc/passwd", 1, 0, 5, 6)
	if err != nil {
		t.Fatal(err)
	}
	var ev Event
	if n := testing.AllocsPerRun(100, func() {
		if _, err := readParams(&ev, b); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkReset(b *testing.B) {
	buf, err := Append(nil, 1, 2, SYSCALL_OPENAT_2_X, 4, -100, "/etc/passwd", 1, 0, 5, 6)
	if err != nil {
		b.Fatal(err)
	}
	var ev Event
	b.ReportAllocs()
	for b.Loop() {
		if _, err := readParams(&ev, buf); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzReset points an event at any bytes: what is accepted must be readable.
func FuzzReset(f *testing.F) {
	for _, t := range []Type{SYSCALL_CLOSE_X, SYSCALL_EXECVE_19_X, CONTAINER_JSON_2_E, SOCKET_SETSOCKOPT_X, PROCEXIT_1_E} {
		var values []any
		for i := range t.Info().Params {
			v, _ := sample(&t.Info().Params[i], i)
			values = append(values, v)
		}
		b, err := Append(nil, 1, 2, t, values...)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var ev Event
		if err := ev.Reset(b); err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("error %v is not ErrMalformed", err)
			}
			return
		}
		if len(ev.Bytes()) > len(b) || ev.NumParams() > len(ev.Info().Params) {
			t.Fatalf("%d bytes and %d parameters of %d bytes", len(ev.Bytes()), ev.NumParams(), len(b))
		}
		total := HeaderSize
		for i := range ev.NumParams() {
			total += len(ev.Param(i))
			ev.Str(i)
			ev.Int(i)
			ev.Uint(i)
		}
		if total > len(ev.Bytes()) {
			t.Fatalf("parameters of %d bytes in an event of %d", total, len(ev.Bytes()))
		}
		ev.Result()
		ev.Time()
		ev.TID()
	})
}
