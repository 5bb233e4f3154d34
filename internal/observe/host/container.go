package host

import (
	"hash/maphash"
	"maps"
	"slices"
	"strings"

	"rollcage/internal/observe/event"
)

// The names of asynchronous events about containers.
const (
	containerAdded   = "container"
	containerRemoved = "container_removed"
)

// cgroupCache remembers which container a list of cgroups belongs to.
type cgroupCache struct {
	slots [512]cgroupEntry
}

type cgroupEntry struct {
	raw      string
	list     []string
	id, full string
	typ      ContainerType
}

func (c *cgroupCache) get(raw []byte) *cgroupEntry {
	e := &c.slots[maphash.Bytes(hashSeed, raw)%uint64(len(c.slots))]
	if e.raw != string(raw) {
		v := string(raw)
		*e = cgroupEntry{raw: v, list: splitList(v)}
		e.id, e.full, e.typ, _ = ContainerFromCgroups(v)
	}
	return e
}

// setCgroups sets the cgroups of a thread to those of an event; those of the
// thread that it is a copy of if the event has none.
func (s *State) setCgroups(t *Thread, raw []byte, from *Thread) {
	switch {
	case from != nil && (len(raw) == 0 || sameList(from.Cgroups, raw)):
		t.Cgroups = from.Cgroups
		s.setContainer(t, from.Container)
	case len(raw) > 0 && !sameList(t.Cgroups, raw):
		e := s.cgroups.get(raw)
		t.Cgroups = e.list
		s.setContainer(t, s.containerOf(e))
	}
}

// findContainer finds the container of a thread by the cgroups it has.
func (s *State) findContainer(t *Thread) {
	if len(t.Cgroups) == 0 {
		return
	}
	e := s.cgroups.get([]byte(strings.Join(t.Cgroups, "\x00")))
	t.Cgroups = e.list
	s.setContainer(t, s.containerOf(e))
}

// containerOf returns the container of a list of cgroups, nil on the host.
func (s *State) containerOf(e *cgroupEntry) *Container {
	if e.id == "" {
		return nil
	}
	c := s.containers[e.id]
	if c == nil {
		c = &Container{ID: e.id, FullID: e.full, Type: e.typ, Size: -1, seen: s.now}
		s.addContainer(c)
	}
	return c
}

func (s *State) addContainer(c *Container) {
	if len(s.containers) >= s.opt.MaxContainers {
		s.evictContainer()
	}
	s.containers[c.ID] = c
}

// evictContainer forgets the container without threads that was not heard of for longest.
func (s *State) evictContainer() {
	var oldest *Container
	for _, c := range s.containers {
		if c.threads == 0 && (oldest == nil || c.seen < oldest.seen || c.seen == oldest.seen && c.ID < oldest.ID) {
			oldest = c
		}
	}
	if oldest != nil {
		s.dropContainer(oldest.ID)
		s.stats.EvictedContainers++
	}
}

// setContainer says where a thread runs.
func (s *State) setContainer(t *Thread, c *Container) {
	old := t.Container
	if old == c {
		return
	}
	if old != nil {
		if old.threads--; old.threads == 0 && old.removed && s.containers[old.ID] == old {
			s.dropContainer(old.ID)
		}
	}
	t.Container = c
	if c != nil {
		c.threads++
	}
	s.changed(t)
}

// touchContainer gives new images to all threads of a container, "" for the host.
func (s *State) touchContainer(id string) {
	if id != "" && s.containers[id] == nil {
		return
	}
	for _, t := range s.ring {
		if t.ContainerID() == id {
			s.touch(t)
		}
	}
}

// Container returns the container with that short id, nil if it is not known.
func (s *State) Container(id string) *Container { return s.containers[id] }

// Containers returns the containers in order of their ids.
func (s *State) Containers() []*Container {
	out := make([]*Container, 0, len(s.containers))
	for _, id := range slices.Sorted(maps.Keys(s.containers)) {
		out = append(out, s.containers[id])
	}
	return out
}

// applyContainerJSON learns what a runtime says about a container.
func (s *State) applyContainerJSON(he *Event) { s.learnContainer(he.Param(0)) }

// applyAsync handles the asynchronous events about containers; the other ones
// do not concern the state.
func (s *State) applyAsync(he *Event) {
	switch name, _ := he.Str(1); name {
	case containerAdded:
		s.learnContainer(he.Param(2))
	case containerRemoved:
		if c, err := ParseContainerJSON(he.Param(2)); err == nil {
			s.forgetContainer(c.ID)
		}
	}
}

// learnContainer takes over the facts of a container. What points at it stays.
func (s *State) learnContainer(data []byte) {
	facts, err := ParseContainerJSON(data)
	if err != nil {
		return
	}
	facts.seen = s.now
	c := s.containers[facts.ID]
	if c == nil {
		s.addContainer(facts)
		return
	}
	facts.threads = c.threads
	if facts.FullID == "" {
		facts.FullID = c.FullID
	}
	if facts.Type == Unknown {
		facts.Type = c.Type // the cgroup tells
	}
	*c = *facts
	if c.threads > 0 {
		s.touchContainer(c.ID)
	}
}

// forgetContainer removes a container, as soon as no thread is left in it.
func (s *State) forgetContainer(id string) {
	c := s.containers[id]
	if c == nil {
		return
	}
	if c.removed = true; c.threads == 0 {
		s.dropContainer(id)
	}
}

// dropContainer forgets a container with its users and groups.
func (s *State) dropContainer(container string) {
	delete(s.containers, container)
	maps.DeleteFunc(s.users, func(k idKey, _ *event.User) bool { return k.container == container })
	maps.DeleteFunc(s.groups, func(k idKey, _ *event.Group) bool { return k.container == container })
}
