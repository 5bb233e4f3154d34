package filter

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"rollcage/internal/detect/field"
)

func mustParse(t testing.TB, text string) Node {
	t.Helper()
	n, err := Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return n
}

func TestErrorsHavePositionAndHint(t *testing.T) {
	for _, tt := range []struct {
		name, text          string
		index, line, column int
		hint                string
	}{
		{"nothing at all", "", 0, 1, 1, ""},
		{"only blanks", "  ", 2, 1, 3, ""},
		{"text behind the end", "a.b = c d", 8, 1, 9, ""},
		{"the second line", "a.b = c and\n  d.e =", 19, 2, 8, ""},
		{"CR and LF each end a line", "a.b = c\r\nx", 9, 3, 1, ""},
		{"an operator with a typing error", "proc.name startwith x", 10, 1, 11, "did you mean startswith?"},
		{"AND in capitals", "a.b = c AND d.e = f", 8, 1, 9, "write 'and' in lower case"},
		{"an operator of C", "a.b = c && d.e = f", 8, 1, 9, "write 'and'"},
		{"the other operator of C", "a.b = c || d.e = f", 8, 1, 9, "write 'or'"},
		{"a transformer with a typing error", "a.b = tolowr(c.d)", 12, 1, 13, "did you mean tolower?"},
		{"a string without end", `a.b = "c`, 6, 1, 7, `the string has no closing "`},
		{"a bad escape", `a.b in (c, "d\z")`, 11, 1, 12, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(tt.text)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if got, want := e.Pos, (Pos{tt.index, tt.line, tt.column}); got != want {
				t.Errorf("got %+v, want %+v (%v)", got, want, err)
			}
			if e.Hint != tt.hint {
				t.Errorf("got hint %q, want %q", e.Hint, tt.hint)
			}
		})
	}
}

func TestErrorText(t *testing.T) {
	_, err := Parse("proc.name = a\nx")
	want := "filter error at index 14, line 2, column 1: unexpected token after 'a', expecting 'or', 'and'"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestCompileErrorsPointAtTheirPart(t *testing.T) {
	h := &fakeHost{}
	for _, tt := range []struct {
		name, text string
		index      int
		hint       string
		unknown    bool
	}{
		{"an unknown field", "fd.num = 1 and no.such = 2", 15, "did you mean proc.name?", true},
		{"an unknown event type", "evt.type in (open, opnat)", 19, "did you mean openat?", true},
		{"an unknown field in a transformer", "fd.num = 1 or tolower( no.such) = 2", 23, "did you mean proc.name?", true},
		{"a bad constant in a list", "fd.num in (1, 2, three)", 17, "", false},
		{"a bad pattern in a list", `proc.name regex anyof (a, "b(")`, 26, "", false},
		{"an operator that does not fit", "(fd.num = 1 and fd.num glob x)", 16, "", false},
		{"a right side that does not fit", "fd.num = val(proc.name)", 13, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := h.schema().NewProgram().Add(mustParse(t, tt.text))
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if e.Index != tt.index || e.Hint != tt.hint || errors.Is(err, ErrUnknown) != tt.unknown {
				t.Errorf("got index %d, hint %q, unknown %v; want %d, %q, %v (%v)",
					e.Index, e.Hint, errors.Is(err, ErrUnknown), tt.index, tt.hint, tt.unknown, err)
			}
		})
	}
}

func TestParenthesesNestDeeplyButNotWithoutEnd(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("(", n) + "a.b exists" + strings.Repeat(")", n) }
	if _, err := Parse(nested(200)); err != nil {
		t.Errorf("200 levels: %v", err)
	}
	for name, text := range map[string]string{
		"parentheses":  nested(1000),
		"nots":         strings.Repeat("not(", 1000) + "a.b exists" + strings.Repeat(")", 1000),
		"transformers": strings.Repeat("tolower(", 2000) + "a.b" + strings.Repeat(")", 2000) + " = x",
	} {
		_, err := Parse(text)
		if err == nil || !strings.Contains(err.Error(), "exceeded max depth limit of 1000") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := Parse(strings.Repeat("not ", 100_001) + "a.b exists"); err != nil {
		t.Errorf("nots in a row do not nest: %v", err)
	}
}

func TestQuoteValueCanBeReadBack(t *testing.T) {
	for _, s := range []string{
		"", "plain", "a b", `a"b`, "it's", `both'"`, `back\slash`, `tail\`, `\`, `\\`, "tab\tnl\ncr\r", "\b\f",
		"=", "(", ",", "\x01\x7f", "\xff", "ü", `\"`, `x\ `,
	} {
		n, err := Parse("a.b = " + QuoteValue(s))
		if err != nil {
			t.Errorf("%q as %s: %v", s, QuoteValue(s), err)
			continue
		}
		if got := n.(*Check).Right.(*Value).Text; got != s {
			t.Errorf("%q as %s is read as %q", s, QuoteValue(s), got)
		}
	}
}

func TestDescribe(t *testing.T) {
	n := mustParse(t, `(shell_procs and evt.dir = "<") or tolower(proc.name) in (a) and proc.aname[2] startswith oneof b_list
		and not inbound and fd.num = val(evt.latency) and not shell_procs`)
	for _, tt := range []struct {
		name string
		got  []string
		want string
	}{
		{"fields", UsedFields(n), "evt.dir proc.name proc.aname[2] fd.num evt.latency"},
		{"operators", UsedOperators(n), "= in startswith"},
		{"transformers", UsedTransformers(n), "tolower"},
		{"deprecated fields", Deprecated(UsedFields(n)), "evt.dir evt.latency"},
		{"macros", first2(UsedNames(n)), "shell_procs inbound"},
		{"lists", second2(UsedNames(n)), "b_list"},
		{"unsafe checks", UnsafeNA(mustParse(t, `ka.verb != "<NA>" or jevt.value in (x, <NA>) or proc.name = <NA> or ka.uri glob <NA>`)),
			"ka.verb jevt.value"},
	} {
		if got := strings.Join(tt.got, " "); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func first2(a, _ []string) []string  { return a }
func second2(_, b []string) []string { return b }

func TestOperatorsForFieldsAreThoseThatCompile(t *testing.T) {
	if len(byUse) != len(opWords) {
		t.Errorf("%d operators are offered, there are %d", len(byUse), len(opWords))
	}
	for name, value := range map[string]string{"proc.name": "a", "evt.failed": "true", "evt.rawres": "1", "evt.around[1]": "1", "fd.sip": "10.0.0.1", "fd.num": "1"} {
		for _, op := range allOpWords {
			condition := name + " " + op + " " + value
			switch o, _ := ParseOp(op); {
			case o == Exists:
				condition = name + " " + op
			case o >= Le && o <= Gt:
				condition = name + " " + op + " 1"
			case o.TakesList():
				condition = name + " " + op + " (" + value + ")"
			}
			n, err := Parse(condition)
			if err == nil {
				_, _, err = NewProgram().Add(n)
			}
			if offered := slices.Contains(OperatorsFor(field.Lookup(strings.TrimSuffix(name, "[1]"))), op); op != "==" && offered != (err == nil) {
				t.Errorf("%s: offered %v, but it says %v", condition, offered, err)
			}
		}
	}
}

func TestOperatorsByName(t *testing.T) {
	for _, word := range allOpWords {
		op, ok := ParseOp(word)
		if want := strings.Replace(word, "==", "=", 1); !ok || op.String() != want {
			t.Errorf("%s: got %v, %v", word, op, ok)
		}
	}
	if _, ok := ParseOp("like"); ok {
		t.Error("like is an operator")
	}
	for _, word := range []string{"oneof", "anyof", "allof"} {
		if m, ok := ParseModifier(word); !ok || m.String() != word {
			t.Errorf("%s: got %v, %v", word, m, ok)
		}
	}
	if _, ok := ParseModifier(""); ok {
		t.Error("nothing is a modifier")
	}
	if !In.TakesList() || Eq.TakesList() || !Eq.TakesModifier() || !Regex.TakesModifier() || In.TakesModifier() || Lt.TakesModifier() {
		t.Error("operators take the wrong operands")
	}
}
