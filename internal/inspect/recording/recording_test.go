package recording

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcage/internal/detect/filter"
	"rollcage/internal/observe/host"
)

// everything is a line with much of what the state gives an event.
const everything = "*%evt.num %evt.rawtime %evt.cpu %evt.type %evt.args %evt.reltime %evt.latency %proc.name %proc.exepath %proc.cmdline %proc.cwd %proc.pname %proc.aname[2] " +
	"%proc.sname %proc.vpid %thread.tid %user.name %user.loginuid %group.name %container.id %container.name %container.image %fd.num %fd.name %fd.type " +
	"%fd.cip %fd.sport %fd.directory %fd.connected %fd.name_changed %fd.dev %fd.ino %fd.nameraw %fd.is_server %fd.is_upper_layer %proc.is_exe_writable %proc.tty %proc.env %proc.duration %proc.sid %proc.vpgid"

// copyOf copies a recorded capture to where an index may be written.
func copyOf(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("ROLLCAGE_CAPTURES")
	if dir == "" {
		dir = "../../../../shared/captures"
	}
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Skipf("no capture %s in %s; set ROLLCAGE_CAPTURES", name, dir)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, path string, opt Options) *Recording {
	t.Helper()
	r, err := Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	<-r.Done()
	return r
}

// lines returns what scans give, by event number.
func lines(t testing.TB, scan func(fn func(*host.Event) error) error) map[uint64]string {
	t.Helper()
	f, err := filter.ParseFormat(everything)
	if err != nil {
		t.Fatal(err)
	}
	out := map[uint64]string{}
	if err := scan(func(he *host.Event) error {
		b, _ := f.AppendText(nil, he)
		out[he.Num] = string(b)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAScanInTheMiddleTellsWhatAScanOfAllTells(t *testing.T) {
	for _, name := range []string{"502Error.scap", "psp_run_as_user_0_container.scap", "docker-curl-https.scap", "curl_google.scap"} {
		t.Run(name, func(t *testing.T) {
			r := open(t, copyOf(t, name), Options{Spacing: 100, NoIndex: true})
			all := lines(t, func(fn func(*host.Event) error) error { return r.Scan(context.Background(), All, Visitor{Event: fn}) })
			if uint64(len(all)) != r.Info().Events {
				t.Fatalf("%d events, the survey counted %d", len(all), r.Info().Events)
			}
			if len(r.points) < 3 {
				t.Fatalf("only %d checkpoints", len(r.points))
			}
			wrong := 0
			for _, p := range r.points {
				got := lines(t, func(fn func(*host.Event) error) error {
					n := 0
					return r.ScanFrom(context.Background(), p.Mark.Num+1, All, Visitor{Event: func(he *host.Event) error {
						if n++; n > 600 {
							return ErrStop
						}
						return fn(he)
					}})
				})
				for num, line := range got {
					if line != all[num] {
						if wrong++; wrong < 8 {
							t.Errorf("from event %d on: %s", p.Mark.Num+1, difference(line, all[num]))
						}
					}
				}
			}
			if wrong > 0 {
				t.Errorf("%d lines differ", wrong)
			}
		})
	}
}

// difference names the words of two lines that differ.
func difference(a, b string) string {
	x, y := strings.Fields(a), strings.Fields(b)
	if len(x) != len(y) {
		return a + "\nand in the whole\n" + b
	}
	out := "event " + x[0] + " " + x[3]
	for i := range x {
		if x[i] != y[i] {
			out += fmt.Sprintf("; word %d is %s, in the whole %s", i, x[i], y[i])
		}
	}
	return out
}
