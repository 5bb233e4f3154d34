package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"rollcage/internal/respond/guard"
)

const fastRules = `
- rule: Bad program
  desc: d
  priority: CRITICAL
  output: bad program %proc.exepath
  condition: evt.type in (execve, execveat) and evt.rawres = 0 and container.id != host and proc.exepath = /tmp/busybox
- rule: Bad read
  desc: d
  priority: CRITICAL
  output: bad read of %fd.name
  condition: evt.type in (open, openat, openat2) and evt.is_open_read = true and fd.typechar = 'f' and container.id != host and fd.name = /tmp/secret
- rule: Bad connect
  desc: d
  priority: CRITICAL
  output: bad connect to %fd.name
  condition: evt.type = connect and container.id != host and fd.snet = 127.0.0.0/8 and fd.sport = 4444
`

// lateRules need a program that guard attaches when it is confined already.
const lateRules = `
- rule: Signal
  desc: d
  priority: NOTICE
  output: signal %evt.type
  condition: evt.type = signaldeliver and container.id != host
`

const fastPolicies = `
- policy: No bad acts
  mode: enforce
  scope: {containers: ["fast-*"]}
  rules: {names: [Bad *]}
  actions: [{kill: {target: process, fast: %v}}]
  limit: {count: 1000, per: 1m}
`

// fastGuard is a guard that is confined as it is shipped, and two containers that were started later.
type fastGuard struct {
	*guarded
	rules, policies string
	victim, other   string
}

func newFastGuard(t *testing.T) *fastGuard {
	if os.Getenv("ROLLCAGE_TEST_DOCKER_HOST") == "" {
		t.Skip("needs a Docker Engine in ROLLCAGE_TEST_DOCKER_HOST (make test starts one)")
	}
	dir := t.TempDir()
	g := &fastGuard{rules: filepath.Join(dir, "rules.yaml"), policies: filepath.Join(dir, "policies.yaml")}
	write(t, g.rules, fastRules)
	write(t, g.policies, fmt.Sprintf(fastPolicies, true))
	g.guarded = newGuarded(t, "--docker", os.Getenv("ROLLCAGE_TEST_DOCKER_HOST"), "--rules", g.rules, "--policies", g.policies, "--black-box", "2")
	g.program = shipped(t)
	g.start(t)
	g.victim, g.other = fmt.Sprintf("fast-%d", os.Getpid()), fmt.Sprintf("beside-%d", os.Getpid())
	t.Cleanup(func() { docker(t, "rm", "-f", g.victim, g.other) })
	for _, c := range []string{g.victim, g.other} {
		docker(t, "run", "-d", "--name", c, os.Getenv("ROLLCAGE_TEST_IMAGE"), "sleep", "1000")
		docker(t, "exec", c, "sh", "-c", "cp /bin/busybox /tmp/busybox; echo open sesame >/tmp/secret; echo nothing >/tmp/other")
		docker(t, "exec", "-d", c, "sh", "-c", "while :; do nc -l -p 4444 </dev/null; done")
	}
	return g
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// acts does all that is bad and reports which of it came to its end.
func (g *fastGuard) acts(t *testing.T, c string) string {
	return docker(t, "exec", c, "sh", "-c", `rm -f /tmp/mark; /tmp/busybox touch /tmp/mark; ls /tmp/mark 2>/dev/null; cat /tmp/secret; cat /tmp/other
		until netstat -ltn | grep -q :4444; do sleep 0.01; done; nc 127.0.0.1 4444 </dev/null; [ $? = 137 ] || echo connected; echo end`)
}

const (
	allActs = "/tmp/mark\nopen sesame\nnothing\nconnected\nend"
	noActs  = "nothing\nend"
)

func (g *fastGuard) want(t *testing.T, c, want, when string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(g.acts(t, c)) {
		if line = strings.TrimSpace(line); line != "Killed" {
			lines = append(lines, line)
		}
	}
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("%s: %q, want %q", when, got, want)
	}
}

func (g *fastGuard) mode(t *testing.T, mode string) {
	t.Helper()
	if err := g.client().SetMode(context.Background(), "No bad acts", mode); err != nil {
		t.Fatal(err)
	}
}

func (g *fastGuard) reload(t *testing.T) {
	t.Helper()
	if err := g.client().Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// TestTheKernelKillsInTheContainersOfAPolicyAlone does bad things in a container of a policy and in one beside it, while guard
// is confined. In the first, a program does not come to its first instruction, and none sees what it has opened or connected to.
func TestTheKernelKillsInTheContainersOfAPolicyAlone(t *testing.T) {
	g := newFastGuard(t)
	g.until(t, "kill in the kernel", func() bool {
		g.acts(t, g.victim)
		return strings.Contains(done(t, g.guarded), "killed by the kernel at the event itself; the process ended ")
	})
	for range 5 {
		g.want(t, g.victim, noActs, "in the container of the policy")
	}
	g.want(t, g.other, allActs, "in the other container")
	g.mode(t, "monitor")
	g.want(t, g.victim, allActs, "in monitor mode")
	write(t, g.rules, fastRules+lateRules)
	g.reload(t)
	g.mode(t, "enforce")
	g.want(t, g.victim, noActs, "when the policy acts again")
	if log := g.err.String(); strings.Contains(log, "attach") || strings.Contains(log, "level=ERROR") {
		t.Errorf("programs could not be attached late:\n%s", log)
	}
	late := fmt.Sprintf("fast-late-%d", os.Getpid())
	t.Cleanup(func() { docker(t, "rm", "-f", late) })
	docker(t, "run", "-d", "--name", late, os.Getenv("ROLLCAGE_TEST_IMAGE"), "sh", "-c", "cp /bin/busybox /tmp/busybox; sleep 1000")
	g.until(t, "kill in a container that came later", func() bool {
		out := docker(t, "exec", late, "sh", "-c", "rm -f /tmp/mark; /tmp/busybox touch /tmp/mark; [ -e /tmp/mark ] || echo gone")
		return strings.HasSuffix(out, "gone")
	})
	write(t, g.policies, fmt.Sprintf(fastPolicies, false))
	g.reload(t)
	for range 5 { // by user space now, which the program must wait for
		docker(t, "exec", g.victim, "/tmp/busybox", "sleep", "5")
	}
	g.until(t, "kills by user space", func() bool { return strings.Count(done(t, g.guarded), ", which ended ") >= 5 })
	g.end(t, syscall.SIGTERM)
	g.verify(t)
	for line := range strings.Lines(done(t, g.guarded)) {
		t.Log(strings.TrimSpace(line))
	}
}

// done returns what is written about actions that were done.
func done(t *testing.T, g *guarded) string {
	t.Helper()
	var all strings.Builder
	files, _ := filepath.Glob(filepath.Join(guard.EvidenceDir(g.state), "incidents", "*", "*"))
	for _, f := range files {
		b, _ := os.ReadFile(f)
		for line := range strings.Lines(string(b)) {
			if _, text, ok := strings.Cut(line, `"done":"`); ok {
				text, _, _ = strings.Cut(text, `"`)
				all.WriteString(text + "\n")
			}
		}
	}
	return all.String()
}
