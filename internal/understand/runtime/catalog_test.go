package runtime

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"time"

	"rollcage/internal/observe/host"
)

// partialFacts are what a list says of a container, ownFacts what an engine says
// that knows what a container may do, but not its name.
func partialFacts() *host.Container {
	return &host.Container{ID: idA[:12], FullID: idA, Known: true, Partial: true, Name: "web", Image: "nginx:1", Labels: map[string]string{"a": "b"}, Size: -1}
}

func ownFacts() *host.Container {
	return &host.Container{ID: idA[:12], FullID: idA, Known: true, Privileged: true, HostPID: true, MemoryLimit: 7, Env: []string{"A=b"}, Size: -1}
}

func engineWith(c *host.Container) *fakeEngine {
	f := newFakeEngine()
	f.known[c.ID] = c
	return f
}

func (f *fakeEngine) set(c *host.Container) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known[c.ID] = c
}

func TestWhatAListDoesNotSayIsAskedForLater(t *testing.T) {
	f := engineWith(partialFacts())
	catalog := NewCatalog([]Engine{f}, quiet())
	defer catalog.Close()
	if c := catalog.Find(idA[:12], host.Docker); c == nil || !c.Partial || c.Name != "web" {
		t.Fatalf("found %+v", c)
	}
	all := partialFacts()
	all.Partial, all.Privileged = false, true
	f.set(all)
	waitFor(t, func() bool {
		for _, ch := range catalog.Changes() {
			if ch.Container.Privileged && !ch.Container.Partial {
				return true
			}
		}
		return false
	})
	if c := catalog.Find(idA[:12], host.Docker); c == nil || c.Partial {
		t.Errorf("found %+v", c)
	}
	// A list that comes later does not take back what is known.
	<-f.ready
	f.changed(Change{Container: partialFacts()})
	if c := catalog.Find(idA[:12], host.Docker); c == nil || c.Partial {
		t.Errorf("found %+v after another list", c)
	}
	if ch := catalog.Changes(); len(ch) != 0 {
		t.Errorf("told %+v", ch)
	}
}

func waitFor(t *testing.T, what func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if what() {
			return
		}
	}
	t.Fatal("it did not happen")
}

func TestTwoEnginesTellTogetherWhatNeitherKnowsAlone(t *testing.T) {
	for name, engines := range map[string][]Engine{
		"list first": {engineWith(partialFacts()), engineWith(ownFacts())},
		"list last":  {engineWith(ownFacts()), engineWith(partialFacts())},
	} {
		t.Run(name, func(t *testing.T) {
			catalog := NewCatalog(engines, quiet())
			defer catalog.Close()
			c := catalog.Find(idA[:12], host.Docker)
			if c == nil || c.Name != "web" || c.Labels["a"] != "b" || !c.Privileged || !c.HostPID || c.Partial || c.MemoryLimit != 7 || len(c.Env) != 1 {
				t.Errorf("found %+v", c)
			}
		})
	}
}

// blockedEngine answers when its caller loses patience, and keeps why.
type blockedEngine struct {
	*fakeEngine
	why chan error
}

func (b blockedEngine) Lookup(ctx context.Context, _ string) (*host.Container, error) {
	<-ctx.Done()
	b.why <- ctx.Err()
	return nil, ctx.Err()
}

func TestAnEngineThatHangsDoesNotHoldUpAnother(t *testing.T) {
	b := blockedEngine{newFakeEngine(), make(chan error, 10)}
	catalog := NewCatalog([]Engine{b, newFakeEngine(idA)}, quiet())
	defer catalog.Close()
	if c := catalog.Find(idA[:12], host.Docker); c == nil || c.Name != "web0" {
		t.Fatalf("found %+v", c)
	}
	if err := <-b.why; err != context.Canceled {
		t.Errorf("the other was waited for: %v", err)
	}
}

func TestAContainerThatIsRemovedIsNotAskedForAnyMore(t *testing.T) {
	f := engineWith(partialFacts())
	catalog := NewCatalog([]Engine{f}, quiet())
	defer catalog.Close()
	catalog.Find(idA[:12], host.Docker)
	<-f.ready
	f.changed(Change{Container: newContainer(idA, host.Docker), Removed: true})
	catalog.mu.Lock()
	defer catalog.mu.Unlock()
	if len(catalog.partial) != 0 || len(catalog.known) != 0 {
		t.Errorf("still there: %v, %v", catalog.partial, catalog.known)
	}
}

// losableEngine ends its first connection when it is told so, and has no other one.
type losableEngine struct {
	*fakeEngine
	lost chan error
}

func (l losableEngine) Watch(ctx context.Context, ready func(), _ func(Change)) error {
	select {
	case <-l.lost: // closed: it was lost before
		return fs.ErrNotExist
	default:
	}
	ready()
	return <-l.lost
}

func TestTheCatalogTellsHowEachEngineIs(t *testing.T) {
	l := losableEngine{newFakeEngine(idA), make(chan error)}
	catalog := NewCatalog([]Engine{newFakeEngine(), l}, quiet())
	defer catalog.Close()
	wait := func(what string, ok func(EngineState) bool) {
		t.Helper()
		for range 1000 {
			if ok(catalog.Engines()[1]) {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("%s: %+v", what, catalog.Engines())
	}
	wait("connected", func(s EngineState) bool { return s.Connected && s.Seen && s.Error == "" && !s.Since.IsZero() })
	l.lost <- errors.New("it is gone")
	wait("lost", func(s EngineState) bool { return !s.Connected && s.Seen && s.Error == "it is gone" && !s.Missing })
	close(l.lost)
	wait("missing", func(s EngineState) bool { return !s.Connected && s.Missing })
}
