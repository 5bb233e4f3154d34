package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcage/internal/observe/probe"
)

// watched is a rollcage detect that watches this host.
type watched struct {
	cmd    *exec.Cmd
	mu     sync.Mutex
	alerts []firedAlert
	stderr strings.Builder
}

// firedAlert is what the tests look at in an alert.
type firedAlert struct {
	Rule   string         `json:"rule"`
	Output string         `json:"output"`
	Fields map[string]any `json:"output_fields"`
	read   time.Time
}

// startDetect starts rollcage detect -o json with more arguments and waits until it watches.
func startDetect(t *testing.T, args ...string) *watched {
	t.Helper()
	if err := probe.Supported(); err != nil {
		t.Skipf("the live host cannot be watched here: %v", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{cmd: exec.Command(self, append([]string{"detect", "-o", "json"}, args...)...)}
	w.cmd.Env = append(os.Environ(), beRollcage+"=1")
	stdout, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := w.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.stop(t) })
	go w.readAlerts(bufio.NewReader(stdout))
	ready := make(chan struct{})
	go func() {
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			w.mu.Lock()
			w.stderr.WriteString(lines.Text() + "\n")
			w.mu.Unlock()
			if strings.HasPrefix(lines.Text(), "Watching ") {
				close(ready)
			}
		}
	}()
	select {
	case <-ready:
	case <-time.After(30 * time.Second):
		t.Fatalf("not watching after 30 s:\n%s", w.log())
	}
	return w
}

func (w *watched) readAlerts(r *bufio.Reader) {
	dec := json.NewDecoder(r)
	for {
		var a firedAlert
		if dec.Decode(&a) != nil {
			return
		}
		a.read = time.Now()
		w.mu.Lock()
		w.alerts = append(w.alerts, a)
		w.mu.Unlock()
	}
}

func (w *watched) log() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stderr.String()
}

// of returns the alerts about a container, from the n-th on.
func (w *watched) of(container string) []firedAlert {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []firedAlert
	for _, a := range w.alerts {
		if a.Fields["container.name"] == container {
			out = append(out, a)
		}
	}
	return out
}

func (w *watched) stop(t *testing.T) {
	if w.cmd.ProcessState != nil {
		return
	}
	_ = w.cmd.Process.Signal(os.Interrupt)
	if err := w.cmd.Wait(); err != nil {
		t.Errorf("rollcage detect: %v\n%s", err, w.log())
	}
}

// docker runs the docker client.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", append([]string{"-H", os.Getenv("ROLLCAGE_TEST_DOCKER_HOST")}, args...)...).CombinedOutput()
	if err != nil {
		t.Logf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// listen accepts connections where containers reach this host, and returns the address.
func listen(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(os.Getenv("ROLLCAGE_TEST_HOST_IP"), "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = c.Write([]byte("exit\n"))
				_, _ = c.Read(make([]byte, 512))
			}()
		}
	}()
	return l.Addr().String()
}

// attackImage builds the image that is attacked: the test image and a program
// that acts as its service, and on demand as one that was taken over.
func attackImage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "service"), "./testdata/service")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	file := "FROM " + os.Getenv("ROLLCAGE_TEST_IMAGE") + "\nCOPY service /usr/local/bin/service\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	const tag = "rollcage/attacked:2.1"
	build = exec.Command("docker", "-H", os.Getenv("ROLLCAGE_TEST_DOCKER_HOST"), "build", "-q", "-t", tag, dir)
	build.Env = append(os.Environ(), "DOCKER_BUILDKIT=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return tag
}

// An attack is one bad act in a container and the only rule that may tell of it.
type attack struct {
	name string
	args []string // of docker exec, after the container
	rule string
	want map[string]string // fields
}

func attacks(addr string) []attack {
	host, port, _ := net.SplitHostPort(addr)
	return []attack{
		{"a shell is run", []string{"sh", "-c", "true"}, "Shell run in a container", map[string]string{"proc.name": "sh"}},
		{"passwords are read", []string{"cat", "/etc/shadow"}, "Sensitive file read", map[string]string{"fd.name": "/etc/shadow", "proc.name": "cat"}},
		{"a program is written", []string{"cp", "/etc/passwd", "/usr/bin/tool"}, "Write below a folder of programs", map[string]string{"fd.name": "/usr/bin/tool", "proc.name": "cp"}},
		{"a new program is run", []string{"service", "drop"}, "Program not from the image run in a container", map[string]string{"proc.exepath": "/dropped"}},
		{"a tool connects out", []string{"nc", host, port}, "Unexpected outbound connection from a container", map[string]string{"proc.name": "nc"}},
		{"a shell is given away", []string{"service", "shell", addr}, "Reverse shell", map[string]string{"proc.name": "service"}},
	}
}

// TestEachAttackRaisesExactlyItsAlert attacks a real container in the six ways
// that must never be missed, ROLLCAGE_TEST_ROUNDS times (2 if not set).
func TestEachAttackRaisesExactlyItsAlert(t *testing.T) {
	if os.Getenv("ROLLCAGE_TEST_DOCKER_HOST") == "" {
		t.Skip("needs a Docker Engine in ROLLCAGE_TEST_DOCKER_HOST (make test starts one)")
	}
	rounds := 2
	if n, err := strconv.Atoi(os.Getenv("ROLLCAGE_TEST_ROUNDS")); err == nil {
		rounds = n
	}
	image := attackImage(t)
	addr := listen(t)
	w := startDetect(t, "--docker", os.Getenv("ROLLCAGE_TEST_DOCKER_HOST"))
	var slowest time.Duration
	for round := range rounds {
		name := fmt.Sprintf("attacked-%d-%d", os.Getpid(), round)
		docker(t, "run", "-d", "--name", name, image, "service", "serve")
		for _, a := range attacks(addr) {
			before := len(w.of(name))
			start := time.Now()
			docker(t, append([]string{"exec", name}, a.args...)...)
			got := w.waitFor(name, before+1)
			checkAttack(t, fmt.Sprintf("round %d: %s", round, a.name), a, name, got[before:])
			if len(got) > before {
				slowest = max(slowest, got[before].read.Sub(start))
			}
		}
		docker(t, "rm", "-f", name)
	}
	t.Logf("%d rounds; slowest alert %v after docker exec was called", rounds, slowest)
	w.stop(t)
	if strings.Contains(w.log(), "were lost") {
		t.Logf("other programs on this machine flooded it:\n%s", w.log()) // every attack was told all the same
	}
}

// waitFor waits until there are n alerts about the container, and a moment
// longer for those that there must not be.
func (w *watched) waitFor(container string, n int) []firedAlert {
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline) && len(w.of(container)) < n; {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(150 * time.Millisecond)
	return w.of(container)
}

func checkAttack(t *testing.T, what string, a attack, container string, got []firedAlert) {
	t.Helper()
	var rules []string
	for _, g := range got {
		rules = append(rules, g.Rule)
	}
	if !slices.Equal(rules, []string{a.rule}) {
		t.Errorf("%s: alerts are %q, want only %q", what, rules, a.rule)
		for _, g := range got {
			t.Log(g.Output)
		}
		return
	}
	want := map[string]string{
		"user.name": "root", "container.name": container,
		"container.image.repository": "rollcage/attacked", "container.image.tag": "2.1",
	}
	for k, v := range a.want {
		want[k] = v
	}
	for k, v := range want {
		if s := fmt.Sprint(got[0].Fields[k]); s != v {
			t.Errorf("%s: %s is %q, want %q", what, k, s, v)
		}
	}
	if parent, _ := got[0].Fields["proc.pname"].(string); parent == "" {
		t.Errorf("%s: the parent is not known: %s", what, got[0].Output)
	}
	if grandparent, _ := got[0].Fields["proc.aname[2]"].(string); grandparent == "" {
		t.Errorf("%s: the parent's parent is not known: %s", what, got[0].Output)
	}
}
