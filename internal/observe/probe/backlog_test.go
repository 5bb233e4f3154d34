package probe

import (
	"encoding/binary"
	"runtime"
	"testing"
)

func TestBacklogKeepsWhatCameMeanwhileAndItsOrder(t *testing.T) {
	const kept, records = 40, 60
	fakes := []*fakeRing{newFakeRing(4096), newFakeRing(4096)}
	fakes[1].cpu = 1
	m := newMerge([]*ring{&fakes[0].ring, &fakes[1].ring}, func() uint64 { return 1 << 40 })
	add := func(from, to int) {
		for ts := from; ts <= to; ts++ {
			fakes[ts%2].add(closeEvent(t, uint64(ts)))
		}
	}
	add(1, kept)
	var b backlog
	b.keepWhile(m, func() {
		for fakes[0].cons.Load() < fakes[0].prod.Load() || fakes[1].cons.Load() < fakes[1].prod.Load() {
			runtime.Gosched() // the work lasts until all was moved out of the rings
		}
	})
	if len(b.records) != kept {
		t.Errorf("%d records were kept", len(b.records))
	}
	add(kept+1, records)
	for want := uint64(1); want <= records; want++ {
		rec, cpu := b.next(m)
		if rec == nil {
			t.Fatalf("record %d is missing", want)
		}
		if ts := binary.LittleEndian.Uint64(rec); ts != want || uint64(cpu) != want%2 {
			t.Fatalf("record %d of CPU %d, want %d", ts, cpu, want)
		}
	}
	if rec, _ := b.next(m); rec != nil {
		t.Error("a record too many")
	}
}
