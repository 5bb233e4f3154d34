package filter

import (
	"strings"
	"testing"
	"time"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

func mustAdd(t testing.TB, p *Program, text string) CondID {
	t.Helper()
	id, _, err := p.Add(mustParse(t, text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return id
}

func TestEqualPartsAreOneNode(t *testing.T) {
	for _, tt := range []struct {
		name, a, b string
		more       int // nodes that b adds
	}{
		{"the same condition", "fd.num = 1 and evt.type = open", "fd.num = 1 and evt.type = open", 0},
		{"another order", "fd.num = 1 and evt.type = open", "evt.type = open and fd.num = 1", 0},
		{"another order of constants", "proc.name in (a, b)", "proc.name in (b, a, b)", 0},
		{"a list of one", "proc.name in (a)", "proc.name = a", 0},
		{"two equals signs", "proc.name == a", "proc.name = a", 0},
		{"any of is in", "proc.name = anyof (a, b)", "proc.name in (a, b)", 0},
		{"nots that cancel", "not (not proc.name = a)", "proc.name = a", 0},
		{"the inside of a negation", "not proc.name = a", "proc.name = a", 0},
		{"nested groups of one kind", "(fd.num = 1 and fd.num = 2) and fd.num = 3", "fd.num = 1 and (fd.num = 2 and fd.num = 3)", 0},
		{"a shared part", "fd.num = 1 or fd.num = 2", "fd.num = 1 or fd.num = 3", 2},
		{"nothing shared", "fd.num = 1", "fd.num = 2", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := (&fakeHost{}).schema().NewProgram()
			mustAdd(t, p, tt.a)
			before := p.Size()
			mustAdd(t, p, tt.b)
			if got := p.Size() - before; got != tt.more {
				t.Errorf("%d more nodes, want %d", got, tt.more)
			}
			if p.Len() != 2 {
				t.Errorf("%d conditions, want 2", p.Len())
			}
		})
	}
}

func TestFieldsAreReadOncePerEvent(t *testing.T) {
	h := &fakeHost{values: map[string]string{"fd.num": "3", "fd.name": "/x"}}
	p := h.schema().NewProgram()
	a := mustAdd(t, p, "fd.num = 1 or fd.num = 2 or fd.num > 2 and fd.name = /x and tolower(fd.name) = /x")
	b := mustAdd(t, p, "fd.num = 3 and fd.name startswith /")
	e := fakeEvent("openat", 7)
	if !p.Eval(a, e) || !p.Eval(b, e) || !p.Eval(a, e) {
		t.Fatal("a condition is false")
	}
	if h.reads != 2 {
		t.Errorf("%d reads, want 2", h.reads)
	}
	e.Num = 8
	h.values["fd.num"] = "4"
	if p.Eval(b, e) {
		t.Error("the next event is judged by the values of the last one")
	}
	e.Num = 0
	h.values["fd.num"] = "3"
	if !p.Eval(b, e) {
		t.Error("an event without number is judged by old values")
	}
}

// process returns a process that is known by its image.
func process(image uint64) *host.Thread {
	t := &host.Thread{Image: image}
	t.Leader = t
	return t
}

func TestProcessAnswersAreRememberedWithTheImage(t *testing.T) {
	h := &fakeHost{values: map[string]string{"proc.name": "bash", "fd.num": "3"}}
	p := h.schema().NewProgram()
	id := mustAdd(t, p, "proc.name = bash and user.name != x and fd.num = 3")
	mustAdd(t, p, "proc.name = zsh")
	e := fakeEvent("openat", 0)
	e.Thread = process(5)
	eval := func(want bool, reads int, why string) {
		t.Helper()
		e.Num++
		h.reads = 0
		if got := p.Eval(id, e); got != want || h.reads != reads {
			t.Errorf("%s: %v with %d reads, want %v with %d", why, got, h.reads, want, reads)
		}
	}
	eval(false, 2, "no user name")
	eval(false, 0, "the answer is known")
	h.values["user.name"] = "root"
	eval(false, 0, "the image has not changed")
	e.Thread.Image = 6
	eval(true, 3, "another image")
	eval(true, 1, "only the descriptor is looked at")
	other := e.Thread
	e.Thread = process(6)
	eval(true, 3, "another process")
	e.Thread = other
	eval(true, 1, "the first process again")
	e.Thread = &host.Thread{Leader: other, Image: 99}
	eval(true, 3, "another thread of the process may have another name and user")
	eval(true, 1, "the thread is known now")
	e.Thread = process(0)
	eval(true, 3, "an image without number")
	eval(true, 3, "is not remembered")
	e.Thread = nil
	eval(true, 3, "no process")
	eval(true, 3, "is not remembered either")
}

func TestConditionsCanBeAddedLater(t *testing.T) {
	h := &fakeHost{values: map[string]string{"proc.name": "bash", "proc.pname": "x"}}
	p := h.schema().NewProgram()
	e := fakeEvent("openat", 1)
	e.Thread = process(5)
	if !p.Eval(mustAdd(t, p, "proc.name = bash"), e) {
		t.Error("the first condition is false")
	}
	for _, c := range strings.Split(strings.Repeat("x", 150), "") {
		id := mustAdd(t, p, "proc.pname = "+c+" and proc.name = b"+strings.Repeat("a", p.Len()))
		if p.Eval(id, e) {
			t.Errorf("condition %d is true", id)
		}
	}
	if !p.Eval(0, e) || !p.Eval(mustAdd(t, p, "proc.pname = x"), e) {
		t.Error("a condition is false")
	}
}

func TestTwoProgramsDoNotMixTheirAnswers(t *testing.T) {
	h := &fakeHost{values: map[string]string{"proc.name": "bash"}}
	a, b := h.schema().NewProgram(), h.schema().NewProgram()
	yes, no := mustAdd(t, a, "proc.name = bash"), mustAdd(t, b, "proc.name = zsh")
	e := fakeEvent("openat", 0)
	e.Thread = process(5)
	for e.Num = 1; e.Num < 4; e.Num++ {
		if !a.Eval(yes, e) || b.Eval(no, e) {
			t.Errorf("event %d: wrong answer", e.Num)
		}
	}
}

func TestProgramStaysUsableAfterAnError(t *testing.T) {
	h := &fakeHost{values: map[string]string{"fd.num": "1"}}
	p := h.schema().NewProgram()
	for _, bad := range []string{"fd.num = 1 and fd.num = x", "fd.num = 2 and (no.such = 1)", "proc.name = a or some_macro"} {
		if _, _, err := p.Add(mustParse(t, bad)); err == nil {
			t.Errorf("%s: accepted", bad)
		}
	}
	if id := mustAdd(t, p, "fd.num = 1 and not fd.num = 2"); id != 0 || !p.Eval(id, fakeEvent("open", 1)) {
		t.Errorf("condition %d is false", id)
	}
}

func TestProcessSelection(t *testing.T) {
	h := &fakeHost{values: map[string]string{"proc.name": "bash", "user.name": "root"}}
	for _, tt := range []struct{ name, text, want string }{
		{"the process fits", "evt.type = open and proc.name = bash", "open"},
		{"the process does not fit", "evt.type = open and proc.name = zsh", "none"},
		{"one of two", "evt.type = open and proc.name = zsh or evt.type = read and proc.name = bash", "read"},
		{"the process is enough", "proc.name = bash or evt.type = open", "all"},
		{"the process is not enough", "proc.name = zsh or evt.type = open", "open"},
		{"a negation that fits", "evt.type = open and not (proc.name = zsh or fd.num = 1)", "open"},
		{"a negation that does not", "evt.type = open and not (proc.name = bash or fd.num = 1)", "none"},
		{"a negated type", "evt.type in (open, read) and not (proc.name = bash and evt.type = open)", "read"},
		{"a part that is missing", "evt.type = open and proc.pname != x", "none"},
		{"only the process, fitting", "proc.name = bash and user.name = root", "all"},
		{"only the process, not fitting", "proc.name = bash and user.name = ada", "none"},
		{"nothing about the process", "evt.type = open and fd.num = 1", "open"},
		{"a system call without type", "evt.type = getpid and proc.name = bash", "getpid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := h.schema().NewProgram()
			id := mustAdd(t, p, tt.text)
			e := fakeEvent("execve", 1)
			e.Thread = process(1)
			s := p.ProcessSelection(id, e)
			got := strings.Join(s.Names(), " ")
			if s == everything {
				got = "all"
			} else if (s == Selection{}) {
				got = "none"
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if p.ProcessTypes(id, e) != s.Types {
				t.Error("ProcessTypes differs")
			}
		})
	}
}

func TestSelectedSystemCalls(t *testing.T) {
	for _, tt := range []struct{ name, text, with, without string }{
		{"an event of its own", "evt.type = openat", "openat", "open read getpid"},
		{"no event of its own", "evt.type = getpid", "getpid", "getuid open"},
		{"an event with another name than the call", "evt.type = pread", "pread64", "read"},
		{"a negation", "not evt.type in (open, getpid)", "openat getuid read", "open getpid"},
		{"anything else", "proc.name = x", "open openat getpid read", ""},
		{"both", "evt.type = open and evt.type = read", "", "open read getpid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			codes := Codes(mustParse(t, tt.text))
			for _, name := range strings.Fields(tt.with) {
				if !codes.Has(event.SyscallByName(name).Code) {
					t.Errorf("%s is missing", name)
				}
			}
			for _, name := range strings.Fields(tt.without) {
				if codes.Has(event.SyscallByName(name).Code) {
					t.Errorf("%s is selected", name)
				}
			}
		})
	}
}

func TestSelectionTakesAllVersionsAndDirections(t *testing.T) {
	s := Select(mustParse(t, "evt.type = openat"))
	for _, i := range event.Lookup("openat") {
		if !s.Types.Has(i.Type) {
			t.Errorf("%s is missing", i.Enum)
		}
	}
	if got, want := s.Len(), len(event.Lookup("openat")); got != want {
		t.Errorf("%d types, want %d", got, want)
	}
	generic := Types(mustParse(t, "evt.type = getpid"))
	if !generic.Has(event.GENERIC_E) || !generic.Has(event.GENERIC_X) {
		t.Error("a call without own event does not select the generic ones")
	}
	others := Types(mustParse(t, "evt.type != getpid and evt.type != open"))
	if !others.Has(event.GENERIC_X) {
		t.Error("excluding one call without own event excludes the others")
	}
}

func TestHostNamesAreLookedUpInTheBackground(t *testing.T) {
	h := &fakeHost{values: map[string]string{"fd.sip": "10.0.0.1"}}
	p := h.schema().NewProgram()
	is := mustAdd(t, p, "fd.sip.name = one.test")
	in := mustAdd(t, p, "fd.sip.name in (two.test, one.test)")
	not := mustAdd(t, p, "fd.sip.name != one.test")
	e := fakeEvent("connect", 1)
	for p.Eval(is, e); p.hosts["one.test"].addrs.Load() == nil; {
		time.Sleep(time.Millisecond) // until the look-up has answered
	}
	e.Num++
	if !p.Eval(is, e) || !p.Eval(in, e) || p.Eval(not, e) {
		t.Errorf("with the name's address: %v %v %v", p.Eval(is, e), p.Eval(in, e), p.Eval(not, e))
	}
	h.values["fd.sip"] = "10.0.0.2"
	e.Num++
	if p.Eval(is, e) || p.Eval(in, e) || !p.Eval(not, e) {
		t.Errorf("with another address: %v %v %v", p.Eval(is, e), p.Eval(in, e), p.Eval(not, e))
	}
}

func TestHostNamesCanBeLookedUpBeforeTheFirstEvent(t *testing.T) {
	h := &fakeHost{values: map[string]string{"fd.sip": "10.0.0.1"}}
	p := h.schema().NewProgram()
	not := mustAdd(t, p, "not fd.sip.name in (one.test)")
	for p.LookUpHosts(); p.hosts["one.test"].addrs.Load() == nil; {
		time.Sleep(time.Millisecond) // until the look-up has answered
	}
	if p.Eval(not, fakeEvent("connect", 1)) {
		t.Error("the first event is judged without the name's address")
	}
}
