package rules_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rollcage/internal/detect/rule"
	"rollcage/internal/detect/rule/ruletest"
	"rollcage/rules"
)

var update = flag.Bool("update", false, "write the table of docs/rules.md anew")

// load loads the rules as the commands do. They must have no flaw.
func load(t testing.TB) *rule.Ruleset {
	t.Helper()
	var files []rule.File
	for _, f := range rules.Files() {
		files = append(files, rule.File{Name: f.Name, Data: f.Data})
	}
	set, results := rule.Load(files, rule.LoadOptions{})
	for _, r := range results {
		for _, p := range r.Problems() {
			t.Errorf("%s", p.Format())
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	return set
}

func TestRulesDoWhatTheirTestsSay(t *testing.T) {
	report := ruletest.Run(rule.ReadFiles("tests"), load(t))
	if !report.OK() {
		var b bytes.Buffer
		_, _ = report.WriteTo(&b)
		t.Error(b.String())
	}
}

// TestEveryRuleIsTestedBothWays wants for each rule a test in which it alerts,
// and one that names it under rules, for what comes near, in which it does not.
func TestEveryRuleIsTestedBothWays(t *testing.T) {
	alerts, silent := map[string]bool{}, map[string]bool{}
	for _, f := range rule.ReadFiles("tests") {
		if f.Err != nil {
			t.Fatal(f.Err)
		}
		parsed, errs := ruletest.Parse(f.Name, f.Data)
		for _, err := range errs {
			t.Error(err)
		}
		for _, test := range parsed.Tests {
			named := map[string]bool{}
			for _, a := range test.Alerts {
				alerts[a.Rule], named[a.Rule] = true, true
			}
			for _, name := range test.Rules {
				if !named[name] && !test.Others {
					silent[name] = true
				}
			}
		}
	}
	for _, r := range load(t).Rules {
		if !alerts[r.Name] {
			t.Errorf("no test says what raises %q", r.Name)
		}
		if !silent[r.Name] {
			t.Errorf("no test names %q under rules and says what does not raise it", r.Name)
		}
	}
}

// circumstances are what every alert tells besides what happened.
var circumstances = []string{
	"user.name", "user.uid", "proc.name", "proc.pid", "proc.cmdline", "proc.exepath", "proc.pname", "proc.aname[2]",
	"proc.aname[3]", "proc.tty", "container.name", "container.id", "container.image.repository", "container.image.tag",
}

var technique = regexp.MustCompile(`^T\d{4}(\.\d{3})?$`)

// maxEvents is how many types of events a rule may select: each costs something
// whenever it happens anywhere.
const maxEvents = 15

func TestRulesAreComplete(t *testing.T) {
	set := load(t)
	if len(set.Rules) < 30 {
		t.Errorf("%d rules are too few", len(set.Rules))
	}
	for _, r := range set.Rules {
		d, _ := set.DescribeRule(r.Name)
		info, details := d.Rules[0].Info, d.Rules[0].Details
		if !r.Enabled || r.Source != "syscall" {
			t.Errorf("%q is not enabled for system calls", r.Name)
		}
		if !strings.HasSuffix(info.Description, ".") {
			t.Errorf("%q is described as %q, which is no sentence", r.Name, info.Description)
		}
		if !slices.ContainsFunc(r.Tags, func(s string) bool { return strings.HasPrefix(s, "mitre_") }) ||
			!slices.ContainsFunc(r.Tags, technique.MatchString) {
			t.Errorf("%q has no tactic or no technique of ATT&CK in its tags %q", r.Name, r.Tags)
		}
		for _, want := range circumstances {
			if !slices.Contains(details.OutputFields, want) {
				t.Errorf("the output of %q lacks %s", r.Name, want)
			}
		}
		if want := []string{"image", "program", "command"}; !slices.Equal(r.Exceptions, want) {
			t.Errorf("%q has the exceptions %q, want %q", r.Name, r.Exceptions, want)
		}
		if n := len(details.Events); n == 0 || n > maxEvents {
			t.Errorf("%q is asked about %d types of events: %q", r.Name, n, details.Events)
		}
	}
}

// TestARuleIsSilencedByItsExceptions checks what docs/rules.md promises.
func TestARuleIsSilencedByItsExceptions(t *testing.T) {
	const own = `
- rule: Sensitive file read
  exceptions:
  - {name: image, values: [backup/agent]}
  - {name: program, values: [/opt/scanner]}
  - {name: command, values: [["tar -cf /backup/"]]}
  override: {exceptions: append}
`
	const tests = `
containers: {backup: backup/agent, shop: shop}
processes:
- {pid: 100, exe: /bin/cat, container: backup}
- {pid: 101, exe: /opt/scanner}
- {pid: 102, exe: /usr/bin/tar, args: [-cf, /backup/etc.tar, /etc]}
- {pid: 103, exe: /usr/bin/tar, args: [-cf, /tmp/etc.tar, /etc]}
- {pid: 104, exe: /bin/cat, container: shop}
tests:
- name: Only what is not excepted is told
  events:
  - openat: {pid: 100, name: /etc/shadow, flags: O_RDONLY}
  - openat: {pid: 101, name: /etc/shadow, flags: O_RDONLY}
  - openat: {pid: 102, name: /etc/shadow, flags: O_RDONLY}
  - openat: {pid: 103, name: /etc/shadow, flags: O_RDONLY}
  - openat: {pid: 104, name: /etc/shadow, flags: O_RDONLY}
  alerts:
  - {rule: Sensitive file read, fields: {proc.pid: 103}}
  - {rule: Sensitive file read, fields: {proc.pid: 104}}
`
	var files []rule.File
	for _, f := range rules.Files() {
		files = append(files, rule.File{Name: f.Name, Data: f.Data})
	}
	set, results := rule.Load(append(files, rule.File{Name: "own.yaml", Data: []byte(own)}), rule.LoadOptions{})
	for _, p := range results[len(results)-1].Problems() {
		t.Errorf("%s", p.Format())
	}
	report := ruletest.Run([]rule.File{{Name: "own.test.yaml", Data: []byte(tests)}}, set)
	if !report.OK() {
		var b bytes.Buffer
		_, _ = report.WriteTo(&b)
		t.Error(b.String())
	}
}

// The table of docs/rules.md stands between these lines.
const (
	docs       = "../docs/rules.md"
	tableBegin = "<!-- made by: go test ./rules -update -->\n"
	tableEnd   = "<!-- end -->\n"
)

func TestTheDocumentationListsTheRules(t *testing.T) {
	text, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), tableBegin)
	_, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", docs)
	}
	want := before + tableBegin + table(load(t)) + tableEnd + after
	if *update {
		if err := os.WriteFile(docs, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(text) != want {
		t.Errorf("%s is not of these rules: go test ./rules -update", docs)
	}
}

func table(set *rule.Ruleset) string {
	var b strings.Builder
	file := ""
	for _, r := range set.Rules {
		if r.Position.File != file {
			file = r.Position.File
			fmt.Fprintf(&b, "\n### %s\n\n| rule | priority | what it catches | ATT&CK |\n|---|---|---|---|\n", file)
		}
		var techniques []string
		for _, tag := range r.Tags {
			if technique.MatchString(tag) {
				techniques = append(techniques, tag)
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.Name, r.Priority, r.Description, strings.Join(techniques, " "))
	}
	return b.String() + "\n"
}
