package host

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"
	"time"

	"rollcage/internal/observe/event"
)

// Options bound the memory of a State. Zero values stand for the defaults.
type Options struct {
	MaxThreads    int           // threads in the table, 131072
	MaxProcessFDs int           // descriptors of a process, 65536
	MaxFDs        int           // descriptors in all tables, 2097152
	MaxContainers int           // containers, those without threads go first, 8192
	MaxIdle       time.Duration // a thread without event for so long may be forgotten, 30 minutes
	// Healer finds what is missing when the snapshot is of the running host;
	// nil for never. HealRate is the number of look-ups a second, 200.
	Healer   Healer
	HealRate int
}

func (o *Options) setDefaults() {
	for _, d := range []struct {
		p *int
		v int
	}{
		{&o.MaxThreads, 131072}, {&o.MaxProcessFDs, 65536}, {&o.MaxFDs, 2 << 20},
		{&o.MaxContainers, 8192}, {&o.HealRate, 200},
	} {
		if *d.p <= 0 {
			*d.p = d.v
		}
	}
	if o.MaxIdle <= 0 {
		o.MaxIdle = 30 * time.Minute
	}
}

// Stats count what a State holds and what happened to it since New.
type Stats struct {
	Threads, FDs, Containers, Users, Groups int // now

	AddedThreads, RemovedThreads uint64
	AddedFDs, RemovedFDs         uint64
	MissingThreads               uint64 // events whose thread was not known
	MissingFDs                   uint64 // events whose descriptor was not known
	HealedThreads, HealedFDs     uint64 // found in /proc
	InferredThreads              uint64 // made up as nothing was found
	HealsRefused                 uint64 // not looked up because of HealRate
	AgedThreads                  uint64 // forgotten after MaxIdle
	EvictedThreads               uint64 // forgotten to make room for others
	EvictedContainers            uint64
	RefusedThreads, RefusedFDs   uint64 // not added as there was no room
	StoredEnters, UsedEnters     uint64 // enter events of old captures
}

// State is the live state of a host.
type State struct {
	opt   Options
	stats Stats

	threads    map[int64]*Thread
	ring       []*Thread // all threads in no order, for aging and eviction
	hand       int       // where aging goes on in ring
	evictHand  int       // where eviction goes on in ring
	containers map[string]*Container
	users      map[idKey]*event.User
	groups     map[idKey]*event.Group
	machine    event.Machine
	interfaces []event.Interface
	networks   []netip.Prefix // addresses of the interfaces with their networks
	live       bool

	image   uint64  // last number given to a Thread.Image
	now     uint64  // time of the event at hand
	prev    uint64  // time of the last event that was not hidden
	first   uint64  // time of the first event that was not hidden
	applied uint64  // events
	current *Thread // thread of the event at hand
	keep    *Thread // one more thread that must not be evicted now
	ended   *Thread // thread that is removed after the event at hand
	reaper  int64   // who gets its children, 0 if not known
	budget  healBudget

	freeFDs, trash []*FD
	strings        interner
	lists          listCache
	cgroups        cgroupCache
	scratch, clean []byte
}

// New returns an empty state.
func New(o Options) *State {
	o.setDefaults()
	s := &State{opt: o}
	s.reset()
	return s
}

func (s *State) reset() {
	s.threads, s.ring = map[int64]*Thread{}, nil
	s.hand, s.evictHand = 0, 0
	s.containers = map[string]*Container{}
	s.users, s.groups = map[idKey]*event.User{}, map[idKey]*event.Group{}
	s.machine, s.interfaces, s.networks, s.live = event.Machine{}, nil, nil, false
	s.current, s.keep, s.ended, s.reaper, s.trash = nil, nil, nil, 0, nil
	s.stats.FDs = 0
}

// Load replaces everything by the snapshot. The snapshot stays the caller's;
// its strings and lists are shared.
func (s *State) Load(snap *event.Snapshot) {
	s.reset()
	s.machine, s.live = snap.Machine, snap.Live
	s.interfaces = slices.Clone(snap.Interfaces)
	s.networks = networksOf(s.interfaces)
	for i := range snap.Users {
		s.addUser(snap.Users[i])
	}
	for i := range snap.Groups {
		s.addGroup(snap.Groups[i])
	}
	for _, info := range snap.Threads {
		if info == nil || info.TID <= 0 {
			continue
		}
		if len(s.threads) >= s.opt.MaxThreads {
			s.stats.RefusedThreads++
			continue
		}
		s.adopt(info)
	}
	s.link()
	var ev event.Event
	for _, b := range snap.Meta {
		if ev.Reset(b) == nil {
			s.applyMeta(&ev)
		}
	}
}

// applyMeta runs an event that completes a snapshot. One that is not about
// users or containers has no business there.
func (s *State) applyMeta(ev *event.Event) {
	if a := &actions[ev.Type()]; a.subject == subjectNone && a.apply != nil {
		a.apply(s, &Event{Event: ev, State: s, FDNum: -1})
	}
}

// Snapshot returns the current state, as a capture that starts now needs it.
// It shares strings and lists with the state; both are never changed in place.
func (s *State) Snapshot() *event.Snapshot {
	snap := &event.Snapshot{
		Machine: s.machine, Interfaces: slices.Clone(s.interfaces), Live: s.live,
		Threads: make([]*event.ThreadInfo, 0, len(s.threads)),
	}
	snap.Users, snap.Groups = s.accounts()
	for t := range s.Threads() {
		if t != s.ended {
			snap.Threads = append(snap.Threads, t.info())
		}
	}
	for _, c := range s.Containers() {
		if c.Known {
			if b, err := event.Append(nil, 0, -1, event.ASYNCEVENT_E, 0, containerAdded, append(c.AppendJSON(nil), 0)); err == nil {
				snap.Meta = append(snap.Meta, b)
			}
		}
	}
	return snap
}

// info returns what a snapshot says of the thread.
func (t *Thread) info() *event.ThreadInfo {
	info := t.ThreadInfo
	info.FDs = nil
	if t.Leader != t {
		info.Env, info.Cwd = nil, ""
		return &info
	}
	info.FDs = make([]event.FDInfo, 0, t.FDs.Len())
	for _, fd := range t.FDs.All() {
		info.FDs = append(info.FDs, fd.snapshot())
	}
	return &info
}

// Thread returns the thread with that id, nil if it is not known.
func (s *State) Thread(tid int64) *Thread { return s.threads[tid] }

// Threads yields all threads in order of their ids. The table must not be
// changed meanwhile.
func (s *State) Threads() iter.Seq[*Thread] {
	return func(yield func(*Thread) bool) {
		sorted := slices.Clone(s.ring)
		slices.SortFunc(sorted, func(a, b *Thread) int { return cmp.Compare(a.TID, b.TID) })
		for _, t := range sorted {
			if !yield(t) {
				return
			}
		}
	}
}

// Machine returns what is known of the host itself.
func (s *State) Machine() event.Machine { return s.machine }

// Interfaces returns the host's network interfaces. The slice is shared.
func (s *State) Interfaces() []event.Interface { return s.interfaces }

// Live reports whether the state is of the running host.
func (s *State) Live() bool { return s.live }

// Stats returns the counters.
func (s *State) Stats() Stats {
	st := s.stats
	st.Threads, st.Containers = len(s.threads), len(s.containers)
	st.Users, st.Groups = len(s.users), len(s.groups)
	return st
}
