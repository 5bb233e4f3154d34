package rule

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// trail writes the levels of a problem, from the outermost, in one line.
func trail(p *Problem) string {
	var levels []string
	for _, l := range p.where.locations() {
		levels = append(levels, fmt.Sprintf("%s %q %d:%d", l.ItemType, l.ItemName, l.Position.Line, l.Position.Column))
	}
	return p.Code.String() + ": " + strings.Join(levels[1:], " > ")
}

func TestCompatibleProblemsNameThePlacesThatFalcoNames(t *testing.T) {
	simple := ruleText("a", "evt.type=open")
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"the key append of a list", "- list: l\n  items: [a]\n- list: l\n  items: [b]\n  append: true\n" + ruleText("a", "evt.type=open and proc.name in (l)"), []string{
			`LOAD_DEPRECATED_ITEM: list "l" 2:2`}},
		{"the key append of a macro", "- macro: m\n  condition: evt.type=open\n- macro: m\n  condition: or evt.type=creat\n  append: true\n" + ruleText("a", "m"), []string{
			`LOAD_DEPRECATED_ITEM: macro "m" 2:2`}},
		{"the key append of a rule", simple + "- rule: a\n  condition: and fd.num=1\n  append: true\n", []string{
			`LOAD_DEPRECATED_ITEM: rule "a" 5:2`}},
		{"no event type", ruleText("a", "proc.name=x"), []string{
			`LOAD_NO_EVTTYPE: rule "a" 0:2`}},
		{"container.info in the output", strings.Replace(simple, "output: o", "output: o %container.info", 1), []string{
			`LOAD_DEPRECATED_ITEM: rule "a" 0:2`}},
		{"a macro that is not there", ruleText("a", "evt.type=open and nothing"), []string{
			`LOAD_ERR_VALIDATE: rule "a" 0:2 > condition expression "" 1:21`}},
		{"a macro that is not there, in a macro", "- macro: m\n  condition: nothing\n", []string{
			`LOAD_ERR_VALIDATE: macro "m" 0:2 > condition expression "" 1:3`}},
		{"an unknown field in the condition", ruleText("a", "no.such=1"), []string{
			`LOAD_ERR_COMPILE_CONDITION: rule "a" 0:2 > rule condition "" 2:13 > condition expression "" 3:14`}},
		{"an unknown field in the output", strings.Replace(simple, "output: o", "output: 'o %no.such'", 1), []string{
			`LOAD_ERR_COMPILE_OUTPUT: rule "a" 0:2 > rule output "" 3:10`}},
		{"warnings in the order in which they are found", ruleText("b", "proc.name=x") + simple + "- rule: a\n  enabled: true\n", []string{
			`LOAD_DEPRECATED_ITEM: rule "a" 10:2`, `LOAD_NO_EVTTYPE: rule "b" 0:2`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, results := load(t, LoadOptions{Compatible: true}, tt.text)
			var got []string
			for _, p := range append(results[0].Errors, results[0].Warnings...) {
				got = append(got, trail(p))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestTheWarningsOfFalcoAreInItsWords(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"a list name with a blank", "- list: a b\n  items: []\n", `List has an invalid name. List names should match a regular expression: ([^()"'[:space:]=,]+)`},
		{"a macro name with a dash", "- macro: a-b\n  condition: evt.type=open\n", "Macro has an invalid name. Macro names should match a regular expression: ([a-zA-Z]+[a-zA-Z0-9_]*)"},
		{"a field of the past in the output", strings.Replace(ruleText("a", "evt.type=open"), "output: o", "output: o %evt.dir", 1),
			"usage of deprecated field 'evt.dir' has been detected in the rule output"},
		{"container.info in the output", strings.Replace(ruleText("a", "evt.type=open"), "output: o", "output: o %container.info", 1),
			"%container.info is deprecated and no more useful, and will be dropped by Falco 1.0.0. The container plugin will automatically add required fields to the output message."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, results := load(t, LoadOptions{Compatible: true}, tt.text)
			if len(results[0].Warnings) == 0 || results[0].Warnings[0].Message != tt.want {
				t.Errorf("got %s\nwant %s", results[0].Summary(true), tt.want)
			}
		})
	}
}
