package probe

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"rollcage/internal/observe/event"
)

// fakeRing is a ring in plain memory that the test fills as the kernel would.
type fakeRing struct {
	ring
	prod, cons atomic.Uint64
	size       int
}

func newFakeRing(size int) *fakeRing {
	f := &fakeRing{size: size}
	f.ring = ring{data: make([]byte, 2*size), mask: uint64(size - 1), batch: uint64(size / 64)}
	f.produced, f.consumed = &f.prod, &f.cons
	return f
}

// reserve makes room for a record and returns where it begins; it is busy until commit.
func (f *fakeRing) reserve(n int) uint64 {
	at := f.prod.Load()
	f.header(at, uint32(n)|ringBusy)
	f.prod.Store(at + uint64(ringHeader+n+7)&^7)
	return at
}

func (f *fakeRing) header(at uint64, v uint32) {
	f.write(at, binary.LittleEndian.AppendUint32(nil, v))
}

// write stores bytes, in both copies of the data.
func (f *fakeRing) write(at uint64, b []byte) {
	for i, c := range b {
		p := (at + uint64(i)) & f.mask
		f.data[p], f.data[int(p)+f.size] = c, c
	}
}

func (f *fakeRing) add(rec []byte) {
	at := f.reserve(len(rec))
	f.write(at+ringHeader, rec)
	f.header(at, uint32(len(rec)))
}

// closeEvent is an event with that time.
func closeEvent(t testing.TB, ts uint64) []byte {
	t.Helper()
	b, err := event.Append(nil, ts, 1, event.SYSCALL_CLOSE_X, int64(0), int64(3))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestARingGivesWhatIsCommittedInOrderAcrossItsEnd(t *testing.T) {
	f := newFakeRing(4096)
	next := 0
	for i := range 1000 {
		rec := make([]byte, 10+i%90)
		binary.LittleEndian.PutUint64(rec, uint64(i))
		if i%7 == 3 { // what the kernel gave up
			at := f.reserve(len(rec))
			f.header(at, uint32(len(rec))|ringDiscard)
			continue
		}
		f.add(rec)
		if i%5 != 0 {
			continue
		}
		for got := f.next(); got != nil; got = f.next() {
			for next%7 == 3 {
				next++
			}
			if recordTime(got) != uint64(next) || len(got) != 10+next%90 {
				t.Fatalf("record %d with %d bytes, want %d with %d", recordTime(got), len(got), next, 10+next%90)
			}
			next++
		}
		f.flush()
		if f.cons.Load() != f.prod.Load() {
			t.Fatalf("%d bytes are not given back", f.prod.Load()-f.cons.Load())
		}
	}
}

func TestARingWaitsForARecordThatIsBeingWritten(t *testing.T) {
	f := newFakeRing(4096)
	at := f.reserve(16)
	f.add(make([]byte, 8))
	if f.next() != nil {
		t.Fatal("a record is given out while it is written")
	}
	f.header(at, 16)
	if a, b := f.next(), f.next(); len(a) != 16 || len(b) != 8 {
		t.Errorf("got records of %d and %d bytes, want 16 and 8", len(a), len(b))
	}
}

func TestMergeGivesTheRecordsOfAllRingsInOrderOfTime(t *testing.T) {
	const perRing, n = 200, 5
	random := rand.New(rand.NewPCG(1, 2))
	var rings []*ring
	var want []uint64
	for range n {
		f := newFakeRing(1 << 16)
		ts := uint64(0)
		for range perRing {
			ts += random.Uint64N(100)
			f.add(closeEvent(t, ts))
			want = append(want, ts)
		}
		rings = append(rings, &f.ring)
	}
	slices.Sort(want)
	m := newMerge(rings, func() uint64 { return 1 << 40 })
	for i, ts := range want {
		rec := m.next()
		if rec == nil || recordTime(rec) != ts {
			t.Fatalf("record %d is not of time %d", i, ts)
		}
	}
	if m.next() != nil {
		t.Error("there is more than was put in")
	}
}

func TestMergeKeepsBackWhatAnotherCPUMayStillPrecede(t *testing.T) {
	a, b := newFakeRing(4096), newFakeRing(4096)
	mark := uint64(10)
	m := newMerge([]*ring{&a.ring, &b.ring}, func() uint64 { return mark })
	a.add(closeEvent(t, 20))
	if m.next() != nil {
		t.Fatal("an event is given out before the watermark has passed it")
	}
	b.add(closeEvent(t, 15))
	mark = 20
	for _, want := range []uint64{15, 20} {
		if rec := m.next(); rec == nil || recordTime(rec) != want {
			t.Fatalf("no event of time %d", want)
		}
	}
	if m.next() != nil {
		t.Error("there is a third event")
	}
}

func TestWhatWasHandedOutStaysUntilTheNextCall(t *testing.T) {
	f := newFakeRing(4096)
	f.batch = 0
	m := newMerge([]*ring{&f.ring}, func() uint64 { return 100 })
	f.add(closeEvent(t, 1))
	f.add(closeEvent(t, 2))
	m.next()
	if f.cons.Load() != 0 {
		t.Fatal("the record was given back while it was looked at")
	}
	m.next()
	if first := uint64(ringHeader+len(closeEvent(t, 1))+7) &^ 7; f.cons.Load() != first {
		t.Errorf("%d bytes were given back, want the first record's %d", f.cons.Load(), first)
	}
}

// BenchmarkMerge measures the reader alone: per event, over rings that hold enough.
func BenchmarkMerge(b *testing.B) {
	var rings []*ring
	var fakes []*fakeRing
	for i := range 4 {
		f := newFakeRing(1 << 20)
		for ts := range 10000 {
			f.add(closeEvent(b, uint64(ts*4+i)))
		}
		fakes = append(fakes, f)
		rings = append(rings, &f.ring)
	}
	var ev event.Event
	m := newMerge(rings, func() uint64 { return 1 << 40 })
	b.ReportAllocs()
	for b.Loop() {
		rec := m.next()
		if rec == nil { // again from the beginning
			for _, f := range fakes {
				f.pos, f.freed, f.ready = 0, 0, 0
			}
			continue
		}
		if err := ev.Reset(rec); err != nil {
			b.Fatal(err)
		}
	}
}
