package view

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// release is a csysdig that shows the same rows.
type release struct {
	name       string
	program    string // environment variable that says where its sysdig is
	fallback   string // where tools/sysdig.sh puts it
	containers bool   // it has container fields
	// only names the views that it is asked for and the column that is compared,
	// "" for all; nil for every view.
	only map[string]string
}

var releases = []release{
	{"0.41", "ROLLCAGE_TEST_SYSDIG", "../../../.cache/sysdig-sid/sysdig", false, nil},
	// 0.29 counts the entry of a call as an event too, and its local ends are
	// chance. It is asked for what 0.41 does not have.
	{"0.29", "ROLLCAGE_TEST_SYSDIG_OLD", "../../../.cache/sysdig-bookworm/sysdig", true, map[string]string{
		"containers": "", "containers_errors": "", "procs_cpu": "TOT", "syscalls": "TOT TIME",
		"kubernetes_pods": "", "kubernetes_namespaces": "", "kubernetes_deployments": "",
	}},
}

// cells are the values of a row by the names of the columns; "key" is its key.
type cells map[string]any

func captures(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(cmp.Or(os.Getenv("ROLLCAGE_CAPTURES"), "../../../../shared/captures"), "*.scap"))
	if err != nil || len(files) == 0 {
		t.Skip("no captures; ROLLCAGE_CAPTURES says where they are")
	}
	return files
}

func TestEveryViewHasTheRowsOfCsysdig(t *testing.T) {
	files := captures(t)
	for _, rel := range releases {
		t.Run(rel.name, func(t *testing.T) {
			program := cmp.Or(os.Getenv(rel.program), rel.fallback)
			program = filepath.Join(filepath.Dir(program), "csysdig")
			if _, err := os.Stat(program); err != nil {
				t.Skip("no second opinion: tools/sysdig.sh brings it: ", err)
			}
			used, rows, asked, ran := map[int]int{}, 0, 0, 0
			for _, path := range files {
				for _, v := range All() {
					column, ok := rel.only[v.ID]
					if rel.only != nil && !ok {
						continue
					}
					asked++
					t.Run(filepath.Base(path)+"/"+v.ID, func(t *testing.T) {
						ran++
						theirs, ok := csysdigRows(t, program, path, v, rel.containers)
						if !ok {
							return
						}
						ours := decode(t, ourSlice(t, path, v, rel.containers))
						if column != "" {
							ours, theirs = onlyColumn(ours, column), onlyColumn(theirs, column)
						}
						rows += compare(t, rel.name, v.ID, ours, theirs, used)
					})
				}
			}
			for i, d := range differences {
				if strings.Contains(d.release, rel.name) && used[i] == 0 && !t.Failed() && len(files) == 9 && ran == asked {
					t.Errorf("no capture shows any more that %s", d.why)
				}
			}
			t.Logf("%d rows are the same; differences: %v", rows, used)
		})
	}
}

// onlyColumn leaves one column of rows.
func onlyColumn(rows map[string]cells, column string) map[string]cells {
	out := map[string]cells{}
	for k, r := range rows {
		out[k] = cells{"key": k, column: r[column]}
	}
	return out
}

// compare reports every difference that is not meant and returns how many rows are equal.
func compare(t *testing.T, release, view string, ours, theirs map[string]cells, used map[int]int) (same int) {
	t.Helper()
	keys := slices.Sorted(maps.Keys(ours))
	for k := range theirs {
		if ours[k] == nil {
			keys = append(keys, k)
		}
	}
	for _, k := range keys {
		a, b := ours[k], theirs[k]
		if a == nil || b == nil {
			if !meant(release, view, "", a, b, ours, used) {
				t.Errorf("row %q: ours %v, theirs %v", k, a, b)
			}
			continue
		}
		equal := true
		for _, name := range slices.Sorted(maps.Keys(a)) {
			if equalValues(a[name], b[name]) {
				continue
			}
			equal = false
			if !meant(release, view, name, a, b, ours, used) {
				t.Errorf("row %q, %s: ours %v, theirs %v", k, name, a[name], b[name])
			}
		}
		if equal {
			same++
		}
	}
	return same
}

func equalValues(a, b any) bool {
	x, ok1 := a.(float64)
	y, ok2 := b.(float64)
	if ok1 && ok2 {
		return math.Abs(x-y) <= 1e-9*math.Max(1, math.Abs(x))
	}
	return a == b
}

func meant(release, view, column string, a, b cells, ours map[string]cells, used map[int]int) bool {
	for i, d := range differences {
		if strings.Contains(d.release, release) && (d.view == "" || slices.Contains(strings.Fields(d.view), view)) &&
			(column == "") == (d.column == "") && (d.column == "" || slices.Contains(strings.Split(d.column, ","), column)) &&
			d.meant(a, b, column, ours) {
			used[i]++
			return true
		}
	}
	return false
}

// csysdigRows runs csysdig. It reports false if that does not know a field of the view or cannot read the file.
func csysdigRows(t *testing.T, program, path string, v *View, containers bool) (map[string]cells, bool) {
	t.Helper()
	args := []string{"-r", path, "-v", v.ID, "-j"}
	if containers {
		args = append(args, "-pc")
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if msg := stderr.String() + string(out[:min(len(out), 200)]); strings.Contains(msg, "nonexistent field") ||
		strings.Contains(msg, "Could not initialize reader") {
		return nil, false
	}
	if err != nil && len(out) == 0 {
		t.Fatalf("%v: %v, %s", args, err, &stderr)
	}
	return decode(t, out), true
}

// decode reads the rows of the last slice.
func decode(t *testing.T, out []byte) map[string]cells {
	t.Helper()
	if !utf8.Valid(out) {
		out = bytes.ToValidUTF8(out, []byte("?"))
	}
	var doc struct {
		Slices []struct {
			Data []struct {
				K string
				D []any
			}
			Info struct{ Legend []struct{ Name string } }
		}
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		t.Fatalf("%v in %.300s", err, out)
	}
	last := doc.Slices[len(doc.Slices)-1]
	rows := map[string]cells{}
	for _, r := range last.Data {
		c := cells{"key": r.K}
		for i, v := range r.D {
			name := last.Info.Legend[i].Name
			if text, ok := v.(string); ok {
				v = strings.TrimRight(text, " ") // they leave a blank behind a command without arguments
			}
			c[name] = v
		}
		rows[r.K] = c
	}
	return rows
}

// ourSlice runs a view over a capture as csysdig -j does.
func ourSlice(t testing.TB, path string, v *View, containers bool) []byte {
	t.Helper()
	table, err := New(v, Options{Containers: containers})
	if err != nil {
		t.Fatal(err)
	}
	readCapture(t, path, table.Add, func(s *host.State) { table.AddThreads(s, 0, nil) })
	r := table.Result(0)
	b := append([]byte(`{"slices": [`), r.AppendJSON(nil, "", containers, Range{To: -1})...)
	return append(b, "]}"...)
}

// readCapture runs the events of a capture that are shown through add, and
// calls end with the state after them.
func readCapture(t testing.TB, path string, add func(*host.Event), end func(*host.State)) {
	t.Helper()
	r, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	state := host.New(host.Options{})
	state.Load(r.Snapshot())
	var (
		ev event.Event
		he host.Event
	)
	for {
		switch err := r.Next(&ev); {
		case err == nil:
			state.Apply(&ev, &he)
			if !ev.Hidden {
				add(&he)
			}
		case errors.Is(err, io.EOF):
			end(state)
			return
		case errors.Is(err, event.ErrSection):
			state.Load(r.Snapshot())
		default:
			t.Fatal(err)
		}
	}
}
