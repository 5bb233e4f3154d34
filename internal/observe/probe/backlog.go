package probe

import (
	"slices"
	"time"
)

// maxBacklog bounds the bytes of records that are kept in memory; more wait in their rings.
const maxBacklog = 64 << 20

// backlog keeps the records of the time in which the first snapshot is read.
// Left to themselves the rings of a busy host would be full before it is.
type backlog struct {
	records []keptRecord
	size    int
}

type keptRecord struct {
	data []byte
	cpu  uint16
}

// keepWhile moves records out of the rings until work returns.
func (b *backlog) keepWhile(m *merge, work func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	for {
		for b.size < maxBacklog {
			rec := m.next()
			if rec == nil {
				break
			}
			b.records = append(b.records, keptRecord{slices.Clone(rec), m.last.cpu})
			b.size += len(rec)
		}
		select {
		case <-done:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// next takes the oldest record and the CPU it is from; from m when none is kept, nil when none is there.
func (b *backlog) next(m *merge) ([]byte, uint16) {
	if len(b.records) == 0 {
		b.records = nil
		if rec := m.next(); rec != nil {
			return rec, m.last.cpu
		}
		return nil, 0
	}
	rec := b.records[0]
	b.records[0] = keptRecord{}
	b.records = b.records[1:]
	return rec.data, rec.cpu
}
