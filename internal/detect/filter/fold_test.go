package filter

import (
	"math/rand/v2"
	"testing"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

func TestWhatTheTypeDecidesIsLeftOut(t *testing.T) {
	const text = "evt.type = open and fd.num = 1 or evt.type in (read, write) and not (fd.num = 2 and evt.type = read) or evt.type = close"
	const nested = "fd.num = 3 and (evt.type = read or fd.num = 1 and fd.num = 2)"
	for _, tt := range []struct {
		name, text string
		typ        event.Type
		cells      int
		root       cellID // if there is no cell
	}{
		{"one check is left", text, event.SYSCALL_OPEN_X, 1, 0},
		{"a negation is left", text, event.SYSCALL_READ_X, 2, 0},
		{"a negation of what is false is true", text, event.SYSCALL_WRITE_X, 0, isTrue},
		{"the type alone makes it true", text, event.SYSCALL_CLOSE_X, 0, isTrue},
		{"no part is about the type", text, event.SYSCALL_EXECVE_19_X, 0, isFalse},
		{"the name is in the event", text, event.GENERIC_X, 11, 0},
		{"a group that is decided", nested, event.SYSCALL_READ_X, 1, 0},
		{"a group in a group of its kind", nested, event.SYSCALL_OPEN_X, 4, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := (&fakeHost{}).schema().NewProgram()
			id := mustAdd(t, p, tt.text)
			f := p.folded(tt.typ)
			if len(f.cells) != tt.cells || f.conds[id] != tt.root {
				t.Errorf("%d cells, the condition is %d; want %d cells and %d", len(f.cells), f.conds[id], tt.cells, tt.root)
			}
		})
	}
}

func TestWhatConditionsShareIsAskedFirst(t *testing.T) {
	h := &fakeHost{values: map[string]string{"fd.name": "/x", "fd.num": "7", "evt.rawres": "7"}}
	p := h.schema().NewProgram()
	one := mustAdd(t, p, "fd.name = /y and fd.num = 1 and fd.num = 2")
	e := fakeEvent("openat", 1)
	if h.reads = 0; p.Eval(one, e) || h.reads != 1 {
		t.Errorf("%d reads, want only the cheap one of a number", h.reads)
	}
	for _, c := range []string{"fd.num = 3", "fd.num = 4", "evt.rawres = 5", "evt.rawres = 6"} {
		mustAdd(t, p, "fd.name = /y and "+c)
	}
	h.reads, e.Num = 0, 2
	for id := range CondID(p.Len()) {
		if p.Eval(id, e) {
			t.Errorf("condition %d is true", id)
		}
	}
	if h.reads != 1 {
		t.Errorf("%d reads, want only the one of the name that all conditions need", h.reads)
	}
}

// randomCheck is a check with the answer that it must have.
type randomCheck struct {
	text string
	want func(e *host.Event) bool
}

// randomCondition returns a condition of random checks and what it must answer.
func randomCondition(rng *rand.Rand, checks []randomCheck, depth int) randomCheck {
	if depth == 0 || rng.IntN(4) == 0 {
		return checks[rng.IntN(len(checks))]
	}
	a, b := randomCondition(rng, checks, depth-1), randomCondition(rng, checks, depth-1)
	switch rng.IntN(3) {
	case 0:
		return randomCheck{"not (" + a.text + ")", func(e *host.Event) bool { return !a.want(e) }}
	case 1:
		return randomCheck{"(" + a.text + " and " + b.text + ")", func(e *host.Event) bool { return a.want(e) && b.want(e) }}
	default:
		return randomCheck{"(" + a.text + " or " + b.text + ")", func(e *host.Event) bool { return a.want(e) || b.want(e) }}
	}
}

func TestFoldingChangesNoAnswer(t *testing.T) {
	h := &fakeHost{values: map[string]string{"proc.name": "bash", "fd.num": "3"}}
	checks := []randomCheck{
		{"fd.num = 3", func(*host.Event) bool { return true }},
		{"proc.name = bash", func(*host.Event) bool { return true }},
		{"proc.name = zsh", func(*host.Event) bool { return false }},
	}
	names := []string{"open", "read", "close", "execve"}
	for _, name := range names {
		checks = append(checks, randomCheck{"evt.type = " + name, func(e *host.Event) bool { return e.Info().Name == name }})
	}
	rng := rand.New(rand.NewPCG(1, 2))
	p := h.schema().NewProgram()
	var conds []randomCheck
	for range 300 {
		c := randomCondition(rng, checks, 5)
		mustAdd(t, p, c.text)
		conds = append(conds, c)
	}
	for i, name := range append(names, "openat", "getpid") {
		e := fakeEvent(name, uint64(i+1))
		e.Thread = process(5)
		for id, c := range conds {
			if got := p.Eval(CondID(id), e); got != c.want(e) {
				t.Errorf("%s for %s is %v", c.text, name, got)
			}
		}
	}
}
