package view

// timeline cuts a stretch of time into equal parts. When its length is not
// known the parts grow as time goes on, two becoming one, so that there are
// never more than there is room for.
type timeline struct {
	start, width uint64 // ns
	room         int
	known        bool // the parts do not grow
	used         int  // parts up to the last event
}

// firstWidth is how long a part is at first, in ns, if nobody knows better.
const firstWidth = 1 << 20

// at returns the part that a time is in. grow is called for each time that
// two parts become one.
func (l *timeline) at(now uint64, grow func()) int {
	if l.start == 0 {
		l.start = now
	}
	i := 0
	if now > l.start {
		i = int((now - l.start) / l.width)
	}
	for !l.known && i >= l.room {
		grow()
		l.width *= 2
		l.used = (l.used + 1) / 2
		i = int((now - l.start) / l.width)
	}
	i = min(i, l.room-1)
	l.used = max(l.used, i+1)
	return i
}

// series is what a tile counts in each part of time.
type series struct {
	total float64
	parts []float64
	level bool // parts hold how much there was, not what was added
	// seen holds, for what is counted once, the part in which it was seen last, by hash.
	seen map[string]int
}

// maxSeen bounds what a tile tells apart; it counts no more than that.
const maxSeen = 1 << 17

func (s *series) add(part int, n float64) {
	s.total += n
	s.parts[part] += n
}

// addOnce counts what goes by that name, once in all and once in each part.
func (s *series) addOnce(part int, name []byte) {
	last, ok := s.seen[string(name)]
	switch {
	case ok && last == part:
		return
	case !ok && len(s.seen) >= maxSeen:
		return
	case !ok:
		s.total++
	}
	s.seen[string(name)] = part
	s.parts[part]++
}

// halve makes one part of two.
func (s *series) halve() {
	n := len(s.parts)
	for i := range n / 2 {
		a, b := s.parts[2*i], s.parts[2*i+1]
		switch {
		case s.level:
			s.parts[i] = (a + b) / 2
		case s.seen != nil:
			s.parts[i] = max(a, b) // at least
		default:
			s.parts[i] = a + b
		}
	}
	clear(s.parts[n/2:])
	for k, part := range s.seen {
		s.seen[k] = part / 2
	}
	if s.seen != nil {
		atLeast(s.parts, s.lastSeen(n, func(part int) int { return part }))
	}
}

// lastSeen counts what was seen for the last time in each of n parts that to
// makes of the series' own.
func (s *series) lastSeen(n int, to func(part int) int) []float64 {
	out := make([]float64, n)
	for _, part := range s.seen {
		out[min(to(part), n-1)]++
	}
	return out
}

// atLeast raises counts to others. Of two parts that become one nobody knows
// what they have in common: there are at least as many as in either, and as
// many as were seen there last.
func atLeast(counts, others []float64) {
	for i, n := range others {
		counts[i] = max(counts[i], n)
	}
}

// samples returns the first used parts as n samples.
func (s *series) samples(used, n int) []float64 {
	out := make([]float64, n)
	count := make([]int, n)
	for i := range used {
		to := i * n / max(used, 1)
		if s.seen != nil {
			out[to] = max(out[to], s.parts[i])
		} else {
			out[to] += s.parts[i]
		}
		count[to]++
	}
	if s.seen != nil {
		atLeast(out, s.lastSeen(n, func(part int) int { return part * n / max(used, 1) }))
	}
	for i := range out {
		switch {
		case s.level && count[i] > 0:
			out[i] /= float64(count[i])
		case s.level && i > 0:
			out[i] = out[i-1]
		}
	}
	return out
}
