package rule

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// base is the rule that overrides are tried on.
const base = `- rule: R
  desc: old
  condition: evt.type=open
  output: old
  priority: INFO
  tags: [old]
  exceptions:
  - {name: old, fields: [fd.name], values: [[a]]}
`

func TestOverrideChangesEachKeyOnlyInTheWaysItAllows(t *testing.T) {
	summary := func(r *Rule) string {
		return fmt.Sprint(r.Condition, "|", r.Output, "|", r.Description, "|", r.Priority, "|", r.Tags, "|", r.Exceptions, "|",
			r.Enabled, "|", r.Capture, "|", r.CaptureDuration)
	}
	const unchanged = "evt.type=open|old|old|Informational|[old]|[old]|true|false|0s"
	replace := func(old, new string) string { return strings.Replace(unchanged, old, new, 1) }
	exception := "[{name: new, fields: [fd.num], values: [[1]]}]"
	tests := []struct{ key, value, appended, replaced string }{
		{"condition", "and fd.num=1", replace("evt.type=open", "evt.type=open and fd.num=1"), ""},
		{"condition", "evt.type=close", "", replace("evt.type=open", "evt.type=close")},
		{"output", "new", replace("|old|", "|old new|"), replace("|old|", "|new|")},
		{"desc", "new", replace("|old|old|", "|old|old new|"), replace("|old|old|", "|old|new|")},
		{"tags", "[new]", replace("[old]", "[new old]"), replace("[old]", "[new]")},
		{"exceptions", exception, replace("[old]|true", "[old new]|true"), replace("[old]|true", "[new]|true")},
		{"priority", "ALERT", "cannot be appended to, use 'replace' instead", replace("Informational", "Alert")},
		{"enabled", "false", "cannot be appended to, use 'replace' instead", replace("true", "false")},
		{"capture", "true", "cannot be appended to, use 'replace' instead", replace("|false", "|true")},
		{"capture_duration", "7", "cannot be appended to, use 'replace' instead", replace("0s", "7ms")},
		{"warn_evttypes", "false", "cannot be appended to, use 'replace' instead", unchanged},
		{"skip-if-unknown-filter", "true", "cannot be appended to, use 'replace' instead", unchanged},
		{"source", "syscall", "Key 'source' cannot be appended to", "Key 'source' cannot be replaced"},
		{"rule", "R", "Key 'rule' cannot be appended to", "Key 'rule' cannot be replaced"},
	}
	for _, tt := range tests {
		for _, op := range []struct{ word, want string }{{"append", tt.appended}, {"replace", tt.replaced}} {
			if op.want == "" {
				continue
			}
			t.Run(op.word+" "+tt.key, func(t *testing.T) {
				text := fmt.Sprintf("%s- rule: R\n  %s: %s\n  override:\n    %s: %s\n", base, tt.key, tt.value, tt.key, op.word)
				text = strings.Replace(text, "- rule: R\n  rule: R\n", "- rule: R\n", 1)
				set, results := load(t, LoadOptions{}, text)
				got := summary(set.Rules[0])
				if !results[0].OK() {
					got = results[0].Errors[0].Message
				}
				if !strings.HasSuffix(got, op.want) {
					t.Errorf("got  %s\nwant %s", got, op.want)
				}
			})
		}
	}
}

func TestOverrideAppendsBeforeItReplaces(t *testing.T) {
	set := mustLoad(t, base+"- rule: R\n  condition: and fd.num=1\n  output: new\n  tags: [b]\n  override:\n    output: replace\n    condition: append\n    tags: append\n")
	r := set.Rules[0]
	if r.Condition != "evt.type=open and fd.num=1" || r.Output != "new" || len(r.Tags) != 2 {
		t.Errorf("got %+v", r)
	}
}

func TestAppendAndOverrideMistakes(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"an operation that is none", "- rule: R\n  desc: x\n  override: {desc: add}\n",
			"LOAD_ERR_YAML_VALIDATE 1.yaml:11:14: Invalid override operation for key 'desc': 'add'. Allowed values are: append replace "},
		{"an override of a key that is not given", "- rule: R\n  override: {desc: append}\n",
			"LOAD_ERR_YAML_VALIDATE 1.yaml:10:14: An append override for 'desc' was specified but 'desc' is not defined"},
		{"a key without override", "- rule: R\n  desc: x\n  output: y\n  override: {desc: append}\n",
			"LOAD_ERR_YAML_VALIDATE 1.yaml:11:3: Unexpected key 'output': no corresponding entry under 'override' is defined."},
		{"an override that is no mapping", "- rule: R\n  override: desc\n",
			"LOAD_ERR_YAML_VALIDATE 1.yaml:10:13: Expecting a map of override keys"},
		{"append together with override", "- rule: R\n  desc: x\n  append: true\n  override: {desc: append}\n",
			"LOAD_ERR_YAML_VALIDATE 1.yaml:9:3: Keys 'override' and 'append: true' cannot be used together."},
		{"an override of a rule that is not there", "- rule: X\n  desc: x\n  override: {desc: append}\n",
			"LOAD_ERR_VALIDATE 1.yaml:9:3: Rule uses 'append' or 'override.<key>: append' but no rule by that name already exists"},
		{"an append to a rule that is not there", "- rule: X\n  condition: and fd.num=1\n  append: true\n",
			"LOAD_ERR_VALIDATE 1.yaml:9:3: Rule uses 'append' or 'override.<key>: append' but no rule by that name already exists"},
		{"an append with nothing to append", "- rule: R\n  append: true\n",
			"LOAD_ERR_VALIDATE 1.yaml:9:3: Appended rule must have exceptions or condition property"},
		{"an append to a list that is not there", "- list: X\n  items: [a]\n  override: {items: append}\n",
			"LOAD_ERR_VALIDATE 1.yaml:9:3: List uses 'append' or 'override.items: append' but no list by that name already exists"},
		{"an append to a macro that is not there", "- macro: X\n  condition: or fd.num=1\n  override: {condition: append}\n",
			"LOAD_ERR_VALIDATE 1.yaml:9:3: Macro uses 'append' or 'override.condition: append' but no macro by that name already exists"},
		{"enabled for a rule that is not there", "- rule: X\n  enabled: false\n",
			"LOAD_ERR_VALIDATE 1.yaml:9:3: An 'override.<key>: replace' to a rule was requested but no rule by that name already exists"},
		{"an overridden condition with another source", "- rule: R\n  source: x\n  condition: and fd.num=1\n  override: {condition: append}\n",
			"LOAD_ERR_VALIDATE 1.yaml:10:11: Rule has been re-defined with a different source"},
		{"an override of a list's name", "- list: L\n  items: []\n  override: {list: replace}\n",
			"LOAD_ERR_YAML_VALIDATE 1.yaml:11:14: Key 'list' cannot be replaced"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, results := load(t, LoadOptions{}, base+tt.text)
			if len(results[0].Errors) != 1 {
				t.Fatalf("got %q, want one error", problems(results))
			}
			p := results[0].Errors[0]
			if got := fmt.Sprintf("%s %v", p.Code, p); !strings.HasPrefix(got, tt.want) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestLaterFilesChangeEarlierItems(t *testing.T) {
	set := mustLoad(t,
		"- list: l\n  items: [a]\n- macro: m\n  condition: evt.type=open\n"+ruleText("one", "m and proc.name in (l)")+ruleText("two", "m and fd.num=2"),
		"- list: l\n  items: [b]\n  override: {items: append}\n- macro: m\n  condition: or evt.type=openat\n  override: {condition: append}\n",
		"- list: l\n  items: [c]\n  append: true\n"+ruleText("one", "m and proc.name in (l) and fd.num=1"),
	)
	want := []string{
		"one: ((evt.type = open or evt.type = openat) and proc.name in (a, b, c) and fd.num = 1)",
		"two: ((evt.type = open or evt.type = openat) and fd.num = 2)",
	}
	if diff := cmp.Diff(want, compiled(set)); diff != "" {
		t.Error(diff)
	}
}

// compiled returns name and compiled condition of each rule.
func compiled(set *Ruleset) []string {
	var out []string
	for _, r := range set.Describe().Rules {
		out = append(out, r.Info.Name+": "+r.Details.ConditionCompiled)
	}
	return out
}

func TestOrderOfMacros(t *testing.T) {
	const a, b = "- macro: a\n  condition: b and fd.num=1\n", "- macro: b\n  condition: evt.type=open\n"
	tests := []struct{ name, text, want string }{
		{"a macro cannot use a later one", a + b, "Undefined macro 'b' used in filter."},
		{"a macro can use an earlier one", b + a, ""},
		{"a macro appended to can use those before the append",
			"- macro: a\n  condition: fd.num=1\n" + b + "- macro: a\n  condition: and b\n  override: {condition: append}\n", ""},
		{"a macro defined again can use those before the last definition", "- macro: a\n  condition: fd.num=1\n" + b + a, ""},
		{"a macro defined again keeps its place for those that use it",
			b + a + "- macro: b\n  condition: evt.type=close\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, results := load(t, LoadOptions{}, ruleText("R", "a")+tt.text)
			got := ""
			if !results[0].OK() {
				got = results[0].Errors[0].Message
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestListsInListsAreReplacedOneLevelDeep(t *testing.T) {
	set := mustLoad(t, `
- list: one
  items: [a]
- list: two
  items: [one, b]
- list: three
  items: [two, later]
- list: later
  items: [z]
`+ruleText("R", "evt.type=open and proc.name in (x, three)"))
	items := map[string][]string{}
	for _, l := range set.Lists {
		items[l.Name] = l.Compiled
	}
	want := map[string][]string{"one": {"a"}, "two": {"a", "b"}, "three": {"one", "b", "later"}, "later": {"z"}}
	if diff := cmp.Diff(want, items); diff != "" {
		t.Error(diff)
	}
	// What three leaves is replaced in the condition by the lists after it, not by those before.
	if got := compiled(set)[0]; got != "R: (evt.type = open and proc.name in (x, one, b, z))" {
		t.Error(got)
	}
}

func TestListNamesAreReplacedInTheText(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"in parentheses", "x.y in (l)", "x.y in ( a, b c )"},
		{"beside others", "x.y in (z, l,w)", "x.y in (z, a, b c ,w)"},
		{"blanks around it become one", "x.y in (  l  )", "x.y in ( a, b c )"},
		{"without parentheses, where a list is expected", "x.y in l", "x.y in (a, b c) "},
		{"behind a modifier", "x.y startswith oneof l and z.w=1", "x.y startswith oneof (a, b c) and z.w=1"},
		{"behind an equals sign", "x.y=l", "x.y= a, b c "},
		{"in quotes where it stands alone", `x.y = "the l ist"`, `x.y = "the a, b c ist"`},
		{"not as a part of a word", "x.l in (ll, l2, -l)", "x.l in (ll, l2, -l)"},
		{"more than once", "x.y in (l) or z.w in (l)", "x.y in ( a, b c ) or z.w in ( a, b c )"},
		{"the whole text", "l", "a, b c "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _ := text{s: tt.in}.substitute("l", []string{"a", "b c"})
			if got.s != tt.want {
				t.Errorf("got %q, want %q", got.s, tt.want)
			}
		})
	}
}

func TestEmptyListTakesAComma(t *testing.T) {
	for in, want := range map[string]string{"(l)": "(  )", "(a, l)": "(a  )", "(l, b)": "(   b)", "(a, l, b)": "(a  , b)"} {
		if got, used := (text{s: in}).substitute("l", nil); got.s != want || !used {
			t.Errorf("%s: got %q, want %q", in, got.s, want)
		}
	}
}

func TestExceptionsAreAddedToTheCondition(t *testing.T) {
	tests := []struct{ name, exceptions, want string }{
		{"no values", "{name: x, fields: [fd.name]}", "(C)"},
		{"one field in a list", "{name: x, fields: [fd.name], values: [[a], [b]]}", "(C) and not ((fd.name = a) or (fd.name = b))"},
		{"two fields", "{name: x, fields: [fd.name, fd.num], comps: [startswith, =], values: [[a, 1]]}",
			"(C) and not ((fd.name startswith a and fd.num = 1))"},
		{"a value with a blank", "{name: x, fields: [fd.name], values: [[a b], ['\"c d\"'], [\"'e f'\"]]}",
			`(C) and not ((fd.name = "a b") or (fd.name = "c d") or (fd.name = 'e f'))`},
		{"a list of values", "{name: x, fields: [fd.name], comps: [in], values: [[[a, b c]]]}", `(C) and not ((fd.name in (a, "b c")))`},
		{"a scalar under a list operator", "{name: x, fields: [fd.name], comps: [pmatch], values: [[a], [(b)]]}",
			"(C) and not ((fd.name pmatch (a)) or (fd.name pmatch (b)))"},
		{"a modifier", "{name: x, fields: [fd.name], comps: [startswith oneof], values: [[[a, b]]]}",
			"(C) and not ((fd.name startswith oneof (a, b)))"},
		{"a single field", "{name: x, fields: fd.name, values: [a, b c]}", `(C) and not (fd.name in (a, "b c"))`},
		{"a single field with an operator", "{name: x, fields: fd.name, comps: pmatch, values: [a]}", "(C) and not (fd.name pmatch (a))"},
		{"a field with an argument", "{name: x, fields: ['proc.aname[2]'], values: [[a]]}", "(C) and not ((proc.aname[2] = a))"},
		{"two exceptions", "{name: x, fields: fd.name, values: [a]}, {name: y, fields: fd.num, values: [1]}",
			"(C) and not (fd.name in (a)) and not (fd.num in (1))"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set := mustLoad(t, ruleText("R", "evt.type=open")+"  exceptions: ["+tt.exceptions+"]\n")
			if got := strings.Replace(set.Rules[0].written.src.s, "evt.type=open", "C", 1); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestExceptionsAreAppended(t *testing.T) {
	const first = "  exceptions:\n  - {name: x, fields: [fd.name, fd.num], comps: [=, =], values: [[a, 1]]}\n- rule: R\n  override: {exceptions: append}\n  exceptions:\n  - "
	tests := []struct{ name, exception, want string }{
		{"values to an old one", "{name: x, values: [[b, 2]]}", "((fd.name = a and fd.num = 1) or (fd.name = b and fd.num = 2))"},
		{"a new one", "{name: y, fields: fd.num, values: [3]}", "((fd.name = a and fd.num = 1)) and not (fd.num in (3))"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set := mustLoad(t, ruleText("R", "evt.type=open")+first+tt.exception+"\n")
			if got := set.Rules[0].written.src.s; got != "(evt.type=open) and not "+tt.want {
				t.Errorf("got %s\nwant … %s", got, tt.want)
			}
		})
	}
}

func TestExceptionMistakes(t *testing.T) {
	const x, again = "- {name: x, fields: [fd.name, fd.num], values: [[a, 1]]}", "\n- rule: R\n  override: {exceptions: append}\n  exceptions:\n  "
	tests := []struct{ name, exceptions, want string }{
		{"no name", "- {fields: [fd.name]}", "LOAD_ERR_YAML_VALIDATE 1.yaml:7:5: Item has no mapping for key 'name'"},
		{"no fields", "- {name: x, values: [[a]]}", "LOAD_ERR_YAML_VALIDATE 1.yaml:7:5: Item has no mapping for key 'fields'"},
		{"not a mapping", "- x", "LOAD_ERR_YAML_VALIDATE 1.yaml:7:5: Rule exception must be a mapping"},
		{"not a sequence", "  name: x", "LOAD_ERR_YAML_VALIDATE 1.yaml:7:5: Rule exceptions must be a sequence"},
		{"values that are no sequence", "- {name: x, fields: [fd.name], values: a}", "LOAD_ERR_YAML_VALIDATE 1.yaml:7:42: Rule exception values must be a sequence"},
		{"too few values", "- {name: x, fields: [fd.name, fd.num], values: [[a]]}", "LOAD_ERR_VALIDATE 1.yaml:7:51: Fields and values lists must have equal length"},
		{"too few operators", "- {name: x, fields: [fd.name, fd.num], comps: [=]}", "LOAD_ERR_VALIDATE 1.yaml:7:5: Fields and comps lists must have equal length"},
		{"an unknown field", "- {name: x, fields: [fd.nmae]}", "LOAD_ERR_VALIDATE 1.yaml:7:24: 'fd.nmae' is not a supported filter field"},
		{"an unknown operator", "- {name: x, fields: [fd.name], comps: [like]}", "LOAD_ERR_VALIDATE 1.yaml:7:42: 'like' is not a supported comparison operator"},
		{"an operator without list for a single field", "- {name: x, fields: fd.name, comps: startswith}", "LOAD_ERR_VALIDATE 1.yaml:7:39: 'startswith' is not a supported comparison operator"},
		{"a list of operators for a single field", "- {name: x, fields: fd.name, comps: [in]}", "LOAD_ERR_YAML_VALIDATE 1.yaml:7:5: Fields and comps must both be strings or both be lists"},
		{"a row for a single field", "- {name: x, fields: fd.name, values: [[a]]}", "LOAD_ERR_YAML_VALIDATE 1.yaml:7:41: Value is not a scalar value"},
		{"a scalar for a row", "- {name: x, fields: [fd.name], values: [a]}", "LOAD_ERR_YAML_VALIDATE 1.yaml:7:43: Exception value is not a sequence"},
		{"fields for an old one", x + again + "- {name: x, fields: [fd.name]}", "LOAD_ERR_VALIDATE 1.yaml:11:5: Can not append exception fields to existing exception, only values"},
		{"operators for an old one", x + again + "- {name: x, comps: [=], values: [[a]]}", "LOAD_ERR_VALIDATE 1.yaml:11:5: Can not append exception comps to existing exception, only values"},
		{"the wrong number of values for an old one", x + again + "- {name: x, values: [[a]]}", "LOAD_ERR_VALIDATE 1.yaml:11:24: Fields and values lists must have equal length"},
		{"a new one without fields", x + again + "- {name: y, values: [[a]]}", "LOAD_ERR_VALIDATE 1.yaml:11:5: Rule exception must have fields property with a list of fields"},
		{"a new one without values", x + again + "- {name: y, fields: [fd.num]}", "LOAD_ERR_VALIDATE 1.yaml:11:5: Rule exception must have values property with a list of values"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, results := load(t, LoadOptions{}, ruleText("R", "evt.type=open")+"  exceptions:\n  "+tt.exceptions+"\n")
			if len(results[0].Errors) != 1 {
				t.Fatalf("got %q, want one error", problems(results))
			}
			p := results[0].Errors[0]
			if got := fmt.Sprintf("%s %v", p.Code, p); !strings.HasPrefix(got, tt.want) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestListsThatGrowWithoutEndAreAnError(t *testing.T) {
	var b strings.Builder
	for i := range 40 {
		fmt.Fprintf(&b, "- list: l%02d\n  items: [l%02d, l%02d]\n", i, i+1, i+1)
	}
	_, results := load(t, LoadOptions{}, b.String()+ruleText("R", "evt.type=open and proc.name in (l00)"))
	if len(results[0].Errors) != 1 || !strings.Contains(results[0].Errors[0].Message, "longer than 1048576 bytes") {
		t.Errorf("got %q", problems(results))
	}
}
