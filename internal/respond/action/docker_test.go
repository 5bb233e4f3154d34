package action

import (
	"bufio"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcage/internal/respond/policy"
	"rollcage/internal/respond/scene"
)

// dockerd returns the address of a Docker Engine for tests, and the image to use.
func dockerd(t *testing.T) (addr, image string) {
	t.Helper()
	addr, image = os.Getenv("ROLLCAGE_TEST_DOCKER_HOST"), os.Getenv("ROLLCAGE_TEST_IMAGE")
	if addr == "" || image == "" {
		t.Skip("needs a Docker Engine in ROLLCAGE_TEST_DOCKER_HOST and an image in ROLLCAGE_TEST_IMAGE (make test starts one)")
	}
	return addr, image
}

func docker(t *testing.T, args ...string) string {
	t.Helper()
	addr, _ := dockerd(t)
	out, err := exec.Command("docker", append([]string{"-H", addr}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// container starts a container and returns its facts.
func container(t *testing.T, args ...string) *scene.Container {
	t.Helper()
	_, image := dockerd(t)
	id := docker(t, append(append([]string{"run", "-d"}, args...), image, "sleep", "1000")...)
	t.Cleanup(func() { docker(t, "rm", "-f", id) })
	return &scene.Container{ID: id[:12], FullID: id, Runtime: "docker", Name: docker(t, "inspect", "-f", "{{.Name}}", id)}
}

func state(t *testing.T, c *scene.Container) string {
	return docker(t, "inspect", "-f", "{{.State.Status}}", c.FullID)
}

func TestDockerContainersAreActedOn(t *testing.T) {
	addr, _ := dockerd(t)
	d, err := NewDocker(addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, asked := range []bool{true, false} {
		name := map[bool]string{true: "over the API", false: "without the API"}[asked]
		t.Run(name, func(t *testing.T) {
			opts := Options{State: filepath.Join(t.TempDir(), "state")}
			if asked {
				opts.Docker = d
			}
			r, _ := newRunner(t, opts)
			do := func(c *scene.Container, a policy.Action) string {
				t.Helper()
				id, err := r.Do(t.Context(), act(a, &scene.Scene{Container: c}))
				if err != nil {
					t.Fatalf("%s: %v", a, err)
				}
				return id
			}
			c, other := container(t), container(t)
			id := do(c, policy.Action{Kind: policy.Pause})
			if got := state(t, c); asked && got != "paused" {
				t.Errorf("it is %s", got)
			}
			do(c, policy.Action{Kind: policy.Pause}) // once more changes nothing
			if _, err := r.Undo(t.Context(), id, nil); err != nil {
				t.Fatal(err)
			}
			if got := docker(t, "exec", c.FullID, "echo", "alive"); got != "alive" {
				t.Error(got)
			}
			do(c, policy.Action{Kind: policy.Unpause})
			do(c, policy.Action{Kind: policy.Stop, Timeout: time.Second})
			waitFor(t, c, "exited")
			if _, err := r.Do(t.Context(), act(policy.Action{Kind: policy.Isolate}, &scene.Scene{Container: c})); !errors.Is(err, ErrGone) {
				t.Errorf("isolation of what is stopped: %v", err)
			}
			killed := container(t)
			do(killed, policy.Action{Kind: policy.Pause})
			do(killed, policy.Action{Kind: policy.Kill, Target: policy.KillContainer})
			waitFor(t, killed, "exited")
			if got := state(t, other); got != "running" {
				t.Errorf("another container is %s", got)
			}
		})
	}
}

func waitFor(t *testing.T, c *scene.Container, want string) {
	t.Helper()
	for state(t, c) != want {
		time.Sleep(20 * time.Millisecond)
		if t.Context().Err() != nil {
			t.Fatal("it is", state(t, c))
		}
	}
}

func TestIsolationOfADockerContainerCutsItsConnection(t *testing.T) {
	hostIP := os.Getenv("ROLLCAGE_TEST_HOST_IP")
	if hostIP == "" {
		t.Skip("needs an address of this host that containers reach, in ROLLCAGE_TEST_HOST_IP")
	}
	c := container(t)
	l, err := net.Listen("tcp", hostIP+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	docker(t, "exec", "-d", c.FullID, "sh", "-c", "while :; do echo tick; sleep 0.05; done | nc "+hostIP+" "+port)
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	if l, err := in.ReadString('\n'); l != "tick\n" {
		t.Fatal(l, err)
	}
	r, _ := newRunner(t, Options{})
	id, err := r.Do(t.Context(), act(policy.Action{Kind: policy.Isolate}, &scene.Scene{Container: c}))
	if err != nil {
		t.Fatal(err)
	}
	// What was on its way arrives, then nothing does.
	conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	for {
		if _, err := in.ReadString('\n'); err != nil {
			break
		}
	}
	conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	if l, err := in.ReadString('\n'); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection still works: %q %v", l, err)
	}
	if _, err := r.Undo(t.Context(), id, nil); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Time{})
	if l, err := in.ReadString('\n'); !strings.HasSuffix(l, "tick\n") {
		t.Errorf("the connection is gone after the undo: %q %v", l, err)
	}
}

func TestIsolationOfAContainerOnTheHostsNetworkIsRefused(t *testing.T) {
	c := container(t, "--network", "host")
	r, _ := newRunner(t, Options{})
	if _, err := r.Do(t.Context(), act(policy.Action{Kind: policy.Isolate}, &scene.Scene{Container: c})); !errors.Is(err, ErrProtected) {
		t.Errorf("got %v", err)
	}
}

func TestKillOfAProcessInAContainerLeavesTheContainer(t *testing.T) {
	c := container(t)
	docker(t, "exec", "-d", c.FullID, "sh", "-c", "sleep 2000 & sleep 2000; true") // true: else the shell becomes its last command
	var pid int64
	for until := time.Now().Add(20 * time.Second); pid == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the shell did not appear in the container")
		}
		pids, err := pidsOf(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pids {
			if s, err := readStat(p); err == nil && s.comm == "sh" {
				pid = p
			}
		}
	}
	sc := at(pid)
	sc.Container = c
	r, _ := newRunner(t, Options{})
	if _, err := r.Do(t.Context(), act(killTree, sc)); err != nil {
		t.Fatal(err)
	}
	if s, err := readStat(pid); err == nil && s.state != 'Z' {
		t.Error("it lives")
	}
	if got := state(t, c); got != "running" {
		t.Errorf("the container is %s", got)
	}
}
