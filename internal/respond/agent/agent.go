package agent

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
	"rollcage/internal/respond/alert"
)

// Options change how an agent works. The zero value is good for a capture.
type Options struct {
	// Live says that the source is the running host: what it does not tell is looked up in /proc.
	Live bool
	// Interest is what is asked of a live source beside what the rules want.
	Interest event.Interest
	// Log is told what goes on, slog.Default() if nil.
	Log *slog.Logger
	// CanaryEvery is how often a harmless act of our own shows whether what
	// happens on a live host is detected, see [Agent.Health]. 0 is never.
	CanaryEvery time.Duration
	// Loss says what is done when the source loses events; the zero Loss is nothing.
	Loss Loss
	// Captures say when what happens is recorded in capture files.
	Captures Captures
	// Fold is for how long alerts like one that was sent are held back and
	// counted; a summary follows. 0 sends each.
	Fold time.Duration
	// Loaded, if set, is called when the state is loaded, before its first event,
	// and Applied with each event that was applied to it, hidden ones too, before it is judged.
	Loaded  func(*host.State)
	Applied func(*host.Event)
	// Idle, if set, is called when the source has nothing for a moment, and ten times a
	// second on a busy one, by the goroutine that calls Applied.
	Idle func()
	// Matched, if set, is called with each match and the alert that was made
	// of it, before the alert is sent. The match does not change; the event is
	// valid until it returns. It returns false to have the alert not sent.
	Matched func(m *rule.Match, he *host.Event, a *alert.Alert) bool
}

// Sender takes alerts. [alert.Delivery] is one.
type Sender interface {
	// Send takes an alert, which does not change from then on. It may be called by many goroutines.
	Send(*alert.Alert)
}

// Agent judges the events of one source.
type Agent struct {
	opts     Options
	src      event.Source
	stream   *host.Stream
	clock    host.Clock // of the events, once the state is loaded
	delivery Sender
	ended    chan struct{} // closed when Run returns
	started  time.Time

	rules   *Rules // those at work; Run's goroutine alone uses their engine and formatter
	next    atomic.Pointer[swap]
	swapMu  sync.Mutex // of Swap: one at a time
	working atomic.Pointer[Rules]
	without atomic.Pointer[event.Interest] // what is not asked for, see LeaveOut

	reloadMu               sync.Mutex // of Reload
	reloads, reloadsFailed atomic.Uint64
	reloaded               atomic.Int64 // when, ns since the epoch, 0 for never

	canary    canary
	loss      lossWatch      // used by Run's goroutine alone
	recorder  *recorder      // used by Run's goroutine alone
	folder    *folder        // the same, nil without Fold
	finishing sync.WaitGroup // captures that are being closed
	counts    counts
	alerts    atomic.Uint64
	state     atomic.Pointer[host.Stats]
}

// New returns an agent that judges the events of src by rules and sends the
// alerts to d. A live source is to be asked for [Agent.Interest] first, or
// opened with [Rules.Interest].
func New(src event.Source, rules *Rules, d Sender, opts Options) (*Agent, error) {
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	st, err := host.NewStream(src, opts.Live)
	if err != nil {
		return nil, err
	}
	a := &Agent{opts: opts, src: src, stream: st, delivery: d, ended: make(chan struct{}), started: time.Now()}
	a.state.Store(&host.Stats{})
	a.counts.adopt(rules)
	a.recorder = newRecorder(a)
	if opts.Fold > 0 {
		a.folder = newFolder(opts.Fold)
	}
	a.loss.Loss = opts.Loss
	if a.loss.Make == nil {
		a.loss.Make = lossAlert
	}
	a.rules = rules
	a.working.Store(rules)
	return a, nil
}

// Run judges events until the source ends or ctx is done, which is no error.
// It is called once.
func (a *Agent) Run(ctx context.Context) error {
	defer close(a.ended)
	a.stream.Idle = func() error {
		if a.opts.Idle != nil {
			a.opts.Idle()
		}
		return a.tend()
	}
	a.stream.Loaded = func() error {
		a.recorder.end() // a new section has another state
		a.clock = a.stream.State.Clock()
		if a.opts.Loaded != nil {
			a.opts.Loaded(a.stream.State)
		}
		return a.tend()
	}
	defer func() {
		a.recorder.end()
		a.finishing.Wait()
		if a.folder != nil {
			a.folder.flush(a.raise)
		}
		a.publish()
	}()
	if a.opts.CanaryEvery > 0 {
		var acting sync.WaitGroup
		ctx, cancel := context.WithCancel(ctx)
		acting.Go(func() { a.runCanary(ctx) })
		// An act is a child of ours, which has our files, and locks on them, open until it ends.
		defer func() { cancel(); acting.Wait() }()
	}
	return a.stream.Run(ctx, a.judge, a.hidden)
}

// judge handles one event.
func (a *Agent) judge(he *host.Event) error {
	if a.next.Load() != nil {
		a.takeNext()
	}
	if a.opts.Applied != nil {
		a.opts.Applied(he)
	}
	a.recorder.before(he)
	for _, m := range a.rules.engine.Process(he) {
		a.match(m, he)
	}
	a.recorder.after(he)
	return nil
}

// hidden handles an event that changes the state and is not to be judged.
func (a *Agent) hidden(he *host.Event) error {
	if a.opts.Applied != nil {
		a.opts.Applied(he)
	}
	a.recorder.after(he)
	return nil
}

func (a *Agent) match(m *rule.Match, he *host.Event) {
	if m.Index < 0 {
		a.canary.detected(time.Now(), he)
		return
	}
	a.rules.matched[m.Index].Add(1)
	a.recorder.matched(m, he)
	al := a.rules.formatter.Alert(m, he)
	if a.opts.Matched != nil && !a.opts.Matched(m, he, al) {
		return
	}
	if a.folder != nil {
		a.folder.due(al.Time, a.raise)
		if a.folder.hold(he, al) {
			return
		}
	}
	a.raise(al)
}

// raise sends an alert of a rule.
func (a *Agent) raise(al *alert.Alert) {
	a.alerts.Add(1)
	if a.opts.Live { // the clock of the events goes on when the wall clock is set
		al.Time = al.Time.Add(a.clock.Ahead())
	}
	a.delivery.Send(al)
}

// Send sends an alert that no rule raised, for instance one about Rollcage itself.
func (a *Agent) Send(al *alert.Alert) { a.delivery.Send(al) }

// tend does what is due by time.
func (a *Agent) tend() error {
	if a.next.Load() != nil {
		a.takeNext()
	}
	a.recorder.tend()
	if a.folder != nil && a.opts.Live {
		a.folder.due(time.Unix(0, int64(a.clock.Now())), a.raise)
	}
	a.publish()
	if a.opts.Live {
		return a.loss.check(a, time.Now())
	}
	return nil
}

// publish makes the state's counters visible to other goroutines.
func (a *Agent) publish() {
	s := a.stream.State.Stats()
	a.state.Store(&s)
}
