package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"rollcage/internal/cli/stream"
	"rollcage/internal/cli/usage"
	"rollcage/internal/observe/blackbox"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/probe"
	"rollcage/internal/respond/action"
	"rollcage/internal/respond/agent/metrics"
	"rollcage/internal/respond/agent/server"
	"rollcage/internal/respond/confine"
	"rollcage/internal/respond/disk"
	"rollcage/internal/respond/guard"
	"rollcage/internal/respond/guard/control"
	"rollcage/internal/respond/policy"
)

// Where guard is unless it is said otherwise.
const (
	stateDir = "/var/lib/rollcage"
	runDir   = "/run/rollcage"
)

type guardOptions struct {
	stream.Options
	detect   detectOptions // which rules run
	policies policyOptions
	outputs  outputOptions
	state    string
	run      string
	group    string
	dryRun   bool
	boxMB    int
	reach    time.Duration
	memoryMB int64
	cpus     float64
	listen   server.Options
	console  consoleOptions
	watch    bool
	confine  bool
	nice     int
	config   string
	flags    *pflag.FlagSet // of these
}

func newGuardCommand() *cobra.Command {
	opts := newGuardOptions()
	cmd := &cobra.Command{
		Use:   "guard",
		Short: "Guard this host: detect, act, and keep the evidence",
		Long: `Guard this host and its containers: judge what happens by rules, keep what belongs together as incidents with
recordings that begin before the alert, deliver alerts for certain, and do what policies decide. The policies that come with
Rollcage record, and touch nothing before they are switched to enforce (docs/guard.md).`,
		Example: `  rollcage guard
  rollcage guard --policies /etc/rollcage/policies.d --out-http http://127.0.0.1:2801/
  rollcage status
  rollcage policy mode 'Stop a takeover of a container' enforce`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			read := func() (*guardOptions, error) { return rereadGuardOptions(cmd) }
			opts, err := read()
			if err != nil {
				return err
			}
			return runGuard(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), opts, read)
		},
	}
	opts.addFlags(cmd.Flags())
	addOutputFlag(cmd, &opts.outputs.output)
	return cmd
}

func newGuardOptions() *guardOptions {
	return &guardOptions{Options: stream.Options{EntryArguments: true}}
}

func (o *guardOptions) addFlags(f *pflag.FlagSet) {
	o.flags = f
	o.Options.AddFlags(f)
	_ = f.MarkHidden("read") // guard is for the live host
	o.detect.addPathFlags(f)
	o.detect.addSelectionFlags(f)
	f.StringSliceVar(&o.policies.policies, "policies", nil, "policies `FILE` or folder, repeatable, instead of the policies that come with Rollcage")
	o.outputs.addFlags(f)
	addPlaceFlags(f, &o.state, &o.run)
	f.StringVar(&o.group, "socket-group", "", "let the members of the `GROUP` use the control socket, too; they can then do what guard can")
	f.BoolVar(&o.dryRun, "dry-run", false, "touch nothing, whatever policies and people say, and record what would be done")
	f.IntVar(&o.boxMB, "black-box", 64, "`MB` of memory in the kernel, of all CPUs together, for what happened before an alert, whatever policies say; 0 for no black box and no captures")
	f.DurationVar(&o.reach, "reach", time.Minute, "how far before an alert captures can begin at most, if the black box reaches so far, whatever policies say")
	f.Int64Var(&o.memoryMB, "memory-limit", 512, "`MB` of memory of its own that guard may have before it sheds load; 0 for any")
	f.Float64Var(&o.cpus, "cpu-limit", 1, "`CPUS` that may be busy with guard before it sheds load, as 0.5; 0 for any")
	f.BoolVar(&o.watch, "watch-files", true, "load rules, policies and outputs again, without a gap, when files change; SIGHUP always does")
	f.IntVar(&o.nice, "nice", -10, "`PRIORITY` among processes, from -20 (first) to 19: a host that is too busy must not keep guard from seeing why")
	f.BoolVar(&o.confine, "confine", true, "after the start give up capabilities and system calls that are not needed (SECURITY.md)")
	f.StringVar(&o.listen.Address, "listen", "", "answer /healthz, /versions and /metrics over HTTP at `HOST:PORT`")
	f.StringVar(&o.listen.Certificate, "listen-cert", "", "speak TLS there with the certificate in the PEM `FILE`")
	f.StringVar(&o.listen.Key, "listen-key", "", "its private key, if the `FILE` is another one")
	o.console.addFlags(f)
}

// addPlaceFlags adds the flags of where guard is.
func addPlaceFlags(f *pflag.FlagSet, state, run *string) {
	if state != nil {
		f.StringVar(state, "state", stateDir, "`FOLDER` of what outlasts a restart: evidence, the outbox, what can be undone")
	}
	if run != nil {
		f.StringVar(run, "run", runDir, "`FOLDER` of the control socket and the lock")
	}
}

// rereadGuardOptions returns the options as they would be if the command was started now.
func rereadGuardOptions(cmd *cobra.Command) (*guardOptions, error) {
	opts := newGuardOptions()
	now := &cobra.Command{}
	opts.addFlags(now.Flags())
	addOutputFlag(now, &opts.outputs.output)
	err := rereadFlags(cmd, now.Flags(), &opts.config)
	opts.detect.config = opts.config
	return opts, err
}

// boxOptions says what the black box keeps: what the rules want, everything that is read and written, and what is done to files and connections.
func boxOptions(box policy.BlackBox, wanted event.Interest) *probe.BoxOptions {
	if box.Size <= 0 {
		return nil
	}
	for _, set := range []string{"io", "file", "net", "proc", "modifies_state"} {
		wanted.AddSyscalls(event.SyscallSet(set)...)
	}
	return &probe.BoxOptions{
		Size: int(box.Size) / runtime.NumCPU(), Interest: wanted, Snaplens: box.Data, Ports: box.Ports, // files may be missing
	}
}

// policySet reads the policies, with what flags say about the black box.
func (o *guardOptions) policySet(stderr io.Writer) (*policy.Set, error) {
	set, err := o.policies.valid(stderr)
	if err != nil {
		return nil, err
	}
	var size *int64
	var reach *time.Duration
	if o.flags.Changed("black-box") {
		bytes := int64(max(0, o.boxMB)) << 20
		size = &bytes
	}
	if o.flags.Changed("reach") {
		reach = &o.reach
	}
	set.OverrideBox(size, reach)
	return set, nil
}

func runGuard(ctx context.Context, stdout, stderr io.Writer, opts *guardOptions, reread func() (*guardOptions, error)) (err error) {
	if err := opts.check(); err != nil {
		return err
	}
	unlock, err := lockRun(opts.run)
	if err != nil {
		return err
	}
	defer unlock()
	if err := setPriority(opts.nice); err != nil {
		slog.Warn("guard may be starved on a busy host", "error", err)
	}
	g, err := opts.prepare(stdout, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &guardReloader{guard: g.Guard, opts: opts, read: reread, stdout: stdout, stderr: stderr, stop: cancel}
	stop, err := opts.serveGuard(g, r)
	if err != nil {
		return err
	}
	defer stop()
	stopConsole, err := opts.console.serve(stderr, &consoleGuard{Guard: g.Guard, state: opts.state, run: opts.run, containers: containersOf(g.source), engine: opts.detect.engineAnew})
	if err != nil {
		return err
	}
	defer stopConsole()
	defer reopenOnSignal(g)()
	go r.run(ctx)
	go notifySystemd(ctx, g.Guard)
	if err := opts.giveUp(); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "Guarding %s by %s and %d policies. For a first alert run in another terminal: sudo cat /etc/shadow >/dev/null\n",
		opts.Describe(), plural(g.rules, "rule"), len(g.Policies().Policies))
	return g.Run(ctx)
}

// setPriority changes the priority of all threads; later ones inherit it.
func setPriority(nice int) error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range threads {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		if err := unix.Setpriority(unix.PRIO_PROCESS, tid, nice); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("set the priority to %d: %w", nice, err)
		}
	}
	return nil
}

// giveUp drops what is not needed once everything is open.
func (o *guardOptions) giveUp() error {
	if !o.confine {
		return nil
	}
	if missing := confine.Missing(!o.dryRun); missing != "" {
		slog.Warn("some actions will fail", "missing", missing)
	}
	err := confine.DropCapabilities(!o.dryRun)
	if errors.Is(err, confine.ErrCgo) {
		slog.Warn("not confined as far as it could be", "error", err)
		err = nil
	}
	return errors.Join(err, confine.FilterCalls())
}

// prepared is a guard with its source.
type prepared struct {
	*guard.Guard
	source event.Source
	rules  int
}

// check refuses what cannot be meant.
func (o *guardOptions) check() error {
	switch {
	case !o.Live():
		return usage.Errorf("guard is for the live host; 'rollcage detect --read' judges a recording")
	case o.boxMB < 0:
		return usage.Errorf("--black-box %d: want MB of memory, or 0 for none", o.boxMB)
	case o.reach <= 0:
		return usage.Errorf("--reach %v: want a time, as 1m", o.reach)
	case o.memoryMB < 0:
		return usage.Errorf("--memory-limit %d: want MB of memory, or 0 for any", o.memoryMB)
	case o.cpus < 0:
		return usage.Errorf("--cpu-limit %v: want a number of CPUs, or 0 for any", o.cpus)
	case o.nice < -20 || o.nice > 19:
		return usage.Errorf("--nice %d: want a priority from -20 (first) to 19", o.nice)
	}
	return nil
}

// prepare loads what is configured and opens state and source.
func (o *guardOptions) prepare(stdout, stderr io.Writer) (*prepared, error) {
	rules, err := o.detect.rules(stderr)
	if err != nil {
		return nil, err
	}
	set, err := o.policySet(stderr)
	if err != nil {
		return nil, err
	}
	if len(o.policies.policies) > 0 { // with rules of one's own, those that come with Rollcage need not fit
		for _, p := range set.Unused(rules.Ruleset().Rules) {
			fmt.Fprint(stderr, p.Format())
		}
	}
	outputs, err := o.outputs.open(stdout)
	if err != nil {
		return nil, err
	}
	docker, err := action.NewDocker(o.Docker())
	if err != nil {
		return nil, err
	}
	if err := fastProblems(stderr, set, rules.Running()); err != nil {
		return nil, err
	}
	o.Options.Box = boxOptions(set.Box(), rules.Interest())
	var g *guard.Guard
	var ready atomic.Pointer[guard.Guard] // cgroups are told of from the start of the probe on
	o.OnCgroup = func(path string) {
		if g := ready.Load(); g != nil {
			g.CgroupMade(path)
		}
	}
	o.OnKill = func(ev *event.Event, _ int) { g.Killed(ev) } // events come from Run on
	src, p, err := o.OpenHost(rules.Interest())
	if err != nil {
		return nil, err
	}
	var box blackbox.Box
	if b := p.BlackBox(); b != nil {
		box = b
	}
	g, err = guard.New(guard.Options{
		State: o.state, Source: src, Box: box, Killer: p, Rules: rules, Policies: set, Outputs: outputs, Docker: docker, DryRun: o.dryRun,
		Budget: guard.Budget{Memory: o.memoryMB << 20, CPUs: o.cpus}, Watching: o.Describe(), Version: version, Runtimes: enginesOf(src),
	})
	if err != nil {
		return nil, errors.Join(err, src.Close())
	}
	ready.Store(g)
	return &prepared{g, src, rules.Len()}, nil
}

// close ends everything, with time for the outputs to take what waits.
func (p *prepared) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	err := p.Close(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		slog.Warn("alerts wait in the outbox for the next start")
	}
	_ = p.source.Close() // the end of Run closed it already
	return err
}

// lockRun takes the one place of guard until it is given back.
func lockRun(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("--run: %w", err)
	}
	f, err := disk.Lock(filepath.Join(dir, "lock"))
	if errors.Is(err, disk.ErrLocked) {
		return nil, fmt.Errorf("guard runs already (%s is locked); 'rollcage status' tells how it is", filepath.Join(dir, "lock"))
	}
	if err != nil {
		return nil, fmt.Errorf("--run: %w", err)
	}
	pid := filepath.Join(dir, "rollcage.pid")
	if err := os.WriteFile(pid, fmt.Appendf(nil, "%d\n", os.Getpid()), 0o600); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _, _ = os.Remove(pid), f.Close() }, nil
}

// serveGuard answers at the control socket, and over HTTP if that is asked for, until stop is called.
func (o *guardOptions) serveGuard(g *prepared, r *guardReloader) (stop func(), err error) {
	c, err := control.Start(control.Options{
		Guard: g.Guard, Path: filepath.Join(o.run, control.SocketName), Group: o.group, Reload: r.reload,
	})
	if err != nil {
		return nil, err
	}
	if o.listen.Address == "" {
		return func() { _ = c.Close() }, nil
	}
	listen := o.listen
	listen.Health, listen.Versions = g.Agent().Health, versions()
	listen.Metrics = o.metrics(g.Guard)
	s, err := server.Start(listen)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("--listen: %w", err), c.Close())
	}
	return func() { _, _ = s.Close(), c.Close() }, nil
}

func (o *guardOptions) metrics(g *guard.Guard) http.Handler {
	return (&metrics.Reader{Agent: g.Agent(), Delivery: g.Outputs(), Version: version, Others: g.Collectors()}).Handler(metrics.Native, metrics.AllGroups)
}
