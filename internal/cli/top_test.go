package cli

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
)

// smallCapture writes a capture in which cat reads a file twice and fails once.
func smallCapture(t *testing.T) string {
	t.Helper()
	cat := event.NewThreadInfo()
	cat.TID, cat.PID, cat.PTID, cat.VTID, cat.VPID, cat.Comm, cat.Exe, cat.Args = 10, 10, 1, 10, 10, "cat", "cat", []string{"/etc/motd"}
	cat.FDs = []event.FDInfo{{Num: 3, Type: event.FDFile, Name: "/etc/motd"}}
	path := filepath.Join(t.TempDir(), "small.scap")
	w, err := capture.Create(path, &event.Snapshot{Threads: []*event.ThreadInfo{cat}}, capture.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const start = 1_700_000_000_000_000_000
	for i, res := range []int{700, 300, -11} {
		b, err := event.Append(nil, start+uint64(i)*500_000_000, 10, event.SYSCALL_READ_X, res, "hello\n", 3, 1000)
		if err != nil {
			t.Fatal(err)
		}
		ev := event.Event{Latency: 2_000_000}
		if err := ev.Reset(b); err != nil {
			t.Fatal(err)
		}
		if err := w.Write(&ev); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func outputOf(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&errs)
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatalf("%v: %v, %s", args, err, &errs)
	}
	return out.String()
}

func TestTopPrintsTheRowsOfACapture(t *testing.T) {
	path := smallCapture(t)
	got := strings.Join(strings.Fields(outputOf(t, "top", "files", "-r", path)), " ")
	if want := "BYTES IN BYTES OUT OPS OPENS ERRORS Container FILENAME 1000 0 3 0 1 host /etc/motd"; got != want {
		t.Errorf("got %s", got)
	}
	var doc struct {
		View string
		Rows []map[string]any
	}
	out := outputOf(t, "top", "syscalls", "-r", path, "-o", "json", "proc.name=cat")
	if err := json.Unmarshal([]byte(out), &doc); err != nil || doc.View != "syscalls" || len(doc.Rows) != 1 ||
		doc.Rows[0]["TOT TIME"] != 6e6 || doc.Rows[0]["CALLS/S"] != 3.0 {
		t.Errorf("%v: %s", err, out)
	}
	if got := outputOf(t, "top", "slow_io", "-r", path); !strings.Contains(got, "2.00ms") {
		t.Errorf("slow_io: %s", got)
	}
}

func TestCsysdigPrintsWhatItsUsersExpect(t *testing.T) {
	path := smallCapture(t)
	if got := outputOf(t, "csysdig", "-r", path, "-v", "errors", "--raw"); got != "         1 EAGAIN \n----------------------\n" {
		t.Errorf("raw: %q", got)
	}
	got := outputOf(t, "csysdig", "-r", path, "-v", "errors", "-j")
	if !strings.HasPrefix(got, "{\"slices\": [\n{\"progress\": 0},\n{\"progress\": 100, \"data\": [\n{\"d\":[1,\"EAGAIN\"],\"k\":\"EAGAIN\"}],\n") {
		t.Errorf("json: %s", got)
	}
	var doc struct{ Slices []map[string]any }
	for _, view := range []string{"errors", "echo", "dig", "procs", "file_opens"} {
		out := outputOf(t, "csysdig", "-r", path, "-v", view, "-j", "-pc")
		if err := json.Unmarshal([]byte(out), &doc); err != nil {
			t.Errorf("%s: %v in %s", view, err, out)
		}
	}
	echo := outputOf(t, "csysdig", "-r", path, "-v", "echo", "-j", "-A")
	for _, want := range []string{`"d":"<","f":"3(<f>/etc/motd)","fd":"3"`, `"l":"700","p":"cat"`, `"v":"hello"`} {
		if !strings.Contains(echo, want) {
			t.Errorf("no %s in %s", want, echo)
		}
	}
	if out := outputOf(t, "csysdig", "-r", path, "-v", "files", "-j", "--from", "1"); !strings.Contains(out, `"count": 0`) {
		t.Errorf("from 1: %s", out)
	}
}

func TestWrongUseOfViewsIsExplained(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"top", "fils"}, "did you mean files?"},
		{[]string{"top", "files", "fd.nme = 1"}, "fd.nme"},
		{[]string{"csysdig", "-pk"}, "only -pc is known"},
		{[]string{"csysdig", "-d", "1"}, "100 or more milliseconds"},
	} {
		root := newRootCommand()
		root.SetArgs(c.args)
		root.SetOut(new(bytes.Buffer))
		if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.args, err)
		}
	}
}
