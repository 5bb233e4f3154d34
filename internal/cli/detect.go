package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"rollcage/internal/cli/stream"
	"rollcage/internal/cli/usage"
	"rollcage/internal/detect/rule"
	"rollcage/internal/respond/agent"
	"rollcage/internal/respond/agent/metrics"
	"rollcage/internal/respond/agent/server"
	"rollcage/internal/respond/alert"
)

// lossReport is the least time between two alerts about lost events.
const lossReport = 30 * time.Second

// flushTime is how long outputs get to deliver what waits when the user or the
// time that was set wants an end.
const flushTime = 10 * time.Second

// flushContext returns the context in which outputs deliver what waits. At the
// end of a capture nothing presses until ctx ends.
func flushContext(ctx context.Context, live bool) (context.Context, context.CancelFunc) {
	if live || ctx.Err() != nil {
		return context.WithTimeout(context.Background(), flushTime)
	}
	return context.WithCancel(ctx)
}

type detectOptions struct {
	stream.Options
	rulesOptions
	output     string
	file       string
	url        string
	iso8601    bool
	first      bool
	quiet      bool
	duration   time.Duration
	watchRules bool
	evidence   string
	far        farOutputs
	listen     server.Options
	exitOnLoss bool
	fold       time.Duration
	captureDir string
	captureFor time.Duration
	captureMax int64

	config string                         // the configuration file
	again  func() (*detectOptions, error) // the options as they would be now
}

func newDetectCommand() *cobra.Command {
	opts := &detectOptions{Options: stream.Options{EntryArguments: true}}
	cmd := &cobra.Command{
		Use:   "detect",
		Short: "Judge what happens by rules and raise alerts",
		Long: `Judge what happens on this host and in its containers, or what a capture file holds, by rules.

Alerts go to standard output, and to a file and a receiver over HTTP if asked for, in the forms that Falco
gives its alerts. Rules files for Falco load as they are.`,
		Example: `  rollcage detect
  rollcage detect -o json --out-http http://127.0.0.1:2801/
  rollcage detect -r trace.scap.gz --rules my_rules.yaml --builtin-rules
  rollcage detect --disable 'Shell run in a container' --disable tag=network`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if config := cmd.Flags().Lookup("config"); config != nil {
				opts.config = config.Value.String()
			}
			opts.again = func() (*detectOptions, error) { return rereadDetectOptions(cmd) }
			return runDetect(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), opts)
		},
	}
	opts.addFlags(cmd)
	return cmd
}

func (opts *detectOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	opts.Options.AddFlags(f)
	opts.rulesOptions.addPathFlags(f)
	opts.rulesOptions.addSelectionFlags(f)
	addOutputFlag(cmd, &opts.output)
	f.StringVar(&opts.file, "out-file", "", "append alerts to the `FILE` too; it is opened again on SIGUSR1")
	f.StringVar(&opts.url, "out-http", "", "post alerts as JSON to the `URL` too, as falcosidekick takes them")
	f.BoolVar(&opts.iso8601, "time-iso-8601", false, "write times as date and time in UTC")
	f.BoolVar(&opts.first, "first-match", false, "raise an alert for the first rule that matches an event only, as Falco does unless told otherwise")
	f.BoolVarP(&opts.quiet, "quiet", "q", false, "no alerts on standard output")
	f.DurationVar(&opts.duration, "for", 0, "stop after that `TIME`, 0 for never; live only")
	f.BoolVar(&opts.watchRules, "watch-rules", true, "load the rules again, without a gap, when their files or the configuration change; SIGHUP always does; live only")
	f.DurationVar(&opts.fold, "fold", 0, "hold back alerts like one of the last `TIME` and tell how many there were; 0 sends each")
	f.BoolVar(&opts.exitOnLoss, "exit-on-loss", false, "stop with an error when events are lost; an alert says so in any case; live only")
	f.StringVar(&opts.captureDir, "capture-dir", "", "with an alert begin a capture file in the `FOLDER`: the state of the host, the event, and what follows")
	f.DurationVar(&opts.captureFor, "capture-for", 5*time.Second, "go on with it that `TIME` after the last alert; a rule may say otherwise")
	f.Int64Var(&opts.captureMax, "capture-max", 1000, "end it at so many `MB`, 0 for never")
	opts.far.addFlags(f)
	f.StringVar(&opts.evidence, "evidence", "", "keep alerts with their processes and containers as incidents in the `FOLDER`; see 'rollcage evidence'")
	f.StringVar(&opts.listen.Address, "listen", "", "answer /healthz, /versions and /metrics over HTTP at `HOST:PORT`; live only")
	f.StringVar(&opts.listen.Certificate, "listen-cert", "", "speak TLS there with the certificate in the PEM `FILE`")
	f.StringVar(&opts.listen.Key, "listen-key", "", "its private key, if the `FILE` is another one")
}

func runDetect(ctx context.Context, stdout, stderr io.Writer, opts *detectOptions) error {
	rules, err := opts.rules(stderr)
	if err != nil {
		return err
	}
	outputs, err := opts.outputs(stdout)
	if err != nil {
		return err
	}
	src, err := opts.Open(rules.Interest())
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if opts.duration > 0 && opts.Live() {
		ctx, cancel = context.WithTimeout(ctx, opts.duration)
		defer cancel()
	}
	agentOpts, err := opts.agentOptions()
	if err != nil {
		return err
	}
	stopEvidence, err := opts.keepEvidence(&agentOpts)
	if err != nil {
		return err
	}
	defer stopEvidence()
	delivery := alert.NewDelivery(outputs, opts.deliveryOptions())
	defer reopenOnSignal(delivery)()
	a, err := agent.New(src, rules, delivery, agentOpts)
	if err != nil {
		return err
	}
	if opts.Live() {
		stop, err := opts.serve(a, delivery)
		if err != nil {
			return errors.Join(err, delivery.Close(ctx))
		}
		defer stop()
		go (&reloader{opts: opts, agent: a, stderr: stderr, stop: cancel}).run(ctx)
		fmt.Fprintf(stderr, "Watching %s by %s. For a first alert run in another terminal: sudo cat /etc/shadow >/dev/null\n",
			opts.Describe(), plural(rules.Len(), "rule"))
	}
	err = a.Run(ctx)
	flush, cancel := flushContext(ctx, opts.Live())
	defer cancel()
	err = errors.Join(stream.End(err, &opts.Options), delivery.Close(flush))
	sumUp(stderr, a.Stats())
	return err
}

func (o *detectOptions) agentOptions() (agent.Options, error) {
	opts := agent.Options{Live: o.Live(), Fold: o.fold}
	if o.Live() {
		opts.CanaryEvery = agent.CanaryEvery
		opts.Loss = agent.Loss{Alert: true, Every: lossReport, Exit: o.exitOnLoss}
	}
	if o.captureDir != "" {
		if err := os.MkdirAll(o.captureDir, 0o700); err != nil {
			return opts, fmt.Errorf("--capture-dir: %w", err)
		}
		opts.Captures = agent.Captures{
			Prefix: filepath.Join(o.captureDir, "rollcage"), AllRules: true, Duration: o.captureFor, MaxBytes: o.captureMax << 20,
		}
	}
	return opts, nil
}

// serve answers over HTTP if that is asked for, until stop is called.
func (o *detectOptions) serve(a *agent.Agent, d *alert.Delivery) (stop func(), err error) {
	if o.listen.Address == "" {
		return func() {}, nil
	}
	listen := o.listen
	listen.Health, listen.Versions = a.Health, versions()
	listen.Metrics = (&metrics.Reader{Agent: a, Delivery: d, Version: version}).Handler(metrics.Native, metrics.AllGroups)
	s, err := server.Start(listen)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	return func() { _ = s.Close() }, nil
}

// patience is how long an output of a live host may try to deliver one alert,
// so that alerts outlast a restart of their receiver.
const patience = 10 * time.Minute

func (o *detectOptions) deliveryOptions() alert.DeliveryOptions {
	if o.Live() {
		return alert.DeliveryOptions{Timeout: patience}
	}
	return alert.DeliveryOptions{Wait: true}
}

// httpRetries is how often a delivery is tried again: until the time for it is up on a live host.
func (o *detectOptions) httpRetries() int {
	if o.Live() {
		return math.MaxInt
	}
	return 0 // the usual
}

// outputs makes the outputs that were asked for.
func (o *detectOptions) outputs(stdout io.Writer) ([]alert.Output, error) {
	shape := alert.Shape{ISO8601: o.iso8601}
	if o.output == outputJSON {
		shape = alert.JSON()
		shape.ISO8601 = o.iso8601
	}
	var out []alert.Output
	if !o.quiet {
		out = append(out, alert.NewWriter("standard output", stdout, shape))
	}
	if o.file != "" {
		f := alert.NewFile(o.file, true, shape)
		if err := f.Reopen(); err != nil {
			return nil, fmt.Errorf("--out-file: %w", err)
		}
		out = append(out, f)
	}
	if o.url != "" {
		json := alert.JSON()
		json.ISO8601 = o.iso8601
		h, err := alert.NewHTTP(alert.HTTPOptions{URL: o.url, Shape: json, UserAgent: "rollcage/" + version, Retries: o.httpRetries(), TLS: o.far.trust()})
		if err != nil {
			return nil, usage.Errorf("--out-http: %v", err)
		}
		out = append(out, h)
	}
	out, err := o.far.add(out, o.httpRetries())
	if err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, usage.Errorf("--quiet needs --out-file, --out-http or another output")
	}
	direct := 1 // standard output shows what comes now
	if o.quiet {
		direct = 0
	}
	return o.far.wrap(out, direct)
}

// reopenOnSignal makes the outputs open their files again on SIGUSR1, as log
// rotation needs, until the returned function is called.
func reopenOnSignal(d interface{ Reopen() }) (stop func()) {
	usr1 := make(chan os.Signal, 1)
	signal.Notify(usr1, syscall.SIGUSR1)
	go func() {
		for range usr1 {
			d.Reopen()
		}
	}()
	return func() {
		signal.Stop(usr1)
		close(usr1)
	}
}

// rules loads and compiles the selected rules. Problems are printed to w.
func (o *detectOptions) rules(w io.Writer) (*agent.Rules, error) {
	files := o.files()
	set, err := loadRules(files, w)
	if err != nil {
		return nil, err
	}
	if !o.first {
		o.matching = rule.MatchAll
	}
	e, err := o.engine(set)
	if err != nil {
		return nil, err
	}
	r, err := agent.NewRules(e, alert.FormatterOptions{ISO8601: o.iso8601})
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		r.Files = append(r.Files, agent.NewFile(f.Name, f.Data))
	}
	if data, err := os.ReadFile(o.config); err == nil {
		r.Configs = []agent.File{agent.NewFile(o.config, data)}
	}
	return r, nil
}

// sumUp tells what was seen and raised.
func sumUp(w io.Writer, s agent.Stats) {
	fmt.Fprintf(w, "%s seen, %s raised.\n", plural(int(s.Source.Events), "event"), plural(int(s.Alerts), "alert"))
	for _, r := range s.Rules {
		if r.Matches > 0 {
			fmt.Fprintf(w, "  %s: %d\n", r.Name, r.Matches)
		}
	}
	stream.ReportLoss(w, s.Source)
}

// plural returns a number with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// cutTag returns the tag of tag=TAG.
func cutTag(s string) (string, bool) { return strings.CutPrefix(s, "tag=") }
