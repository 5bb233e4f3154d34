package host

// Every ageEvery events one thread is looked at whether it still lives. The
// whole table is gone through sooner on a busy host, where it matters.
const ageEvery = 32

// evictScan is how many threads are compared to find one to evict. That comes
// close to the least recently used one without an order to keep at each event.
const evictScan = 64

// isLeaf reports whether nothing depends on the thread. Others stay: their
// descendants would lose their ancestry.
func (t *Thread) isLeaf() bool { return len(t.Children) == 0 && len(t.members) == 0 }

// age looks at the next thread. One without an event for MaxIdle is forgotten
// if it is gone from the host; in a capture it is taken to be gone.
func (s *State) age() {
	if s.hand >= len(s.ring) {
		s.hand = 0
	}
	if len(s.ring) == 0 || s.live && s.opt.Healer == nil {
		return
	}
	t := s.ring[s.hand]
	s.hand++
	seen := max(t.LastSeen, t.checked)
	if seen == 0 {
		t.checked = s.now
		return
	}
	if s.now < seen || s.now-seen < uint64(s.opt.MaxIdle) || !t.isLeaf() || t == s.current || t == s.ended {
		return
	}
	if s.live && s.opt.Healer.Alive(t.TID) {
		t.checked = s.now
		return
	}
	s.hand--
	s.stats.AgedThreads++
	s.remove(t)
}

// evict makes room for a thread and reports whether it could.
func (s *State) evict() bool {
	var victim *Thread
	for range min(evictScan, len(s.ring)) {
		if s.evictHand >= len(s.ring) {
			s.evictHand = 0
		}
		t := s.ring[s.evictHand]
		s.evictHand++
		if !t.isLeaf() || t == s.current || t == s.keep || t == s.ended {
			continue
		}
		if victim == nil || t.LastSeen < victim.LastSeen {
			victim = t
		}
	}
	if victim == nil {
		return false
	}
	s.stats.EvictedThreads++
	s.remove(victim)
	return true
}
