package field

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// sysdig is the second opinion: version 0.41, which tools/sysdig.sh fetches.
const sysdig = "../../../.cache/sysdig-sid/sysdig"

// compared are the fields that are compared event by event.
var compared = []string{
	"evt.num", "evt.type", "syscall.type", "evt.category", "evt.is_io", "evt.buflen", "evt.res", "evt.args", "thread.tid",
	"proc.name", "proc.pname", "proc.cmdline", "proc.exepath", "proc.tty", "user.uid", "user.loginuid", "thread.cap_effective",
	"fd.num", "fd.type", "fd.typechar", "fd.name", "fd.l4proto", "fd.cip", "fd.sip", "fd.cport", "fd.sport",
}

// explained are the differences that are meant to be, by field.
var explained = map[string]func(theirs, ours string) bool{
	// They print unsigned numbers as signed and cut the zone off times, and
	// their event types lack parameters that today's have.
	"evt.args": func(theirs, ours string) bool {
		ours = strings.NewReplacer("18446744073709551615", "-1", " +0000", "").Replace(ours)
		ours = strings.TrimSuffix(strings.TrimSuffix(ours, " flags=0(O_NONE)"), " arg=0")
		return theirs == ours || forgotten(theirs)
	},
	// The error of a call whose result is a process has a name too.
	"evt.res": func(theirs, ours string) bool { return theirs[0] == '-' && ours[0] == 'E' },
	// A connect that failed says what it was about, as in 0.29.3.
	"fd.name": func(theirs, ours string) bool {
		return theirs == "" && strings.Contains(ours, "->") || forgotten(theirs)
	},
	// They lose track of a socket that is connected to no address and then to another.
	"fd.l4proto": func(theirs, ours string) bool { return theirs == notAvailable && ours == "udp" },
	"fd.sip":     func(theirs, _ string) bool { return theirs == "0.0.0.0" },
	// Of the two descriptors of a socketpair they take the second.
	"fd.num": func(theirs, ours string) bool {
		first, _ := strconv.Atoi(ours)
		return strconv.Itoa(first+1) == theirs
	},
	// An open by a thread that is not known yet.
	"fd.typechar": func(theirs, ours string) bool { return theirs == "o" && ours == "f" },
}

// forgotten reports whether a text is about a connection that they lost track of.
func forgotten(theirs string) bool { return strings.Contains(theirs, "<unknown>") }

func TestFieldsAgreeWithSysdig(t *testing.T) {
	if _, err := os.Stat(sysdig); err != nil {
		t.Skip("no second opinion: run tools/sysdig.sh sid")
	}
	dir := os.Getenv("ROLLCAGE_CAPTURES")
	if dir == "" {
		dir = "../../../../shared/captures"
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.scap"))
	if len(files) == 0 {
		t.Skip("no captures in " + dir)
	}
	defer func(zone *time.Location) { local = zone }(local)
	local = time.UTC
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			theirs, ours := readBySysdig(t, file), readByUs(t, file)
			for num, want := range theirs {
				got, ok := ours[num]
				if !ok {
					t.Errorf("event %s %s is not there", num, want[1])
					continue
				}
				for i, f := range compared {
					if got[i] == want[i] {
						continue
					}
					if ok := explained[f]; ok == nil || !ok(want[i], got[i]) {
						t.Errorf("event %s %s: %s\ngot  %s\nwant %s", num, want[1], f, got[i], want[i])
					}
				}
			}
		})
	}
}

// readBySysdig returns what sysdig says of each event that it shows, by number.
func readBySysdig(t *testing.T, file string) map[string][]string {
	t.Helper()
	cmd := exec.Command(sysdig, "-v", "-r", file, "-p", "*%"+strings.Join(compared, "\t%"))
	cmd.Env = append(os.Environ(), "TZ=UTC")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("sysdig: %v\n%s", err, stderr.String())
	}
	return byNumber(string(out))
}

func byNumber(text string) map[string][]string {
	events := map[string][]string{}
	for line := range strings.Lines(text) {
		if words := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); len(words) == len(compared) {
			events[words[0]] = words
		}
	}
	return events
}

func readByUs(t *testing.T, file string) map[string][]string {
	t.Helper()
	r, err := capture.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var fields []*Field
	for _, name := range compared {
		fields = append(fields, mustParse(t, name))
	}
	state := host.New(host.Options{})
	state.Load(r.Snapshot())
	var ev event.Event
	var he host.Event
	var v Value
	var out []byte
	for {
		switch err := r.Next(&ev); {
		case errors.Is(err, event.ErrSection):
			state.Load(r.Snapshot())
			continue
		case errors.Is(err, io.EOF):
			return byNumber(string(out))
		case err != nil:
			t.Fatal(err)
		}
		if state.Apply(&ev, &he); ev.Hidden {
			continue
		}
		for i, f := range fields {
			out = append(out, "\t"[:min(i, 1)]...)
			if f.Read(&he, &v) {
				out = AppendText(out, f, &v)
			} else {
				out = append(out, notAvailable...)
			}
		}
		out = append(out, '\n')
	}
}
