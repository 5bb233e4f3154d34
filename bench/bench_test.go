package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSpread(t *testing.T) {
	for _, tt := range []struct {
		name              string
		values, base      spread
		median            float64
		deviation, factor string
	}{
		{"nothing was measured", nil, spread{1}, 0, "-", "-"},
		{"one round has no spread", spread{3}, spread{2}, 3, "-", "1.50×"},
		{"the median of an odd number", spread{9, 2, 4}, spread{4, 4}, 4, "-50 +125%", "1.00×"},
		{"the median of an even number", spread{1, 3}, nil, 2, "-50 +50%", "-"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := []any{tt.values.median(), tt.values.deviation(), tt.values.over(tt.base)}
			if diff := cmp.Diff([]any{tt.median, tt.deviation, tt.factor}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSummary(t *testing.T) {
	for _, tt := range []struct {
		name, said string
		want       summary
	}{
		{"without loss", "Watching x\n1234 events seen, 0 alerts raised.\n", summary{}},
		{"with loss", "1 event seen, 0 alerts raised.\n3 of 4 events were lost: openat 3\n", summary{3}},
		{"nothing was said", "", summary{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := parseSummary(tt.said); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestBenchmarkOutput(t *testing.T) {
	const out = `goos: linux
BenchmarkReplay/one_rule-2   	 100	       187.3 ns/op	         5.340 Mevents/s	       0 allocs/op
BenchmarkReplay/all_rules-2  	 100	       712.8 ns/op	         1.403 Mevents/s	       0 allocs/op
PASS
`
	var r replayed
	for range 2 {
		if err := r.add(out); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"one rule", "all rules"}, r.names); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(spread{1.403, 1.403}, r.metrics["all rules"]["Mevents/s"]); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"PASS\n", "BenchmarkReplay/x-2 100 fast ns/op\n"} {
		if err := new(replayed).add(bad); err == nil {
			t.Errorf("%q is taken for a result", bad)
		}
	}
}

func TestUsageOfThisProcess(t *testing.T) {
	u, err := usageOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if u.rss < 1<<20 || u.peak < u.rss {
		t.Errorf("memory is %d bytes, %d at most", u.rss, u.peak)
	}
	if _, err := usageOf(-1); err == nil {
		t.Error("a process that does not exist has a usage")
	}
}

func TestTable(t *testing.T) {
	tb := table{title: "Title"}
	tb.row("name", "×", "last")
	tb.row("a", "1.00×", "2")
	tb.failed("b", fmt.Errorf("no such tool\nand more"))
	var got bytes.Buffer
	if err := tb.write(&got); err != nil {
		t.Fatal(err)
	}
	const want = `
Title
  name      ×  last
  a     1.00×     2
  b: not measured: no such tool
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Error(diff)
	}
}

func TestNumbersHaveThreeDigitsAtMost(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.0042: "0.004", 0.5: "0.50", 12.34: "12.3", 1234.5: "1234"} {
		if got := number(spread{v}, 1); got != want {
			t.Errorf("%v is written %q, want %q", v, got, want)
		}
	}
	if got := number(nil, 1); got != "-" {
		t.Errorf("nothing is written %q", got)
	}
}

func TestReportInADocument(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.md")
	for _, tt := range []struct{ name, before, want string }{
		{"an old report is replaced", "# A\n" + reportBegin + "old\nlines\n" + reportEnd + "b\n", "# A\n" + reportBegin + "new\n" + reportEnd + "b\n"},
		{"the first report", reportBegin + reportEnd, reportBegin + "new\n" + reportEnd},
		{"no place for it", "# A\n", ""},
		{"no end of the place", reportBegin + "old\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(tt.before), 0o644); err != nil {
				t.Fatal(err)
			}
			err := updateDocument(path, "new\n")
			got, readErr := os.ReadFile(path)
			if readErr != nil {
				t.Fatal(readErr)
			}
			if tt.want == "" {
				if err == nil || string(got) != tt.before {
					t.Errorf("got %q and error %v, want an unchanged document", got, err)
				}
			} else if diff := cmp.Diff(tt.want, string(got)); diff != "" || err != nil {
				t.Error(diff, err)
			}
		})
	}
}
