package filter

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// seed adds what stands behind the commands of the test files.
func seed(f *testing.F, commands ...string) {
	files, _ := filepath.Glob("testdata/*.test")
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			word, text, _ := strings.Cut(strings.TrimSpace(line), " ")
			for _, c := range commands {
				if word == c {
					text, _, _ = strings.Cut(text, " => ")
					f.Add(text)
				}
			}
		}
	}
}

// sameTree compares trees without positions and ways of writing.
var sameTree = cmp.Options{cmpopts.IgnoreTypes(Pos{}), cmpopts.IgnoreFields(Value{}, "Quoted"), cmpopts.EquateEmpty()}

func FuzzParse(f *testing.F) {
	seed(f, "true", "false", "accept", "reject", "select", "print")
	h := &fakeHost{values: map[string]string{
		"proc.name": "bash", "fd.num": "3", "fd.name": "/etc/passwd", "test.words": "-a,b", "fd.ip": "10.0.0.1,::1",
	}}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := Parse(text)
		if err != nil {
			if e, ok := err.(*Error); !ok || e.Index > len(text) || e.Line < 1 || e.Column < 1 {
				t.Fatalf("error %#v", err)
			}
			return
		}
		printed := Print(n)
		again, err := Parse(printed)
		if err != nil {
			t.Fatalf("printed as %q: %v", printed, err)
		}
		if d := cmp.Diff(n, again, sameTree); d != "" {
			t.Fatalf("printed as %q it is another tree: %s", printed, d)
		}
		p := h.schema().NewProgram()
		id, _, err := p.Add(n)
		if err != nil {
			return
		}
		e := fakeEvent("openat", 1)
		got := p.Eval(id, e)
		if types := Types(n); got && !types.Has(e.Type()) {
			t.Fatalf("true for %s, which is not selected", e.Type())
		}
		if inverse, _, err := p.Add(&Not{Child: n}); err != nil || p.Eval(inverse, e) == got {
			t.Fatalf("the negation is %v too (%v)", got, err)
		}
	})
}

func FuzzParseFormat(f *testing.F) {
	seed(f, "format", "badformat")
	h := &fakeHost{values: map[string]string{"proc.name": "bash", "fd.types": "a,b"}}
	f.Fuzz(func(t *testing.T, text string) {
		format, err := h.schema().ParseFormat(text)
		if err != nil {
			if e, ok := err.(*Error); !ok || e.Index > len(text) {
				t.Fatalf("error %#v", err)
			}
			return
		}
		if b, ok := format.AppendText(nil, fakeEvent("open", 1)); !ok && len(b) > 0 {
			t.Fatalf("nothing, but %q", b)
		}
	})
}

func FuzzGlob(f *testing.F) {
	for _, s := range []string{"*", "a*b?c", "[a-z]*", "[!]]", "[", "[]", `\*`, `[\]]`, "[[:alpha:]-x]", "[[:nosuch:]]", "***a"} {
		f.Add(s, "abc]-*")
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > maxConstant || len(s) > 4096 {
			return
		}
		plain := fnmatch(pattern, s, false)
		if plain && !fnmatch(pattern, s, true) && !strings.ContainsAny(pattern, "[") {
			t.Errorf("%q matches %q only with case", pattern, s)
		}
		if op, text := simplifyGlob(pattern); textOps[op](s, text) != plain {
			t.Errorf("%q with %q: %s %q differs", pattern, s, op, text)
		}
	})
}
