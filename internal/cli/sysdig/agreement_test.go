package sysdig

import (
	"bytes"
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// release is a sysdig that we agree with.
type release struct{ program, fallback string }

var (
	release041 = release{"ROLLCAGE_TEST_SYSDIG", "../../../.cache/sysdig-sid/sysdig"}
	release029 = release{"ROLLCAGE_TEST_SYSDIG_OLD", "../../../.cache/sysdig-bookworm/sysdig"}
)

func (r release) find(t *testing.T) string {
	t.Helper()
	path := cmp.Or(os.Getenv(r.program), r.fallback)
	if _, err := os.Stat(path); err != nil {
		t.Skip("no second opinion: tools/sysdig.sh brings it: ", err)
	}
	return path
}

// captureFolder returns where the captures that others recorded are.
func captureFolder(t *testing.T) string {
	t.Helper()
	dir := cmp.Or(os.Getenv("ROLLCAGE_CAPTURES"), "../../../../shared/captures")
	if files, err := filepath.Glob(filepath.Join(dir, "*.scap")); err != nil || len(files) == 0 {
		t.Skip("no captures; ROLLCAGE_CAPTURES says where they are")
	}
	return dir
}

// output is what a command printed, line by line.
type output []string

// lines splits what a command printed. The blank line is left out that chisels
// end with to leave a colour.
func lines(b []byte) output {
	text := colors.ReplaceAllString(string(b), "")
	return strings.Split(strings.TrimRight(text, "\n"), "\n")
}

var colors = regexp.MustCompile("\x1b\\[[0-9;]*m")

func theirs(t *testing.T, program string, args []string) output {
	t.Helper()
	cmd := exec.Command(program, args...)
	var messages bytes.Buffer
	cmd.Stderr = &messages
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", program, args, err, messages.String())
	}
	return lines(out)
}

func ours(t *testing.T, args []string) output {
	t.Helper()
	var out, messages bytes.Buffer
	if code := Main(t.Context(), args, &out, &messages, "test"); code != 0 {
		t.Fatalf("%q ends with %d: %s", args, code, messages.String())
	}
	return lines(out.Bytes())
}

// comparison is a command line of which both print the same, but for differences.
type comparison struct {
	args     string // separated by blanks; | stands around an argument with blanks
	captures string // all if empty
	their    string // what the other one needs besides
	but      []*difference
}

func (c *comparison) words(text string) []string {
	var out []string
	for i, part := range strings.Split(text, "|") {
		if i%2 == 1 {
			out = append(out, part)
		} else {
			out = append(out, strings.Fields(part)...)
		}
	}
	return out
}

// captures returns the names of captures that are there.
func (c *comparison) files(t *testing.T, dir string) []string {
	t.Helper()
	if c.captures == "" {
		files, err := filepath.Glob(filepath.Join(dir, "*.scap"))
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	var files []string
	for name := range strings.FieldsSeq(c.captures) {
		path := filepath.Join(dir, name+".scap")
		if _, err := os.Stat(path); err == nil {
			files = append(files, path)
		}
	}
	return files
}

func (c *comparison) run(t *testing.T, program, path string) {
	args := append([]string{"-r", path}, c.words(c.args)...)
	there := theirs(t, program, append(slices.Clone(args), c.words(c.their)...))
	here := ours(t, args)
	for _, d := range c.but {
		if slices.Equal(here, there) {
			return
		}
		here, there = d.mend(here, there)
	}
	if len(here) != len(there) {
		t.Errorf("%d lines here, %d there", len(here), len(there))
	}
	shown := 0
	for i := range min(len(here), len(there)) {
		if here[i] != there[i] && shown < 5 {
			t.Errorf("line %d is\n%q here,\n%q there", i+1, cut(here[i]), cut(there[i]))
			shown++
		}
	}
}

func cut(s string) string { return s[:min(len(s), 300)] }

// difference is one that is meant to be. docs/sysdig.md gives the reason.
type difference struct {
	name string // as in the table of docs/sysdig.md
	// mend brings both into a form in which the difference is gone.
	mend func(here, there output) (output, output)
}

func TestEveryCommandLinePrintsWhatSysdigPrints(t *testing.T) {
	dir := captureFolder(t)
	documented, err := os.ReadFile("../../../docs/sysdig.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, part := range map[string]struct {
		release
		list []comparison
	}{"0.41": {release041, comparisons041}, "0.29": {release029, comparisons029}} {
		t.Run(name, func(t *testing.T) {
			program := part.find(t)
			t.Run("commands", func(t *testing.T) {
				for i := range part.list {
					c := &part.list[i]
					for _, path := range c.files(t, dir) {
						t.Run(strings.TrimSuffix(filepath.Base(path), ".scap")+" "+c.args+c.their, func(t *testing.T) {
							t.Parallel()
							c.run(t, program, path)
						})
					}
				}
			})
			for i := range part.list {
				for _, d := range part.list[i].but {
					if !strings.Contains(string(documented), "| "+d.name+" |") {
						t.Errorf("%q is not in the table of docs/sysdig.md", d.name)
					}
				}
			}
		})
	}
}
