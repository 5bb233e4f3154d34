package falco

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"rollcage/internal/cli/stream"
	"rollcage/internal/detect/field"
	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
	"rollcage/internal/respond/agent"
	"rollcage/internal/respond/alert"
)

// run is rules at work on a source.
type run struct {
	*command // as the run began, or with the configuration that was read last
	agent    *agent.Agent
	source   *watchedSource
	outputs  atomic.Pointer[delivery]
	counts   matchCounts
	reload   sync.Mutex
}

// detect runs the rules until the source ends, ctx does, or the time is over.
func (c *command) detect(ctx context.Context, loaded *loadedRules) error {
	rules, err := c.ready(loaded)
	if err != nil {
		return err
	}
	traced := c.traced(rules)
	if c.opts.dryRun {
		c.log.logf(logInfo, "Dry run: the outputs are not opened and no events are processed")
		return nil
	}
	r := &run{command: c}
	outputs, err := c.openOutputs(c.engine != engineReplay)
	if err != nil {
		return err
	}
	r.outputs.Store(outputs)
	if err := c.writePID(); err != nil {
		return errors.Join(err, outputs.close(ctx))
	}
	err = r.process(ctx, rules, traced)
	flush, cancel := r.flushContext(ctx)
	defer cancel()
	if cerr := r.outputs.Load().close(flush); cerr != nil {
		c.log.logf(logError, "%v", cerr)
	}
	r.counts.report(c.stdout)
	if r.source != nil {
		r.source.drops.report(c.stderr)
	}
	if c.opts.verbose && r.agent != nil {
		reportState(c.stderr, r.agent.Stats())
	}
	return err
}

// ready compiles the rules that are to run.
func (c *command) ready(loaded *loadedRules) (*agent.Rules, error) {
	opts := rule.EngineOptions{Threshold: c.priority, Selections: c.selections}
	if c.matchAll {
		opts.Matching = rule.MatchAll
	}
	e, err := rule.NewEngine(loaded.set, opts)
	if err != nil {
		return nil, err
	}
	style := &field.Style{}
	if c.base64 {
		style.Buffer = field.BufferBase64
	}
	return agent.NewRules(e, alert.FormatterOptions{ISO8601: c.iso8601, Style: style})
}

// traced returns the system calls that are asked for, and tells which of those
// that rules want are not.
func (c *command) traced(rules *agent.Rules) names {
	s := selectSyscalls(&c.syscalls, wantedSyscalls(rules.Interest()))
	for _, w := range s.warnings {
		c.log.logf(logWarning, "%s", w)
	}
	if len(s.missing) > 0 && c.engine != engineReplay {
		c.log.logf(logWarning, "Rules match system calls that are not selected (unsupported-evttype): %v; see base_syscalls", s.missing)
	}
	return s.traced
}

func wantedSyscalls(i event.Interest) names {
	out := names{}
	for _, s := range event.Syscalls() {
		if s.Name != "" && i.Syscalls.Has(s.Code) {
			out[s.Name] = true
		}
	}
	return out
}

// restrict returns a function that leaves of an interest what is traced.
func restrict(traced names) func(event.Interest) event.Interest {
	return func(i event.Interest) event.Interest {
		out := event.Interest{}
		out.AddSyscalls(traced.sorted()...)
		for _, info := range event.All() {
			if info.Origin != event.OriginSyscall && i.Types.Has(info.Type) {
				out.Types.Add(info.Type)
			}
		}
		return out
	}
}

// process opens the source and judges its events.
func (r *run) process(ctx context.Context, rules *agent.Rules, traced names) error {
	live := r.engine != engineReplay
	choose := restrict(traced)
	src, err := r.open(choose(rules.Interest()))
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	rec := &recorder{captureConfig: r.config.capture, send: r.send, log: r.log}
	r.source = &watchedSource{
		Source: src, limit: uint64(r.opts.seconds) * uint64(time.Second), drops: newDropMonitor(r.command, r.send),
		capture: rec, choose: choose,
	}
	defer rec.close()
	// The agent's own delivery has no outputs: alerts go to those of the configuration that was read last.
	none := alert.NewDelivery(nil, alert.DeliveryOptions{})
	defer func() { _ = none.Close(ctx) }()
	r.agent, err = agent.New(r.source, rules, none, agent.Options{
		Live: live && r.engine != engineNoDriver, Log: r.log.slog(),
		Matched: func(m *rule.Match, he *host.Event, a *alert.Alert) bool {
			rec.matched(m.Rule, he)
			r.counts.add(m.Name, m.Priority)
			r.send(a)
			return false
		},
	})
	if err != nil {
		return err
	}
	stop := r.attend(ctx)
	defer stop()
	if err := r.agent.Run(ctx); err != nil {
		return r.describeEnd(err)
	}
	if !live && r.opts.seconds > 0 { // as the original does
		pause(ctx, time.Duration(r.opts.seconds)*time.Second)
	}
	return nil
}

// open opens the source that engine.kind names.
func (r *run) open(interest event.Interest) (event.Source, error) {
	switch r.engine {
	case engineReplay:
		r.log.logf(logInfo, "Replaying events from the capture file: %s", r.captureFile)
		src, err := capture.Open(r.captureFile)
		if err != nil {
			return nil, worded("Could not open capture file: %w", err)
		}
		return src, nil
	case engineNoDriver:
		r.log.logf(logInfo, "Opening event source 'syscall' without a driver: no events will come")
		return newNoDriver(), nil
	}
	r.log.logf(logInfo, "Opening 'syscall' source with modern BPF probe.")
	opts := stream.Options{Snaplen: r.snaplen, Runtimes: []string{stream.Auto}}
	return opts.Open(interest)
}

func (r *run) describeEnd(err error) error {
	if r.engine == engineReplay && !errors.Is(err, errDrops) {
		return fmt.Errorf("%s: %w", r.captureFile, err)
	}
	return err
}

// send gives an alert to the outputs.
func (r *run) send(a *alert.Alert) { r.outputs.Load().Send(a) }

// flushContext is how long outputs get to deliver what waits at the end.
func (r *run) flushContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if r.engine != engineReplay || ctx.Err() != nil {
		return context.WithTimeout(context.Background(), 10*time.Second)
	}
	return context.WithCancel(ctx)
}

// writePID writes the process id to the file of -P.
func (c *command) writePID() error {
	if c.opts.pidfile == "" {
		return nil
	}
	if err := os.WriteFile(c.opts.pidfile, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		return worded("Could not write the pid to the pid file: %w", err)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// attend reacts to signals and to changes of files until the returned function is called.
func (r *run) attend(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1)
	changed := make(chan struct{}, 1)
	r.watchFiles(ctx, changed)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case s := <-signals:
				if s == syscall.SIGUSR1 {
					r.log.logf(logInfo, "SIGUSR1 received, reopening outputs...")
					r.outputs.Load().Reopen()
					continue
				}
			case <-changed:
			}
			r.restart(ctx)
		}
	}()
	return func() {
		signal.Stop(signals)
		cancel()
		<-done
	}
}

// matchCounts counts the matches by rule and by priority.
type matchCounts struct {
	mu         sync.Mutex
	byName     map[string]uint64
	byPriority map[rule.Priority]uint64
	order      []string
}

func (m *matchCounts) add(name string, p rule.Priority) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byName == nil {
		m.byName, m.byPriority = map[string]uint64{}, map[rule.Priority]uint64{}
	}
	if m.byName[name] == 0 {
		m.order = append(m.order, name)
	}
	m.byName[name]++
	m.byPriority[p]++
}

// report prints the statistics at the end of a run.
func (m *matchCounts) report(w io.Writer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sum := uint64(0)
	for _, n := range m.byPriority {
		sum += n
	}
	fmt.Fprintf(w, "Events detected: %d\nRule counts by severity:\n", sum)
	for _, p := range slices.Sorted(maps.Keys(m.byPriority)) {
		fmt.Fprintf(w, "   %s: %d\n", upper(p.Short()), m.byPriority[p])
	}
	fmt.Fprintln(w, "Triggered rules by rule name:")
	for _, name := range m.order {
		fmt.Fprintf(w, "   %s: %d\n", name, m.byName[name])
	}
}
