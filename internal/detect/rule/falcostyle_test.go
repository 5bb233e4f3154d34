package rule

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcage/internal/detect/filter"
)

// falcoStyle loads testdata/falco_style.yaml.
func falcoStyle(t *testing.T, opts LoadOptions) (*Ruleset, *Result) {
	t.Helper()
	data, err := os.ReadFile("testdata/falco_style.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set, results := Load([]File{{Name: "falco_style.yaml", Data: data}}, opts)
	for _, p := range results[0].Errors {
		t.Error(p.Format())
	}
	return set, results[0]
}

func TestRulesWrittenForFalcoLoadUnmodified(t *testing.T) {
	for _, compatible := range []bool{false, true} {
		set, result := falcoStyle(t, LoadOptions{Compatible: compatible})
		codes := map[Code]bool{}
		for _, p := range result.Warnings {
			codes[p.Code] = true
		}
		// never_true is not used any more once its only user is replaced.
		want := map[Code]bool{DeprecatedItem: true, UnknownSource: true, UnknownFilter: true, UnusedMacro: true}
		if diff := cmp.Diff(want, codes); diff != "" {
			t.Errorf("compatible %v: warnings: %s", compatible, diff)
		}
		if _, err := NewEngine(set, EngineOptions{Threshold: Debug}); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatPeopleChangeInRulesForFalcoTakesEffect(t *testing.T) {
	set, _ := falcoStyle(t, LoadOptions{})
	compiled := func(name string) string {
		r := set.Lookup(name)
		if r == nil {
			t.Fatalf("no rule %q", name)
		}
		return filter.Print(r.Node())
	}
	for _, tt := range []struct{ name, rule, part string }{
		{"a list is appended to", "Terminal shell in container", "zsh, dash, fish"},
		{"a macro is replaced", "Terminal shell in container", `not (proc.pname = debug-agent`},
		{"a rule is appended to", "Terminal shell in container", "not container.image.repository in (registry.example.org/base, docker.io/library/nginx)"},
		{"a list is replaced", "Outbound to a mining pool", "fd.sport in (3333) and"},
		{"a macro is appended to", "Write below a binary dir", "not proc.name = backup"},
		{"a macro is appended to by override", "Drop and run", "or container.image.repository startswith registry.example.org/"},
		{"a rule is appended to by override", "Write below a binary dir", "not user.name = builder"},
		{"lists stand in lists", "Inbound by a tool", "fish, python, python3, perl, ruby, node, awk, nc, ncat"},
		{"exceptions are replaced", "Drop and run", "not proc.exepath in (/opt/agent/run)"},
		{"exceptions take lists", "Sensitive file opened by an untrusted program", "(proc.name in (cat, less) and fd.name startswith /etc/pam)"},
		{"exceptions take one field", "Sensitive file opened by an untrusted program", `not proc.cmdline startswith oneof ("sudo -l", "visudo -c")`},
		{"exceptions get values later", "Sensitive file opened by an untrusted program",
			`not (proc.pname = systemd and proc.aname[2] = "login shell" and container.image.repository = docker.io/library/login)`},
		{"items in quotes stay whole", "Sensitive file opened by an untrusted program", `proc.name in (sshd, "(systemd)", "(sd-pam)", "login shell")`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := compiled(tt.rule); !strings.Contains(got, tt.part) {
				t.Errorf("%q does not contain %q", got, tt.part)
			}
		})
	}
	written := set.Lookup("Write below a binary dir")
	if written.Priority != Critical || !strings.HasSuffix(written.Output, ") (user=%user.name)") ||
		cmp.Diff([]string{"filesystem", "mitre_persistence", "ours"}, written.Tags) != "" {
		t.Errorf("overridden: %v %v %q", written.Priority, written.Tags, written.Output)
	}
	for name, enabled := range map[string]bool{
		"Outbound to a mining pool": true, "Inbound by a tool": false, "Every event of a program": false, "Drop and run": true,
	} {
		if r := set.Lookup(name); r.Enabled != enabled {
			t.Errorf("%s: enabled is %v", name, r.Enabled)
		}
	}
	for _, name := range []string{"From a newer engine", "Of another source"} {
		if set.Lookup(name) != nil {
			t.Errorf("%s is loaded", name)
		}
	}
}
