package evidence

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Update is something that was added to an incident.
type Update struct {
	Incident string
	Kind     string // of the record
	// Data is *alert.Alert for an alert, else that of the record. It is shared; do not change it.
	Data any
}

// Follower is told what is added to the store. One that is too slow misses
// updates; the records have them.
type Follower struct {
	C      <-chan Update
	c      chan Update
	missed atomic.Uint64
	leave  func()
}

// Missed returns how many updates found no room since it was asked last.
func (f *Follower) Missed() uint64 { return f.missed.Swap(0) }

// Close ends it. C is not closed.
func (f *Follower) Close() { f.leave() }

// followers are those of a store.
type followers struct {
	mu  sync.Mutex
	all map[*Follower]struct{}
}

// Follow returns a follower with room for so many updates that wait.
func (s *Store) Follow(room int) *Follower {
	c := make(chan Update, room)
	f := &Follower{C: c, c: c}
	f.leave = func() {
		s.followers.mu.Lock()
		defer s.followers.mu.Unlock()
		delete(s.followers.all, f)
	}
	s.followers.mu.Lock()
	defer s.followers.mu.Unlock()
	if s.followers.all == nil {
		s.followers.all = map[*Follower]struct{}{}
	}
	s.followers.all[f] = struct{}{}
	return f
}

// tell tells all followers, and waits for none.
func (f *followers) tell(u Update) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for one := range f.all {
		select {
		case one.c <- u:
		default:
			one.missed.Add(1)
		}
	}
}

// Finish closes an incident that goes on because somebody says so. What comes
// later begins another one.
func (s *Store) Finish(id string, who *Who, reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	in := s.open[id]
	if in == nil {
		return fmt.Errorf("evidence: incident %s does not go on", id)
	}
	if err := s.audit.Append(auditChange, &Entry{Who: who, Act: "close", Incident: id, Detail: reason}); err != nil {
		return err
	}
	s.end(in, Closed{Reason: reason})
	return nil
}
