package guard

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
	"rollcage/internal/respond/action"
	"rollcage/internal/respond/agent"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/policy"
	"rollcage/internal/respond/scene"
)

// fakeHost stands for a live host in which a process opens /etc/shadow for each
// send on open. The real one is in the tests of internal/cli, which need BPF.
type fakeHost struct {
	open   chan struct{}
	closed chan struct{}
	once   sync.Once
	buf    []byte

	cgroups []string    // of the process
	tell    chan string // facts about containers

	mu    sync.Mutex
	n     uint64
	asked event.Interest
}

func newFakeHost() *fakeHost {
	return &fakeHost{open: make(chan struct{}), closed: make(chan struct{}), tell: make(chan string)}
}

func (h *fakeHost) Snapshot() *event.Snapshot {
	t := event.NewThreadInfo()
	t.TID, t.PID, t.Comm, t.Exe, t.ExePath, t.Cwd = 1, 1, "opener", "opener", "/bin/opener", "/"
	t.Cgroups = h.cgroups
	return &event.Snapshot{Threads: []*event.ThreadInfo{t}}
}

func (h *fakeHost) Next(ev *event.Event) error {
	select {
	case <-h.closed:
		return io.EOF
	case <-time.After(10 * time.Millisecond):
		return event.ErrIdle
	case text := <-h.tell:
		return h.next(ev, event.CONTAINER_JSON_2_E, text)
	case <-h.open:
	}
	return h.next(ev, event.SYSCALL_OPENAT_2_X, 3, -100, "/etc/shadow", 1, 0, 0x801, 77)
}

func (h *fakeHost) next(ev *event.Event, typ event.Type, params ...any) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.n++
	var err error
	h.buf, err = event.Append(h.buf[:0], uint64(time.Now().UnixNano()), 1, typ, params...)
	if err != nil {
		return err
	}
	ev.Num = h.n
	return ev.Reset(h.buf)
}

func (h *fakeHost) Stats() event.Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	return event.Stats{Events: h.n}
}

func (h *fakeHost) SetInterest(i event.Interest) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = i
	return nil
}

func (h *fakeHost) wants(t event.Type) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked.Types.Has(t)
}

func (h *fakeHost) Close() error { h.once.Do(func() { close(h.closed) }); return nil }

// collected is an output that keeps what it is sent.
type collected struct {
	name string
	got  chan *alert.Alert

	mu     sync.Mutex
	reopen int
	closed bool
}

func newCollected(name string) *collected {
	return &collected{name: name, got: make(chan *alert.Alert, 100)}
}

func (c *collected) Name() string { return c.name }

func (c *collected) Send(ctx context.Context, a *alert.Alert) error {
	select {
	case c.got <- a:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *collected) Reopen() error { c.mu.Lock(); defer c.mu.Unlock(); c.reopen++; return nil }
func (c *collected) Close() error  { c.mu.Lock(); defer c.mu.Unlock(); c.closed = true; return nil }

// next returns the next alert.
func (c *collected) next(t *testing.T) *alert.Alert {
	t.Helper()
	select {
	case a := <-c.got:
		return a
	case <-time.After(time.Minute):
		t.Fatalf("output %s gets no alert", c.name)
	}
	return nil
}

var quiet = slog.New(slog.DiscardHandler)

const testRules = `
- rule: Secret read
  desc: d
  condition: evt.type in (openat, read) and fd.name = /etc/shadow
  output: "%proc.name reads %fd.name"
  priority: WARNING
`

const testPolicies = `
- policy: Page
  mode: enforce
  actions: [{notify: [pager]}]
`

// newTestGuard returns a guard over a host that is none. It is closed at the end.
func newTestGuard(t *testing.T, h *fakeHost, o Options) *Guard {
	t.Helper()
	set, results := rule.Load([]rule.File{{Name: "r.yaml", Data: []byte(testRules)}}, rule.LoadOptions{})
	if !results[0].OK() {
		t.Fatal(results[0].Summary(true))
	}
	e, err := rule.NewEngine(set, rule.EngineOptions{Threshold: rule.Debug})
	if err != nil {
		t.Fatal(err)
	}
	if o.Rules, err = agent.NewRules(e, alert.FormatterOptions{}); err != nil {
		t.Fatal(err)
	}
	if o.Policies == nil {
		policies, problems := policy.Load([]rule.File{{Name: "p.yaml", Data: []byte(testPolicies)}})
		if policy.Failed(problems) {
			t.Fatal(problems)
		}
		o.Policies = policies
	}
	o.Source, o.Log, o.CanaryEvery = h, quiet, time.Hour
	if o.State == "" {
		o.State = t.TempDir()
	}
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return g
}

// run runs a guard until the returned function is called.
func run(t *testing.T, g *Guard) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestAnAlertIsInAnIncidentAndReachesEveryOutputThatIsMeant(t *testing.T) {
	h, all, pager, other := newFakeHost(), newCollected("all"), newCollected("pager"), newCollected("other")
	g := newTestGuard(t, h, Options{Outputs: Outputs{
		All: []alert.Output{all}, Notified: map[string]alert.Output{"pager": pager, "other": other}, Names: []string{"all"},
	}})
	defer run(t, g)()
	h.open <- struct{}{}
	a := all.next(t)
	if a.Rule != "Secret read" || a.Message == "" {
		t.Errorf("%+v", a)
	}
	if b := pager.next(t); b.ID != a.ID {
		t.Errorf("the policy sent alert %s, not %s", b.ID, a.ID)
	}
	list, err := g.Evidence().List(evidence.Filter{})
	if err != nil || len(list) != 1 || list[0].Alerts != 1 {
		t.Fatalf("incidents: %+v, %v", list, err)
	}
	s := g.Status()
	if s.Alerts != 1 || s.Kept != 1 || s.Lost != 0 || len(s.Last) != 1 || s.Last[0].ID != list[0].ID {
		t.Errorf("%+v", s)
	}
	if len(other.got) > 0 {
		t.Error("an output that no policy names got the alert")
	}
}

func TestWhatPeopleAskForMustMakeSense(t *testing.T) {
	h, all := newFakeHost(), newCollected("all")
	g := newTestGuard(t, h, Options{Outputs: Outputs{All: []alert.Output{all}, Names: []string{"all"}}})
	defer run(t, g)()
	h.open <- struct{}{}
	all.next(t)
	list, err := g.Evidence().List(evidence.Filter{})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	id, who := list[0].ID, evidence.Caller("test")
	for what, c := range map[string]struct {
		err  error
		want error
	}{
		"nobody asks":             {do(g, nil, id, policy.Action{Kind: policy.Pause}), ErrInvalid},
		"an action that is none":  {do(g, who, id, policy.Action{Kind: "dance"}), ErrInvalid},
		"a program":               {do(g, who, id, policy.Action{Kind: policy.Run, Command: "true"}), ErrInvalid},
		"kill what":               {do(g, who, id, policy.Action{Kind: policy.Kill, Target: "all"}), ErrInvalid},
		"an incident that is not": {do(g, who, "20200101T000000Z-00000000", policy.Action{Kind: policy.Pause}), ErrUnknown},
		"a path":                  {do(g, who, "../../etc", policy.Action{Kind: policy.Pause}), ErrUnknown},
		"an undo of nothing":      {second(g.Undo(t.Context(), who, "x")), ErrUnknown},
		"a note without text":     {g.Note(who, id, ""), ErrInvalid},
		"a note about nothing":    {g.Note(who, "x", "text"), ErrUnknown},
		"a policy that is not":    {g.SetMode(who, "Pagr", policy.Monitor), ErrUnknown},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", what, c.err, c.want)
		}
	}
	if err := do(g, who, id, policy.Action{Kind: policy.Kill, Target: policy.KillProcess}); err == nil {
		t.Error("process 1 may be killed")
	}
	if err := g.Note(who, id, "seen"); err != nil {
		t.Error(err)
	}
	if err := g.SetMode(who, "Page", policy.Monitor); err != nil || g.Policies().Find("Page").Mode() != policy.Monitor {
		t.Error(err)
	}
}

func do(g *Guard, who *evidence.Who, incident string, a policy.Action) error {
	return second(g.Act(context.Background(), who, incident, a, false))
}

func second[T any](_ T, err error) error { return err }

func TestModesAndAlertsOutlastARestart(t *testing.T) {
	state := t.TempDir()
	h, stuck := newFakeHost(), &failing{name: "all"}
	g := newTestGuard(t, h, Options{State: state, Outputs: Outputs{All: []alert.Output{stuck}}})
	stop := run(t, g)
	h.open <- struct{}{}
	for g.Status().Kept == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	if err := g.SetMode(evidence.Caller("test"), "Page", policy.Monitor); err != nil {
		t.Fatal(err)
	}
	stop()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g.Close(ctx) // the output does not take what waits

	all := newCollected("all")
	g = newTestGuard(t, newFakeHost(), Options{State: state, Outputs: Outputs{All: []alert.Output{all}}})
	if a := all.next(t); a.Rule != "Secret read" {
		t.Errorf("%+v", a)
	}
	if m := g.Policies().Find("Page").Mode(); m != policy.Monitor {
		t.Errorf("mode %s", m)
	}
	list, err := g.Evidence().List(evidence.Filter{})
	if err != nil || len(list) != 1 {
		t.Errorf("incidents: %+v, %v", list, err)
	}
}

// failing is an output that takes nothing.
type failing struct{ name string }

func (f *failing) Name() string                             { return f.name }
func (f *failing) Send(context.Context, *alert.Alert) error { return errors.New("it is away") }
func (f *failing) Reopen() error                            { return nil }
func (f *failing) Close() error                             { return nil }

func TestTheStateIsForItsOwnerAlone(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	h, all := newFakeHost(), newCollected("all")
	g := newTestGuard(t, h, Options{State: state, Outputs: Outputs{All: []alert.Output{all}}})
	stop := run(t, g)
	h.open <- struct{}{}
	all.next(t)
	stop()
	if err := g.SetMode(evidence.Caller("test"), "Page", policy.Monitor); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(state, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s may be used by others: %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestGuardStartsWithoutWhatIsToBeUndoneAndSaysSo(t *testing.T) {
	h, all, state := newFakeHost(), newCollected("all"), t.TempDir()
	if err := os.WriteFile(filepath.Join(state, undoName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := newTestGuard(t, h, Options{State: state, Outputs: Outputs{All: []alert.Output{all}, Names: []string{"all"}}})
	defer run(t, g)()
	if a := all.next(t); a.Rule != ForgottenRule || a.Priority != rule.Critical {
		t.Errorf("%+v", a)
	}
	g.overdue(action.Undo{ID: "7", Kind: policy.Pause, Container: &scene.Container{ID: "c"}, Tries: 1, Error: "busy"}, time.Minute)
	g.overdue(action.Undo{ID: "7", Kind: policy.Pause, Container: &scene.Container{ID: "c"}, Tries: 2, Error: "busy"}, time.Minute)
	h.open <- struct{}{}
	for _, want := range []string{OverdueRule, "Secret read"} { // the second try is not told
		if a := all.next(t); a.Rule != want {
			t.Errorf("got %s, want %s", a.Rule, want)
		}
	}
}

func TestGuardStartsWithoutModesMonitorsAndSaysSo(t *testing.T) {
	policies, problems := policy.Load([]rule.File{{Name: "p.yaml", Data: []byte("- policy: Acts\n  mode: enforce\n  actions: [{run: \"true\"}]\n")}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	h, all, state := newFakeHost(), newCollected("all"), t.TempDir()
	if err := os.WriteFile(filepath.Join(state, modesName), []byte(`{"Acts": "mon`), 0o600); err != nil {
		t.Fatal(err)
	}
	g := newTestGuard(t, h, Options{State: state, Policies: policies, Outputs: Outputs{All: []alert.Output{all}, Names: []string{"all"}}})
	defer run(t, g)()
	if a := all.next(t); a.Rule != DisarmedRule || a.Priority != rule.Critical {
		t.Errorf("%+v", a)
	}
	if m := g.Policies().Find("Acts").Mode(); m != policy.Monitor {
		t.Errorf("the policy is in mode %v", m)
	}
	// The next start knows it.
	if err := policies.KeepModes(filepath.Join(state, modesName)); err != nil || policies.Find("Acts").Mode() != policy.Monitor {
		t.Errorf("then it is in mode %v: %v", policies.Find("Acts").Mode(), err)
	}
}

func TestAProgramHoldsUpWhatItsPolicyWantsAfterItAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	h, all, pager := newFakeHost(), newCollected("all"), newCollected("pager")
	g := newTestGuard(t, h, Options{Outputs: Outputs{
		All: []alert.Output{all}, Notified: map[string]alert.Output{"pager": pager}, Names: []string{"all"},
	}})
	defer run(t, g)()
	policies, problems := policy.Load([]rule.File{{Name: "p.yaml", Data: []byte(`
- policy: Slow
  mode: enforce
  actions: [{run: "touch ` + dir + `/runs; while [ ! -e ` + dir + `/go ]; do sleep 0.01; done; touch ` + dir + `/ended"}, {run: "test -e ` + dir + `/ended && touch ` + dir + `/after"}]
- policy: Page
  mode: enforce
  actions: [{notify: [pager]}]
`)}})
	if policy.Failed(problems) {
		t.Fatal(problems)
	}
	if err := g.SetPolicies(policies); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		h.open <- struct{}{}
		pager.next(t) // while the program of the alert before runs
	}
	if _, err := os.Stat(filepath.Join(dir, "ended")); err == nil {
		t.Fatal("the program was waited for")
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	waitForFile(t, filepath.Join(dir, "after"))
}

func TestWhatRunsAtTheEndIsEndedAndHasItsOutcome(t *testing.T) {
	dir := t.TempDir()
	h, all := newFakeHost(), newCollected("all")
	g := newTestGuard(t, h, Options{Outputs: Outputs{All: []alert.Output{all}, Names: []string{"all"}}})
	policies, problems := policy.Load([]rule.File{{Name: "p.yaml", Data: []byte(
		"- policy: Slow\n  mode: enforce\n  actions: [{run: \"touch " + dir + "/runs; sleep 1000\"}]\n")}})
	if policy.Failed(problems) {
		t.Fatal(problems)
	}
	if err := g.SetPolicies(policies); err != nil {
		t.Fatal(err)
	}
	stop := run(t, g)
	h.open <- struct{}{}
	waitForFile(t, filepath.Join(dir, "runs"))
	list, err := g.Evidence().List(evidence.Filter{})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	stop()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Close(ctx); err != nil {
		t.Fatal(err)
	}
	outcomes := 0
	if _, err := evidence.ReadIncident(EvidenceDir(g.opts.State), list[0].ID, func(r *evidence.Record) error {
		if r.Kind == evidence.KindOutcome {
			outcomes++
		}
		return nil
	}); err != nil || outcomes != 1 {
		t.Errorf("%d outcomes, %v", outcomes, err)
	}
}

func waitForFile(t *testing.T, path string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no ", path)
		}
	}
}

// What is left out by name must be left out in the first moments of a container, too, and when its runtime does not answer.
func TestAContainerIsJudgedByWhatItsRuntimeTellsLater(t *testing.T) {
	for _, tt := range []struct {
		name, told string
		acted      bool
	}{
		{"it is one that is left out", "prot1", false},
		{"it is another one", "web", true},
		{"the runtime does not answer", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "acted")
			h, all, pager := newFakeHost(), newCollected("all"), newCollected("pager")
			h.cgroups = []string{"memory=/docker/0123456789ab" + strings.Repeat("0", 52)}
			g := newTestGuard(t, h, Options{Outputs: Outputs{
				All: []alert.Output{all}, Notified: map[string]alert.Output{"pager": pager}, Names: []string{"all"},
			}})
			if tt.told == "" {
				g.facts.wait = 50 * time.Millisecond
			} else {
				g.facts.wait = time.Minute
			}
			policies, problems := policy.Load([]rule.File{{Name: "p.yaml", Data: []byte(`
- policy: Act
  mode: enforce
  scope: {on: containers, except: {containers: 'prot*'}}
  actions: [{run: "touch ` + file + `"}]
- policy: Page
  mode: enforce
  actions: [{notify: [pager]}]
`)}})
			if policy.Failed(problems) {
				t.Fatal(problems)
			}
			if err := g.SetPolicies(policies); err != nil {
				t.Fatal(err)
			}
			defer run(t, g)()
			h.open <- struct{}{}
			all.next(t)
			for g.facts.open.Load() == 0 {
				time.Sleep(time.Millisecond)
			}
			if tt.told != "" {
				h.tell <- `{"container":{"id":"0123456789ab","name":"` + tt.told + `","type":0,"image":"i"}}`
			}
			pager.next(t)
			if tt.acted {
				waitForFile(t, file)
			} else if err := g.Close(t.Context()); err != nil { // what is done is done then
				t.Error(err)
			} else if _, err := os.Stat(file); err == nil {
				t.Error("it was acted on")
			}
		})
	}
}
