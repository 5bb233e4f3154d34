package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/scene"
)

// keep makes a store with one incident, in which a secret and a terminal escape are.
func keep(t *testing.T) (dir, id string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "evidence")
	s, err := evidence.Open(dir, evidence.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sc := &scene.Scene{Host: "box", Container: &scene.Container{ID: "0123456789ab", Name: "web", Image: "nginx:1"}, Processes: []scene.Process{
		{PID: 12, Start: 1, Name: "sh", Exe: "/bin/\x1b[31msh", Args: []string{"sh", "-c", "mysql --password", "hunter2"}},
	}}
	a := &alert.Alert{ID: "x", Time: time.Now(), Rule: "Shell", Priority: rule.Warning, Source: "syscall", Hostname: "box", Message: "ran TOKEN=hunter2"}
	if id, err = s.Add(a, sc); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		s.AddCapture(id, evidence.Capture{Name: "a.scap"}, func(w io.Writer) error { _, err := io.WriteString(w, "x"); return err }),
		s.Begin(id, &evidence.Action{ID: "1", Kind: "pause", Policy: "p", Target: "pause: web"}),
		s.End(id, &evidence.Outcome{ID: "1", Error: "it is gone"}),
		s.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir, id
}

// call runs a command and returns what it prints.
func call(t *testing.T, args ...string) (string, error) {
	t.Helper()
	root := newRootCommand()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func mustCall(t *testing.T, args ...string) string {
	t.Helper()
	out, err := call(t, args...)
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

func wantParts(t *testing.T, out string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(out, p) {
			t.Errorf("%q is missing in:\n%s", p, out)
		}
	}
}

func TestEvidenceIsListedShownAndExported(t *testing.T) {
	dir, id := keep(t)
	wantParts(t, mustCall(t, "evidence", "list", "--evidence", dir), id, "Warning", "web 0123456789ab", "1 alert", "1 capture", "1 action", "open Shell")
	if out := mustCall(t, "evidence", "list", "--evidence", dir, "--priority", "critical"); out != "" {
		t.Errorf("got %s", out)
	}
	var list []evidence.Summary
	if err := json.Unmarshal([]byte(mustCall(t, "evidence", "list", "--evidence", dir, "-o", "json")), &list); err != nil || len(list) != 1 {
		t.Errorf("%v %v", list, err)
	}
	for _, form := range []string{"text", "json"} {
		out := mustCall(t, "evidence", "show", id, "--evidence", dir, "-o", form)
		wantParts(t, out, "web", "a.scap", "it is gone", "--password", "***", "TOKEN=***")
		if strings.Contains(out, "hunter2") || strings.Contains(out, "\x1b") {
			t.Errorf("a secret or an escape is shown: %q", out)
		}
		wantParts(t, mustCall(t, "evidence", "show", id, "--evidence", dir, "-o", form, "--reveal"), "hunter2")
	}
	file := filepath.Join(t.TempDir(), "x.tar.gz")
	mustCall(t, "evidence", "export", id, "--evidence", dir, "-w", file)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if _, err := call(t, "evidence", "export", id, "--evidence", dir, "-w", file); err == nil {
		t.Error("a file is overwritten")
	}
	page := filepath.Join(t.TempDir(), "x.html")
	mustCall(t, "evidence", "report", id, "--evidence", dir, "-w", page)
	html, err := os.ReadFile(page)
	if err != nil || strings.Contains(string(html), "hunter2") || strings.ContainsAny(string(html), "\x1b") {
		t.Errorf("%v %s", err, html)
	}
	wantParts(t, string(html), "<!doctype html>", "TOKEN=***", "a.scap", "it is gone")
	wantParts(t, mustCall(t, "evidence", "rebuild", "--evidence", dir), "1 incident in the index")
	// Every look is in the audit log.
	log, err := os.ReadFile(filepath.Join(dir, "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	wantParts(t, string(log), `"act":"list"`, `"act":"show"`, `"act":"reveal"`, `"act":"export"`, `"act":"report"`, `"via":"command line"`)
	wantParts(t, mustCall(t, "evidence", "verify", "--evidence", dir), "1 incident with", "0 findings")
}

func TestEvidenceThatWasChangedIsToldByAnExitCode(t *testing.T) {
	dir, id := keep(t)
	path := filepath.Join(dir, "incidents", id, "records.jsonl")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(b, []byte("hunter2"), []byte("hunter3"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := call(t, "evidence", "verify", "--evidence", dir)
	if err != errNo {
		t.Errorf("got %v", err)
	}
	wantParts(t, out, "the hash is wrong")
	if _, err := call(t, "evidence", "show", id, "--evidence", dir); err == nil || !strings.Contains(err.Error(), "evidence verify") {
		t.Errorf("got %v", err)
	}
}

func TestEvidenceThatIsNotThereIsAnError(t *testing.T) {
	for _, args := range [][]string{{"list"}, {"show", "20260101T000000Z-00000000"}, {"verify"}, {"rebuild"}, {"export", "x", "-w", "/tmp/x"}} {
		if _, err := call(t, append(append([]string{"evidence"}, args...), "--evidence", t.TempDir())...); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}
