package guard

import (
	"strings"
	"testing"
	"time"

	"rollcage/internal/observe/event"
	"rollcage/internal/respond/alert"
)

func TestLoadIsShedInStepsAndTakenUpAgain(t *testing.T) {
	h, all := newFakeHost(), newCollected("all")
	g := newTestGuard(t, h, Options{Budget: Budget{CPUs: 0.5}, Outputs: Outputs{All: []alert.Output{all}}})
	if err := h.SetInterest(g.agent.Interest()); err != nil {
		t.Fatal(err)
	}
	defer run(t, g)()
	g.started = time.Now().Add(-time.Minute)
	usage := Usage{CPUs: 0.9}
	g.pressure.read = func() Usage { return usage }
	look := func(times int) {
		for range times {
			g.pressure.look()
		}
	}
	wants := func(io bool, level int32) {
		t.Helper()
		if got := g.pressure.level.Load(); got != level {
			t.Errorf("level %d, want %d", got, level)
		}
		if h.wants(event.SYSCALL_READ_X) != io || !h.wants(event.SYSCALL_OPENAT_2_X) {
			t.Errorf("asked for reads: %v, for openings: %v", h.wants(event.SYSCALL_READ_X), h.wants(event.SYSCALL_OPENAT_2_X))
		}
	}
	look(pressureUp - 1)
	wants(true, shedNothing)
	look(1)
	wants(false, shedIO)
	if a := all.next(t); a.Rule != ShedRule || !strings.Contains(a.Message, "reads and writes are not judged") || !strings.Contains(a.Message, "0.90 CPUs") {
		t.Errorf("%+v", a)
	}
	look(pressureUp)
	wants(false, shedBox)
	look(5 * pressureUp)
	wants(false, shedBox)
	all.next(t)

	usage.CPUs = 0.4 // within the budget, but not by much
	look(2 * pressureDown)
	wants(false, shedBox)
	usage.CPUs = 0.1
	look(pressureDown)
	wants(false, shedIO)
	look(pressureDown)
	wants(true, shedNothing)
	all.next(t)
	if a := all.next(t); a.Rule != ShedRule || !strings.Contains(a.Message, "everything is looked at") {
		t.Errorf("%+v", a)
	}
	if s := g.Status(); s.Shed != "" {
		t.Errorf("%+v", s)
	}
}
