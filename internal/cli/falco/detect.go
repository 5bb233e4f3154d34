package falco

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"rollcage/internal/cli/stream"
	"rollcage/internal/detect/field"
	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/respond/agent"
	"rollcage/internal/respond/alert"
)

// run is rules at work on a source.
type run struct {
	*command // as it was started
	agent    *agent.Agent
	source   *watchedSource
	signals  chan os.Signal
	changed  chan struct{} // a file
	outputs  outputsInUse

	// For the goroutine that attends: the configuration that was read last, and what it started.
	current *command
	serving *serving
}

// detect runs the rules until the source ends, ctx does, or the time is over.
func (c *command) detect(ctx context.Context, loaded *loadedRules) error {
	slog.SetDefault(c.log.slog())
	rules, err := c.ready(loaded)
	if err != nil {
		return err
	}
	traced := c.traced(rules)
	if c.opts.dryRun {
		c.log.logf(logInfo, "Dry run: the outputs are not opened and no events are processed")
		return nil
	}
	r := &run{command: c, current: c}
	outputs, err := c.openOutputs(r.live())
	if err != nil {
		return err
	}
	r.outputs.swap(outputs)
	err = c.writePID()
	if err == nil {
		err = r.process(ctx, rules, traced)
	}
	flush, cancel := r.flushContext(ctx)
	defer cancel()
	if cerr := r.outputs.get().close(flush); cerr != nil {
		c.log.logf(logError, "%v", cerr)
	}
	if r.agent != nil {
		reportMatches(c.stdout, r.agent.Stats().Rules)
		r.source.drops.report(c.stderr)
		if c.opts.verbose {
			reportState(c.stderr, r.agent.Stats())
		}
	}
	return err
}

// live reports whether there may always be a next event.
func (c *command) live() bool { return c.engine != engineReplay }

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
	r, err := agent.NewRules(e, alert.FormatterOptions{ISO8601: c.iso8601, Style: style})
	if err != nil {
		return nil, err
	}
	for _, f := range loaded.files {
		r.Files = append(r.Files, agent.NewFile(f.Name, f.Data))
	}
	for _, f := range c.files {
		r.Configs = append(r.Configs, agent.NewFile(f.path, f.data))
	}
	return r, nil
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
	choose := restrict(traced)
	defer r.listen(ctx)()
	src, err := r.open(choose(rules.Interest()))
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	r.source = &watchedSource{
		Source: src, limit: uint64(r.opts.seconds) * uint64(time.Second), drops: newDropMonitor(r.command, r.send), choose: choose,
	}
	relayed := alert.NewDelivery([]alert.Output{relay{r}}, alert.DeliveryOptions{Wait: !r.live(), Log: r.log.slog()})
	defer func() {
		flush, cancel := r.flushContext(ctx)
		defer cancel()
		_ = relayed.Close(flush)
	}()
	if r.agent, err = agent.New(r.source, rules, relayed, r.agentOptions()); err != nil {
		return err
	}
	stop, err := r.attend(ctx)
	if err != nil {
		return err
	}
	defer stop()
	if err := r.agent.Run(ctx); err != nil {
		return r.describeEnd(err)
	}
	if !r.live() && r.opts.seconds > 0 { // as the original does
		pause(ctx, time.Duration(r.opts.seconds)*time.Second)
	}
	return nil
}

func (r *run) agentOptions() agent.Options {
	o := agent.Options{Live: r.watches(), Log: r.log.slog()}
	if o.Live && r.web.enabled {
		o.CanaryEvery = agent.CanaryEvery
	}
	if c := r.config.capture; c.enabled {
		o.Captures = agent.Captures{
			Prefix: c.prefix, AllRules: c.all, Duration: c.duration, MaxBytes: c.maxBytes, FullRule: sizeRule,
		}
	}
	return o
}

// watches reports whether the running host is watched.
func (c *command) watches() bool { return c.live() && c.engine != engineNoDriver }

// sizeRule is the name of the alert that a capture became too large.
const sizeRule = "Falco internal: capture size limit reached"

// relay gives the agent's alerts to the outputs that are open now.
type relay struct{ *run }

func (relay) Name() string { return "the outputs" }

func (r relay) Send(_ context.Context, a *alert.Alert) error {
	r.send(a)
	return nil
}

func (relay) Reopen() error { return nil }
func (relay) Close() error  { return nil }

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
func (r *run) send(a *alert.Alert) { r.outputs.send(a) }

// flushContext is how long outputs get to deliver what waits at the end.
func (r *run) flushContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if r.live() || ctx.Err() != nil {
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

// listen keeps signals and changes of files for attend from now on: what comes
// while the source is being opened is neither lost nor the end of the program.
func (r *run) listen(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	r.signals, r.changed = make(chan os.Signal, 4), make(chan struct{}, 1)
	signal.Notify(r.signals, syscall.SIGHUP, syscall.SIGUSR1)
	r.watchFiles(ctx, r.changed)
	return func() {
		cancel()
		signal.Stop(r.signals)
	}
}

// attend serves, and reacts to signals and to changes of files, until the
// returned function is called.
func (r *run) attend(ctx context.Context) (stop func(), err error) {
	if r.serving, err = r.serve(r.command, r.outputs.get()); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	signals, changed := r.signals, r.changed
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
					r.outputs.get().Reopen()
					continue
				}
			case <-changed:
			}
			r.restart(ctx)
		}
	}()
	return func() {
		cancel()
		<-done
		r.serving.stop()
	}, nil
}

// reportMatches prints the statistics at the end of a run.
func reportMatches(w io.Writer, rules []agent.RuleMatches) {
	sum := uint64(0)
	by := map[rule.Priority]uint64{}
	for _, r := range rules {
		sum += r.Matches
		if r.Matches > 0 {
			by[r.Priority] += r.Matches
		}
	}
	fmt.Fprintf(w, "Events detected: %d\nRule counts by severity:\n", sum)
	for _, p := range slices.Sorted(maps.Keys(by)) {
		fmt.Fprintf(w, "   %s: %d\n", strings.ToUpper(p.Short()), by[p])
	}
	fmt.Fprintln(w, "Triggered rules by rule name:")
	for _, r := range rules {
		if r.Matches > 0 {
			fmt.Fprintf(w, "   %s: %d\n", r.Name, r.Matches)
		}
	}
}

// reportState prints what -v asks for.
func reportState(w io.Writer, s agent.Stats) {
	fmt.Fprintf(w, "Events processed: %d, lost: %d, not understood: %d\n", s.Source.Events, s.Source.Dropped, s.Source.Skipped)
	fmt.Fprintf(w, "State: %+v\n", s.State)
}
