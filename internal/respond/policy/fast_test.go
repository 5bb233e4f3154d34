package policy

import (
	"fmt"
	"strings"
	"testing"

	"rollcage/internal/detect/rule"
)

const fastPolicy = "- policy: p\n  mode: enforce\n  scope: {on: containers}\n  rules: {names: [R]}\n  actions:\n    - kill: {target: process, fast: true}\n" +
	"- protect: {processes: [/usr/sbin/sshd, '*/containerd-shim-runc-v2']}\n  reason: needed\n"

func TestARuleIsForTheKernelOnlyIfItReducesExactly(t *testing.T) {
	const exec = "evt.type in (execve, execveat) and "
	for _, c := range []struct{ condition, want string }{
		{"evt.type in (open, openat, creat) and fd.name = /etc/shadow", "open,openat: /etc/shadow|"},
		{"evt.type = openat and evt.is_open_write = true and evt.is_open_read = true and fd.typechar = 'f' and fd.num >= 0 and evt.rawres >= 0 and fd.name in (/a, /b)", "openat: /a,/b| reads writes"},
		{"evt.type = openat and fd.name startswith /root/.ssh/", "openat: |/root/.ssh/"},
		{"evt.type = openat and fd.name startswith /etc and fd.name in (/a, /etc/b)", "openat: /etc/b|"},
		{"evt.type = openat and fd.name startswith /etc and fd.name startswith /etc/ssh", "openat: |/etc/ssh"},
		{"evt.type = openat and fd.name startswith /etc and fd.name startswith /var", "error: no name can be"},
		{"evt.type = openat and evt.is_open_write = true", "error: must say which files"},
		{"evt.type = openat and fd.name = /a and evt.is_open_write = false", "error: = true alone"},
		{"evt.type = openat and fd.name = /a/../b", "error: in its shortest form"},
		{"evt.type = openat and fd.name endswith /b", "error: = and in alone"},
		{"evt.type = openat and fd.name = /a and proc.name = x", "error: of opens the kernel cannot match that"},
		{"evt.type = openat and fd.name = /a and evt.rawres = 3", "error: of opens"},
		{"evt.type = creat and fd.name = /a", "error: judges none of them"},
		{"evt.type in (openat, connect) and fd.name = /a", "error: connect is none of the opens"},
		{"evt.type = connect and fd.sport in (4444, 5555)", "connect: 0.0.0.0/0,::/0|4444,5555"},
		{"evt.type = connect and evt.rawres = 0 and fd.l4proto = tcp and fd.sip = 10.1.2.3 and fd.sport = 80", "connect: 10.1.2.3/32|80 done"},
		{"evt.type = connect and fd.snet in (10.1.2.3/8, 'fd00::/8') and container.id != host", "connect: 10.0.0.0/8,fd00::/8|"},
		{"evt.type = connect and fd.sip = '::ffff:10.0.0.1'", "error: not an address or network"},
		{"evt.type = connect and evt.rawres = -115 and fd.sport = 80", "error: can match evt.rawres = 0"},
		{"evt.type = connect and fd.rip = 10.0.0.1", "error: of connects"},
		{"evt.type = connect and fd.l4proto = udp and fd.sport = 53", "error: of connects"},
		{"evt.type = connect and evt.rawres = 0", "error: must say where to"},
		{"evt.type = execve and proc.exepath = /bin/x", "execve: /bin/x|"},
		{exec + "evt.rawres = 0 and container.id != host and proc.exepath in (/bin/x, /bin/y)", "execve: /bin/x,/bin/y|"},
		{exec + "proc.name in (xmrig, minerd)", "execve: |xmrig,minerd"},
		{"started and proc.name = xmrig", "execve: |xmrig"},
		{"proc.exepath = /bin/x", "error: must have evt.type = or in"},
		{exec + "evt.rawres = 0", "error: must say which programs"},
		{"evt.type = execveat and proc.name = x", "error: an event of the type execve"},
		{"evt.type in (execve, connect) and proc.name = x", "error: connect is none of the execs"},
		{"evt.type = connect and proc.exepath = /bin/x", "error: of connects the kernel cannot match that"},
		{exec + "(proc.name = x or proc.name = y)", `error: cannot match "or"`},
		{exec + "proc.name = x and not proc.pname = y", `error: cannot match "not"`},
		{exec + "proc.name = x and proc.exepath = /bin/x", "error: one list of programs"},
		{exec + "proc.name startswith x", "error: = and in alone"},
		{exec + "proc.name != x", "error: = and in alone"},
		{exec + "proc.name = x and user.name = root", "error: of execs the kernel cannot match that"},
		{exec + "proc.name = x and container.id = host", "error: of execs the kernel cannot match that"},
		{exec + "proc.name = x and evt.rawres = -2", "error: of execs the kernel cannot match that"},
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
		} else if got := told(kills[0].Acts); got != c.want {
			t.Errorf("%s: %s", c.condition, got)
		}
		set.Policies[0].mode.Store(uint32(Monitor))
		if kills, _ := set.FastKills(rules.Rules); len(kills) != 0 {
			t.Errorf("%s: killed in monitor mode", c.condition)
		}
	}
}

// told writes acts in one line.
func told(a Acts) string {
	words := func(all ...any) string { return strings.ReplaceAll(strings.Trim(fmt.Sprint(all...), "[]"), " ", ",") }
	var types []string
	for _, t := range a.Types {
		types = append(types, t.Info().Name)
	}
	s := words(types) + ": "
	switch {
	case a.Nets != nil:
		s += words(a.Nets) + "|" + words(a.Ports)
	case a.Exes != nil || a.Names != nil:
		s += words(a.Exes) + "|" + words(a.Names)
	default:
		s += words(a.Files) + "|" + words(a.Below)
	}
	for i, on := range []bool{a.Reads, a.Writes, a.Done} {
		if on {
			s += []string{" reads", " writes", " done"}[i]
		}
	}
	return s
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
