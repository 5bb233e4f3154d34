package cli

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"rollcage/internal/understand/runtime/kubelet"
)

// fastStarts start a container that runs a script, and end it with the test.
var fastStarts = map[string]func(t *testing.T, name, script string){
	"podman": func(t *testing.T, name, script string) {
		url := os.Getenv("ROLLCAGE_TEST_PODMAN_HOST")
		t.Cleanup(func() { runtimeCommand(t, "podman", "--url", url, "rm", "-f", "-t", "0", name) })
		runtimeCommand(t, "podman", "--url", url, "run", "-d", "--name", name, os.Getenv("ROLLCAGE_TEST_PODMAN_IMAGE"), "sh", "-c", script)
	},
	"containerd": func(t *testing.T, name, script string) {
		var raw [32]byte
		_, _ = rand.Read(raw[:])
		id, address := hex.EncodeToString(raw[:]), os.Getenv("ROLLCAGE_TEST_CRI")
		t.Cleanup(func() {
			runtimeCommand(t, "ctr", "--address", address, "task", "rm", "-f", id)
			runtimeCommand(t, "ctr", "--address", address, "container", "rm", id)
		})
		runtimeCommand(t, "ctr", "--address", address, "run", "-d", "--label", "nerdctl/name="+name, os.Getenv("ROLLCAGE_TEST_CRI_IMAGE"), id, "sh", "-c", script)
	},
	"containerd in kubernetes": func(t *testing.T, name, script string) {
		k := kubelet.New(t, os.Getenv("ROLLCAGE_TEST_CRI"))
		id := k.Create(t, kubelet.Container{Name: name, Image: os.Getenv("ROLLCAGE_TEST_CRI_IMAGE"), Command: []string{"sh", "-c", script}})
		k.Start(t, id)
		t.Cleanup(func() { k.Remove(t, id) })
	},
}

func TestTheKernelKillsInContainersOfEachRuntime(t *testing.T) {
	for _, r := range liveRuntimes {
		start := fastStarts[r.name]
		if start == nil {
			continue // Docker has tests of its own
		}
		t.Run(r.name, func(t *testing.T) {
			r.skip(t)
			dir := t.TempDir()
			rules, policies := filepath.Join(dir, "rules.yaml"), filepath.Join(dir, "policies.yaml")
			write(t, rules, fastRules)
			write(t, policies, fmt.Sprintf(fastPolicies, true))
			g := newGuarded(t, "--runtime", r.kind+r.socket(), "--rules", rules, "--policies", policies, "--black-box", "0")
			g.start(t)
			start(t, fmt.Sprintf("fast-%d", os.Getpid()), "cp /bin/busybox /tmp/busybox; while :; do /tmp/busybox true; sleep 0.2; done")
			g.until(t, "kill in the kernel", func() bool { return strings.Contains(done(t, g), "killed by the kernel at the event itself") })
			g.end(t, syscall.SIGTERM)
		})
	}
}
