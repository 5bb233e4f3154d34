package guard

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
	"rollcage/internal/respond/scene"
)

const (
	// factsWait is how long is waited for what a runtime tells of a container: it mostly takes milliseconds.
	factsWait = 3 * time.Second
	// factsAgain is for how long a container of which nothing was told is not waited for again.
	factsAgain = time.Minute
	// maxAsked bounds the containers of which something was asked.
	maxAsked = 1024
)

// facts tells what is known of containers by now, to those who have a scene from a time when nothing was.
type facts struct {
	state *host.State   // the goroutine of the events alone
	wait  time.Duration // how long is waited for a container at most

	fresh atomic.Bool  // somebody asks for what may be known already
	open  atomic.Int32 // containers in asked

	mu    sync.Mutex
	asked map[string]*inquiry // by container; nothing is known of it yet
	known map[string]*scene.Container
}

// inquiry is about a container of which nothing is known yet.
type inquiry struct {
	told  chan struct{} // closed when something is
	until time.Time     // who asks waits until then
}

func newFacts() *facts {
	return &facts{wait: factsWait, asked: map[string]*inquiry{}, known: map[string]*scene.Container{}}
}

// loaded and seen are told of the state and of each event.
func (f *facts) loaded(st *host.State) { f.state = st }

func (f *facts) seen(he *host.Event) {
	if f.open.Load() == 0 {
		return
	}
	switch he.Type() {
	case event.CONTAINER_JSON_E, event.CONTAINER_JSON_2_E, event.ASYNCEVENT_E:
	default:
		if !f.fresh.Load() {
			return
		}
	}
	f.fresh.Store(false)
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, q := range f.asked {
		c := scene.ContainerOf(f.state.Container(id))
		if c == nil || !c.Known() {
			continue
		}
		if len(f.known) >= maxAsked {
			clear(f.known)
		}
		f.known[id] = c
		delete(f.asked, id)
		close(q.told)
	}
	f.open.Store(int32(len(f.asked)))
}

// of returns what is known of a container, nil if that is nothing after waiting for a moment.
func (f *facts) of(ctx context.Context, id string) *scene.Container {
	f.mu.Lock()
	c := f.known[id]
	q := f.asked[id]
	if c == nil && (q == nil || time.Since(q.until) > factsAgain) {
		if len(f.asked) >= maxAsked {
			clear(f.asked)
		}
		q = &inquiry{told: make(chan struct{}), until: time.Now().Add(f.wait)}
		f.asked[id] = q
		f.open.Store(int32(len(f.asked)))
		f.fresh.Store(true)
	}
	f.mu.Unlock()
	if c != nil {
		return c
	}
	select {
	case <-q.told:
	case <-time.After(time.Until(q.until)):
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.known[id]
}

// complete returns the scene with what is known of its container by now.
func (f *facts) complete(ctx context.Context, sc *scene.Scene) *scene.Scene {
	c := f.of(ctx, sc.Container.ID)
	if c == nil {
		return sc
	}
	with := *sc
	with.Container = c
	return &with
}
