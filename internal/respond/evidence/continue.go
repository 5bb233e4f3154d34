package evidence

import (
	"maps"
	"time"
)

// goOn begins the incident in which one that is full goes on, and closes that.
// It is called with mu held.
//
// First there is the new one, which says what it continues, so that a crash in
// between loses nothing: see finishContinuing.
func (s *Store) goOn(full *incident, at time.Time) (*incident, error) {
	o := full.opened
	o.Continues, o.Origin, o.Part = full.id, full.opened.Origin, max(full.opened.Part, 1)+1
	if o.Origin == "" {
		o.Origin = full.id
	}
	in, err := s.begin(newID(at), o)
	if err != nil {
		return nil, err
	}
	// What left the session of the tree still belongs to it.
	maps.Copy(in.actors, full.actors)
	if s.open[full.id] != nil { // unless it was closed as too many are open
		s.end(full, continued(in.id))
	}
	return in, nil
}

func continued(next string) Closed {
	return Closed{Reason: "it is full and goes on in " + next, Next: next}
}

// finishContinuing closes incidents that are full and go on in another one,
// which a crash kept from it.
func (s *Store) finishContinuing() {
	for _, in := range s.open {
		if full := s.open[in.opened.Continues]; full != nil {
			s.end(full, continued(in.id))
		}
	}
}
