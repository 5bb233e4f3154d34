package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"rollcage/internal/observe/blackbox"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
	"rollcage/internal/respond/action"
	"rollcage/internal/respond/agent"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/policy"
	"rollcage/internal/understand/runtime"
)

// Options say what a guard works with. State, Source, Rules and Policies are required.
type Options struct {
	// State is the folder of everything that outlasts the end, made if it is missing.
	State string
	// Source is the live host. It stays the caller's, who closes it.
	Source event.Source
	// Box is the black box of the source, nil for none: then there are no captures.
	Box blackbox.Box
	// Killer, if set, does what policies want killed fast. It is to call Killed.
	Killer   Killer
	Rules    *agent.Rules
	Policies *policy.Set
	Outputs  Outputs
	// Docker is asked to act on its containers, see [action.Options].
	Docker action.Docker
	// DryRun makes every action that touches something a dry run.
	DryRun bool
	// CanaryEvery is how often it is tried whether detection works, [agent.CanaryEvery] if 0.
	CanaryEvery time.Duration
	// QueueAlerts is how many alerts wait at most to be kept and sent, 4096 if 0.
	QueueAlerts int
	Budget      Budget
	Evidence    evidence.Options
	// Watching says in words what is watched, Version is that of the program; both are for Status.
	Watching, Version string
	// Runtimes tells how the container runtimes are, for Status; nil if none are asked.
	Runtimes func() []runtime.EngineState
	// Log is told what goes on, slog.Default() if nil.
	Log *slog.Logger
}

// Outputs are where alerts go.
type Outputs struct {
	// All get every alert.
	All []alert.Output
	// Notified get only what a policy says, by the name that policies call them.
	Notified map[string]alert.Output
	// Names are the names by which policies call those in All.
	Names []string
}

// Guard is the daemon. Its methods may be called by many goroutines.
type Guard struct {
	opts     Options
	log      *slog.Logger
	started  time.Time
	store    *evidence.Store
	mail     *post
	runner   *action.Runner
	agent    *agent.Agent
	captures *captures
	intake   *intake
	lanes    *lanes
	pressure *pressure
	places   *places
	facts    *facts
	box      *box
	lineage  *lineage
	fast     *fast

	policies atomic.Pointer[policy.Set]
	modeMu   sync.Mutex // of switching modes and policies
	recorder atomic.Pointer[blackbox.Recorder]
	clock    atomic.Pointer[host.Clock] // of the events
	closing  sync.Once
	closeErr error
}

// The files in the folder of the state.
const (
	evidenceName = "evidence"
	outboxName   = "outbox"
	notifyName   = "notify"
	undoName     = "undo.json"
	modesName    = "modes.json"
	capturesName = "captures"
)

// EvidenceDir returns the folder of the evidence in that of the state.
func EvidenceDir(state string) string { return filepath.Join(state, evidenceName) }

// New opens the state and prepares everything; nothing is judged before Run.
func New(opts Options) (*Guard, error) {
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	setDefault(&opts.CanaryEvery, agent.CanaryEvery)
	setDefault(&opts.QueueAlerts, 4096)
	g := &Guard{opts: opts, log: opts.Log, started: time.Now()}
	g.clock.Store(&host.Clock{})
	if err := g.open(); err != nil {
		return nil, errors.Join(err, g.Close(context.Background()))
	}
	return g, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func (g *Guard) open() (err error) {
	dir := func(name string) string { return filepath.Join(g.opts.State, name) }
	for _, d := range []string{g.opts.State, dir(capturesName)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return fmt.Errorf("state: %w", err)
		}
	}
	g.opts.Evidence.Log = g.log
	if g.store, err = evidence.Open(dir(evidenceName), g.opts.Evidence); err != nil {
		return err
	}
	if g.mail, err = openPost(dir(outboxName), dir(notifyName), g.opts.Outputs, g.log); err != nil {
		return err
	}
	unknown, err := keepModes(g.opts.Policies, dir(modesName))
	if err != nil {
		return err
	}
	g.policies.Store(g.opts.Policies)
	g.captures = newCaptures(dir(capturesName), g.store, &g.recorder, &g.clock, g.shed, g.log)
	g.captures.adopt()
	g.intake = newIntake(g, g.opts.QueueAlerts) // before what may raise alerts
	g.facts = newFacts()
	g.lineage = newLineage()
	if g.runner, err = action.New(action.Options{
		Record: g.store, Policies: g.policies.Load, Facts: g.facts.of, Lineage: g.lineage, Docker: g.opts.Docker, Notify: g.mail.notify, Capture: g.captures.take,
		State: dir(undoName), Overdue: g.overdue, DryRun: g.opts.DryRun, Log: g.log,
	}); err != nil {
		return err
	}
	g.places = newPlaces(g)
	g.forgotten(g.runner.Aside())
	g.disarmed(unknown)
	g.fast = newFast(g)
	g.box = newBox(g)
	g.lanes = newLanes(g)
	if g.agent, err = agent.New(g.opts.Source, g.opts.Rules, g.intake, agent.Options{
		Live: true, CanaryEvery: g.opts.CanaryEvery, Log: g.log,
		Loss:   agent.Loss{Alert: true, Every: 30 * time.Second},
		Loaded: g.loaded, Applied: g.applied, Idle: g.lineage.idle, Matched: g.intake.matched,
	}); err != nil {
		return err
	}
	g.pressure = newPressure(g, g.opts.Budget)
	_ = g.box.apply() // told
	return nil
}

// loaded and applied tell the black box of the state. The goroutine of the events calls them.
func (g *Guard) loaded(st *host.State) {
	clock := st.Clock()
	g.clock.Store(&clock)
	g.places.loaded(st)
	g.facts.loaded(st)
	g.lineage.loaded(st)
	if g.opts.Box != nil {
		g.recorder.Store(blackbox.New(g.opts.Box, st, blackbox.Options{Keep: g.Policies().Box().Reach + maxAfter, MaxLog: 32 << 20}))
	}
	g.box.known()
}

func (g *Guard) applied(he *host.Event) {
	g.places.seen(he)
	g.facts.seen(he)
	g.lineage.seen(he)
	g.fast.seen(he)
	if r := g.recorder.Load(); r != nil {
		r.Note(he)
	}
}

// Agent returns what judges.
func (g *Guard) Agent() *agent.Agent { return g.agent }

// Evidence returns the store of incidents. Who reads it for somebody notes that in its audit log.
func (g *Guard) Evidence() *evidence.Store { return g.store }

// Policies returns those that are in force.
func (g *Guard) Policies() *policy.Set { return g.policies.Load() }

// Run guards until ctx ends or the source does. It is called once, before Close.
func (g *Guard) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var beside sync.WaitGroup
	beside.Go(func() { g.intake.run() })
	beside.Go(func() { g.tend(ctx) })
	beside.Go(func() { g.places.run(ctx.Done(), func() { _ = g.box.apply(); g.fast.apply() }) })
	beside.Go(func() { g.pressure.run(ctx) })
	err := g.agent.Run(ctx)
	cancel()
	g.intake.end()
	beside.Wait()
	return err
}

// tend does what is due now and then.
func (g *Guard) tend(ctx context.Context) {
	tick, witness := time.NewTicker(time.Minute), time.NewTicker(witnessEvery)
	defer tick.Stop()
	defer witness.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-witness.C:
			g.witness()
			continue
		case <-tick.C:
		}
		if err := g.store.Tend(); err != nil {
			g.log.Error("evidence", "error", err)
		}
	}
}

// witnessEvery is how often the head of the audit log goes to our own log, which usually leaves the host: whoever makes
// the whole store anew later does not have that hash (evidence verify --head).
const witnessEvery = time.Hour

func (g *Guard) witness() {
	seq, hash := g.store.Audit().Head()
	g.log.Info("audit log", "records", seq, "head", hash)
}

// Close lets actions that run end, gives outputs until ctx ends to take what
// waits, and closes everything. What is left is delivered next time, and what
// is to be undone at a time is undone then.
func (g *Guard) Close(ctx context.Context) error {
	g.closing.Do(func() {
		var errs []error
		if g.lanes != nil {
			g.lanes.close(ctx)
		}
		if g.runner != nil {
			errs = append(errs, g.runner.Close())
		}
		if g.captures != nil {
			g.captures.close()
		}
		if g.mail != nil {
			errs = append(errs, g.mail.close(ctx))
		}
		if g.store != nil {
			errs = append(errs, g.store.Close())
		}
		g.closeErr = errors.Join(errs...)
	})
	return g.closeErr
}

// Reopen has outputs open their files again, as log rotation needs.
func (g *Guard) Reopen() { g.mail.reopen() }

// SetPolicies puts other policies in the place of those in force, from the next
// alert on. Modes that were switched stay switched.
func (g *Guard) SetPolicies(set *policy.Set) error {
	g.modeMu.Lock()
	defer g.modeMu.Unlock()
	if err := set.KeepModes(filepath.Join(g.opts.State, modesName)); err != nil {
		return err
	}
	g.policies.Store(set)
	g.fast.apply()
	_ = g.box.apply() // told
	return nil
}

// Killed is told of an event for which Options.Killer sent a signal, before Source delivers it.
func (g *Guard) Killed(ev *event.Event) { g.fast.told(ev) }

// CgroupMade is told of a new cgroup, in the hierarchy that it is made in, so that a container is recorded from its beginning.
func (g *Guard) CgroupMade(path string) { g.places.expect(path) }

// RulesChanged has the kernel kill by the rules that are at work now.
func (g *Guard) RulesChanged() { g.fast.apply() }

// SetOutputs puts other outputs, which are guard's from then on, in the place of those there
// are, and closes these. Alerts that come meanwhile wait in the outbox. An output that stays, by its name in
// Outputs, goes on where it was, also at another address; the position of one that is gone is
// forgotten. After an error nothing is delivered until SetOutputs is called again without
// one, from where each output was.
func (g *Guard) SetOutputs(ctx context.Context, o Outputs) error { return g.mail.set(ctx, o) }
