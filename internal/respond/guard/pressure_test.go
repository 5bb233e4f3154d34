package guard

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/probe"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/policy"
	"rollcage/internal/respond/scene"
)

// fakeBox is a black box that only notes what it is told.
type fakeBox struct {
	mu     sync.Mutex
	most   int
	paused bool
	data   probe.BoxSnaplens
	scope  *probe.BoxScope
}

func (b *fakeBox) Read(uint64) (*probe.Recording, error) { return &probe.Recording{}, nil }
func (b *fakeBox) Size() int                             { return 1 << 20 }

func (b *fakeBox) set(f func()) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	return nil
}

func (b *fakeBox) SetScope(s *probe.BoxScope) error { return b.set(func() { b.scope = s }) }
func (b *fakeBox) Cut(most int) error               { return b.set(func() { b.most = most }) }
func (b *fakeBox) Pause(on bool) error              { return b.set(func() { b.paused = on }) }
func (b *fakeBox) SetLengths(s probe.BoxSnaplens, _ map[uint16]int, _ map[string]int) error {
	return b.set(func() { b.data = s })
}

// shedStep is what is looked at at a step.
type shedStep struct {
	level  int32
	most   int
	io     bool
	paused bool
}

var shedSteps = []shedStep{
	{shedNothing, probe.MaxSnaplen, true, false},
	{shedDetail, 80, true, false},
	{shedIO, 80, false, false},
	{shedData, 0, false, false},
	{shedBox, 0, false, true},
}

func TestLoadIsShedInStepsAndTakenUpAgain(t *testing.T) {
	h, all, box := newFakeHost(), newCollected("all"), &fakeBox{}
	g := newTestGuard(t, h, Options{Budget: Budget{CPUs: 0.5}, Box: box, Outputs: Outputs{All: []alert.Output{all}}})
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
	at := func(want shedStep) {
		t.Helper()
		box.mu.Lock()
		got := shedStep{g.pressure.level.Load(), box.most, h.wants(event.SYSCALL_READ_X), box.paused}
		box.mu.Unlock()
		if got != want || !h.wants(event.SYSCALL_OPENAT_2_X) {
			t.Errorf("%+v, want %+v; asked for openings: %v", got, want, h.wants(event.SYSCALL_OPENAT_2_X))
		}
		s := g.Status()
		if text := shedText[want.level]; want.level > shedNothing && s.Shed != text || s.BlackBox == want.paused || s.Box.Most != want.most {
			t.Errorf("status at level %d: %q, black box %v, %d bytes", want.level, s.Shed, s.BlackBox, s.Box.Most)
		}
	}
	told := func(want shedStep, why string) {
		t.Helper()
		a := all.next(t)
		if a.Rule != ShedRule || !strings.Contains(a.Message, shedText[want.level]) || !strings.Contains(a.Message, why) {
			t.Errorf("the alert of level %d: %+v", want.level, a)
		}
	}
	look(pressureUp - 1)
	at(shedSteps[0])
	look(1)
	for _, step := range shedSteps[1:] {
		at(step)
		told(step, "0.90 CPUs")
		// Policies that want more at the same time do not get it.
		if err := g.SetPolicies(policies(t, "- blackbox: {data: {file: 32768}, scope: {on: anywhere}}")); err != nil {
			t.Fatal(err)
		}
		at(step)
		look(pressureUp)
	}
	look(5 * pressureUp)
	at(shedSteps[4])

	usage.CPUs = 0.4 // within the budget, but not by much
	look(2 * pressureDown)
	at(shedSteps[4])
	usage.CPUs = 0.1
	for i := len(shedSteps) - 2; i >= 0; i-- {
		look(pressureDown)
		at(shedSteps[i])
		told(shedSteps[i], "there is room again")
	}
	if s := g.Status(); s.Shed != "" || box.data.File != 32768 {
		t.Errorf("%+v, %+v", s, box.data)
	}
}

func TestWithoutABlackBoxOnlyReadsAndWritesAreShed(t *testing.T) {
	g := newTestGuard(t, newFakeHost(), Options{Budget: Budget{CPUs: 0.5}})
	defer run(t, g)()
	g.started = time.Now().Add(-time.Minute)
	usage := Usage{CPUs: 0.9}
	g.pressure.read = func() Usage { return usage }
	for range 5 * pressureUp {
		g.pressure.look()
	}
	if level := g.pressure.level.Load(); level != shedIO {
		t.Errorf("level %d", level)
	}
	usage.CPUs = 0
	for range pressureDown {
		g.pressure.look()
	}
	if level := g.pressure.level.Load(); level != shedNothing {
		t.Errorf("level %d when there is room", level)
	}
}

func policies(t *testing.T, text string) *policy.Set {
	t.Helper()
	set, problems := policy.Load([]rule.File{{Name: "p.yaml", Data: []byte(text)}})
	if policy.Failed(problems) {
		t.Fatal(problems)
	}
	return set
}

func TestTheScopeOfTheBoxFollowsContainersAndPolicies(t *testing.T) {
	box := &fakeBox{}
	g := newTestGuard(t, newFakeHost(), Options{Box: box, Policies: policies(t, "- blackbox: {scope: {containers: 'web-*'}}")})
	if !g.places.found() {
		t.Skip("no cgroups are to be seen here")
	}
	g.places.byPath = map[string]*place{
		"/web": {id: 1, container: &scene.Container{ID: "a", Name: "web-1"}},
		"/db":  {id: 2, container: &scene.Container{ID: "b", Name: "db-1"}},
		"/new": {id: 3, container: &scene.Container{ID: "c"}},
	}
	if _ = g.box.apply(); box.scope != nil {
		t.Errorf("before it is known where containers are: %+v", box.scope)
	}
	g.box.known()
	for _, c := range []struct {
		policies string
		want     *probe.BoxScope
	}{
		{"- blackbox: {scope: {containers: 'web-*'}}", &probe.BoxScope{Cgroups: map[uint64]bool{1: true, 2: false, 3: true}}},
		{"- blackbox: {scope: {except: {containers: 'web-*'}}}", &probe.BoxScope{Cgroups: map[uint64]bool{1: false, 2: true, 3: true}, Rest: true}},
		{"- blackbox: {scope: {on: host}}", &probe.BoxScope{Cgroups: map[uint64]bool{1: false, 2: false, 3: false}, Rest: true}},
		{"", nil},
	} {
		if err := g.SetPolicies(policies(t, c.policies)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, box.scope); diff != "" {
			t.Errorf("%s: %s", c.policies, diff)
		}
	}
	if err := g.SetPolicies(policies(t, "- blackbox: {size: 0}")); err != nil || !box.paused {
		t.Errorf("without memory: paused %v, %v", box.paused, err)
	}
	if s := g.Status(); s.BlackBox || s.Box.Restart == "" {
		t.Errorf("%v, %+v", s.BlackBox, s.Box)
	}
}
