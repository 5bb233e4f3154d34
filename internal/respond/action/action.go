// Package action does what policies and people decide: pause, stop and kill
// containers and processes, cut containers off the network, run programs.
//
// A [Runner] checks the target first: never Rollcage itself, process 1, threads
// of the kernel, or what the protected list names, and a process only if it is
// still the one that the alert was about. It writes an action down before it
// runs and its outcome afterwards; what cannot be written down is not done.
// What can be undone is remembered over restarts.
package action

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/policy"
	"rollcage/internal/respond/scene"
)

// Recorder keeps actions and their outcome. [evidence.Store] is one.
type Recorder interface {
	// Begin writes down what is about to be done; it is on the disk when Begin returns nil.
	Begin(incident string, a *evidence.Action) error
	// End writes down what became of it.
	End(incident string, o *evidence.Outcome) error
}

// Options say what a runner works with. Record is required; actions for which
// something else is missing fail and say so.
type Options struct {
	Record Recorder
	// Policies returns the set whose protected list holds now, nil for none.
	Policies func() *policy.Set
	// Docker is asked to act on its containers; others are acted on through their cgroups.
	Docker Docker
	// Notify sends an alert to the outputs with these names, to all if there are none.
	Notify func(ctx context.Context, outputs []string, a *alert.Alert) error
	// Capture takes what happened from so long before until so long after into
	// the incident, and says in words what it got.
	Capture func(ctx context.Context, incident string, sc *scene.Scene, before, after time.Duration) (string, error)
	// Facts returns what is known of a container by now, by its short id. It waits for a
	// moment if that is nothing yet, and returns nil if it stays so.
	Facts func(ctx context.Context, id string) *scene.Container
	// Lineage, if set, finds what a process started, also what has another parent by now.
	Lineage Lineage
	// State is a file that remembers what can be undone, "" for none.
	State string
	// Overdue, if set, is told each time that something could not be taken back when its time
	// was over, and in how long that is tried again.
	Overdue func(u Undo, next time.Duration)
	// DryRun makes every action a dry run.
	DryRun bool
	// Log is told what is done, slog.Default() if nil.
	Log *slog.Logger
}

// Runner runs actions. Its methods may be called by many goroutines; actions
// that change a container run one after the other.
type Runner struct {
	opts    Options
	own     own
	pending *pending

	ctx     context.Context // of what runs
	cancel  context.CancelFunc
	running sync.WaitGroup
	// undoRetry is the first pause after something could not be taken back.
	undoRetry time.Duration
	// dockerWait is how long Docker may take.
	dockerWait time.Duration

	mu     sync.Mutex
	locks  map[string]*keyLock // by container
	closed bool
}

// Request is an action with its target.
type Request struct {
	policy.Action
	Incident string
	Policy   string // that decided it
	Who      *evidence.Who
	Alert    *alert.Alert
	Scene    *scene.Scene
	DryRun   bool

	undoes string // the action that this one takes back
}

// New returns a runner. What an earlier one left to be undone at a time is undone then.
func New(opts Options) (*Runner, error) {
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	o, err := findOwn()
	if err != nil {
		return nil, fmt.Errorf("actions: %w", err)
	}
	r := &Runner{opts: opts, own: o, undoRetry: firstUndoRetry, dockerWait: dockerWait, locks: map[string]*keyLock{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	if r.pending, err = openPending(opts.State); err != nil {
		return nil, fmt.Errorf("actions: %w", err)
	}
	for _, p := range r.pending.list() {
		r.schedule(p)
	}
	return r, nil
}

// closeWait is how long Close waits for actions to see that they are ended.
const closeWait = 10 * time.Second

var errEnding = errors.New("guard ends")

// enter reports whether an action may begin. Whoever begins one calls r.running.Done.
func (r *Runner) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.running.Add(1)
	return true
}

// Close forgets what is due, which the next runner does, ends what runs, and waits until the
// outcome of that is recorded. It is an error if something does not end.
func (r *Runner) Close() error {
	r.pending.close()
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	ended := make(chan struct{})
	go func() { r.running.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-time.After(closeWait):
		return fmt.Errorf("actions still run %v after they were ended; their outcome is not recorded", closeWait)
	}
}

// changes reports whether an action changes its container or process, so that others on the
// same one wait for it. A capture goes on for a while and a program for as long as it likes;
// neither may keep a kill waiting.
func changes(k policy.Kind) bool {
	return k != policy.Capture && k != policy.Notify && k != policy.Run
}

// Decided runs what policies decided about an alert of an incident, in order.
// An action that fails does not keep the next ones from running.
func (r *Runner) Decided(ctx context.Context, incident string, a *alert.Alert, sc *scene.Scene, decisions []policy.Decision) error {
	var errs []error
	for _, d := range decisions {
		for _, act := range d.Actions {
			_, err := r.Do(ctx, &Request{
				Action: act, Incident: incident, Policy: d.Policy.Name, Alert: a, Scene: sc, DryRun: d.DryRun && act.Kind.Touches(),
			})
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// defaultTimeout is how long an action may take.
const defaultTimeout = 30 * time.Second

// Do runs one action and returns its ID, by which it may be undone. The error
// says why it was not done; it is recorded too.
func (r *Runner) Do(ctx context.Context, q *Request) (id string, err error) {
	if q.Scene == nil {
		q.Scene = &scene.Scene{}
	}
	id = newID()
	if !r.enter() {
		return id, fmt.Errorf("%s is not done: %w", q.Action, errEnding)
	}
	defer r.running.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.ctx, cancel)()
	if changes(q.Kind) {
		defer r.lock(q.Scene.ContainerID())()
	}
	q.Scene = r.withFacts(ctx, q)
	dry := q.DryRun || r.opts.DryRun && q.Kind.Touches()
	if q.Fast && q.Scene.Killed != nil {
		dry = false // it is done, as when the rate limit is used up since
	}
	rec := &evidence.Action{ID: id, Kind: string(q.Kind), Policy: q.Policy, Target: q.describe(), DryRun: dry, Who: q.Who, Undo: q.undoes}
	if q.Alert != nil {
		rec.Alert = q.Alert.ID
	}
	if err := r.opts.Record.Begin(q.Incident, rec); err != nil {
		return id, fmt.Errorf("%s is not done, as it cannot be written down: %w", q.Action, err)
	}
	start := time.Now()
	done, undo, err := r.run(ctx, q, dry)
	out := &evidence.Outcome{ID: id, OK: err == nil, Done: done, Took: time.Since(start)}
	if err != nil {
		err = fmt.Errorf("%s: %w", q.Action, err)
		out.Error = err.Error()
	}
	if undo != nil {
		undo.ID, undo.Incident, undo.Kind = id, q.Incident, q.Kind
		if q.For > 0 {
			undo.expire(q.For)
		}
		in, perr := r.pending.add(*undo)
		if perr != nil {
			r.opts.Log.Error("an action is done but will not be undone after a restart", "action", id, "error", perr)
		}
		r.schedule(in)
	}
	if err == nil && !dry && (q.Kind == policy.Unpause || q.Kind == policy.Release) {
		if perr := r.pending.settled(q.Kind, q.Scene.Container); perr != nil {
			r.opts.Log.Error("what was taken back will be taken back again after a restart", "action", id, "error", perr)
		}
	}
	r.opts.Log.Info("action", "id", id, "kind", q.Kind, "incident", q.Incident, "target", rec.Target, "dry_run", dry, "done", done, "error", err)
	return id, errors.Join(err, r.opts.Record.End(q.Incident, out))
}

// withFacts returns the scene with what is known of its container by now, by which it may be protected.
func (r *Runner) withFacts(ctx context.Context, q *Request) *scene.Scene {
	c := q.Scene.Container
	if c == nil || c.Known() || r.opts.Facts == nil || q.undoes != "" || !changes(q.Kind) {
		return q.Scene
	}
	known := r.opts.Facts(ctx, c.ID)
	if known == nil {
		return q.Scene
	}
	sc := *q.Scene
	sc.Container = known
	return &sc
}

// run checks the target and acts, or says what it would do. undo is what is
// needed to take the action back, nil if it cannot be.
func (r *Runner) run(ctx context.Context, q *Request, dry bool) (done string, undo *Undo, err error) {
	timeout := q.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	switch q.Kind {
	case policy.Capture:
		timeout += q.After
	case policy.Stop:
		timeout += stopGrace
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	do, ok := kinds[q.Kind]
	if !ok {
		return "", nil, errors.New("no such action")
	}
	plan, err := do(r, q)
	if err != nil {
		return "", nil, err
	}
	if dry {
		return "would " + plan.what, nil, nil
	}
	undo, err = plan.act(ctx)
	if err != nil {
		return "", undo, err
	}
	if plan.got != nil {
		return *plan.got, undo, nil
	}
	return plan.what, undo, nil
}

// plan is an action whose target is found and may be acted on.
type plan struct {
	what string // "kill process 12 (sh)"
	act  func(context.Context) (*Undo, error)
	got  *string // set if act says better what it did
}

// kinds are the actions: each finds its target and says what it will do. It changes nothing.
var kinds map[policy.Kind]func(*Runner, *Request) (plan, error)

func init() {
	kinds = map[policy.Kind]func(*Runner, *Request) (plan, error){
		policy.Notify: (*Runner).notify, policy.Capture: (*Runner).capture, policy.Run: (*Runner).program,
		policy.Pause: (*Runner).pause, policy.Unpause: (*Runner).unpause, policy.Stop: (*Runner).stop, policy.Kill: (*Runner).kill,
		policy.Isolate: (*Runner).isolate, policy.Release: (*Runner).release,
	}
}

var errMissing = errors.New("there is nothing here to do it with")

func (r *Runner) notify(q *Request) (plan, error) {
	if r.opts.Notify == nil || q.Alert == nil {
		return plan{}, errMissing
	}
	return plan{what: "send the alert", act: func(ctx context.Context) (*Undo, error) {
		return nil, r.opts.Notify(ctx, q.Outputs, q.Alert)
	}}, nil
}

func (r *Runner) capture(q *Request) (plan, error) {
	if r.opts.Capture == nil {
		return plan{}, errMissing
	}
	got := new(string)
	return plan{what: fmt.Sprintf("capture %v before and %v after", q.Before, q.After), got: got, act: func(ctx context.Context) (_ *Undo, err error) {
		*got, err = r.opts.Capture(ctx, q.Incident, q.Scene, q.Before, q.After)
		return nil, err
	}}, nil
}

// program runs a command with the alert as JSON on its standard input. Nothing
// of the alert is a part of the command.
func (r *Runner) program(q *Request) (plan, error) {
	if q.Alert == nil {
		return plan{}, errMissing
	}
	return plan{what: "run " + q.Command, act: func(ctx context.Context) (*Undo, error) {
		out := alert.NewProgram(q.Command, false, alert.JSON())
		return nil, errors.Join(out.Send(ctx, q.Alert), out.Close())
	}}, nil
}

// describe says in words what the action is about.
func (q *Request) describe() string {
	text := q.Action.String()
	if p := q.Scene.Process(); p != nil {
		text += fmt.Sprintf(": process %d (%s)", p.PID, p.Name)
	}
	if c := q.Scene.Container; c != nil {
		return text + " in container " + containerName(c)
	}
	return text + " on the host"
}

func containerName(c *scene.Container) string {
	if c.Name == "" {
		return c.ID
	}
	return c.Name + " (" + c.ID + ")"
}

// keyLock is a lock that is forgotten when nobody holds or wants it.
type keyLock struct {
	sync.Mutex
	users int
}

func (r *Runner) lock(key string) (unlock func()) {
	if key == "" {
		return func() {} // the host: each action has a target of its own
	}
	r.mu.Lock()
	l := r.locks[key]
	if l == nil {
		l = &keyLock{}
		r.locks[key] = l
	}
	l.users++
	r.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		r.mu.Lock()
		if l.users--; l.users == 0 {
			delete(r.locks, key)
		}
		r.mu.Unlock()
	}
}
