package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcage/internal/observe/probe"
)

// secretWord stands in a command line of the attack.
const secretWord = "hunter2hunter2"

// guardAt is a guard in a process and folders of its own.
type guardAt struct {
	testing.TB
	url, state, run, program string
	api                      *http.Client
}

// startGuard starts rollcage guard and waits until it detects.
func startGuard(t *testing.T, program string) *guardAt {
	t.Helper()
	if err := probe.Supported(); err != nil {
		t.Skipf("the live host cannot be watched here: %v", err)
	}
	dir, err := os.MkdirTemp("", "guard") // short, as it is part of a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	g := &guardAt{TB: t, url: "http://" + addr, state: filepath.Join(dir, "s"), run: filepath.Join(dir, "r"), program: program}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	// A policy of its own, about its own attack, that touches nothing: others may run on this host.
	policies := filepath.Join(dir, "policies.yaml")
	if err := os.WriteFile(policies, []byte("- policy: Record it\n  mode: monitor\n  rules:\n    names: [Sensitive file read]\n  actions:\n    - capture: {before: 20s, after: 1s}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// A host name of its own, so that pictures show the same everywhere.
	cmd := exec.Command("sh", append([]string{"-c", `hostname shop-host && exec "$@"`, "sh", program, "guard", "--policies", policies, "--state", g.state,
		"--run", g.run, "--serve", addr, "--black-box", "8", "-o", "json"}, runtimeFlags()...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUTS}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			b, _ := os.ReadFile(log.Name())
			t.Logf("%s", tail(string(b), 40))
		}
	})
	g.api = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", filepath.Join(g.run, "api.sock"))
	}}}
	g.until("detection", func() bool {
		var s struct{ Healthy bool }
		return g.get("/api/v1/status", &s) && s.Healthy
	})
	return g
}

// get asks the API by its socket, as root.
func (g *guardAt) get(path string, out any) bool {
	res, err := g.api.Get("http://localhost" + path)
	if err != nil {
		return false
	}
	defer func() { _ = res.Body.Close() }()
	return res.StatusCode == http.StatusOK && json.NewDecoder(res.Body).Decode(out) == nil
}

func (g *guardAt) until(what string, ok func() bool) {
	g.Helper()
	for deadline := time.Now().Add(90 * time.Second); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			g.Fatalf("no %s in 90 s", what)
		}
	}
}

// dockerHost is an engine for tests, empty if there is none.
var dockerHost = os.Getenv("ROLLCAGE_TEST_DOCKER_HOST")

func runtimeFlags() []string {
	if dockerHost == "" {
		return []string{"--runtime", "off"}
	}
	return []string{"--docker", dockerHost}
}

// container runs a script of files in a container that is removed at the end.
func container(t testing.TB, name, script string, files map[string]string) {
	t.Helper()
	docker := func(args ...string) {
		t.Helper()
		cmd := exec.Command("docker", args...)
		cmd.Env = append(os.Environ(), "DOCKER_HOST="+dockerHost)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("docker %v: %v: %s", args, err, out)
		}
	}
	dir := t.TempDir()
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	docker("create", "--name", name, "--network", "none", os.Getenv("ROLLCAGE_TEST_IMAGE"), "sh", script)
	t.Cleanup(func() { docker("rm", "-f", name) })
	docker("cp", dir+"/.", name+":/srv")
	docker("start", name)
}

// attack reads a file that nobody reads, with a password in its command line,
// and stays so that it can be killed. Where there is Docker it does so from a
// shell of a server in a container.
func (g *guardAt) attack() (id string) {
	g.Helper()
	script := "tail -f /etc/shadow >/dev/null; mysql --password " + secretWord
	if dockerHost != "" {
		container(g, "shop-db", "/srv/serve", map[string]string{"serve": "while :; do sleep 0.2; done\n"})
		container(g, "shop-web", "/srv/start", map[string]string{
			"start": "sh /srv/serve; while :; do sleep 1; done\n", "serve": "sh /srv/request; true\n", "request": "sh -c '" + script + "'; true\n",
		})
	} else {
		cmd := exec.Command("sh", "-c", script)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			g.Fatal(err)
		}
		g.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); _ = cmd.Wait() })
	}
	g.until("incident with a capture", func() bool {
		var list struct {
			Incidents []struct {
				Incident string
				Captures int
			}
		}
		if g.get("/api/v1/incidents", &list) {
			for _, s := range list.Incidents {
				var all struct {
					Records []struct{ Data json.RawMessage }
				}
				if g.get("/api/v1/incidents/"+s.Incident+"/records?reveal=true", &all) && strings.Contains(fmt.Sprintf("%s", all), secretWord) {
					id = s.Incident
					return s.Captures > 0 || g.capture(id)
				}
			}
		}
		return false
	})
	return id
}

// capture asks for a capture of the incident, in case no policy does.
func (g *guardAt) capture(id string) bool {
	out, err := exec.Command(g.program, "incidents", "act", id, "capture", "--before", "20s", "--after", "1s", "--run", g.run).CombinedOutput()
	if err != nil {
		g.Logf("%s", out)
	}
	return err == nil
}

func TestThePagesOfAGuardInABrowser(t *testing.T) {
	chromium := os.Getenv("ROLLCAGE_TEST_CHROMIUM")
	if chromium == "" {
		t.Skip("no browser; make test brings one and sets ROLLCAGE_TEST_CHROMIUM")
	}
	if !exists("node_modules/playwright-core") {
		t.Skip("the packages of the pages are missing; make test installs them")
	}
	program := filepath.Join(t.TempDir(), "rollcage")
	if out, err := exec.Command("go", "build", "-o", program, "rollcage/cmd/rollcage").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	g := startGuard(t, program)
	incident := g.attack()
	token, err := os.ReadFile(filepath.Join(g.run, "token"))
	if err != nil {
		t.Fatal(err)
	}
	viewer, err := exec.Command(program, "token", "create", "watcher", "--role", "viewer", "--state", g.state).Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "--test", "--test-reporter=spec", "--test-concurrency=1", "e2e/guard.test.mjs", "e2e/hours.test.mjs")
	cmd.Env = append(os.Environ(), "CHROMIUM="+chromium, "GUARD="+g.url, "LINK_TOKEN="+strings.TrimSpace(string(token)),
		"VIEWER="+strings.TrimSpace(string(viewer)), "SECRET="+secretWord, "INCIDENT="+incident, "CONTAINERS="+dockerHost, "PICTURES="+os.Getenv("ROLLCAGE_TEST_PICTURES"))
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	fmt.Println(tail(string(out), 12))
}
