package runtime

import (
	"hash/maphash"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

var seed = maphash.MakeSeed()

// maxPaths bounds how many distinct cgroup memberships are remembered.
const maxPaths = 8192

// cgroupParam is the index of the cgroups parameter of the events that tell
// where a thread runs.
var cgroupParam = func() map[event.Type]int {
	m := map[event.Type]int{}
	for _, t := range []event.Type{
		event.SYSCALL_CLONE_20_X, event.SYSCALL_CLONE3_X, event.SYSCALL_FORK_20_X, event.SYSCALL_VFORK_20_X,
		event.SYSCALL_EXECVE_19_X, event.SYSCALL_EXECVEAT_X,
	} {
		m[t] = t.Info().ParamIndex("cgroups")
	}
	return m
}()

// Source hands out the events of another source and, right before the first
// event of each container, a container event with what the catalog knows. It
// hands one out again whenever the facts change. The containers of the
// snapshot come first, hidden, as in a capture file.
type Source struct {
	event.Source
	catalog *Catalog

	paths   map[string]bool   // cgroup memberships that need nothing more
	sent    map[string]uint64 // what was handed out last about a container: hash by id
	pending [][]byte          // container events to hand out first
	hidden  bool              // pending ones are initial state
	held    event.Event       // event that waits behind them
	holding bool
	num     uint64
	last    uint64 // time of the last event
}

// NewSource puts the facts of catalog into the events of src. Closing the
// Source closes both.
func NewSource(src event.Source, catalog *Catalog) *Source {
	return &Source{Source: src, catalog: catalog, paths: map[string]bool{}, sent: map[string]uint64{}}
}

// Snapshot implements event.Source.
func (s *Source) Snapshot() *event.Snapshot {
	snap := s.Source.Snapshot()
	for _, t := range snap.Threads {
		for _, cg := range t.Cgroups {
			if !s.paths[cg] {
				s.learn(cg)
			}
		}
	}
	s.hidden = true
	return snap
}

// Next implements event.Source.
func (s *Source) Next(ev *event.Event) error {
	if len(s.pending) == 0 {
		s.hidden = false
		if s.holding {
			s.holding = false
			*ev = s.held
			return s.number(ev)
		}
		err := s.Source.Next(ev)
		for _, ch := range s.catalog.Changes() {
			s.change(ch)
		}
		if err == nil {
			s.last = ev.Time()
			if i, ok := cgroupParam[ev.Type()]; ok {
				if p := ev.Param(i); !s.paths[string(p)] {
					s.learn(string(p))
				}
			}
		}
		if len(s.pending) == 0 || err != nil && err != event.ErrIdle {
			if err != nil {
				return err
			}
			return s.number(ev)
		}
		if err == nil {
			// The event's bytes stay valid until the next call of the inner Next.
			s.held, s.holding = *ev, true
		}
	}
	next := s.pending[0]
	s.pending = s.pending[1:]
	if err := ev.Reset(next); err != nil {
		return err
	}
	ev.Hidden, ev.CPU = s.hidden, 0
	return s.number(ev)
}

func (s *Source) number(ev *event.Event) error {
	s.num++
	ev.Num = s.num
	return nil
}

// learn queues the container event for a cgroup membership not seen before.
func (s *Source) learn(cgroups string) {
	id, _, typ, ok := host.ContainerFromCgroups(cgroups)
	if _, sent := s.sent[id]; ok && !sent {
		c := s.catalog.Find(id, typ)
		if c == nil {
			return // asked for again with the next event that carries it
		}
		s.change(Change{Container: c})
	}
	if len(s.paths) >= maxPaths {
		clear(s.paths)
	}
	s.paths[cgroups] = true
}

// change queues the event that tells a change, unless nothing is new.
func (s *Source) change(ch Change) {
	id, name := ch.Container.ID, "container"
	data := append(ch.Container.AppendJSON(nil), 0)
	before, known := s.sent[id]
	if ch.Removed {
		if !known {
			return
		}
		name = "container_removed"
		delete(s.sent, id)
	} else {
		hash := maphash.Bytes(seed, data)
		if known && hash == before {
			return
		}
		s.sent[id] = hash
	}
	b, err := event.Append(nil, s.last, -1, event.ASYNCEVENT_E, 0, name, data)
	if err != nil {
		return // cannot happen: a container event has room for 4 GiB
	}
	s.pending = append(s.pending, b)
}

// Close implements event.Source.
func (s *Source) Close() error {
	err := s.Source.Close()
	if cerr := s.catalog.Close(); err == nil {
		err = cerr
	}
	return err
}
