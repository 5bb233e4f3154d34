package capture

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rollcage/internal/observe/event"
)

// sysdig returns the program that tools/sysdig.sh brings of a Debian suite
// (sid: 0.41, bookworm: 0.29.3), and skips the test if it is not there.
func sysdig(t *testing.T, suite string) string {
	t.Helper()
	path := filepath.Join("../../../.cache/sysdig-"+suite, "sysdig")
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no %s; tools/sysdig.sh %s brings it", path, suite)
	}
	return path
}

// lines runs sysdig on a capture and returns what it prints for each event,
// those of the internal category too.
func lines(t *testing.T, sysdig, path, format string) []string {
	t.Helper()
	var out, messages bytes.Buffer
	cmd := exec.Command(sysdig, "-D", "-r", path, "-p", "*"+format)
	cmd.Stdout, cmd.Stderr = &out, &messages
	if err := cmd.Run(); err != nil {
		text := messages.String()
		if strings.Contains(text, "wrong fd type 21") {
			t.Skip("0.29 does not know the descriptor types of this capture")
		}
		t.Fatalf("sysdig does not read %s: %s", path, text[max(0, len(text)-200):])
	}
	return strings.Split(strings.TrimSpace(out.String()), "\n")
}

// typeName is what sysdig calls the event: a system call without a type of its
// own and an asynchronous event go by their own name.
func typeName(ev *event.Event) string {
	switch ev.Type() {
	case event.GENERIC_E, event.GENERIC_X:
		code, _ := ev.Uint(0)
		if code != 0 {
			return event.SyscallByCode(uint16(code)).Name
		}
		native, known := ev.Uint(1)
		for _, n := range event.NativeSyscalls("x86_64") {
			if known && n.Nr == int(native) {
				return n.Syscall.Name
			}
		}
		return "unknown"
	case event.ASYNCEVENT_E:
		name, _ := ev.Str(1)
		return strings.Clone(name)
	}
	return ev.Info().Name
}

// oldTypeName is what sysdig 0.29 calls an event as it is stored.
func oldTypeName(ev *event.Event) string {
	code, _ := ev.Uint(0)
	generic := ev.Type() == event.GENERIC_E || ev.Type() == event.GENERIC_X
	switch name := typeName(ev); {
	case generic && code == 0: // it does not look at the native number
		return "<unknown>"
	case name == "rt_sigreturn": // the code was called so then
		return "sigreturn"
	default:
		return name
	}
}

// compare checks that sysdig shows exactly the events that visible says, with
// the same number, time, processor and type.
func compare(t *testing.T, suite, path string, opt Options, name func(*event.Event) string, visible func(*event.Event) bool) {
	t.Helper()
	theirs := lines(t, sysdig(t, suite), path, "%evt.num %evt.rawtime %evt.cpu %evt.type")
	r, err := Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	events, _, err := readAll(r)
	if err != nil {
		t.Fatal(err)
	}
	var ours []string
	for _, e := range events {
		ev := e.view(t)
		if visible(ev) {
			ours = append(ours, fmt.Sprintf("%d %d %d %s", ev.Num, ev.Time(), ev.CPU, name(ev)))
		}
	}
	differ := 0
	for i := range min(len(ours), len(theirs)) {
		if ours[i] != theirs[i] {
			if differ++; differ <= 5 {
				t.Errorf("line %d: %q here, %q there", i+1, ours[i], theirs[i])
			}
		}
	}
	if differ > 0 || len(ours) != len(theirs) {
		t.Errorf("%d lines here, %d there, %d of them differ", len(ours), len(theirs), differ)
	}
}

func TestUpgradedEventsAreThoseOfSysdig041(t *testing.T) {
	sysdig(t, "sid")
	for _, path := range captures(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			compare(t, "sid", path, Options{}, typeName, func(ev *event.Event) bool { return !ev.Hidden })
		})
	}
}

func TestStoredEventsAreThoseOfSysdig029(t *testing.T) {
	sysdig(t, "bookworm")
	for _, path := range captures(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			initial := true
			compare(t, "bookworm", path, Options{Raw: true}, oldTypeName, func(ev *event.Event) bool {
				switch ev.Type() {
				case event.CONTAINER_E, event.CONTAINER_JSON_E, event.CONTAINER_JSON_2_E, event.USER_ADDED_E, event.GROUP_ADDED_E:
				default:
					initial = false
				}
				return !initial
			})
		})
	}
}

// rewrite reads a capture and writes what it holds to a new one.
func rewrite(t *testing.T, from, to string, opt WriterOptions) uint64 {
	t.Helper()
	r, err := Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w, err := Create(to, r.Snapshot(), opt)
	if err != nil {
		t.Fatal(err)
	}
	events, _, err := readAll(r)
	if err != nil {
		t.Fatal(err)
	}
	writeAll(t, w, events)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.Events()
}

func TestSysdig041ReadsWhatIsWritten(t *testing.T) {
	program := sysdig(t, "sid")
	const format = "%evt.rawtime %evt.cpu %evt.type %evt.args | %thread.tid %proc.name %proc.exepath %proc.args %proc.cwd " +
		"%proc.env %proc.pname %user.loginuid %proc.vpid %proc.sid %user.name %group.name | %fd.num %fd.type %fd.name %fd.is_server"
	for _, path := range captures(t) {
		for _, name := range []string{"a.scap", "a.scap.gz"} {
			t.Run(filepath.Base(path)+" as "+name, func(t *testing.T) {
				copied := filepath.Join(t.TempDir(), name)
				rewrite(t, path, copied, WriterOptions{})
				want, got := lines(t, program, path, format), lines(t, program, copied, format)
				if len(got) != len(want) {
					t.Errorf("%d events, want %d", len(got), len(want))
				}
				differ := 0
				for i := range min(len(got), len(want)) {
					if got[i] != want[i] {
						if differ++; differ <= 3 {
							t.Errorf("event %d of\n%s became\n%s", i+1, want[i], got[i])
						}
					}
				}
				if differ > 0 {
					t.Errorf("%d of %d events differ", differ, len(want))
				}
			})
		}
	}
}

// TestWhatSysdig041WritesIsRead takes the captures whose interface list it can
// write: of older ones it counts the size of the block wrong, and then cannot
// read its own file.
func TestWhatSysdig041WritesIsRead(t *testing.T) {
	program := sysdig(t, "sid")
	for _, path := range captures(t) {
		switch filepath.Base(path) {
		case "docker-curl-https.scap", "empty.scap", "ping_sendto.scap", "psp_run_as_user_0_container.scap":
		default:
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "a.scap")
			if out, err := exec.Command(program, "-z", "-r", path, "-w", copied).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			before, _ := readFile(t, path)
			after, events := readFile(t, copied)
			if len(events) == 0 || len(after.Threads) != len(before.Threads) || len(after.Interfaces) != len(before.Interfaces) {
				t.Errorf("%d events, %d threads of %d, %d interfaces of %d", len(events),
					len(after.Threads), len(before.Threads), len(after.Interfaces), len(before.Interfaces))
			}
			compare(t, "sid", copied, Options{}, typeName, func(ev *event.Event) bool { return !ev.Hidden })
		})
	}
}
