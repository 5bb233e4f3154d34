package runtime

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"rollcage/internal/observe/host"
)

const (
	maxKnown    = 16384                  // containers remembered
	lookupWait  = time.Second            // how long a container's first event waits for the facts
	listWait    = 30 * time.Second       // how long an engine may take to list its containers
	retryAfter  = 2 * time.Second        // before a container that was not found is asked for again
	expectPause = 50 * time.Millisecond  // after an expected container that nobody knows
	slowFor     = 10 * time.Second       // an engine that did not answer is not waited for that long
	firstRetry  = 250 * time.Millisecond // after a lost connection; doubles up to lastRetry
	lastRetry   = 10 * time.Second
	missingFor  = time.Second     // before a socket that is not there is looked for again, which costs next to nothing
	finishEvery = 2 * time.Second // how often what is missing of a container's facts is asked for
	finishTries = 30              // then it stays as it is, until the engine tells of it
)

// Catalog knows the containers of several engines: it watches the engines in
// the background, so that most facts are there before they are asked for.
type Catalog struct {
	engines []Engine
	log     *slog.Logger
	cancel  context.CancelFunc
	ctx     context.Context
	done    sync.WaitGroup

	news atomic.Bool // changes is not empty

	mu      sync.Mutex
	known   map[string]*host.Container // by 12-character id
	tried   map[string]time.Time       // ids that were not found, and when
	slow    map[Engine]time.Time       // engines that did not answer, and when
	partial map[string]*unfinished     // containers of which not all facts are known, by id
	finish  chan struct{}              // partial is no longer empty
	changes []Change                   // not fetched yet, one for each container
	at      map[string]int             // where a container's is in changes
	states  []EngineState              // as engines
}

// EngineState tells how an engine is.
type EngineState struct {
	Name string `json:"name"` // as "Docker at /run/docker.sock"
	// Connected is whether it tells of its containers now, and Seen whether it ever did.
	Connected bool      `json:"connected"`
	Seen      bool      `json:"seen"`
	Since     time.Time `json:"since"` // of what Connected says
	// Containers is how many it listed when it was connected to.
	Containers int `json:"containers"`
	// Error is why it does not, "" if it does. Missing is that there is no such socket, as with a runtime that is not installed.
	Error   string `json:"error,omitempty"`
	Missing bool   `json:"missing,omitempty"`
}

// unfinished is a container of which not all facts are known.
type unfinished struct {
	typ  host.ContainerType
	left int // times that it is still asked for
}

// NewCatalog starts to watch the engines, which the catalog closes in the end.
// What goes wrong with an engine is logged, once per outage, and tried again.
func NewCatalog(engines []Engine, log *slog.Logger) *Catalog {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Catalog{
		engines: engines, log: log, ctx: ctx, cancel: cancel,
		at: map[string]int{}, known: map[string]*host.Container{}, tried: map[string]time.Time{}, slow: map[Engine]time.Time{},
		partial: map[string]*unfinished{}, finish: make(chan struct{}, 1),
	}
	c.done.Add(1)
	go c.finishPartial()
	for _, e := range engines {
		c.states = append(c.states, EngineState{Name: e.Name(), Since: time.Now(), Error: "not asked yet"})
	}
	for i, e := range engines {
		c.done.Add(1)
		go c.watch(i, e)
	}
	return c
}

// Engines tells how each engine is.
func (c *Catalog) Engines() []EngineState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.states)
}

// connected and lost note how an engine is.
func (c *Catalog) connected(i, containers int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.states[i]
	*s = EngineState{Name: s.Name, Connected: true, Seen: true, Since: time.Now(), Containers: containers}
}

func (c *Catalog) lost(i int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.states[i]
	if s.Connected {
		s.Since = time.Now()
	}
	s.Connected, s.Error, s.Missing = false, "it ended the connection", errors.Is(err, fs.ErrNotExist)
	if err != nil {
		s.Error = err.Error()
	}
}

// Close ends the watching and closes the engines.
func (c *Catalog) Close() error {
	c.cancel()
	c.done.Wait()
	var errs []error
	for _, e := range c.engines {
		errs = append(errs, e.Close())
	}
	return errors.Join(errs...)
}

// watch keeps in touch with one engine until the catalog is closed.
func (c *Catalog) watch(i int, e Engine) {
	defer c.done.Done()
	wait, down, seen := firstRetry, false, false
	for {
		err := e.Watch(c.ctx, func() {
			// Listing after the watch has begun leaves no gap between the two.
			ctx, cancel := context.WithTimeout(c.ctx, listWait)
			defer cancel()
			list, err := e.List(ctx)
			if err != nil {
				return
			}
			if down {
				c.log.Info("container runtime is back", "runtime", e.Name(), "containers", len(list))
			}
			wait, down, seen = firstRetry, false, true
			c.connected(i, len(list))
			for _, ct := range list {
				c.add(Change{Container: ct})
			}
		}, c.add)
		if c.ctx.Err() != nil {
			return
		}
		c.lost(i, err)
		switch {
		case down:
		case seen:
			c.log.Warn("container runtime cannot be asked; containers keep the names known so far, new ones show their id; trying again",
				"runtime", e.Name(), "error", err)
		case errors.Is(err, fs.ErrNotExist):
			c.log.Debug("no container runtime there yet; its containers get names once it is", "runtime", e.Name())
		default:
			c.log.Warn("container runtime cannot be asked; containers show their id; trying again", "runtime", e.Name(), "error", err)
		}
		down = true
		pause := wait
		if errors.Is(err, fs.ErrNotExist) {
			pause, wait = missingFor, firstRetry
		}
		select {
		case <-c.ctx.Done():
			return
		case <-time.After(pause):
		}
		wait = min(2*wait, lastRetry)
	}
}

func (c *Catalog) add(ch Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch.Removed {
		delete(c.known, ch.Container.ID)
		delete(c.partial, ch.Container.ID)
	} else if ch.Container = c.remember(ch.Container); ch.Container == nil {
		return
	}
	// Only the last change counts, so that they do not pile up when nobody fetches them.
	if i, ok := c.at[ch.Container.ID]; ok {
		c.changes[i] = ch
	} else {
		c.at[ch.Container.ID] = len(c.changes)
		c.changes = append(c.changes, ch)
	}
	c.news.Store(true)
}

// whole reports whether all is known of a container that decides how it is judged.
func whole(ct *host.Container) bool { return !ct.Partial && ct.Name != "" }

// remember takes over facts and returns them, nil if better ones are known. It
// is called with mu held.
func (c *Catalog) remember(ct *host.Container) *host.Container {
	if old := c.known[ct.ID]; old != nil && whole(old) && !whole(ct) {
		return nil
	}
	if len(c.known) >= maxKnown {
		for id := range c.known { // any: the engine can be asked again
			delete(c.known, id)
			break
		}
	}
	c.known[ct.ID] = ct
	delete(c.tried, ct.ID)
	if whole(ct) {
		delete(c.partial, ct.ID)
	} else {
		c.leave(ct.ID, ct.Type)
	}
	return ct
}

// leave notes that not all is known of a container, so that it is asked for
// again in the background. It is called with mu held.
func (c *Catalog) leave(id string, t host.ContainerType) {
	if c.partial[id] != nil || len(c.partial) >= maxKnown {
		return
	}
	c.partial[id] = &unfinished{t, finishTries}
	select {
	case c.finish <- struct{}{}:
	default:
	}
}

// finishPartial asks for what is missing of containers' facts until all is known.
func (c *Catalog) finishPartial() {
	defer c.done.Done()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-c.finish:
		}
		for c.finishSome() {
			select {
			case <-c.ctx.Done():
				return
			case <-time.After(finishEvery):
			}
		}
	}
}

// finishSome asks once for each container of which not all is known, and
// reports whether any is left.
func (c *Catalog) finishSome() bool {
	c.mu.Lock()
	ids := maps.Clone(c.partial)
	c.mu.Unlock()
	for id, u := range ids {
		ct, all := c.inquire(id, u.typ)
		c.mu.Lock()
		if u.left--; all || u.left <= 0 {
			delete(c.partial, id)
		}
		c.mu.Unlock()
		if all {
			c.add(Change{Container: ct})
		}
		if c.ctx.Err() != nil {
			return false
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.partial) > 0
}

// Changes returns what became known since the last call, nil mostly.
func (c *Catalog) Changes() []Change {
	if !c.news.Load() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.changes
	c.changes = nil
	clear(c.at)
	c.news.Store(false)
	return out
}

// Find returns the facts of a container, nil if no engine knows it. If they
// are not known yet it asks the engines that may own the container and waits,
// at most lookupWait. A container that was not found is not asked for again
// for a while, and an engine that did not answer is not waited for again for a
// while, so that a hung one cannot hold up the stream; what it says later comes as a change.
func (c *Catalog) Find(id string, t host.ContainerType) *host.Container {
	c.mu.Lock()
	ct := c.known[id]
	last, tried := c.tried[id]
	c.mu.Unlock()
	if ct != nil || tried && time.Since(last) < retryAfter {
		return ct
	}
	if ct = c.ask(id, t); ct != nil {
		return ct
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.tried) >= maxKnown {
		clear(c.tried)
	}
	c.tried[id] = time.Now()
	return c.known[id]
}

// Expect asks for a container whose cgroup is just made, given the path of the
// cgroup, so that the facts are there before its first event. It may take as
// long as Find. Of paths that no container is behind it takes only so many a
// second, as who may make cgroups may give them any name.
func (c *Catalog) Expect(cgroup string) {
	id, _, typ, ok := host.ContainerFromCgroups("=" + cgroup)
	if !ok {
		return
	}
	c.mu.Lock()
	known := c.known[id] != nil
	c.mu.Unlock()
	if known || c.ask(id, typ) != nil {
		return
	}
	select {
	case <-c.ctx.Done():
	case <-time.After(expectPause):
	}
}

// Expecting returns a function that has Expect called for each cgroup in its order and does not wait for it. Of more than 256 that
// wait, the later ones are asked about at their first event.
func (c *Catalog) Expecting() func(cgroup string) {
	waiting := make(chan string, 256)
	go func() {
		for {
			select {
			case <-c.ctx.Done():
				return
			case cgroup := <-waiting:
				c.Expect(cgroup)
			}
		}
	}()
	return func(cgroup string) {
		select {
		case waiting <- cgroup:
		default:
		}
	}
}

// ask asks the engines that may own the container and remembers what they
// say, nil if none knows it in time.
func (c *Catalog) ask(id string, t host.ContainerType) *host.Container {
	ct, all := c.inquire(id, t)
	c.mu.Lock()
	defer c.mu.Unlock()
	if newer := c.known[id]; newer != nil && (whole(newer) || ct == nil) {
		return newer
	}
	if ct != nil {
		c.remember(ct)
		if !all {
			c.leave(id, ct.Type)
		}
	}
	return ct
}

// inquire asks the engines that may own the container all at once, so that
// none has to wait for one that hangs. It returns what they say together, and
// whether that is all there is to say.
func (c *Catalog) inquire(id string, t host.ContainerType) (found *host.Container, all bool) {
	ctx, cancel := context.WithTimeout(c.ctx, lookupWait)
	defer cancel()
	type answer struct {
		from Engine
		ct   *host.Container
		err  error
	}
	answers := make(chan answer, len(c.engines))
	asked := map[Engine]bool{}
	for _, e := range c.engines {
		if !e.Owns(t) || c.isSlow(e) {
			continue
		}
		asked[e] = true
		go func() {
			ct, err := e.Lookup(ctx, id)
			answers <- answer{e, ct, err}
		}()
	}
	all = true
	for len(asked) > 0 {
		select {
		case a := <-answers:
			delete(asked, a.from)
			switch {
			case errors.Is(a.err, context.DeadlineExceeded):
				c.noteSlow(a.from)
			case a.err == nil && whole(a.ct):
				return a.ct, true
			case a.err == nil:
				found, all = together(found, a.ct), false
			}
		case <-ctx.Done():
			for e := range asked {
				c.noteSlow(e)
			}
			return found, false
		}
	}
	return found, found != nil && all
}

// together returns what two engines say of a container, neither of which knows
// all: one does not know its name, or the other not what it is allowed to do.
func together(a, b *host.Container) *host.Container {
	switch {
	case a == nil:
		return b
	case a.Name == "":
		a, b = b, a
	}
	if !a.Partial || b.Partial {
		return a
	}
	out := *a
	out.Partial = false
	out.Privileged, out.HostPID, out.HostIPC, out.HostNetwork = b.Privileged, b.HostPID, b.HostIPC, b.HostNetwork
	out.MemoryLimit, out.SwapLimit = b.MemoryLimit, b.SwapLimit
	out.CPUShares, out.CPUQuota, out.CPUPeriod, out.CPUSetCount = b.CPUShares, b.CPUQuota, b.CPUPeriod, b.CPUSetCount
	out.Env = b.Env
	return &out
}

func (c *Catalog) noteSlow(e Engine) {
	if c.ctx.Err() != nil {
		return // it is all over
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slow[e] = time.Now()
}

func (c *Catalog) isSlow(e Engine) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, slow := c.slow[e]
	return slow && time.Since(at) < slowFor
}
