package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
)

// captured returns the files that were opened in each capture below dir.
func captured(t *testing.T, dir string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, path := range files {
		src, err := capture.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(src.Snapshot().Threads); n != 1 {
			t.Errorf("%s begins with %d threads", path, n)
		}
		var names []string
		var ev event.Event
		for {
			err := src.Next(&ev)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if ev.Type() == event.SYSCALL_OPENAT_2_X {
				names = append(names, strings.TrimPrefix(event.CString(ev.Param(2)), "/file/"))
			}
		}
		src.Close()
		out[filepath.Base(path)] = names
	}
	return out
}

func TestAMatchBeginsACapture(t *testing.T) {
	const rules = `
- {rule: one, desc: d, priority: NOTICE, output: o, condition: "evt.type = openat and fd.name in (/file/10, /file/13)", capture: true, capture_duration: 5}
- {rule: two, desc: d, priority: NOTICE, output: o, condition: "evt.type = openat and fd.name in (/file/2, /file/40)"}
`
	for _, tt := range []struct {
		name string
		opts Captures
		want []string // numbers of the first and last event
	}{
		{"of the rules that ask for it, longer with each match", Captures{}, []string{"10-17"}},
		{"of any rule", Captures{AllRules: true, Duration: 3 * time.Millisecond}, []string{"2-4", "10-17", "40-42"}},
		{"up to the end at most", Captures{AllRules: true, Duration: time.Hour}, []string{"2-50"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			tt.opts.Prefix = filepath.Join(dir, "c")
			r := start(t, compiledText(t, rules), Options{Captures: tt.opts})
			for range 50 {
				r.src.step <- struct{}{}
			}
			r.end(t)
			got := captured(t, dir)
			if len(got) != len(tt.want) {
				t.Errorf("got %v", got)
			}
			for _, want := range tt.want {
				var first, last int
				_, _ = fmt.Sscanf(want, "%d-%d", &first, &last)
				name := fmt.Sprintf("c_%020d_%020d.scap", uint64(1e18)+uint64(first)*1e6, first)
				var names []string
				for i := first; i <= last; i++ {
					names = append(names, fmt.Sprint(i))
				}
				if fmt.Sprint(got[name]) != fmt.Sprint(names) {
					t.Errorf("%s has %v, want %v", name, got[name], names)
				}
			}
			if s := r.Stats(); s.Captures != uint64(len(tt.want)) || s.CapturesFailed+s.CaptureLost != 0 {
				t.Errorf("counted %+v", s)
			}
		})
	}
}

func TestACaptureEndsAtItsSize(t *testing.T) {
	dir := t.TempDir()
	r := start(t, compiled(t, "r", "evt.type = openat and fd.name = /file/1"), Options{
		Captures: Captures{Prefix: filepath.Join(dir, "c"), AllRules: true, Duration: time.Hour, MaxBytes: 100_000},
	})
	for range 60_000 {
		r.src.step <- struct{}{}
	}
	alerts := r.end(t)
	if len(alerts) != 2 || alerts[1].Rule != CaptureFullRule || alerts[1].Value("written_bytes") == nil {
		t.Errorf("got %v", alerts)
	}
	for name, events := range captured(t, dir) {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Size() < 100_000 || info.Size() > 400_000 || info.Mode().Perm() != 0o600 || len(events) >= 60_000 {
			t.Errorf("%v bytes, mode %v, %d events, %v", info.Size(), info.Mode(), len(events), err)
		}
	}
}

func TestACaptureThatCannotBeWrittenIsToldAndStopsNothing(t *testing.T) {
	r := start(t, compiled(t, "r", "evt.type = openat"), Options{Captures: Captures{Prefix: "/missing/c", AllRules: true}})
	r.src.step <- struct{}{}
	r.src.step <- struct{}{}
	alerts := r.end(t)
	if len(alerts) != 4 || alerts[0].Rule != CaptureFailedRule || alerts[3].Rule != "r" {
		t.Errorf("got %v", alerts)
	}
}
