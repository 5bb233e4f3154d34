package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

const (
	idA = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	idB = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
)

// memorySource hands out events from memory.
type memorySource struct {
	snap   event.Snapshot
	events [][]byte
	closed bool
}

func (m *memorySource) Snapshot() *event.Snapshot { return &m.snap }
func (m *memorySource) Stats() event.Stats        { return event.Stats{} }
func (m *memorySource) Close() error              { m.closed = true; return nil }
func (m *memorySource) Next(ev *event.Event) error {
	if len(m.events) == 0 {
		return io.EOF
	}
	b := m.events[0]
	m.events = m.events[1:]
	if b == nil {
		return event.ErrIdle
	}
	return ev.Reset(b)
}

// fakeEngine stands in for a container runtime where its timing must be exact.
type fakeEngine struct {
	mu      sync.Mutex
	known   map[string]*host.Container
	lookups []string
	changed func(Change)
	ready   chan struct{}
}

func newFakeEngine(ids ...string) *fakeEngine {
	f := &fakeEngine{known: map[string]*host.Container{}, ready: make(chan struct{})}
	for i, id := range ids {
		f.known[id[:12]] = &host.Container{ID: id[:12], FullID: id, Known: true, Name: fmt.Sprint("web", i), Image: "nginx:1", Size: -1}
	}
	return f
}

func (f *fakeEngine) Name() string                   { return "fake" }
func (f *fakeEngine) Owns(t host.ContainerType) bool { return t == host.Docker }
func (f *fakeEngine) Close() error                   { return nil }
func (f *fakeEngine) List(context.Context) ([]*host.Container, error) {
	return nil, nil
}

func (f *fakeEngine) Lookup(_ context.Context, id string) (*host.Container, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lookups = append(f.lookups, id)
	if c := f.known[id]; c != nil {
		return c, nil
	}
	return nil, ErrNotFound
}

func (f *fakeEngine) Watch(ctx context.Context, ready func(), changed func(Change)) error {
	ready()
	f.mu.Lock()
	f.changed = changed
	f.mu.Unlock()
	close(f.ready)
	<-ctx.Done()
	return ctx.Err()
}

// execve makes an exec event in a Docker container's cgroup, or on the host for an empty id.
func execve(t *testing.T, tid int64, id string) []byte {
	t.Helper()
	info := event.SYSCALL_EXECVE_19_X.Info()
	values := make([]any, len(info.Params))
	values[0] = 0
	path := "/user.slice"
	if id != "" {
		path = "/docker/" + id
	}
	values[info.ParamIndex("cgroups")] = "cpu=" + path + "\x00memory=" + path + "\x00"
	b, err := event.Append(nil, uint64(tid)*1000, tid, event.SYSCALL_EXECVE_19_X, values...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// drain returns the events as "type tid" and, for container events, "container NAME".
func drain(t *testing.T, s *Source) []string {
	t.Helper()
	var out []string
	var ev event.Event
	for want := uint64(1); ; want++ {
		err := s.Next(&ev)
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if ev.Num != want {
			t.Errorf("event %d has number %d", want, ev.Num)
		}
		if ev.Type() == event.USER_ADDED_E {
			name, _ := ev.Str(2)
			out = append(out, fmt.Sprint("user ", name, " ", ev.Hidden))
			continue
		}
		if ev.Type() != event.ASYNCEVENT_E {
			text := fmt.Sprint(ev.Info().Name, " ", ev.TID())
			if ev.Hidden {
				text = "hidden " + text
			}
			out = append(out, text)
			continue
		}
		kind, _ := ev.Str(1)
		c, err := host.ParseContainerJSON(ev.Param(2))
		if err != nil {
			t.Fatal(err)
		}
		text := kind + " " + c.Name
		if ev.Hidden {
			text = "hidden " + text
		}
		out = append(out, text)
	}
}

// newSource returns a Source that finds no user names.
func newSource(src event.Source, c *Catalog) *Source {
	s := NewSource(src, c)
	s.users.read = func(id string, _ int64) accounts { return accounts{id: id, err: errHostRoot} }
	return s
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestAContainersFactsComeRightBeforeItsFirstEvent(t *testing.T) {
	f := newFakeEngine(idA, idB)
	src := &memorySource{events: [][]byte{execve(t, 1, ""), execve(t, 2, idA), execve(t, 3, idA), execve(t, 4, idB)}}
	s := newSource(src, NewCatalog([]Engine{f}, quiet()))
	s.Snapshot()
	want := []string{"execve 1", "container web0", "execve 2", "execve 3", "container web1", "execve 4"}
	if got := drain(t, s); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := s.Close(); err != nil || !src.closed {
		t.Errorf("close: %v, inner closed %v", err, src.closed)
	}
	if !slices.Equal(f.lookups, []string{idA[:12], idB[:12]}) {
		t.Errorf("asked for %q", f.lookups)
	}
}

func TestContainersOfTheSnapshotComeFirstAndHidden(t *testing.T) {
	f := newFakeEngine(idA)
	src := &memorySource{events: [][]byte{execve(t, 2, idA)}}
	src.snap.Threads = []*event.ThreadInfo{{TID: 7, PID: 7, Cgroups: []string{"cpu=/docker/" + idA}}}
	s := newSource(src, NewCatalog([]Engine{f}, quiet()))
	defer s.Close()
	s.Snapshot()
	want := []string{"hidden container web0", "execve 2"}
	if got := drain(t, s); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNewsAboutAContainerAreHandedOutOnce(t *testing.T) {
	f := newFakeEngine(idA)
	src := &memorySource{events: [][]byte{execve(t, 1, idA), execve(t, 2, idA), nil, execve(t, 3, "")}}
	s := newSource(src, NewCatalog([]Engine{f}, quiet()))
	defer s.Close()
	s.Snapshot()
	<-f.ready
	var ev event.Event
	next := func() string {
		t.Helper()
		if err := s.Next(&ev); err != nil {
			return err.Error()
		}
		name := ev.Info().Name
		if ev.Type() == event.ASYNCEVENT_E {
			name, _ = ev.Str(1)
		}
		return name
	}
	renamed := *f.known[idA[:12]]
	renamed.Name = "other"
	var got []string
	got = append(got, next(), next()) // the facts, the event
	f.changed(Change{Container: &renamed})
	f.changed(Change{Container: &renamed})
	got = append(got, next(), next())
	f.changed(Change{Container: &host.Container{ID: idA[:12], FullID: idA}, Removed: true})
	f.changed(Change{Container: &host.Container{ID: idB[:12], FullID: idB}, Removed: true}) // never seen
	got = append(got, next(), next())
	want := []string{"container", "execve", "container", "execve", "container_removed", "execve"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAnUnknownContainerDelaysNothingAndIsAskedForAgainLater(t *testing.T) {
	f := newFakeEngine()
	src := &memorySource{}
	for i := range 1000 {
		src.events = append(src.events, execve(t, int64(i), idA))
	}
	catalog := NewCatalog([]Engine{f}, quiet())
	s := newSource(src, catalog)
	defer s.Close()
	s.Snapshot()
	if got := drain(t, s); len(got) != 1000 {
		t.Errorf("%d events", len(got))
	}
	if len(f.lookups) != 1 {
		t.Errorf("asked %d times", len(f.lookups))
	}
	// Once the runtime knows it, the next event that carries it has its name.
	catalog.mu.Lock()
	catalog.tried[idA[:12]] = time.Now().Add(-retryAfter)
	catalog.mu.Unlock()
	f.mu.Lock()
	f.known = newFakeEngine(idA).known
	f.mu.Unlock()
	var ev event.Event
	src.events = append(src.events, execve(t, 1, idA))
	if err := s.Next(&ev); err != nil || ev.Type() != event.ASYNCEVENT_E {
		t.Errorf("got %v, %v", ev.Info(), err)
	}
}

// hungEngine accepts a question and never answers.
type hungEngine struct{ *fakeEngine }

func (h hungEngine) Lookup(ctx context.Context, id string) (*host.Container, error) {
	h.mu.Lock()
	h.lookups = append(h.lookups, id)
	h.mu.Unlock()
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestAHungRuntimeIsWaitedForOnce(t *testing.T) {
	h := hungEngine{newFakeEngine()}
	src := &memorySource{}
	for i := range 50 {
		src.events = append(src.events, execve(t, int64(i), fmt.Sprintf("%02d", i)+idA[2:]))
	}
	s := newSource(src, NewCatalog([]Engine{h}, quiet()))
	defer s.Close()
	s.Snapshot()
	if got := drain(t, s); len(got) != 50 {
		t.Errorf("%d events", len(got))
	}
	if len(h.lookups) != 1 {
		t.Errorf("asked %d times", len(h.lookups))
	}
}

func TestTheUsersOfAContainerComeBeforeItsFirstProgram(t *testing.T) {
	f := newFakeEngine(idA)
	src := &memorySource{events: [][]byte{execve(t, 1, ""), execve(t, 2, idA), execve(t, 3, idA), execve(t, 4, idA)}}
	s := newSource(src, NewCatalog([]Engine{f}, quiet()))
	defer s.Close()
	s.users.read = func(id string, pid int64) accounts {
		if pid == 2 { // the runtime's own process, before it enters the container's root
			return accounts{id: id, err: errHostRoot}
		}
		return accounts{id: id, users: []event.User{{UID: 33, Name: fmt.Sprint("web", pid)}}}
	}
	s.Snapshot()
	want := []string{"execve 1", "container web0", "execve 2", "user web3 true", "execve 3", "execve 4"}
	if got := drain(t, s); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestARootThatDoesNotAnswerHoldsUpNothing(t *testing.T) {
	f := newFakeEngine(idA)
	src := &memorySource{}
	for i := range 100 {
		src.events = append(src.events, execve(t, int64(i), idA))
	}
	s := newSource(src, NewCatalog([]Engine{f}, quiet()))
	defer s.Close()
	hang, asked := make(chan struct{}), make(chan struct{}, 100)
	defer close(hang)
	s.users.read = func(string, int64) accounts {
		asked <- struct{}{}
		<-hang
		return accounts{}
	}
	s.Snapshot()
	if got := drain(t, s); len(got) != 101 {
		t.Errorf("%d events", len(got))
	}
	if len(asked) > usersTries {
		t.Errorf("asked %d times", len(asked))
	}
}

func TestAnErrorOfTheSourceIsPassedOn(t *testing.T) {
	s := newSource(&memorySource{events: [][]byte{{1, 2, 3}}}, NewCatalog(nil, quiet()))
	defer s.Close()
	var ev event.Event
	if err := s.Next(&ev); !errors.Is(err, event.ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkEventsThatTellNothingNew(b *testing.B) {
	f := newFakeEngine(idA)
	src := &memorySource{}
	t := &testing.T{}
	one := execve(t, 2, idA)
	src.events = [][]byte{one}
	s := newSource(src, NewCatalog([]Engine{f}, quiet()))
	defer s.Close()
	var ev event.Event
	_ = s.Next(&ev) // the facts
	_ = s.Next(&ev)
	again := [][]byte{one}
	b.ReportAllocs()
	for b.Loop() {
		src.events = again
		if err := s.Next(&ev); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAnImageWithAMillionUsersIsToldInPart(t *testing.T) {
	a := accounts{id: idA[:12], users: make([]event.User, 1_000_000), groups: make([]event.Group, 1_000_000)}
	if n := len(a.appendEvents(nil, 1)); n != 2*maxUsers {
		t.Errorf("%d users and groups are told, want %d", n, 2*maxUsers)
	}
}

func TestAContainerIsAskedForWhenItsCgroupIsMade(t *testing.T) {
	e := newFakeEngine(idA)
	c := NewCatalog([]Engine{e}, quiet())
	defer c.Close()
	for _, path := range []string{"/", "/system.slice/ssh.service", "/system.slice/docker-" + idB + ".scope",
		"/system.slice/docker-" + idA + ".scope", "/system.slice/docker-" + idA + ".scope/init"} {
		c.Expect(path)
	}
	if got := c.Find(idA[:12], host.Docker); got == nil || got.Name != "web0" {
		t.Errorf("found %+v", got)
	}
	if c.Find(idB[:12], host.Docker) != nil {
		t.Error("found a container that is not there")
	}
	// The second is asked for again: the runtime may have made the cgroup first.
	if want := []string{idB[:12], idA[:12], idB[:12]}; !slices.Equal(e.lookups, want) {
		t.Errorf("asked for %q, want %q", e.lookups, want)
	}
}
