package filter

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// names looks macros and lists up by their text; a list is written as one.
type names map[string]string

func (m names) lookup(name string) (Node, error) {
	text, ok := m[name]
	if !ok {
		return nil, nil
	}
	if strings.HasPrefix(text, "[") {
		n, err := Parse("x.y in (" + strings.Trim(text, "[]") + ")")
		if err != nil {
			return nil, err
		}
		return n.(*Check).Right, nil
	}
	return Parse(text)
}

var testNames = names{
	"shells":    "[bash, zsh]",
	"none":      "[]",
	"spawned":   "evt.type = execve and evt.rawres = 0",
	"shell":     "proc.name in (shells)",
	"started":   "spawned and shell",
	"loop_a":    "loop_b or a.b exists",
	"loop_b":    "not loop_a",
	"broken":    "fd.num = three",
	"innocent":  "proc.name = x and broken",
	"undefined": "proc.name = x or nowhere",
}

func TestExpand(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"a macro is one unit", "shell or a.b exists", "(proc.name in (bash, zsh) or a.b exists)"},
		{"a macro in a macro", "not started", "not ((evt.type = execve and evt.rawres = 0) and proc.name in (bash, zsh))"},
		{"a macro used twice", "shell or not shell", "(proc.name in (bash, zsh) or not proc.name in (bash, zsh))"},
		{"a list by name", "a.b in shells", "a.b in (bash, zsh)"},
		{"a list behind a modifier", "a.b startswith oneof shells", "a.b startswith oneof (bash, zsh)"},
		{"a list among elements", "a.b in (x, shells, y)", "a.b in (x, bash, zsh, y)"},
		{"an empty list among elements", "a.b in (none, y)", "a.b in (y)"},
		{"an empty list alone", "a.b in (none)", "a.b in ()"},
		{"a quoted element is no name", `a.b in ("shells")`, "a.b in (shells)"},
		{"an element that is a macro's name", "a.b in (shell)", "a.b in (shell)"},
		{"a value that is a list's name", "a.b = shells", "a.b = shells"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := mustParse(t, tt.text)
			before := Print(n)
			got, err := Expand(n, testNames.lookup)
			if err != nil {
				t.Fatal(err)
			}
			if Print(got) != tt.want {
				t.Errorf("got  %s\nwant %s", Print(got), tt.want)
			}
			if Print(n) != before {
				t.Errorf("the original has become %s", Print(n))
			}
			again, err := Expand(got, testNames.lookup)
			if err != nil || Print(again) != tt.want {
				t.Errorf("expanded again it is %v, %v", again, err)
			}
		})
	}
}

func TestExpandErrors(t *testing.T) {
	for _, tt := range []struct {
		name, text, want, macro string
		index                   int
	}{
		{"a name nobody defined", "a.b exists and nowhere", "Undefined macro 'nowhere' used in filter.", "", 15},
		{"a name nobody defined in a macro", "a.b exists or undefined", "Undefined macro 'nowhere' used in filter.", "undefined", 17},
		{"a list used as macro", "shells", "Undefined macro 'shells' used in filter.", "", 0},
		{"a macro used as list", "a.b in shell", "unexpected identifier 'shell'", "", 7},
		{"a loop", "loop_a", "reference loop in macro 'loop_a'", "loop_b", 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Expand(mustParse(t, tt.text), testNames.lookup)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if e.Msg != tt.want || e.Macro != tt.macro || e.Index != tt.index {
				t.Errorf("got %q at %d in %q, want %q at %d in %q", e.Msg, e.Index, e.Macro, tt.want, tt.index, tt.macro)
			}
		})
	}
}

func TestExpandPassesErrorsOfLookupOn(t *testing.T) {
	stop := errors.New("stop")
	for _, text := range []string{"some_macro", "a.b in some_list", "a.b in (x, y)"} {
		_, err := Expand(mustParse(t, text), func(string) (Node, error) { return nil, stop })
		if !errors.Is(err, stop) {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

func TestCompileErrorsNameTheInnermostMacro(t *testing.T) {
	n, err := Expand(mustParse(t, "a.b exists or innocent"), testNames.lookup)
	if err != nil {
		t.Fatal(err)
	}
	n = n.(*Or).Children[1]
	_, _, err = (&fakeHost{}).schema().NewProgram().Add(n)
	var e *Error
	if !errors.As(err, &e) || e.Macro != "broken" || e.Index != 9 {
		t.Errorf("got %v", err)
	}
}

func TestMacrosThatDoubleAreRefused(t *testing.T) {
	double := func(name string) (Node, error) {
		var n int
		if _, err := fmt.Sscanf(name, "m%d", &n); err != nil || n == 0 {
			return Parse("a.b exists")
		}
		return Parse(fmt.Sprintf("m%d or m%d", n-1, n-1))
	}
	if n, err := Expand(mustParse(t, "m10"), double); err != nil || strings.Count(Print(n), "exists") != 1024 {
		t.Errorf("ten times: %v", err)
	}
	_, err := Expand(mustParse(t, "m60"), double)
	if err == nil || !strings.Contains(err.Error(), "more than 100000 parts") {
		t.Errorf("sixty times: %v", err)
	}
}
