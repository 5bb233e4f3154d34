// Package rollcage_test guards the shape of the house: the order of the
// stages, one comment for each package, and the list of modules that the
// binary is made of.
package rollcage_test

import (
	"bytes"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write golden files")

// stages is the flow of the data: a package imports only packages of entries
// above its own. Each entry covers the folder and what is below it.
var stages = []string{
	"rollcage/internal/observe/event",
	"rollcage/internal/observe/capture",
	"rollcage/internal/observe/procfs",
	"rollcage/internal/observe/probe",
	"rollcage/internal/observe/host",
	"rollcage/internal/observe/blackbox",
	"rollcage/internal/understand/runtime",
	"rollcage/internal/detect/field",
	"rollcage/internal/detect/filter",
	"rollcage/internal/detect/rule",
	"rollcage/internal/detect/noise",
	"rollcage/rules",
	"rollcage/internal/respond/disk",
	"rollcage/internal/respond/confine",
	"rollcage/internal/respond/mask",
	"rollcage/internal/respond/scene",
	"rollcage/internal/respond/alert",
	"rollcage/internal/respond/outbox",
	"rollcage/internal/respond/evidence",
	"rollcage/internal/respond/policy",
	"rollcage/internal/respond/action",
	"rollcage/internal/respond/agent",
	"rollcage/internal/respond/guard",
	"rollcage/internal/inspect/unit",
	"rollcage/internal/inspect/view",
	"rollcage/internal/inspect/chisel",
	"rollcage/internal/inspect/proctree",
	"rollcage/internal/inspect/recording",
	"rollcage/internal/inspect/dissect",
	"rollcage/internal/inspect/conversation",
	"rollcage/internal/inspect/access",
	"rollcage/internal/inspect/report",
	"rollcage/internal/inspect/api",
	"rollcage/internal/inspect/console",
	"rollcage/internal/inspect/web",
	"rollcage/internal/cli",
	"rollcage/cmd/rollcage",
	"rollcage/bench",
}

func stageOf(pkg string) int {
	for i, s := range stages {
		if pkg == s || strings.HasPrefix(pkg, s+"/") {
			return i
		}
	}
	return -1
}

type goPackage struct {
	path  string
	files []*ast.File
}

// packages parses the Go files of the tree, tests left out.
func packages(t *testing.T) []goPackage {
	t.Helper()
	byDir := map[string]*goPackage{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); n != "." && (n[0] == '.' || n == "testdata" || n == "node_modules" || n == "bin") {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.Dir(path)
		if byDir[dir] == nil {
			byDir[dir] = &goPackage{path: "rollcage/" + filepath.ToSlash(dir)}
		}
		byDir[dir].files = append(byDir[dir].files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var out []goPackage
	for _, p := range byDir {
		out = append(out, *p)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].path < out[j].path })
	if len(out) < 10 {
		t.Fatalf("only %d packages found", len(out))
	}
	return out
}

func TestAStageImportsOnlyStagesAboveIt(t *testing.T) {
	for _, p := range packages(t) {
		own := stageOf(p.path)
		if own < 0 {
			t.Errorf("%s is in no stage; add it to the list where it belongs", p.path)
			continue
		}
		for _, f := range p.files {
			for _, imp := range f.Imports {
				path, err := strconv.Unquote(imp.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(path, "rollcage/") && stageOf(path) > own {
					t.Errorf("%s imports %s, which is a later stage", p.path, path)
				}
			}
		}
	}
}

func TestEveryPackageHasExactlyOnePackageComment(t *testing.T) {
	for _, p := range packages(t) {
		n := 0
		for _, f := range p.files {
			if f.Doc != nil && strings.TrimSpace(f.Doc.Text()) != "" {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s has %d package comments", p.path, n)
		}
	}
}

func TestTheBinaryIsMadeOfTheKnownModules(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./cmd/rollcage").Output()
	if err != nil {
		t.Fatal(err)
	}
	mods := strings.Fields(string(out))
	sort.Strings(mods)
	got := []byte(strings.Join(slices.Compact(mods), "\n") + "\n")
	const golden = "testdata/modules.golden"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the modules in the binary changed; if that is meant, run go test -run KnownModules -update .\ngot:\n%swant:\n%s", got, want)
	}
}
