package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// canaryRules is a rules file with one rule, for the opening of a path.
func canaryRules(name, path string) string {
	return fmt.Sprintf("- rule: %s\n  desc: d\n  condition: evt.type in (open, openat) and fd.name = %s\n  output: opened %%fd.name\n  priority: WARNING\n", name, path)
}

// replace writes a file as an editor saves it.
func replace(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// sees opens path until there is an alert of the rule.
func (w *watched) sees(t *testing.T, path, rule string) {
	t.Helper()
	w.waitUntil(t, "an alert of "+rule, func() bool {
		_, _ = os.ReadFile(path)
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, a := range w.alerts {
			if a.Rule == rule {
				return true
			}
		}
		return false
	})
}

func (w *watched) waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after 30 s\n%s", what, w.log())
		}
	}
}

func TestDetectTakesUpRulesThatChangeWhileItRuns(t *testing.T) {
	dir := t.TempDir()
	rules, config, canary := filepath.Join(dir, "rules.yaml"), filepath.Join(dir, "config.yaml"), filepath.Join(dir, "canary")
	replace(t, rules, canaryRules("first", canary))
	replace(t, config, "priority: debug\n")
	w := startDetect(t, "--docker", "off", "--rules", rules, "--config", config)
	w.sees(t, canary, "first")
	replace(t, rules, canaryRules("second", canary))
	w.sees(t, canary, "second")

	replace(t, rules, "- rule: broken\n")
	w.sees(t, canary, "Rollcage internal: rules not reloaded")
	before := len(w.named("second"))
	w.waitUntil(t, "the rules from before", func() bool {
		_, _ = os.ReadFile(canary)
		return len(w.named("second")) > before
	})

	replace(t, rules, canaryRules("third", canary))
	w.sees(t, canary, "third")
	replace(t, config, "priority: error\n")
	w.waitUntil(t, "that no rule is left is an error", func() bool { return strings.Contains(w.log(), "no rule is left to run") })

	replace(t, config, "disable: [nothing]\n")
	if err := w.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	w.waitUntil(t, "the reload on SIGHUP", func() bool { return strings.Contains(w.log(), "why=SIGHUP") })
}

// named returns the alerts of a rule.
func (w *watched) named(rule string) []firedAlert {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []firedAlert
	for _, a := range w.alerts {
		if a.Rule == rule {
			out = append(out, a)
		}
	}
	return out
}

func TestFlagsReadAnewSayTheSame(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want []string // runtimes
	}{
		{"none given", nil, []string{"auto"}},
		{"docker by its old flag", []string{"--docker", "unix:///run/c.sock"}, []string{"docker:unix:///run/c.sock"}},
		{"none by the old flag", []string{"--docker", "off"}, []string{"off"}},
		{"none by the old flag without an address", []string{"--docker", ""}, []string{"off"}},
		{"a list", []string{"--runtime", "cri:/run/a.sock", "--runtime", "podman:/run/b.sock"}, []string{"cri:/run/a.sock", "podman:/run/b.sock"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			guard, detect := newGuardCommand(), newDetectCommand()
			for _, cmd := range []*cobra.Command{guard, detect} {
				if err := cmd.ParseFlags(c.args); err != nil {
					t.Fatal(err)
				}
			}
			g, err := rereadGuardOptions(guard)
			if err != nil {
				t.Fatal(err)
			}
			d, err := rereadDetectOptions(detect)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(g.Runtimes, c.want) || !slices.Equal(d.Runtimes, c.want) {
				t.Errorf("guard asks %q, detect %q, want %q", g.Runtimes, d.Runtimes, c.want)
			}
		})
	}
}
