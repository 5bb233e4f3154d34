package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const treePolicies = `
- policy: End who reads
  mode: enforce
  scope: {containers: ["tree-*"]}
  rules: {names: [Bad read]}
  actions: [{kill: tree}]
  limit: {count: 1000, per: 1m}
`

// TestKillOfATreeEndsWhoCameIntoTheContainerAndNotWhatItRuns has a shell that was brought into a container read a secret by a program of a
// moment, and the container's own process do the same. With the shell goes what it started in sessions of their own, whose parents have ended.
func TestKillOfATreeEndsWhoCameIntoTheContainerAndNotWhatItRuns(t *testing.T) {
	if os.Getenv("ROLLCAGE_TEST_DOCKER_HOST") == "" {
		t.Skip("needs a Docker Engine in ROLLCAGE_TEST_DOCKER_HOST (make test starts one)")
	}
	dir := t.TempDir()
	rules, policies := filepath.Join(dir, "rules.yaml"), filepath.Join(dir, "policies.yaml")
	write(t, rules, fastRules)
	write(t, policies, treePolicies)
	g := newGuarded(t, "--docker", os.Getenv("ROLLCAGE_TEST_DOCKER_HOST"), "--rules", rules, "--policies", policies, "--black-box", "2")
	g.program = shipped(t)
	g.start(t)
	c := fmt.Sprintf("tree-%d", os.Getpid())
	t.Cleanup(func() { docker(t, "rm", "-f", c) })
	docker(t, "run", "-d", "--name", c, os.Getenv("ROLLCAGE_TEST_IMAGE"), "sh", "-c",
		`echo open sesame >/tmp/secret; while :; do [ -e /tmp/go ] && cat /tmp/secret && rm /tmp/go; sleep 0.1; done`)
	docker(t, "exec", "-d", c, "sh", "-c", `sleep 0.3; (setsid sh -c "sleep 7001; true" &); (setsid sh -c "setsid sh -c 'sleep 7002; true' & true" &)
		sleep 0.3; cat /tmp/secret; sleep 7003; true`)
	runs := func(what string) bool {
		return strings.Contains(docker(t, "top", c, "-o", "pid,args"), what)
	}
	g.until(t, "end of the shell", func() bool { return strings.Contains(done(t, g), "which has ended, comes: ended ") })
	for _, what := range []string{"sleep 7001", "sleep 7002", "sleep 7003"} {
		if runs(what) {
			t.Errorf("%s lives", what)
		}
	}
	// Who came in is gone as a whole, but for what it left behind.
	for range 5 {
		docker(t, "exec", c, "sh", "-c", `(setsid sh -c "sleep 7004; true" &); cat /tmp/secret; (setsid sh -c "sleep 7004; true" &)`)
	}
	g.until(t, "end of what was left behind", func() bool { return !runs("sleep 7004") })
	docker(t, "exec", c, "touch", "/tmp/go")
	g.until(t, "refusal", func() bool {
		all, _ := filepath.Glob(filepath.Join(g.state, "evidence", "incidents", "*", "*"))
		for _, f := range all {
			b, _ := os.ReadFile(f)
			if strings.Contains(string(b), "it belongs to what the container itself runs") {
				return true
			}
		}
		return false
	})
	if got := docker(t, "inspect", "-f", "{{.State.Running}}", c); got != "true" {
		t.Error("the container does not run any more")
	}
	for line := range strings.Lines(done(t, g)) {
		t.Log(strings.TrimSpace(line))
	}
}
