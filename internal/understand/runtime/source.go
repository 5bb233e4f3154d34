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
// event of each container, a container event with what the catalog knows, and
// before its first program, hidden, the names of its users. Facts are handed
// out again whenever they change. The containers of the snapshot come first,
// hidden, as in a capture file.
type Source struct {
	event.Source
	catalog *Catalog

	settled map[string]bool   // cgroup memberships that need nothing more
	sent    map[string]uint64 // what was handed out last about a container: hash by id
	users   *accountReader
	pending []extra     // events to hand out first
	initial bool        // they are initial state
	held    event.Event // event that waits behind them
	holding bool
	num     uint64
	last    uint64 // time of the last event
}

// extra is an event that is put into the stream.
type extra struct {
	data   []byte
	hidden bool
}

// NewSource puts the facts of catalog into the events of src. Closing the
// Source closes both.
func NewSource(src event.Source, catalog *Catalog) *Source {
	return &Source{Source: src, catalog: catalog, settled: map[string]bool{}, sent: map[string]uint64{}, users: newAccountReader()}
}

// Container returns the facts of a container, nil if they are not known; it
// may take as long as [Catalog.Find]. Any goroutine may call it.
func (s *Source) Container(id string, t host.ContainerType) *host.Container {
	return s.catalog.Find(id, t)
}

// Engines tells how each container runtime is. Any goroutine may call it.
func (s *Source) Engines() []EngineState { return s.catalog.Engines() }

// Snapshot implements event.Source.
func (s *Source) Snapshot() *event.Snapshot {
	snap := s.Source.Snapshot()
	for _, t := range snap.Threads {
		for _, cg := range t.Cgroups {
			if !s.settled[cg] {
				s.learn(cg, t.PID, t.TID == t.PID)
			}
		}
	}
	s.initial = true
	return snap
}

// Next implements event.Source.
func (s *Source) Next(ev *event.Event) error {
	if len(s.pending) == 0 {
		s.initial = false
		if s.holding {
			s.holding = false
			*ev = s.held
			return s.number(ev)
		}
		ev.Hidden = false // it may be left over from one of ours
		err := s.Source.Next(ev)
		for _, ch := range s.catalog.Changes() {
			s.change(ch)
		}
		if len(s.users.results) > 0 {
			s.tell(s.users.ready())
		}
		if err == nil {
			s.last = ev.Time()
			if i, ok := cgroupParam[ev.Type()]; ok {
				if p := ev.Param(i); !s.settled[string(p)] {
					s.learn(string(p), ev.TID(), isExec(ev.Type()))
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
	if err := ev.Reset(next.data); err != nil {
		return err
	}
	ev.Hidden, ev.CPU = next.hidden || s.initial, 0
	return s.number(ev)
}

func (s *Source) number(ev *event.Event) error {
	s.num++
	ev.Num = s.num
	return nil
}

func isExec(t event.Type) bool {
	return t == event.SYSCALL_EXECVE_19_X || t == event.SYSCALL_EXECVEAT_X
}

// learn queues what is to be told for a cgroup membership that is not settled:
// the facts of the container, and if the process has the program that is to
// run there, the users.
func (s *Source) learn(cgroups string, pid int64, program bool) {
	if id, _, typ, ok := host.ContainerFromCgroups(cgroups); ok {
		known := s.tellFacts(id, typ)
		if program {
			s.tell(s.users.ask(id, pid))
		}
		if !known || !s.users.settled(id) {
			return // tried again with the next event that carries it
		}
	}
	if len(s.settled) >= maxPaths {
		clear(s.settled)
	}
	s.settled[cgroups] = true
}

// tellFacts queues the facts of a container if they were not told yet, and
// reports whether they are by now.
func (s *Source) tellFacts(id string, t host.ContainerType) bool {
	if _, sent := s.sent[id]; sent {
		return true
	}
	c := s.catalog.Find(id, t)
	if c != nil {
		s.change(Change{Container: c})
	}
	return c != nil
}

// tell queues the events about users that were read.
func (s *Source) tell(read []accounts) {
	for i := range read {
		for _, e := range read[i].appendEvents(nil, s.last) {
			s.pending = append(s.pending, extra{e, true})
		}
	}
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
	s.pending = append(s.pending, extra{b, false})
}

// SetInterest implements event.Chooser for a source that does.
func (s *Source) SetInterest(i event.Interest) error {
	if c, ok := s.Source.(event.Chooser); ok {
		return c.SetInterest(i)
	}
	return nil
}

// Close implements event.Source.
func (s *Source) Close() error {
	err := s.Source.Close()
	if cerr := s.catalog.Close(); err == nil {
		err = cerr
	}
	return err
}
