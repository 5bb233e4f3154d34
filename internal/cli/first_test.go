package cli

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcage/internal/understand/runtime/kubelet"
)

// liveRuntime is a container runtime with a way to start a privileged
// container on it whose first program is true.
type liveRuntime struct {
	name  string
	needs []string // variables that make test sets
	kind  string   // of the address of --runtime
	image string   // repository
	start func(t *testing.T, name string)
}

// sockets are where the runtimes listen, by the first variable they need.
func (r *liveRuntime) socket() string { return strings.TrimPrefix(os.Getenv(r.needs[0]), "unix://") }

var liveRuntimes = []liveRuntime{
	{"docker", []string{"ROLLCAGE_TEST_DOCKER_HOST", "ROLLCAGE_TEST_IMAGE"}, "docker:unix://", "rollcage/test", func(t *testing.T, name string) {
		docker(t, "run", "--rm", "--privileged", "--name", name, os.Getenv("ROLLCAGE_TEST_IMAGE"), "true")
	}},
	{"podman", []string{"ROLLCAGE_TEST_PODMAN_HOST", "ROLLCAGE_TEST_PODMAN_IMAGE"}, "podman:", "localhost/rollcage/test", func(t *testing.T, name string) {
		runtimeCommand(t, "podman", "--url", os.Getenv("ROLLCAGE_TEST_PODMAN_HOST"), "run", "--rm", "--privileged", "--name", name,
			os.Getenv("ROLLCAGE_TEST_PODMAN_IMAGE"), "true")
	}},
	{"containerd", []string{"ROLLCAGE_TEST_CRI", "ROLLCAGE_TEST_CRI_IMAGE"}, "containerd:", "docker.io/rollcage/test", func(t *testing.T, name string) {
		var id [32]byte
		_, _ = rand.Read(id[:])
		runtimeCommand(t, "ctr", "--address", os.Getenv("ROLLCAGE_TEST_CRI"), "run", "--rm", "--privileged", "--label", "nerdctl/name="+name,
			os.Getenv("ROLLCAGE_TEST_CRI_IMAGE"), hex.EncodeToString(id[:]), "true")
	}},
	{"containerd in kubernetes", []string{"ROLLCAGE_TEST_CRI", "ROLLCAGE_TEST_CRI_IMAGE"}, "containerd:", "docker.io/rollcage/test", startPod},
	{"cri", []string{"ROLLCAGE_TEST_CRI", "ROLLCAGE_TEST_CRI_IMAGE"}, "cri:", "docker.io/rollcage/test", startPod},
}

func startPod(t *testing.T, name string) {
	k := kubelet.New(t, os.Getenv("ROLLCAGE_TEST_CRI"))
	id := k.Create(t, kubelet.Container{Name: name, Image: os.Getenv("ROLLCAGE_TEST_CRI_IMAGE"), Command: []string{"true"}, Privileged: true})
	k.Start(t, id)
	t.Cleanup(func() { k.Remove(t, id) })
}

func runtimeCommand(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func (r *liveRuntime) skip(t *testing.T) {
	t.Helper()
	for _, v := range r.needs {
		if os.Getenv(v) == "" {
			t.Skipf("needs a container runtime in %s (make test starts one)", v)
		}
	}
}

// checkFirst starts a container and checks the alert about its first process.
func (r *liveRuntime) checkFirst(t *testing.T, w *watched, what, name string) {
	t.Helper()
	r.start(t, name)
	checkAttack(t, what, attack{
		rule: "Privileged container started", want: map[string]string{
			"proc.name": "true", "container.image.repository": r.image, "container.image.tag": "1.0",
		},
	}, name, w.waitFor(name, 1))
}

// TestTheFirstProcessOfAContainerAlreadyHasItsName starts containers whose
// very first program raises an alert.
func TestTheFirstProcessOfAContainerAlreadyHasItsName(t *testing.T) {
	for _, r := range liveRuntimes {
		t.Run(r.name, func(t *testing.T) {
			r.skip(t)
			w := startDetect(t, "--runtime", r.kind+r.socket())
			for round := range 3 {
				r.checkFirst(t, w, fmt.Sprint("round ", round), fmt.Sprintf("first-%d-%d", os.Getpid(), round))
			}
		})
	}
}

// TestARuntimeThatIsStartedLaterOrAgainIsFound puts a socket in front of each
// runtime that is not there at first, then is, then is killed and comes back.
func TestARuntimeThatIsStartedLaterOrAgainIsFound(t *testing.T) {
	for _, r := range liveRuntimes {
		t.Run(r.name, func(t *testing.T) {
			r.skip(t)
			g := &gate{path: filepath.Join(t.TempDir(), "gate.sock"), to: r.socket()}
			w := startDetect(t, "--runtime", r.kind+g.path)
			away := fmt.Sprintf("away-%d", os.Getpid())
			r.start(t, away)
			for round := range 2 {
				g.open(t)
				w.waitLog(t, round+1, `container runtime is back`)
				r.checkFirst(t, w, fmt.Sprint("after start ", round), fmt.Sprintf("back-%d-%d", os.Getpid(), round))
				g.kill()
				w.waitLog(t, round+1, `container runtime cannot be asked`)
			}
			if n := len(w.of(away)); n != 0 {
				t.Errorf("%d alerts have the name of a container of a runtime that could not be asked", n)
			}
		})
	}
}

// waitLog waits until a text was logged n times.
func (w *watched) waitLog(t *testing.T, n int, text string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if strings.Count(w.log(), text) >= n {
			return
		}
	}
	t.Fatalf("%q was not logged %d times:\n%s", text, n, w.log())
}

// gate forwards connections to a runtime while it is open.
type gate struct {
	path, to string
	mu       sync.Mutex
	l        net.Listener
	conns    []net.Conn
}

func (g *gate) open(t *testing.T) {
	t.Helper()
	l, err := net.Listen("unix", g.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.kill)
	g.mu.Lock()
	g.l = l
	g.mu.Unlock()
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", g.to)
			if err != nil {
				_ = in.Close()
				continue
			}
			g.mu.Lock()
			g.conns = append(g.conns, in, out)
			g.mu.Unlock()
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
			go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
		}
	}()
}

// kill ends all connections, as the death of the runtime does.
func (g *gate) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.l != nil {
		_ = g.l.Close()
	}
	for _, c := range g.conns {
		_ = c.Close()
	}
	g.conns = nil
}
