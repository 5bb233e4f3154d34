package guard

import (
	"maps"
	"slices"
	"sync"
	"time"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
	"rollcage/internal/observe/probe"
	"rollcage/internal/respond/scene"
)

// places knows in which cgroups containers are, for what the kernel does by container.
//
// A cgroup is one that a thread of the container was seen in, so that what is nested in the container and another one
// to rules is another one to the kernel as well.
type places struct {
	finder *probe.CgroupFinder // nil if the cgroups are not to be seen
	kick   chan struct{}

	mu     sync.Mutex
	byPath map[string]*place // in the finder's hierarchy

	state *host.State // the goroutine of the events alone
}

// place is a cgroup of a container.
type place struct {
	id        uint64
	container *scene.Container
	awaited   bool // no event of it was seen yet
}

func newPlaces(g *Guard) *places {
	p := &places{kick: make(chan struct{}, 1), byPath: map[string]*place{}}
	if g.opts.Killer == nil && g.opts.Box == nil {
		return p
	}
	var err error
	if p.finder, err = probe.NewCgroupFinder(); err != nil {
		g.log.Warn("the kernel does nothing by container: it will not kill by itself, and the black box records everything", "error", err)
	}
	return p
}

// found reports whether places can be known.
func (p *places) found() bool { return p.finder != nil }

// changed has what depends on places made again.
func (p *places) changed() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// loaded takes down where containers are. The goroutine of the events calls it, as seen.
func (p *places) loaded(st *host.State) {
	p.state = st
	if p.finder == nil {
		return
	}
	for t := range st.Threads() {
		p.place(t)
	}
}

// seen is told of each event.
func (p *places) seen(he *host.Event) {
	if p.finder == nil {
		return
	}
	switch he.Type() {
	case event.SYSCALL_EXECVE_19_X:
		if he.Thread != nil {
			p.place(he.Thread)
		}
	case event.CONTAINER_JSON_E, event.CONTAINER_JSON_2_E, event.ASYNCEVENT_E:
		p.refresh()
	}
}

func (p *places) place(t *host.Thread) {
	if t.Container == nil {
		return
	}
	path := p.finder.Path(t.Cgroups)
	p.mu.Lock()
	known := p.byPath[path]
	p.mu.Unlock()
	if path == "" || known != nil && !known.awaited && known.container.ID == t.Container.ID {
		return
	}
	// What tells the container must be this cgroup, not that of another controller.
	if id, _, _, ok := host.ContainerFromCgroups("memory=" + path + "\x00"); !ok || id != t.Container.ID {
		return
	}
	p.add(path, scene.ContainerOf(t.Container), false)
}

// expect takes down a cgroup that was just made, before anything runs in it. Any goroutine may call it.
func (p *places) expect(path string) {
	if p.finder == nil {
		return
	}
	id, _, _, ok := host.ContainerFromCgroups("memory=" + path + "\x00")
	if !ok {
		return
	}
	p.mu.Lock()
	known := p.byPath[path]
	p.mu.Unlock()
	if known == nil {
		p.add(path, &scene.Container{ID: id}, true)
	}
}

// add takes down a cgroup of a container.
func (p *places) add(path string, c *scene.Container, awaited bool) {
	id, err := p.finder.ID(path)
	if err != nil {
		return // gone already, or not to be seen from here
	}
	p.mu.Lock()
	p.byPath[path] = &place{id, c, awaited}
	p.mu.Unlock()
	p.changed()
}

// refresh takes over what runtimes told.
func (p *places) refresh() {
	p.mu.Lock()
	for path, at := range p.byPath {
		if c := p.state.Container(at.container.ID); c != nil {
			p.byPath[path] = &place{at.id, scene.ContainerOf(c), false}
		} else if !at.awaited {
			delete(p.byPath, path)
		}
	}
	p.mu.Unlock()
	p.changed()
}

// prune forgets cgroups that are gone.
func (p *places) prune() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for path, at := range p.byPath {
		if id, err := p.finder.ID(path); err != nil || id != at.id {
			delete(p.byPath, path)
		}
	}
}

// each calls f with each cgroup that is known and its container.
func (p *places) each(f func(id uint64, c *scene.Container)) {
	p.mu.Lock()
	all := slices.Collect(maps.Values(p.byPath))
	p.mu.Unlock()
	for _, at := range all {
		f(at.id, at.container)
	}
}

// run calls apply when something changed, and now and then, until done ends.
func (p *places) run(done <-chan struct{}, apply func()) {
	if p.finder == nil {
		return
	}
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-p.kick:
		case <-tick.C:
			p.prune()
		}
		apply()
	}
}
