package rule

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// load loads files named 1.yaml, 2.yaml …
func load(t testing.TB, opts LoadOptions, texts ...string) (*Ruleset, []*Result) {
	t.Helper()
	var files []File
	for i, text := range texts {
		files = append(files, File{Name: fmt.Sprintf("%d.yaml", i+1), Data: []byte(text)})
	}
	return Load(files, opts)
}

// mustLoad is load for files without errors.
func mustLoad(t testing.TB, texts ...string) *Ruleset {
	t.Helper()
	set, results := load(t, LoadOptions{}, texts...)
	for _, r := range results {
		for _, p := range r.Errors {
			t.Fatal(p.Format())
		}
	}
	return set
}

// problems writes each problem as "CODE position: message".
func problems(results []*Result) []string {
	out := []string{}
	for _, r := range results {
		for _, p := range r.Problems() {
			out = append(out, fmt.Sprintf("%s %v", p.Code, p))
		}
	}
	return out
}

// ruleText writes a rule of which only the condition matters.
func ruleText(name, condition string) string {
	return fmt.Sprintf("- rule: %s\n  desc: d\n  condition: %s\n  output: o\n  priority: INFO\n", name, condition)
}

const openRule = `- rule: Open
  desc: d
  condition: evt.type=open
  output: o
  priority: INFO
`

func TestLoadReportsEveryKindOfProblem(t *testing.T) {
	tests := []struct {
		name string
		text string
		want []string
	}{
		{"text that is not YAML", "- rule: a\n  desc: [b\n", []string{
			"LOAD_ERR_YAML_PARSE 1.yaml:2: did not find expected ',' or ']'"}},
		{"a scalar at the top", "hello\n", []string{"LOAD_ERR_YAML_VALIDATE 1.yaml:1:1: Rules content is not yaml"}},
		{"a mapping at the top", "rule: a\n", []string{
			"LOAD_ERR_YAML_VALIDATE 1.yaml:1:1: Rules content is not yaml array of objects"}},
		{"a scalar item", "- a\n", []string{
			"LOAD_ERR_YAML_VALIDATE 1.yaml:1:3: Unexpected element type. Each element should be a yaml associative array."}},
		{"an unknown item", "- rulez: a\n", []string{"LOAD_UNKNOWN_ITEM 1.yaml:1:3: Unknown top level item"}},
		{"a missing key", "- rule: a\n  desc: d\n  condition: evt.type=open\n  priority: INFO\n", []string{
			"LOAD_ERR_YAML_VALIDATE 1.yaml:1:3: Item has no mapping for key 'output'"}},
		{"a null key", "- macro: a\n  condition:\n", []string{
			"LOAD_ERR_YAML_VALIDATE 1.yaml:2:13: Mapping for key 'condition' is empty"}},
		{"an empty value", "- macro: a\n  condition: ''\n", []string{
			"LOAD_ERR_YAML_VALIDATE 1.yaml:2:14: Value must be non-empty"}},
		{"a list for a scalar", "- macro: a\n  condition: [a]\n", []string{
			"LOAD_ERR_YAML_VALIDATE 1.yaml:2:14: Value is not a scalar value"}},
		{"a scalar for a list", "- list: a\n  items: b\n", []string{
			"LOAD_ERR_YAML_VALIDATE 1.yaml:2:10: Value is not a sequence"}},
		{"a list in a list", "- list: a\n  items: [b, [c]]\n", []string{
			"LOAD_ERR_YAML_VALIDATE 1.yaml:2:14: Value is not a scalar value"}},
		{"an item without name", "- list:\n  items: []\n", []string{
			"LOAD_ERR_YAML_VALIDATE 1.yaml:1:8: Mapping for key 'list' is empty"}},
		{"a word that is no boolean", openRule + "  enabled: maybe\n", []string{
			"LOAD_ERR_YAML_VALIDATE 1.yaml:6:12: Can't decode YAML scalar value"}},
		{"a word that is no number", openRule + "  capture_duration: soon\n", []string{
			"LOAD_ERR_YAML_VALIDATE 1.yaml:6:21: Can't decode YAML scalar value"}},
		{"an unknown priority", strings.Replace(openRule, "INFO", "warnin", 1), []string{
			"LOAD_ERR_YAML_VALIDATE 1.yaml:5:13: Invalid priority"}},
		{"a condition that does not parse", ruleText("a", "evt.type=open and"), []string{
			"LOAD_ERR_COMPILE_CONDITION 1.yaml:3:31: expected a blank or '(' after 'and'"}},
		{"a macro that does not parse", "- macro: m\n  condition: proc.name\n", []string{
			"LOAD_ERR_COMPILE_CONDITION 1.yaml:2:23: expected"}},
		{"an unknown field", ruleText("a", "evt.type=open and proc.nmae=x"), []string{
			"LOAD_ERR_COMPILE_CONDITION 1.yaml:3:32: filter check called with nonexistent field 'proc.nmae'"}},
		{"an unknown event type", ruleText("a", "evt.type=opeen"), []string{
			"LOAD_ERR_COMPILE_CONDITION 1.yaml:3:23: unknown event type opeen"}},
		{"an output with an unknown field", strings.Replace(openRule, "output: o", "output: a %proc.nmae b", 1), []string{
			"LOAD_ERR_COMPILE_OUTPUT 1.yaml:4:14: unknown filter: filter check called with nonexistent field 'proc.nmae'"}},
		{"an output that ends in a percent sign", strings.Replace(openRule, "output: o", "output: 100%", 1), []string{
			"LOAD_ERR_COMPILE_OUTPUT 1.yaml:4:15: unknown filter"}},
		{"an undefined macro", ruleText("a", "evt.type=open and opened"), []string{
			"LOAD_ERR_VALIDATE 1.yaml:3:32: Undefined macro 'opened' used in filter."}},
		{"a loop of macros", "- macro: a\n  condition: evt.type=open\n- macro: b\n  condition: a\n- macro: a\n  condition: b\n", []string{
			"LOAD_ERR_VALIDATE 1.yaml:4:14: reference loop in macro 'a'"}},
		{"an engine that is too old", "- required_engine_version: 99\n", []string{
			"LOAD_ERR_VALIDATE 1.yaml:1:3: Rules require engine version 0.99.0 but engine version is 0.62.0"}},
		{"another major engine version", "- required_engine_version: 1.0.0\n", []string{
			"LOAD_ERR_VALIDATE 1.yaml:1:3: Rules require engine version 1.0.0"}},
		{"an engine version that is none", "- required_engine_version: new\n", []string{
			`LOAD_ERR_YAML_VALIDATE 1.yaml:1:3: Unable to parse engine version 'new' as a semver string. Expected "x.y.z" semver format.`}},
		{"a plugin that is not there", "- required_plugin_versions:\n  - name: a\n    version: 1.0.0\n    alternatives:\n    - {name: b, version: 2.0.0}\n", []string{
			"LOAD_ERR_VALIDATE 1.yaml:2:5: Plugin requirement not satisfied, must load one of: a (>= 1.0.0), b (>= 2.0.0)"}},
		{"a plugin named twice", "- required_plugin_versions:\n  - name: container\n    version: 1.0.0\n    alternatives:\n    - {name: container, version: 2.0.0}\n", []string{
			"LOAD_ERR_VALIDATE 1.yaml:5:7: Plugin 'container' is named twice in one requirement"}},
		{"a plugin without version", "- required_plugin_versions:\n  - name: a\n", []string{
			"LOAD_ERR_YAML_VALIDATE 1.yaml:2:5: Item has no mapping for key 'version'"}},
		{"a plugin version that is none", "- required_plugin_versions:\n  - {name: a, version: 1}\n", []string{
			"LOAD_ERR_VALIDATE 1.yaml:2:24: Unable to read the required plugin version"}},
		{"an unknown source", openRule + "  source: k8s_audit\n", []string{
			"LOAD_UNKNOWN_SOURCE 1.yaml:1:3: Unknown source k8s_audit, skipping"}},
		{"another source", openRule + openRule + "  source: k8s_audit\n", []string{
			"LOAD_UNKNOWN_SOURCE 1.yaml:6:3: Unknown source",
			"LOAD_ERR_VALIDATE 1.yaml:11:11: Rule has been re-defined with a different source"}},
		{"a comparison with <NA>", ruleText("a", "evt.type=open and ka.verb = <NA>"), []string{
			"LOAD_UNSAFE_NA_CHECK 1.yaml:3:14: Unsafe comparison of field 'ka.verb' with <NA>",
			"LOAD_ERR_COMPILE_CONDITION 1.yaml:3:32: filter check called with nonexistent field 'ka.verb'"}},
		{"no event type", ruleText("a", "proc.name=x"), []string{
			"LOAD_NO_EVTTYPE 1.yaml:3:14: Rule matches too many evt.type values. This has a significant performance penalty."}},
		{"event types that exclude each other", ruleText("a", "evt.type=open and evt.type=close"), []string{
			"LOAD_NO_EVTTYPE 1.yaml:3:14: Rule matches too many evt.type values."}},
		{"no event type on purpose", ruleText("a", "proc.name=x") + "  warn_evttypes: false\n", []string{}},
		{"an unknown field on purpose", ruleText("a", "evt.type=open and no.such=x") + "  skip-if-unknown-filter: yes\n", []string{
			"LOAD_UNKNOWN_FILTER 1.yaml:3:32: filter check called with nonexistent field 'no.such'"}},
		{"an unknown output field on purpose", strings.Replace(openRule, "output: o", "output: '%no.such'", 1) + "  skip-if-unknown-filter: on\n", []string{
			"LOAD_UNKNOWN_FILTER 1.yaml:4:13: unknown filter"}},
		{"an unused macro", "- macro: m\n  condition: proc.name=x\n", []string{
			"LOAD_UNUSED_MACRO 1.yaml:1:3: Macro not referred to by any other rule/macro"}},
		{"an unused list", "- list: l\n  items: [a]\n", []string{
			"LOAD_UNUSED_LIST 1.yaml:1:3: List not referred to by any other rule/macro"}},
		{"the key append", "- list: l\n  items: [a]\n- list: l\n  items: [b]\n  append: true\n" + ruleText("a", "evt.type=open and proc.name in (l)"), []string{
			"LOAD_DEPRECATED_ITEM 1.yaml:5:11: 'append' key is deprecated."}},
		{"nothing but enabled", openRule + "- rule: Open\n  enabled: false\n", []string{
			"LOAD_DEPRECATED_ITEM 1.yaml:6:3: The standalone 'enabled' key usage is deprecated."}},
		{"container info in the output", strings.Replace(openRule, "output: o", "output: o %container.info", 1), []string{
			"LOAD_DEPRECATED_ITEM 1.yaml:4:11: %container.info in an output is deprecated"}},
		{"a deprecated field in a condition", ruleText("a", "evt.type=open and evt.dir=<"), []string{
			"LOAD_DEPRECATED_ITEM 1.yaml:3:14: Field 'evt.dir' is deprecated"}},
		{"a deprecated field in an output", strings.Replace(openRule, "output: o", "output: '%evt.latency'", 1), []string{
			"LOAD_DEPRECATED_ITEM 1.yaml:4:11: Field 'evt.latency' is deprecated"}},
		{"an appended exception without values", openRule + "  exceptions:\n  - {name: x, fields: [fd.name]}\n- rule: Open\n  exceptions:\n  - name: x\n  override: {exceptions: append}\n", []string{
			"LOAD_APPEND_NO_VALUES 1.yaml:10:5: Overriding/appending exception with no values"}},
		{"two exceptions of a name", openRule + "  exceptions:\n  - {name: x, fields: [fd.name]}\n  - {name: x, fields: [fd.num]}\n", []string{
			"LOAD_EXCEPTION_NAME_NOT_UNIQUE 1.yaml:8:5: Multiple definitions of exception 'x' in the same rule"}},
		{"a macro name with a dash", "- macro: a-b\n  condition: proc.name=x\n", []string{
			"LOAD_INVALID_MACRO_NAME 1.yaml:1:3: Macro has an invalid name. Macro names should match a regular expression: ([a-zA-Z]+[a-zA-Z0-9_]*)",
			"LOAD_UNUSED_MACRO 1.yaml:1:3: Macro not referred to"}},
		{"a list name with a blank", "- list: a b\n  items: []\n", []string{
			"LOAD_INVALID_LIST_NAME 1.yaml:1:3: List has an invalid name.",
			"LOAD_UNUSED_LIST 1.yaml:1:3: List not referred to"}},
		{"a field as a constant", ruleText("a", "evt.type=open and proc.name = proc.pname"), []string{
			"LOAD_COMPILE_CONDITION 1.yaml:3:44: 'proc.pname' may be a valid field misused as a const string value"}},
		{"an unknown key", openRule + "  tag: [a]\n", []string{
			"LOAD_UNKNOWN_KEY 1.yaml:6:3: Unknown key 'tag'. The key will be ignored."}},
		{"a key given twice", openRule + "  desc: e\n", []string{
			"LOAD_UNKNOWN_KEY 1.yaml:6:3: Key 'desc' is given twice. Only the first counts."}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, results := load(t, LoadOptions{}, tt.text)
			got := problems(results)
			ok := len(got) == len(tt.want)
			for i := 0; ok && i < len(got); i++ {
				ok = strings.HasPrefix(got[i], tt.want[i])
			}
			if !ok {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(tt.want, "\n  "))
			}
		})
	}
}

func TestLoadReportsAFileThatCannotBeRead(t *testing.T) {
	_, results := Load([]File{{Name: "gone.yaml", Err: errors.New("no such file")}, {Name: "b.yaml", Data: []byte(openRule)}}, LoadOptions{})
	want := []string{"LOAD_ERR_FILE_READ gone.yaml: no such file"}
	if diff := cmp.Diff(want, problems(results)); diff != "" {
		t.Error(diff)
	}
}

func TestLoadGoesOnAfterErrors(t *testing.T) {
	text := ruleText("a", "proc.name") + "- macro: m\n  condition: nope\n" + ruleText("b", "evt.type=open and m") +
		ruleText("c", "evt.type=open and fd.name=x") + ruleText("d", "no.such=1") + "- rule: a\n  condition: and x\n  append: true\n"
	set, results := load(t, LoadOptions{}, text)
	want := []string{
		"LOAD_ERR_VALIDATE 1.yaml:7:14: Undefined macro 'nope'",
		"LOAD_ERR_COMPILE_CONDITION 1.yaml:20:14: filter check called with nonexistent field 'no.such'",
		"LOAD_ERR_COMPILE_CONDITION 1.yaml:24:14: expected a valid check operator",
		"LOAD_DEPRECATED_ITEM 1.yaml:25:11",
	}
	got := problems(results)
	for i := range want {
		if len(got) != len(want) || !strings.HasPrefix(got[i], want[i]) {
			t.Fatalf("got %q\nwant %q", got, want)
		}
	}
	if len(set.Rules) != 1 || set.Rules[0].Name != "c" {
		t.Errorf("loaded %v, want rule c alone", set.Rules)
	}
}

func TestLoadSaysOnceWhatIsWrongWithAMacro(t *testing.T) {
	_, results := load(t, LoadOptions{}, "- macro: m\n  condition: evt.type=open and no.such=1\n"+ruleText("a", "m and fd.num=1")+ruleText("b", "m and fd.num=2"))
	want := []string{"LOAD_ERR_COMPILE_CONDITION 1.yaml:2:32: filter check called with nonexistent field 'no.such'"}
	if diff := cmp.Diff(want, problems(results)); diff != "" {
		t.Error(diff)
	}
}

func TestLoadCompatibleStopsAtTheFirstErrorAndRepeatsIt(t *testing.T) {
	bad := ruleText("a", "no.such=1") + ruleText("b", "none.such=1")
	_, results := load(t, LoadOptions{Compatible: true}, bad, openRule)
	want := []string{
		"LOAD_ERR_COMPILE_CONDITION 1.yaml:3:14: filter_check called with nonexistent field no.such",
		"LOAD_ERR_COMPILE_CONDITION 1.yaml:3:14: filter_check called with nonexistent field no.such",
	}
	if diff := cmp.Diff(want, problems(results)); diff != "" {
		t.Error(diff)
	}
	if results[0].OK() || results[1].OK() {
		t.Error("the error of the first file is not in both results")
	}
}

func TestLoadCompatibleWarnsOfAMacroThatALaterFileUses(t *testing.T) {
	_, results := load(t, LoadOptions{Compatible: true}, "- macro: m\n  condition: evt.type=open\n", ruleText("a", "m"))
	want := []string{"LOAD_UNUSED_MACRO 1.yaml:1:3: Macro not referred to by any other rule/macro"}
	if diff := cmp.Diff(want, problems(results)); diff != "" {
		t.Error(diff)
	}
	_, results = load(t, LoadOptions{}, "- macro: m\n  condition: evt.type=open\n", ruleText("a", "m"))
	if got := problems(results); len(got) != 0 {
		t.Errorf("got %q without Compatible, want nothing", got)
	}
}

func TestProblemPointsAtTheWrittenText(t *testing.T) {
	tests := []struct {
		name, text string
		line       string
		column     int
	}{
		{"in a folded scalar", "- rule: a\n  desc: d\n  output: o\n  priority: INFO\n  condition: >\n    evt.type=open and\n    proc.nmae = x\n", "    proc.nmae = x", 5},
		{"in a literal scalar", "- rule: a\n  desc: d\n  output: o\n  priority: INFO\n  condition: |\n    evt.type=open and\n      proc.nmae = x\n", "      proc.nmae = x", 7},
		{"in double quotes", "- rule: a\n  desc: d\n  output: o\n  priority: INFO\n  condition: \"proc.name = \\\"a\\\" and no.such=1\"\n", `  condition: "proc.name = \"a\" and no.such=1"`, 37},
		{"in single quotes", "- rule: a\n  desc: d\n  output: o\n  priority: INFO\n  condition: 'proc.name = ''a'' and no.such=1'\n", `  condition: 'proc.name = ''a'' and no.such=1'`, 37},
		{"in a plain scalar of two lines", "- rule: a\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=open\n    and no.such=1\n", "    and no.such=1", 9},
		{"after a list", "- list: l\n  items: [a, b, c, d]\n" + ruleText("a", "proc.name in (l) and no.such=1"), "  condition: proc.name in (l) and no.such=1", 35},
		{"in the item of a list", "- list: l\n  items: [a, '\"b']\n" + ruleText("a", "evt.type=open and proc.name in (l)"), "  condition: evt.type=open and proc.name in (l)", 46},
		{"in an appended condition", openRule + "- rule: Open\n  condition: and no.such=1\n  override: {condition: append}\n", "  condition: and no.such=1", 18},
		{"in the value of an exception", openRule + "  exceptions:\n  - name: x\n    fields: [fd.num]\n    values:\n    - [three]\n", "    - [three]", 8},
		{"after wide characters", "- {rule: ä, desc: é, output: ü, priority: INFO, condition: no.such=1}\n", "- {rule: ä, desc: é, output: ü, priority: INFO, condition: no.such=1}", 63},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, results := load(t, LoadOptions{}, tt.text)
			if len(results[0].Errors) != 1 {
				t.Fatalf("got %q, want one error", problems(results))
			}
			p := results[0].Errors[0]
			if p.Line != tt.line || p.Position.Column != tt.column {
				t.Errorf("got column %d of %q (%v), want %d of %q", p.Position.Column, p.Line, p, tt.column, tt.line)
			}
		})
	}
}

func TestProblemNamesItemAndSuggestion(t *testing.T) {
	_, results := load(t, LoadOptions{}, ruleText("My rule", "evt.type=open and proc.nmae=x"))
	p := results[0].Errors[0]
	if p.Item != `rule "My rule"` || p.Suggestion != "did you mean proc.name?" {
		t.Errorf("got item %q, suggestion %q", p.Item, p.Suggestion)
	}
	want := `1.yaml:3:32: error: filter check called with nonexistent field 'proc.nmae' [LOAD_ERR_COMPILE_CONDITION]
      condition: evt.type=open and proc.nmae=x
                                   ^
    did you mean proc.name?
`
	if got := p.Format(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestReadFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.yaml", "a.yml", "c.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "d.yaml", "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range ReadFiles(dir, filepath.Join(dir, "c.txt"), filepath.Join(dir, "gone")) {
		got = append(got, fmt.Sprint(filepath.Base(f.Name), " ", string(f.Data), " ", f.Err != nil))
	}
	want := []string{"a.yml a.yml false", "b.yaml b.yaml false", "c.txt c.txt false", "gone  true"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLoadReadsAllOfARule(t *testing.T) {
	set := mustLoad(t, `---
- required_engine_version: 31
- required_engine_version: 0.42.0
- required_plugin_versions: [{name: container, version: 9.9.9}]
-
---
---
- rule: Full
  desc: what it is
  condition: evt.type = open
  output: "  opened %fd.name  "
  priority: cRiTiCaL
  tags: [b, a, b]
  enabled: No
  capture: Y
  capture_duration: 1500
`)
	r := set.Lookup("Full")
	if r == nil {
		t.Fatal("the rule is not there")
	}
	got := fmt.Sprint(r.Description, "|", r.Output, "|", r.Priority, r.Tags, r.Enabled, r.Capture, r.CaptureDuration, r.Source, r.Position)
	want := fmt.Sprint("what it is", "|", "opened %fd.name", "|", Critical, []string{"a", "b"}, false, true, 1500*time.Millisecond, "syscall",
		Position{"1.yaml", 8, 3})
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if *set.EngineVersion != (Version{0, 42, 0}) {
		t.Errorf("engine version %v, want the highest", set.EngineVersion)
	}
}

func TestTheWordsOfFalcoAreThoseThatScriptsLookFor(t *testing.T) {
	for _, tt := range []struct{ name, text, code, message string }{
		{"a field that nobody knows", ruleText("a", "no.such=1"), "LOAD_ERR_COMPILE_CONDITION", "filter_check called with nonexistent field no.such"},
		{"an output with such a field", "- rule: a\n  desc: d\n  condition: evt.type=open\n  output: x %no.such y\n  priority: INFO\n",
			"LOAD_ERR_COMPILE_OUTPUT", "unknown filter: unexpected token after '"},
		{"two colons on a line", "a : b : c\n", "LOAD_ERR_YAML_PARSE", "yaml-cpp: error at line 1, column 7: illegal map value"},
		{"a list that does not end", "- list: [a, b\n", "LOAD_ERR_YAML_PARSE", "yaml-cpp: error at line 2, column 1: end of sequence flow not found"},
		{"a list without an element that does not end", "- rule: a\n- list: [", "LOAD_ERR_YAML_PARSE", "yaml-cpp: error at line 2, column 10: end of sequence flow not found"},
		{"a mapping that does not end", "- {list: a", "LOAD_ERR_YAML_PARSE", "yaml-cpp: error at line 1, column 11: end of map flow not found"},
		{"append to nothing", "- macro: m\n  condition: and a\n  append: true\n", "LOAD_ERR_VALIDATE",
			"Macro uses 'append' or 'override.condition: append' but no macro by that name already exists"},
		{"replace of nothing", "- rule: r\n  priority: INFO\n  override: {priority: replace}\n", "LOAD_ERR_VALIDATE",
			"An 'override.<key>: replace' to a rule was requested but no rule by that name already exists"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, results := Load([]File{{Name: "f.yaml", Data: []byte(tt.text)}}, LoadOptions{Compatible: true})
			if len(results[0].Errors) != 1 {
				t.Fatal(results[0].Summary(true))
			}
			if p := results[0].Errors[0]; p.Code.String() != tt.code || p.Message != tt.message {
				t.Errorf("got %s %q", p.Code, p.Message)
			}
		})
	}
}
