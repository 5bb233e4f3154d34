package ruletest

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// compare holds the alerts that came against those that were expected. Each
// alert counts for one expectation, in the order in which they are written.
func (t *trial) compare() {
	for _, x := range t.test.Alerts {
		t.expect(x)
	}
	for _, f := range t.fired {
		if !f.used && !t.test.Others {
			t.fail(t.File, t.alertsLine(), fmt.Sprintf("rule %q fired, which is not expected, at %s: %s",
				f.rule.Name, f.where, shorten(f.message, 200)))
		}
	}
}

// expect finds the alerts for an expectation.
func (t *trial) expect(x *Expected) {
	found := 0
	var near []string
	var unfit []*firing
	for _, f := range t.fired {
		if f.used || f.rule.Name != x.Rule || x.Count != Any && found == x.Count {
			continue
		}
		if diff := x.difference(f); diff != "" {
			near = append(near, fmt.Sprintf("it fired at %s, but %s", f.where, diff))
			unfit = append(unfit, f)
			continue
		}
		f.used = true
		found++
	}
	if found == x.Count || x.Count == Any && found > 0 {
		return
	}
	message := fmt.Sprintf("rule %q did not fire", x.Rule)
	if found > 0 || x.Count > 1 {
		message = fmt.Sprintf("rule %q fired %d of %d times", x.Rule, found, x.Count)
	}
	if len(near) > 0 && found == 0 {
		message = fmt.Sprintf("rule %q did not fire as expected", x.Rule)
	}
	for _, f := range unfit {
		f.used = true // told here, and need not be again
	}
	failure := t.fail(t.File, x.node.Line, message)
	failure.Why = near
	if len(near) == 0 && found == 0 {
		failure.Why = []string{t.rules[x.Rule].why.String()}
	}
	for _, f := range t.fired {
		if f.rule.Name != x.Rule {
			failure.Instead = append(failure.Instead, fmt.Sprintf("%q at %s", f.rule.Name, f.where))
		}
	}
}

// difference says in what an alert is not the expected one, "" if it is.
func (x *Expected) difference(f *firing) string {
	if x.Priority != "" && f.rule.Priority.String() != x.Priority {
		return fmt.Sprintf("its priority is %s, not %s", f.rule.Priority, x.Priority)
	}
	for _, want := range x.Output {
		if !strings.Contains(f.message, want) {
			return fmt.Sprintf("its output does not contain %q: %s", want, shorten(f.message, 300))
		}
	}
	for _, name := range sortedNames(x.Fields) {
		want := x.Fields[name]
		if got := f.fields[name]; got != want && !(want == "" && got == "<NA>") {
			return fmt.Sprintf("%s is %q, not %q", name, got, want)
		}
	}
	return ""
}

// alertsLine is the line where the test says which alerts must come.
func (t *trial) alertsLine() int {
	n := t.test.node
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "alerts" {
			return n.Content[i].Line
		}
	}
	return n.Line
}

// lastLine returns the last line that a test stands on.
func lastLine(t *Test) int {
	last := t.Line
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		last = max(last, n.Line)
		for _, c := range n.Content {
			walk(c)
		}
	}
	walk(t.node)
	return last
}
