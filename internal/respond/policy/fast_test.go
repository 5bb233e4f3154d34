package policy

import (
	"strings"
	"testing"

	"rollcage/internal/detect/rule"
)

const fastPolicy = "- policy: p\n  mode: enforce\n  scope: {on: containers}\n  rules: {names: [R]}\n  actions:\n    - kill: {target: process, fast: true}\n" +
	"- protect: {processes: [/usr/sbin/sshd, '*/containerd-shim-runc-v2']}\n  reason: needed\n"

func TestARuleIsForTheKernelOnlyIfItReducesExactly(t *testing.T) {
	const exec = "evt.type in (execve, execveat) and "
	for _, c := range []struct{ condition, want string }{
		{"evt.type = execve and proc.exepath = /bin/x", "/bin/x|"},
		{exec + "evt.rawres = 0 and container.id != host and proc.exepath in (/bin/x, /bin/y)", "/bin/x,/bin/y|"},
		{exec + "proc.name in (xmrig, minerd)", "|xmrig,minerd"},
		{"started and proc.name = xmrig", "|xmrig"},
		{"proc.exepath = /bin/x", "error: must have evt.type = execve"},
		{exec + "evt.rawres = 0", "error: must say which programs"},
		{"evt.type = execveat and proc.name = x", "error: an event of the type execve"},
		{"evt.type in (execve, connect) and proc.name = x", "error: only execve and execveat"},
		{"evt.type = connect and proc.exepath = /bin/x", "error: only execve and execveat"},
		{exec + "(proc.name = x or proc.name = y)", `error: cannot match "or"`},
		{exec + "proc.name = x and not proc.pname = y", `error: cannot match "not"`},
		{exec + "proc.name = x and proc.exepath = /bin/x", "error: one list of programs"},
		{exec + "proc.name startswith x", "error: = and in alone"},
		{exec + "proc.name != x", "error: = and in alone"},
		{exec + "proc.name = x and user.name = root", "error: and nothing else"},
		{exec + "proc.name = x and container.id = host", "error: and nothing else"},
		{exec + "proc.name = x and evt.rawres = -2", "error: and nothing else"},
		{exec + "proc.name = a-name-of-sixteen", "error: not a name of 1 to 15"},
		{exec + "proc.exepath = bin/x", "error: not an absolute path"},
		{exec + "proc.exepath = /usr/sbin/sshd", "error: /usr/sbin/sshd is protected: needed"},
		{exec + "proc.name = sshd", "error: a protected program is called sshd"},
		{exec + "proc.name = containerd-shim", "error: a protected program is called containerd-shim"},
		{exec + "tolower(proc.name) = x", "error: cannot be matched"},
	} {
		rules, problems := rule.Load([]rule.File{{Name: "r.yaml", Data: []byte("- macro: started\n  condition: (evt.type in (execve, execveat) and evt.rawres = 0)\n" +
			"- rule: R\n  desc: d\n  priority: WARNING\n  output: o\n  condition: " + c.condition + "\n")}}, rule.LoadOptions{})
		if len(rules.Rules) != 1 {
			t.Fatalf("%s: %v", c.condition, problems)
		}
		set := load(t, fastPolicy)
		refused := set.FastProblems(rules.Rules)
		kills, errs := set.FastKills(rules.Rules)
		if want, bad := strings.CutPrefix(c.want, "error: "); bad {
			if len(refused) != 1 || !strings.Contains(refused[0].Error(), want) || !strings.HasPrefix(refused[0].Error(), "p.yaml:6:37: ") || len(kills) != 0 || len(errs) != 1 {
				t.Errorf("%s: %v, want %q", c.condition, refused, want)
			}
			continue
		}
		if len(refused) != 0 || len(kills) != 1 {
			t.Errorf("%s: refused: %v", c.condition, refused)
		} else if got := strings.Join(kills[0].Exes, ",") + "|" + strings.Join(kills[0].Names, ","); got != c.want {
			t.Errorf("%s: %s", c.condition, got)
		}
		set.Policies[0].mode.Store(uint32(Monitor))
		if kills, _ := set.FastKills(rules.Rules); len(kills) != 0 {
			t.Errorf("%s: killed in monitor mode", c.condition)
		}
	}
}

func TestAFastKillIsRefusedWhereItWouldBeWider(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"- policy: p\n  actions: [{kill: {target: process, fast: true}}]", "in containers alone"},
		{"- policy: p\n  scope: {on: host}\n  actions: [{kill: {target: process, fast: true}}]", "in containers alone"},
		{"- policy: p\n  scope: {on: containers}\n  actions: [{kill: {target: tree, fast: true}}]", "the process at work alone"},
		{"- policy: p\n  scope: {on: containers}\n  quiet: {from: '1:00', to: '2:00'}\n  actions: [{kill: {target: process, fast: true}}]", "no quiet times"},
		{"- policy: p\n  scope: {on: containers}\n  actions: [{kill: {fast: true}}]", "needs its target"},
	} {
		_, problems := Load([]rule.File{{Name: "p.yaml", Data: []byte(c.text)}})
		if len(problems) != 1 || !strings.Contains(problems[0].Error(), c.want) {
			t.Errorf("%s: %v", c.text, problems)
		}
	}
}
