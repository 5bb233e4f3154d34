package capture

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcage/internal/observe/event"
)

func TestEveryStepLeadsToAnEventOfToday(t *testing.T) {
	steps := 0
	for typ, list := range upgrades {
		info := event.Type(typ).Info()
		for _, s := range list {
			steps++
			where := fmt.Sprintf("%s with %d parameters", info.Enum, s.params)
			checkValues(t, where, info, s)
			to, n := info, s.params+len(s.values)
			switch s.action {
			case actAdd:
			case actRetype:
				to, n = s.to.Info(), len(s.values)
			default:
				if len(s.values) > 0 {
					t.Errorf("%s: values have no use", where)
				}
				continue
			}
			v := verdicts[to.Type]
			done := v == always || v == partial && n == len(to.Params)
			if n > len(to.Params) || !done && findStep(to.Type, n) == nil {
				t.Errorf("%s: becomes %s with %d parameters, where nothing goes on", where, to.Enum, n)
			}
		}
	}
	if steps != 253 {
		t.Errorf("%d steps, want 253", steps)
	}
}

func checkValues(t *testing.T, where string, info *event.Info, s step) {
	t.Helper()
	for _, v := range s.values {
		switch {
		case v.from == fromEvent && v.index >= s.params:
			t.Errorf("%s: parameter %d does not exist", where, v.index)
		case v.from == fromEnter && info.Type.IsEnter():
			t.Errorf("%s: an enter event has no enter event", where)
		case v.from == fromEnter && v.index >= len((info.Type-1).Info().Params):
			t.Errorf("%s: the enter event has no parameter %d", where, v.index)
		}
	}
}

func TestEveryManagedTypeHasAWay(t *testing.T) {
	for _, info := range event.All() {
		if verdicts[info.Type] == upgrade && findStep(info.Type, len(info.Params)) == nil {
			t.Errorf("nothing is said about %s as it was written last", info.Enum)
		}
	}
}

func TestLinesOfTheTableAreChecked(t *testing.T) {
	for line, text := range map[string]string{
		"NOPE 1 add e":                       "unknown event",
		"SYSCALL_READ_X 2":                   "unknown event",
		"SYSCALL_READ_X two add e":           "cannot understand",
		"SYSCALL_READ_X 2 change e":          "cannot understand",
		"SYSCALL_READ_X 2 retype":            "no new type",
		"SYSCALL_READ_X 2 retype NOPE":       "no new type",
		"SYSCALL_READ_X 2 add x1":            "unknown value",
		"SYSCALL_READ_X 2 add n":             "unknown value",
		"SYSCALL_READ_X 2 add n1? e d o0 n0": "",
	} {
		_, _, err := parseStep(strings.Fields(line))
		if text == "" && err != nil || text != "" && (err == nil || !strings.Contains(err.Error(), text)) {
			t.Errorf("%s: error %v, want %q", line, err, text)
		}
	}
}

// story is a list of events: type and parameters.
type story [][]any

func (s story) bytes(t *testing.T) [][]byte {
	var list [][]byte
	for i, e := range s {
		list = append(list, eventBytes(t, uint64(i), 7, e[0].(event.Type), e[1:]...))
	}
	return list
}

func TestUpgrade(t *testing.T) {
	e := func(values ...any) []any { return values }
	for _, c := range []struct {
		name string
		old  story
		want story // hidden enter events included
	}{
		{"an exit event takes what only the enter event says",
			story{e(event.SYSCALL_READ_E, 3, 100), e(event.SYSCALL_READ_X, 5, "hello")},
			story{e(event.SYSCALL_READ_X, 5, "hello", 3, 100)}},
		{"without its enter event it gets zeroes",
			story{e(event.SYSCALL_READ_X, 5, "hello")},
			story{e(event.SYSCALL_READ_X, 5, "hello", 0, 0)}},
		{"or empty parameters where that is known to be unknown",
			story{e(event.SYSCALL_FCHDIR_X, 0)},
			story{e(event.SYSCALL_FCHDIR_X, 0, nil)}},
		{"an enter event serves once",
			story{e(event.SYSCALL_CLOSE_E, 3), e(event.SYSCALL_CLOSE_X, 0), e(event.SYSCALL_CLOSE_X, 0)},
			story{e(event.SYSCALL_CLOSE_X, 0, 3), e(event.SYSCALL_CLOSE_X, 0, 0)}},
		{"the newest enter event counts",
			story{e(event.SYSCALL_CLOSE_E, 3), e(event.SYSCALL_CLOSE_E, 4), e(event.SYSCALL_CLOSE_X, 0)},
			story{e(event.SYSCALL_CLOSE_X, 0, 4)}},
		{"an enter event of another call is as good as none",
			story{e(event.SYSCALL_CLOSE_E, 3), e(event.SYSCALL_READ_X, 5, "hello"), e(event.SYSCALL_CLOSE_X, 0)},
			story{e(event.SYSCALL_READ_X, 5, "hello", 0, 0), e(event.SYSCALL_CLOSE_X, 0, 3)}},
		{"today's events pass as they are",
			story{e(event.SYSCALL_READ_X, 5, "hello", 3, 100), e(event.SYSCALL_CHDIR_X, 0)},
			story{e(event.SYSCALL_READ_X, 5, "hello", 3, 100), e(event.SYSCALL_CHDIR_X, 0)}},
		{"a new type, then missing parameters",
			story{e(event.SYSCALL_BRK_1_E, 4096), e(event.SYSCALL_BRK_1_X, 77)},
			story{e(event.SYSCALL_BRK_4_X, 77, 4096, nil, nil, nil)}},
		{"several steps of adding",
			story{e(event.SOCKET_CONNECT_E, 4), e(event.SOCKET_CONNECT_X, 0, []byte{2})},
			story{e(event.SOCKET_CONNECT_E, 4, nil), e(event.SOCKET_CONNECT_X, 0, []byte{2}, 4, nil)}},
		{"the enter event that is shown to nobody comes through",
			story{e(event.SYSCALL_EXECVE_18_E, "/bin/true")},
			story{e(event.SYSCALL_EXECVE_19_E, "/bin/true")}},
		{"old enter events that say nothing are dropped",
			story{e(event.SYSCALL_CHDIR_E), e(event.SYSCALL_CLONE_11_E)}, nil},
		{"numbers without meaning are dropped",
			story{e(event.PROCEXIT_X)}, nil},
		{"a container becomes JSON",
			story{e(event.CONTAINER_E, "abc", 1, "web", "nginx")},
			story{e(event.CONTAINER_JSON_2_E, `{"id":"abc","type":1,"name":"web","image":"nginx"}`)}},
		{"a container without id says nothing",
			story{e(event.CONTAINER_E, nil, 1, "web", "nginx")},
			story{e(event.CONTAINER_JSON_2_E, nil)}},
		{"container JSON gets wide lengths",
			story{e(event.CONTAINER_JSON_E, "{}")},
			story{e(event.CONTAINER_JSON_2_E, "{}")}},
		{"what is longer than its new type is cut, what is shorter stays",
			story{e(event.SYSCALL_READ_E, []byte("0123456789"), []byte{1}), e(event.SYSCALL_READ_X, 1, nil)},
			story{e(event.SYSCALL_READ_X, 1, nil, []byte("01234567"), []byte{1})}},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := newUpgrader()
			var got [][]byte
			for _, b := range c.old.bytes(t) {
				var ev event.Event
				if err := ev.Reset(b); err != nil {
					t.Fatal(err)
				}
				ok, err := u.upgrade(&ev)
				if err != nil {
					t.Fatal(err)
				}
				if ok {
					got = append(got, append([]byte(nil), ev.Bytes()...))
				}
			}
			want := c.want.bytes(t)
			for i := range min(len(got), len(want)) {
				copy(want[i][:8], got[i][:8]) // the story has its own times
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOldExecveKeepsItsParametersInPlace(t *testing.T) {
	values := []any{0, "sh", "-c\x00", 7, 7, 1, "/tmp", 1024}
	var ev event.Event
	if err := ev.Reset(eventBytes(t, 1, 7, event.SYSCALL_EXECVE_8_X, values...)); err != nil {
		t.Fatal(err)
	}
	if ok, err := newUpgrader().upgrade(&ev); !ok || err != nil {
		t.Fatal(ok, err)
	}
	info := event.SYSCALL_EXECVE_19_X.Info()
	if ev.Type() != info.Type || ev.NumParams() != len(info.Params) {
		t.Fatalf("%s with %d parameters", ev.Type(), ev.NumParams())
	}
	old := event.SYSCALL_EXECVE_8_X.Info()
	var before event.Event
	if err := before.Reset(eventBytes(t, 1, 7, event.SYSCALL_EXECVE_8_X, values...)); err != nil {
		t.Fatal(err)
	}
	for i, p := range info.Params {
		want := ""
		if n := old.ParamIndex(p.Name); n >= 0 {
			want = string(before.Param(n))
		}
		if got := string(ev.Param(i)); got != want {
			t.Errorf("%s is %q, want %q", p.Name, got, want)
		}
	}
}

func TestDefaults(t *testing.T) {
	for typ, want := range map[event.ParamType]string{
		event.TypeUID: "\xff\xff\xff\xff", event.TypeGID: "\xff\xff\xff\xff", event.TypeFD: "\x00\x00\x00\x00\x00\x00\x00\x00",
		event.TypeUint8: "\x00", event.TypeCharbuf: "", event.TypeSockaddr: "",
	} {
		if got := string(appendDefault(nil, typ)); got != want {
			t.Errorf("%s: %q, want %q", typ, got, want)
		}
	}
}

func TestWhatCannotBeUpgradedIsAnError(t *testing.T) {
	for _, c := range []struct {
		name string
		old  []any
		text string
	}{
		{"a number of parameters that was never written", []any{event.SYSCALL_READ_X, 1}, "READ_X with 1 parameters"},
		{"an enter event likewise", []any{event.SYSCALL_OPEN_E, "a"}, "OPEN_E with 1 parameters"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var ev event.Event
			if err := ev.Reset(story{c.old}.bytes(t)[0]); err != nil {
				t.Fatal(err)
			}
			if _, err := newUpgrader().upgrade(&ev); err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %v, want one with %q", err, c.text)
			}
		})
	}
}

func TestStoredEnterEventsAreBounded(t *testing.T) {
	u := newUpgrader()
	big := strings.Repeat("x", 60_000)
	var ev event.Event
	for tid := range int64(2 * maxStored / 60_000) {
		if err := ev.Reset(eventBytes(t, 1, tid, event.SYSCALL_EXECVE_19_E, big)); err != nil {
			t.Fatal(err)
		}
		u.store(&ev)
		if u.waiting > maxStored+1<<20 {
			t.Fatalf("%d bytes are kept", u.waiting)
		}
	}
}

// renamed are the types whose name changes with the upgrade: the first version
// of ACCEPT4 was called accept, and the number of an unknown system call was
// only in its enter event.
var renamed = map[string]string{"accept": "accept4", "unknown": "fadvise64"}

// TestUpgradeOnlyLeavesEnterEventsOut compares each event as it is stored,
// which is what sysdig 0.29.3 shows, with what becomes of it.
func TestUpgradeOnlyLeavesEnterEventsOut(t *testing.T) {
	for _, path := range captures(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, stored := mustRead(t, data, Options{Raw: true})
			_, today := mustRead(t, data, Options{})
			n := 0
			for _, s := range stored {
				old := s.view(t)
				if n < len(today) {
					now := today[n].view(t)
					if now.Time() == old.Time() && now.TID() == old.TID() && now.CPU == old.CPU && now.Type().IsEnter() == old.Type().IsEnter() {
						was, is := typeName(old), typeName(now)
						if was != is && renamed[was] != is {
							t.Errorf("event %d was %s and became %s", old.Num, was, is)
						}
						n++
						continue
					}
				}
				if info := old.Info(); !info.Type.IsEnter() || info.Origin != event.OriginSyscall {
					t.Errorf("event %d, %s, was left out", old.Num, info.Enum)
				}
			}
			if n != len(today) {
				t.Errorf("%d of %d events have no stored one", len(today)-n, len(today))
			}
		})
	}
}
