package guard

import (
	"testing"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
	"rollcage/internal/respond/scene"
)

func aThread(pid int64, parent *host.Thread) *host.Thread {
	t := &host.Thread{ThreadInfo: event.ThreadInfo{PID: pid, TID: pid, VPID: pid, StartTime: uint64(pid) * 1e10}, Parent: parent}
	t.Leader = t
	return t
}

// Who forks and ends without pause is found, and does not fill the memory.
func TestLineageIsBoundedAndSkipsWhatItForgot(t *testing.T) {
	l := newLineage()
	root := aThread(1, nil)
	last := root
	for pid := int64(2); pid < 3*maxEnded; pid++ {
		next := aThread(pid, last)
		l.process(next)
		if last != root {
			l.end(last)
		}
		last = next
	}
	want := scene.Key{PID: last.PID, Start: last.StartTime}
	if got := l.Descendants(scene.Key{PID: 1}); len(got) != 2 || got[0] != want && got[1] != want {
		t.Errorf("of the first: %v", got)
	}
	before := scene.Key{PID: last.PID - 100, Start: uint64(last.PID-100) * 1e10}
	if got := l.Descendants(before); len(got) != 1 || got[0] != want {
		t.Errorf("of one that has ended: %v", got)
	}
	if got := l.Descendants(scene.Key{PID: 5, Start: 5e10}); got != nil {
		t.Errorf("of one that is forgotten: %v", got)
	}
	n := 0
	for b := l.living[last.PID]; b != nil; b = b.parent {
		n++
	}
	if len(l.ended) != maxEnded || n > maxEnded+3 {
		t.Errorf("%d are kept, %d in a row", len(l.ended), n)
	}
	// The number of another process is not that of one that has it later.
	if got := l.Descendants(scene.Key{PID: last.PID, Start: 1}); got != nil {
		t.Errorf("of another one: %v", got)
	}
}

// BenchmarkLineageOfOtherEvents is what every event costs that starts or ends no process.
func BenchmarkLineageOfOtherEvents(b *testing.B) {
	buf, err := event.Append(nil, 1, 1, event.SYSCALL_OPENAT_2_X, 3, -100, "/etc/shadow", 1, 0, 0x801, 77)
	if err != nil {
		b.Fatal(err)
	}
	var ev event.Event
	if err := ev.Reset(buf); err != nil {
		b.Fatal(err)
	}
	he := &host.Event{Event: &ev, Thread: aThread(1, nil)}
	l := newLineage()
	b.ReportAllocs()
	for b.Loop() {
		l.seen(he)
	}
}
