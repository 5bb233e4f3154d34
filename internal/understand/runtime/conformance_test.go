package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcage/internal/observe/host"
)

// testRuntime is a container runtime for the conformance suite. What goes wrong fails the test.
type testRuntime interface {
	// open returns the engine at a socket.
	open(t *testing.T, socket string) Engine
	// socket returns where the runtime listens.
	socket() string
	// image returns repository and tag of the image that containers are made of.
	image() (repo, tag string)
	// user returns who the containers run as.
	user() string
	// create makes a container that sleeps, start starts it and remove removes it.
	create(t *testing.T, c wanted) (id string)
	start(t *testing.T, id string)
	remove(t *testing.T, id string)
}

// wanted is a container that a test asks a runtime for.
type wanted struct {
	name       string
	privileged bool
	hostPID    bool
}

// The rest of what each container is asked for with.
const (
	wantedMemory = 64 << 20
	wantedUser   = "1000"
	wantedLabel  = "com.docker.compose.project"
	wantedEnv    = "COLOR=red"
	wantedSource = "/var/tmp"
	wantedMount  = "/data"
)

// runtimes are the implementations of Engine with what they can run on here.
// Each entry skips if its runtime is not there.
var runtimes = []struct {
	name string
	make func(t *testing.T) testRuntime
}{
	{"docker", dockerRuntime},
	{"podman", podmanRuntime},
	{"containerd", containerdRuntime},
	{"containerd in kubernetes", containerdPodRuntime},
	{"cri of containerd", criRuntime},
	{"cri of a fake cri-o", fakeCRIORuntime},
}

func TestEveryEngineKeepsTheContract(t *testing.T) {
	for _, r := range runtimes {
		t.Run(r.name, func(t *testing.T) {
			rt := r.make(t)
			for _, c := range []struct {
				name string
				test func(t *testing.T, rt testRuntime)
			}{
				{"it tells all it knows of a container", testFacts},
				{"it tells which containers are privileged", testPrivileged},
				{"it says of a container that is not there that it is not found", testNotFound},
				{"it lists what runs", testList},
				{"it tells of containers that come and go", testWatch},
				{"it says when its socket is missing", testMissingSocket},
				{"it does not wait for a hung one longer than told", testHung},
				{"it takes an answer of garbage as an error", testGarbage},
				{"what was missed while it was away is learned when it is back", testHeal},
				{"one that is started later is found", testLate},
			} {
				t.Run(c.name, func(t *testing.T) { c.test(t, rt) })
			}
		})
	}
}

func openEngine(t *testing.T, rt testRuntime, socket string) Engine {
	t.Helper()
	e := rt.open(t, socket)
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// run makes and starts a container that is removed at the end of the test.
func run(t *testing.T, rt testRuntime, c wanted) string {
	t.Helper()
	id := rt.create(t, c)
	t.Cleanup(func() { rt.remove(t, id) })
	rt.start(t, id)
	return id
}

func unique(name string) string {
	return fmt.Sprintf("%s-%d-%d", name, os.Getpid(), time.Now().UnixNano()%1e6)
}

func lookup(t *testing.T, e Engine, id string) *host.Container {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := e.Lookup(ctx, id[:12])
	if err != nil {
		t.Fatalf("looking up %s: %v", id, err)
	}
	if c.Partial || !c.Known {
		t.Errorf("known %v, partial %v after all could be told", c.Known, c.Partial)
	}
	return c
}

func testFacts(t *testing.T, rt testRuntime) {
	name := unique("facts")
	id := run(t, rt, wanted{name: name})
	e := openEngine(t, rt, rt.socket())
	c := lookup(t, e, id)
	repo, tag := rt.image()
	for _, f := range []struct{ name, got, want string }{
		{"id", c.ID, id[:12]}, {"full id", c.FullID, id}, {"name", c.Name, name}, {"repository", c.ImageRepo, repo}, {"tag", c.ImageTag, tag},
		{"image", c.Image, repo + ":" + tag}, {"user", strings.Split(c.User, ":")[0], rt.user()}, {"label", c.Labels[wantedLabel], "shop"},
		{"memory limit", fmt.Sprint(c.MemoryLimit), fmt.Sprint(wantedMemory)},
	} {
		if f.got != f.want {
			t.Errorf("%s is %q, want %q", f.name, f.got, f.want)
		}
	}
	if age := time.Now().Unix() - c.Created; age < 0 || age > 3600 {
		t.Errorf("created %d s ago", age)
	}
	if !contains(c.Env, wantedEnv) {
		t.Errorf("environment is %q", c.Env)
	}
	if len(c.Mounts) != 1 || c.Mounts[0].Source != wantedSource || c.Mounts[0].Destination != wantedMount || c.Mounts[0].RW {
		t.Errorf("mounts are %+v", c.Mounts)
	}
	if c.Privileged || c.HostPID || c.HostIPC || c.IsPodSandbox {
		t.Errorf("got %+v", c)
	}
	if !e.Owns(c.Type) {
		t.Errorf("says that a container of type %v is not its own", c.Type)
	}
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

func testPrivileged(t *testing.T, rt testRuntime) {
	e := openEngine(t, rt, rt.socket())
	id := rt.create(t, wanted{name: unique("privileged"), privileged: true, hostPID: true})
	defer rt.remove(t, id)
	c := lookup(t, e, id)
	if !c.Privileged || !c.HostPID {
		t.Errorf("privileged is %v, in the host's pid namespace %v", c.Privileged, c.HostPID)
	}
}

func testNotFound(t *testing.T, rt testRuntime) {
	if _, err := openEngine(t, rt, rt.socket()).Lookup(t.Context(), "0123456789ab"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func testList(t *testing.T, rt testRuntime) {
	id := run(t, rt, wanted{name: unique("listed")})
	list, err := openEngine(t, rt, rt.socket()).List(t.Context())
	if err != nil || !containsID(list, id) {
		t.Errorf("%v, %v", list, err)
	}
}

func testWatch(t *testing.T, rt testRuntime) {
	e := openEngine(t, rt, rt.socket())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ready, changes := make(chan struct{}), make(chan Change, 1000)
	go func() { _ = e.Watch(ctx, func() { close(ready) }, func(c Change) { changes <- c }) }()
	<-ready
	time.Sleep(100 * time.Millisecond) // Docker subscribes a moment later; its catalog lists again
	name := unique("watched")
	id := rt.create(t, wanted{name: name})
	wait := func(what string, good func(Change) bool) {
		t.Helper()
		timeout := time.After(10 * time.Second)
		for {
			select {
			case c := <-changes:
				if c.Container.FullID == id && good(c) {
					return
				}
			case <-timeout:
				t.Fatalf("it was not told that the container %s", what)
			}
		}
	}
	wait("is there, before it is started", func(c Change) bool { return !c.Removed && c.Container.Name == name })
	rt.remove(t, id)
	wait("is gone", func(c Change) bool { return c.Removed })
}

func testMissingSocket(t *testing.T, rt testRuntime) {
	e := openEngine(t, rt, filepath.Join(t.TempDir(), "none.sock"))
	err := e.Watch(t.Context(), func() {}, func(Change) {})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("watching: %v", err)
	}
	if _, err := e.Lookup(t.Context(), idA[:12]); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("looking up: %v", err)
	}
}

// serve starts a server on a Unix socket that does with each connection what it is told.
func serve(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go handle(c)
		}
	}()
	return path
}

func testHung(t *testing.T, rt testRuntime) {
	e := openEngine(t, rt, serve(t, func(c net.Conn) { <-t.Context().Done(); _ = c.Close() }))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := e.Lookup(ctx, idA[:12]); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func testGarbage(t *testing.T, rt testRuntime) {
	e := openEngine(t, rt, serve(t, func(c net.Conn) {
		_, _ = c.Write([]byte(strings.Repeat("\xff\x00garbage{", 100)))
		_ = c.Close()
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if c, err := e.Lookup(ctx, idA[:12]); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("looking up: %+v, %v", c, err)
	}
	if _, err := e.List(ctx); err == nil {
		t.Error("listing: no error")
	}
}

// waitChange waits until a catalog tells of a container.
func waitChange(t *testing.T, c *Catalog, id string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		for _, ch := range c.Changes() {
			if ch.Container.FullID == id && ch.Container.Name != "" {
				return
			}
		}
	}
	t.Error("the catalog did not learn of the container")
}

func testHeal(t *testing.T, rt testRuntime) {
	r := &relay{path: filepath.Join(t.TempDir(), "relay.sock"), to: rt.socket()}
	r.start(t)
	e := rt.open(t, r.path)
	catalog := NewCatalog([]Engine{e}, quiet())
	defer catalog.Close()
	before := run(t, rt, wanted{name: unique("before")})
	waitChange(t, catalog, before)
	r.kill()
	id := run(t, rt, wanted{name: unique("missed")})
	if c := catalog.Find(id[:12], typeOf(e)); c != nil {
		t.Fatalf("found %+v without an engine", c)
	}
	if c := catalog.Find(before[:12], typeOf(e)); c == nil {
		t.Error("what was known is forgotten")
	}
	r.start(t)
	defer r.kill()
	waitChange(t, catalog, id)
}

// typeOf returns a type of containers that the engine owns.
func typeOf(e Engine) host.ContainerType {
	for _, t := range []host.ContainerType{host.Containerd, host.Podman, host.CRIO, host.Docker} {
		if e.Owns(t) {
			return t
		}
	}
	return host.Unknown
}

func testLate(t *testing.T, rt testRuntime) {
	r := &relay{path: filepath.Join(t.TempDir(), "late.sock"), to: rt.socket()}
	e := rt.open(t, r.path)
	catalog := NewCatalog([]Engine{e}, quiet())
	defer catalog.Close()
	id := run(t, rt, wanted{name: unique("late")})
	if c := catalog.Find(id[:12], typeOf(e)); c != nil {
		t.Fatalf("found %+v without an engine", c)
	}
	r.start(t)
	defer r.kill()
	waitChange(t, catalog, id)
}
