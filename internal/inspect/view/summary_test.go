package view

import (
	"bytes"
	"cmp"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

func mustSummary(t testing.TB, opt SummaryOptions) *Summary {
	t.Helper()
	s, err := NewSummary(opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (o *Overview) tile(name string) *Tile {
	i := slices.IndexFunc(o.Tiles, func(t Tile) bool { return t.Name == name })
	if i < 0 {
		return &Tile{}
	}
	return &o.Tiles[i]
}

func TestATileAddsUpOverTime(t *testing.T) {
	s := newScene(t)
	sum := mustSummary(t, SummaryOptions{Samples: 4, Start: s.now, End: s.now + 8*second/1000})
	for i := range 8 {
		sum.Add(s.read(10, 3+i%2, 10*(i+1)))
	}
	o := sum.Overview()
	in := o.tile("File Bytes In")
	if want := []float64{10 + 20, 30 + 40, 50 + 60, 70 + 80}; in.Total != 360 || !slices.Equal(in.Values, want) || in.Max != 150 {
		t.Errorf("bytes: %v %v", in.Total, in.Values)
	}
	if f := o.tile("Accessed Files"); f.Total != 2 || f.Values[1] != 2 {
		t.Errorf("files: %+v", f)
	}
	if p := o.tile("Running Processes"); p.Total != 3 || !slices.Equal(p.Values, []float64{3, 3, 3, 3}) {
		t.Errorf("processes: %+v", p)
	}
}

func TestAContainerInWhichNothingHappensRunsAllTheSame(t *testing.T) {
	s := newScene(t)
	const id = "3ad7b26ded6d8e7b23da7d48fe889434573036c27ae5a74837233de441c3601e"
	s.happen(400, event.SYSCALL_CLONE_20_X, 0, "web", nil, 400, 400, 1, "/", 0, 0, 0, 0, 0, 0, "web", "cpuset=/docker/"+id+"\x00", 0, 0)
	for _, filter := range []string{"", "proc.name = work", "evt.type = nanosleep"} {
		sum := mustSummary(t, SummaryOptions{Filter: filter, Samples: 4, Start: s.now, End: s.now + 8*second/1000})
		for range 8 {
			sum.Add(s.read(10, 3, 10))
		}
		sum.Add(s.happen(10, event.SYSCALL_NANOSLEEP_X, 0))
		c := sum.Overview().tile("Running Containers")
		if c.Total != 1 || c.Max != 1 {
			t.Errorf("%q: %v in all, at most %v: %v", filter, c.Total, c.Max, c.Values)
		}
	}
}

func TestTheTimeLineGrowsWithTheStream(t *testing.T) {
	s := newScene(t)
	sum := mustSummary(t, SummaryOptions{Samples: 4})
	for range 5000 {
		sum.Add(s.read(10, 3, 1))
	}
	in := sum.Overview().tile("File Bytes In")
	if in.Total != 5000 {
		t.Errorf("total %v", in.Total)
	}
	for _, v := range in.Values {
		if v < 1000 || v > 1500 {
			t.Errorf("samples %v", in.Values)
		}
	}
}

func TestOnlyEventsOfTheConditionCount(t *testing.T) {
	s := newScene(t)
	sum := mustSummary(t, SummaryOptions{Samples: 1, Filter: "thread.tid=11"})
	sum.Add(s.read(10, 3, 1))
	sum.Add(s.read(11, 3, 2))
	if in := sum.Overview().tile("File Bytes In"); in.Total != 2 {
		t.Errorf("%+v", in)
	}
	if _, err := NewSummary(SummaryOptions{Filter: "nope=1"}); err == nil {
		t.Error("a wrong condition is no error")
	}
}

func TestLinesAndSeveritiesOfLogs(t *testing.T) {
	if n := countLinesWith("a Warning\nb\nwarn", []string{"warn"}); n != 2 {
		t.Errorf("%d warnings", n)
	}
	if n := countLinesWith("a\nb\n", nil); n != 2 {
		t.Errorf("%d lines", n)
	}
	for text, want := range map[string]int{"<12>x": syslogWarning, "<3>x": syslogErrors, "<14>x": 0, "x": 0, "": 0, "<>": 0, "<9999>": 0, "3>": 0} {
		if got := severityOf(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// summaryMeant are the tiles that differ on purpose.
var summaryMeant = map[string]string{
	"Drift": "ours alone", "Denied": "", "Drops": "",
	"Running Containers":   "sysdig of today knows no containers",
	"Listening Ports":      "sockets that listen at a time are counted, not binds that never end",
	"HTTP Requests":        "its own condition for the tile is another than the one that it counts by",
	"HTTP Errors":          "",
	"App Log Messages":     "lines are counted, not writes",
	"Slow File I/O, 1ms+":  "0.41 does not know how long calls took",
	"Slow File I/O, 10ms+": "", "Slow File I/O, 100ms+": "",
	"Active Network Connections": "the same name in two containers is two connections",
	"Modified Files":             "the same name in two containers is two files",
	"Accessed Files":             "",
	"New Inbound Connections":    "accept4 accepts too",
	"File Open Errors":           "0.41 does not count what openat could not open",
	"Running Processes":          "those that ran at a time, of which the most counts",
}

func TestTheTilesAreThoseOfSysdig(t *testing.T) {
	program := cmp.Or(os.Getenv("ROLLCAGE_TEST_SYSDIG"), "../../../.cache/sysdig-sid/sysdig")
	if _, err := os.Stat(program); err != nil {
		t.Skip("no second opinion: tools/sysdig.sh brings it: ", err)
	}
	for _, path := range captures(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			out, err := exec.Command(program, "-r", path, "-c", "wsysdig_summary", "4").Output()
			if err != nil {
				t.Fatal(err)
			}
			theirs := metrics(t, out)
			sum := mustSummary(t, SummaryOptions{Samples: 4})
			readCapture(t, path, sum.Add, func(*host.State) {})
			doc, err := sum.Overview().JSON()
			if err != nil {
				t.Fatal(err)
			}
			ours := metrics(t, append(append([]byte(`{"slices":[`), doc...), "]}"...))
			for name := range theirs {
				if _, ok := ours[name]; !ok {
					ours[name] = 0
				}
			}
			for name, n := range ours {
				if _, ok := summaryMeant[name]; !ok && n != theirs[name] {
					t.Errorf("%s: ours %v, theirs %v", name, n, theirs[name])
				}
			}
		})
	}
}

// metrics returns the totals of the tiles.
func metrics(t *testing.T, out []byte) map[string]float64 {
	t.Helper()
	var doc struct {
		Slices []struct {
			Data *struct {
				Metrics []struct {
					Name string
					Data struct{ Tot float64 }
				}
			}
		}
	}
	if i := bytes.LastIndexByte(out, '}'); i >= 0 {
		out = out[:i+1]
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		t.Fatalf("%v in %.200s … %s", err, out, out[max(0, len(out)-100):])
	}
	totals := map[string]float64{}
	for _, s := range doc.Slices {
		if s.Data != nil {
			for _, m := range s.Data.Metrics {
				totals[strings.TrimSpace(m.Name)] = m.Data.Tot
			}
		}
	}
	return totals
}

func BenchmarkSummary(b *testing.B) {
	s, sum := newScene(b), mustSummary(b, SummaryOptions{})
	e := s.happen(10, event.SYSCALL_READ_X, 10, "data", 3, 100)
	b.ReportAllocs()
	for b.Loop() {
		e.Num++
		sum.Add(e)
	}
}
