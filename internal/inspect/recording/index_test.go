package recording

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"rollcage/internal/inspect/proctree"
	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// busyCapture writes a capture of n events: processes that start, read and end.
func busyCapture(t testing.TB, name string, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	shell := event.NewThreadInfo()
	shell.TID, shell.PID, shell.Comm, shell.Exe, shell.ExePath, shell.Cwd = 100, 100, "bash", "bash", "/usr/bin/bash", "/root"
	shell.FDs = []event.FDInfo{{Num: 3, Type: event.FDFileV2, Name: "/etc/motd"}}
	w, err := capture.Create(path, &event.Snapshot{Machine: event.Machine{Hostname: "web-1", CPUs: 2}, Threads: []*event.ThreadInfo{shell}}, capture.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var ev event.Event
	for i := range n {
		b, err := event.Append(nil, 1e18+uint64(i)*1000, 100, event.SYSCALL_READ_X, 7, []byte("welcome"), 3, 4096)
		if err != nil {
			t.Fatal(err)
		}
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

func TestTheIndexTellsWhatTheSurveyFound(t *testing.T) {
	for _, name := range []string{"busy.scap", "busy.scap.gz"} {
		path := busyCapture(t, name, 60_000)
		first := open(t, path, Options{Spacing: 1000})
		again := open(t, path, Options{})
		a, b := first.Info(), again.Info()
		if !b.Indexed || a.Indexed {
			t.Fatalf("%s: the survey was made %v, then %v times", name, !a.Indexed, !b.Indexed)
		}
		b.Indexed = false
		if !a.Modified.Equal(b.Modified) {
			t.Errorf("modified %v, then %v", a.Modified, b.Modified)
		}
		a.Modified = b.Modified
		if a != b || a.Events != 60_000 || a.Hostname != "web-1" {
			t.Errorf("%s:\n%+v\n%+v", name, a, b)
		}
		if len(again.points) < 2 || len(again.points) != len(first.points) {
			t.Errorf("%s: %d checkpoints, then %d", name, len(first.points), len(again.points))
		}
		first.Read(func(x *proctree.Tree) {
			again.Read(func(y *proctree.Tree) {
				if len(x.Processes) != 1 || x.Processes[0].Events != 60_000 || len(y.Processes) != 1 || y.Processes[0].Read != x.Processes[0].Read {
					t.Errorf("%s: processes %+v, then %+v", name, x.Processes[0], y.Processes[0])
				}
			})
		})
		stat, err := os.Stat(path + ".rcindex")
		if err != nil || stat.Size() > a.Size/10 || stat.Mode().Perm() != 0o600 {
			t.Errorf("%s: index %v, %v; the capture has %d bytes", name, stat.Size(), stat.Mode(), a.Size)
		}
		window := Window{From: 1e18 + 50_000_000, To: 1e18 + 50_999_000}
		n := 0
		if err := again.Scan(context.Background(), window, Visitor{Event: func(he *host.Event) error {
			if he.FD == nil || he.FD.Name != "/etc/motd" {
				return fmt.Errorf("event %d has descriptor %+v", he.Num, he.FD)
			}
			n++
			return nil
		}}); err != nil || n != 1000 {
			t.Errorf("%s: the window has %d events (%v), want 1000", name, n, err)
		}
	}
}

func TestAnIndexThatIsNotGoodIsMadeAnew(t *testing.T) {
	path := busyCapture(t, "busy.scap", 60_000)
	open(t, path, Options{})
	index := path + ".rcindex"
	good, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil func() error
		says  string
	}{
		"cut": {func() error { return os.WriteFile(index, good[:len(good)/2], 0o600) }, "damaged"},
		"changed": {func() error {
			return os.WriteFile(index, append(bytes.Clone(good[:len(good)-9]), "xxxxxxxxx"...), 0o600)
		}, ""},
		"foreign": {func() error { return os.WriteFile(index, []byte("something else"), 0o600) }, ""},
		"writable by others": {func() error {
			return os.Chmod(index, 0o666)
		}, "somebody else"},
		"of a capture that changed": {func() error {
			at := time.Now().Add(-time.Hour)
			return os.Chtimes(path, at, at)
		}, "changed"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(index, good, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(index, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := c.spoil(); err != nil {
				t.Fatal(err)
			}
			var said string
			r := open(t, path, Options{Log: func(f string, a ...any) { said = fmt.Sprintf(f, a...) }})
			if i := r.Info(); i.Indexed || i.Events != 60_000 {
				t.Errorf("%+v", i)
			}
			if !strings.Contains(said, c.says) || said == "" {
				t.Errorf("said %q, want %q in it", said, c.says)
			}
		})
	}
}

func TestACutCaptureIsShownAsFarAsItGoes(t *testing.T) {
	path := busyCapture(t, "busy.scap", 5000)
	stat, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, stat.Size()-10); err != nil {
		t.Fatal(err)
	}
	r := open(t, path, Options{NoIndex: true})
	if i := r.Info(); i.Events != 4999 || !strings.Contains(i.Problem, "unexpected EOF") || !i.Done {
		t.Errorf("%+v", i)
	}
	n := 0
	if err := r.Scan(context.Background(), All, Visitor{Event: func(*host.Event) error { n++; return nil }}); err != nil || n != 4999 {
		t.Errorf("%d events, %v", n, err)
	}
}

// FuzzIndex reads arbitrary bytes as an index.
func FuzzIndex(f *testing.F) {
	path := busyCapture(f, "busy.scap", 60_000)
	r := open(f, path, Options{})
	print, err := fingerprint(path)
	if err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(path + ".rcindex")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	info := r.Info()
	f.Fuzz(func(t *testing.T, data []byte) {
		x := &Recording{path: path, info: info}
		if x.loadIndex(bytes.NewReader(data), print) != nil && !reflect.DeepEqual(x.info, info) {
			t.Error("a bad index was taken over in part")
		}
	})
}
