package probe

// merge hands out the records of many rings in order of time. Every ring is
// written by one CPU, so is in order by itself: a heap of their first records
// gives the oldest of all. What is missing is when that one is really the
// oldest: a CPU may just be making an older one. The watermark says up to
// which time nothing can come any more.
type merge struct {
	rings []*ring
	heap  []head
	empty []*ring // rings that are not in the heap
	last  *ring   // whose record was handed out last
	// watermark returns a time such that every event up to it is in its ring.
	watermark func() uint64
	mark      uint64 // its last value
}

// head is the first record of a ring.
type head struct {
	ts  uint64
	rec []byte
	r   *ring
}

func newMerge(rings []*ring, watermark func() uint64) *merge {
	return &merge{
		rings: rings, watermark: watermark,
		heap: make([]head, 0, len(rings)), empty: append(make([]*ring, 0, len(rings)), rings...),
	}
}

// next returns the oldest record, nil if there is none yet. It is valid until
// the following call.
func (m *merge) next() []byte {
	if m.last != nil {
		m.last.free()
		m.advance()
	}
	if len(m.heap) == 0 || m.heap[0].ts > m.mark {
		m.refill()
		if len(m.heap) == 0 || m.heap[0].ts > m.mark {
			return nil
		}
	}
	m.last = m.heap[0].r
	return m.heap[0].rec
}

// advance replaces the record that was handed out by the next one of its ring.
func (m *merge) advance() {
	r := m.last
	m.last = nil
	if rec := r.next(); rec != nil {
		m.heap[0] = head{recordTime(rec), rec, r}
	} else {
		m.empty = append(m.empty, r)
		m.heap[0] = m.heap[len(m.heap)-1]
		m.heap = m.heap[:len(m.heap)-1]
	}
	m.down(0)
}

// refill looks for records in the rings that had none. The order matters: what
// the watermark promises is in the rings when they are looked at after it.
func (m *merge) refill() {
	m.mark = m.watermark()
	kept := m.empty[:0]
	for _, r := range m.empty {
		rec := r.next()
		if rec == nil {
			r.flush()
			kept = append(kept, r)
			continue
		}
		m.heap = append(m.heap, head{recordTime(rec), rec, r})
		m.up(len(m.heap) - 1)
	}
	m.empty = kept
}

func (m *merge) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if m.heap[parent].ts <= m.heap[i].ts {
			return
		}
		m.heap[parent], m.heap[i] = m.heap[i], m.heap[parent]
		i = parent
	}
}

func (m *merge) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(m.heap) {
			return
		}
		if child+1 < len(m.heap) && m.heap[child+1].ts < m.heap[child].ts {
			child++
		}
		if m.heap[i].ts <= m.heap[child].ts {
			return
		}
		m.heap[i], m.heap[child] = m.heap[child], m.heap[i]
		i = child
	}
}
