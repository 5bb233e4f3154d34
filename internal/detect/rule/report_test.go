package rule

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file in testdata, or writes that file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// indented returns v as JSON that a person can compare.
func indented(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}

func TestReportsAreInTheShapeOfFalco(t *testing.T) {
	for _, name := range []string{"ok", "warnings", "invalid", "notyaml"} {
		t.Run(name, func(t *testing.T) {
			files := ReadFiles(filepath.Join("testdata", name+".yaml"))
			_, results := Load(files, LoadOptions{Compatible: true})
			golden(t, name+".txt", results[0].Summary(true)+"\n")
			golden(t, name+".json", indented(t, results[0]))
		})
	}
}

func TestSummaryOfAValidFileHasItsWarningsOnlyWhenAskedFor(t *testing.T) {
	_, results := load(t, LoadOptions{}, openRule+"  tag: x\n")
	if got := results[0].Summary(false); got != "1.yaml: Ok, with warnings" {
		t.Errorf("got %q", got)
	}
	if got := results[0].Summary(true); !strings.Contains(got, "\n1 Warnings:\nIn rules content: (1.yaml:0:0)\n") {
		t.Errorf("got %q", got)
	}
}

func TestProblemsForPeople(t *testing.T) {
	_, results := Load(ReadFiles(filepath.Join("testdata", "mistakes.yaml")), LoadOptions{})
	var b strings.Builder
	for _, p := range results[0].Problems() {
		b.WriteString(p.Format() + "\n")
	}
	golden(t, "mistakes.txt", b.String())
}

func TestDescribe(t *testing.T) {
	set, results := Load(ReadFiles(filepath.Join("testdata", "ok.yaml")), LoadOptions{})
	if !results[0].OK() {
		t.Fatal(results[0].Summary(true))
	}
	golden(t, "describe.json", indented(t, set.Describe()))
	golden(t, "describe.txt", set.Describe().Table())
	one, ok := set.DescribeRule("Shell started by a server")
	if !ok || len(one.Rules) != 1 || one.Macros != nil {
		t.Errorf("describing one rule gives %+v", one)
	}
	if _, ok := set.DescribeRule("Other"); ok {
		t.Error("a rule that is not there is described")
	}
}

func TestSnippetIsCutAroundThePlace(t *testing.T) {
	long := strings.Repeat("proc.name=a or ", 20)
	_, results := load(t, LoadOptions{}, ruleText("a", long+"no.such=1 or "+long+"fd.num=1"))
	p := results[0].Errors[0]
	lines := strings.Split(p.where.snippet(), "\n")
	if len(lines[0]) != 160 || !strings.HasPrefix(lines[0], "...") || !strings.HasSuffix(lines[0], "...") {
		t.Errorf("the snippet has %d bytes: %q", len(lines[0]), lines[0])
	}
	if caret := strings.IndexByte(lines[1], '^'); !strings.HasPrefix(lines[0][caret:], "no.such") {
		t.Errorf("the caret is at %d of %q", caret, lines[0])
	}
	for _, line := range strings.Split(p.Format(), "\n")[1:2] {
		if n := len([]rune(line)); n > 210 {
			t.Errorf("the line for people has %d characters", n)
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/*.yaml", "../../../rules/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range ReadFiles(paths...) {
			f.Add(file.Data)
		}
	}
	f.Add([]byte(base + "- rule: R\n  exceptions: [{name: old, values: [[b]]}]\n  override: {exceptions: append}\n"))
	f.Add([]byte("- list: &a [*a]\n  items: *a\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, compatible := range []bool{false, true} {
			set, results := Load([]File{{Name: "f", Data: data}}, LoadOptions{Compatible: compatible})
			for _, r := range results {
				for _, p := range r.Problems() {
					if p.Message == "" || p.Format() == "" || p.Position.File != "f" {
						t.Errorf("problem without text or place: %+v", p)
					}
				}
				if _, err := json.Marshal(r); err != nil {
					t.Error(err)
				}
				r.Summary(true)
			}
			set.Describe()
			if _, err := NewEngine(set, EngineOptions{Threshold: Debug}); err != nil {
				t.Errorf("a rule that loads does not run: %v", err)
			}
		}
	})
}
