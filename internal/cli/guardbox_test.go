package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/respond/guard"
)

const boxPolicies = `
- blackbox:
    scope: {containers: ["boxed-*"]}
    size: 8MB
    data: {other: 4096, pipe: 4096, file: 4096}
- policy: Record
  mode: enforce
  rules: {names: [Mark]}
  actions: [{capture: {before: 1m, after: 1s}}]
  limit: {count: 100, per: 1m}
`

const boxRules = `
- rule: Mark
  desc: d
  priority: CRITICAL
  output: mark in %container.name
  condition: evt.type in (execve, execveat) and evt.rawres = 0 and proc.exepath endswith /busybox and proc.args contains mark-of-test
`

// TestTheBlackBoxHasTheContainersOfItsScopeAlone writes in a container that is in the scope and in one beside it, from the first moment of
// each. The capture has the first alone, until the policy is changed while guard runs.
func TestTheBlackBoxHasTheContainersOfItsScopeAlone(t *testing.T) {
	if os.Getenv("ROLLCAGE_TEST_DOCKER_HOST") == "" {
		t.Skip("needs a Docker Engine in ROLLCAGE_TEST_DOCKER_HOST (make test starts one)")
	}
	dir := t.TempDir()
	rules, policies := filepath.Join(dir, "rules.yaml"), filepath.Join(dir, "policies.yaml")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(rules, boxRules)
	write(policies, boxPolicies)
	g := newGuarded(t, "--docker", os.Getenv("ROLLCAGE_TEST_DOCKER_HOST"), "--rules", rules, "--policies", policies, "--watch-files=false")
	g.start(t)
	boxed, beside := fmt.Sprintf("boxed-%d", os.Getpid()), fmt.Sprintf("beside-%d", os.Getpid())
	t.Cleanup(func() { docker(t, "rm", "-f", boxed, beside) })
	for _, c := range []string{boxed, beside} {
		docker(t, "run", "-d", "--name", c, os.Getenv("ROLLCAGE_TEST_IMAGE"), "sh", "-c", "echo began-in-"+c+" >/tmp/first; exec sleep 1000")
	}
	// Containers of others on this machine, whose names no runtime tells, count too.
	before := g.status(t).Box.Cgroups
	g.until(t, "names that are known", func() bool {
		time.Sleep(time.Second)
		n := g.status(t).Box.Cgroups
		same := n == before && n > 0
		before = n
		return same
	})
	if b := g.status(t).Box; b.Size != 8<<20 || b.Scope != "containers boxed-*" {
		t.Errorf("%+v", b)
	}
	say := func(what string) { // in both, then an alert in the one that is recorded
		for _, c := range []string{boxed, beside} {
			docker(t, "exec", c, "sh", "-c", "echo "+what+c+" >/tmp/said")
		}
		n := g.status(t).Captures
		docker(t, "exec", boxed, "/bin/busybox", "echo", "mark-of-test")
		g.until(t, "capture", func() bool { return g.status(t).Captures > n })
	}
	has := func(want map[string]bool) {
		t.Helper()
		for text, in := range want {
			if got := captured(t, g, text); got != in {
				t.Errorf("%q is in a capture: %v, want %v", text, got, in)
			}
		}
	}
	say("said-in-")
	has(map[string]bool{"began-in-" + boxed: true, "said-in-" + boxed: true, "said-in-" + beside: false})

	write(policies, string(bytes.Replace([]byte(boxPolicies), []byte(`{containers: ["boxed-*"]}`), []byte("{on: containers}"), 1)))
	if err := g.client().Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	if b := g.status(t).Box; b.Scope != "in containers" || b.Cgroups < 2 || b.Restart != "" {
		t.Errorf("after the reload: %+v", b)
	}
	say("said-later-in-")
	has(map[string]bool{"said-later-in-" + boxed: true, "said-later-in-" + beside: true, "said-in-" + beside: false})
	g.end(t, syscall.SIGTERM)
	g.verify(t)
}

// captured reports whether a write in one of the captures has that text.
func captured(t *testing.T, g *guarded, text string) (found bool) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(guard.EvidenceDir(g.state), "incidents", "*", "*.scap.gz"))
	for _, path := range files {
		src, err := capture.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		var ev event.Event
		for src.Next(&ev) == nil {
			found = found || ev.Type() == event.SYSCALL_WRITE_X && bytes.Contains(ev.Param(1), []byte(text))
		}
		_ = src.Close()
	}
	return found
}
