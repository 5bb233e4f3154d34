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
`

const fastPolicies = `
- policy: No bad programs
  mode: enforce
  scope: {containers: ["fast-*"]}
  rules: {names: [Bad program]}
  actions: [{kill: {target: process, fast: %v}}]
  limit: {count: 1000, per: 1m}
`

// TestTheKernelKillsInTheContainersOfAPolicyAlone executes a bad program in a container of a policy and in one beside it. In the
// first it does not come to write its mark.
func TestTheKernelKillsInTheContainersOfAPolicyAlone(t *testing.T) {
	if os.Getenv("ROLLCAGE_TEST_DOCKER_HOST") == "" {
		t.Skip("needs a Docker Engine in ROLLCAGE_TEST_DOCKER_HOST (make test starts one)")
	}
	dir := t.TempDir()
	files := map[string]string{"rules.yaml": fastRules, "policies.yaml": fmt.Sprintf(fastPolicies, true), "slow.yaml": fmt.Sprintf(fastPolicies, false)}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	policies := filepath.Join(dir, "policies.yaml")
	g := newGuarded(t, "--docker", os.Getenv("ROLLCAGE_TEST_DOCKER_HOST"), "--rules", filepath.Join(dir, "rules.yaml"), "--policies", policies, "--black-box", "0")
	g.start(t)
	victim, other := fmt.Sprintf("fast-%d", os.Getpid()), fmt.Sprintf("beside-%d", os.Getpid())
	t.Cleanup(func() { docker(t, "rm", "-f", victim, other) })
	for _, c := range []string{victim, other} {
		docker(t, "run", "-d", "--name", c, os.Getenv("ROLLCAGE_TEST_IMAGE"), "sleep", "1000")
		docker(t, "exec", c, "cp", "/bin/busybox", "/tmp/busybox")
	}
	bad := func(c string) bool { // whether it came to an instruction of its own
		docker(t, "exec", c, "rm", "-f", "/tmp/mark")
		docker(t, "exec", c, "/tmp/busybox", "touch", "/tmp/mark")
		return docker(t, "exec", c, "ls", "/tmp/mark") == "/tmp/mark"
	}
	g.until(t, "kill in the kernel", func() bool {
		bad(victim)
		return strings.Contains(done(t, g), "killed by the kernel at the event itself; the process ended ")
	})
	for range 5 {
		if bad(victim) {
			t.Error("the bad program ran in the container of the policy")
		}
	}
	if !bad(other) {
		t.Error("the bad program did not run in the other container")
	}
	if err := g.client().SetMode(context.Background(), "No bad programs", "monitor"); err != nil {
		t.Fatal(err)
	}
	if !bad(victim) {
		t.Error("the bad program did not run in monitor mode")
	}
	if err := g.client().SetMode(context.Background(), "No bad programs", "enforce"); err != nil {
		t.Fatal(err)
	}
	if bad(victim) {
		t.Error("the bad program ran when the policy acted again")
	}
	if err := os.WriteFile(policies, []byte(files["slow.yaml"]), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := g.client().Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	for range 5 { // by user space now, which the program must wait for
		docker(t, "exec", victim, "/tmp/busybox", "sleep", "5")
	}
	g.until(t, "kills by user space", func() bool { return strings.Count(done(t, g), ", which ended ") >= 5 })
	g.end(t, syscall.SIGTERM)
	g.verify(t)
	for line := range strings.Lines(done(t, g)) {
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
