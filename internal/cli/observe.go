package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"rollcage/internal/cli/stream"
	"rollcage/internal/cli/usage"
	"rollcage/internal/detect/field"
	"rollcage/internal/detect/filter"
	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// The default formats of observe.
const (
	observeFormat = "*%evt.num %evt.time %evt.cpu %container.name %proc.name (%proc.pid.%thread.tid) %evt.dir %evt.type %evt.args"
	jsonFormat    = "*%evt.num %evt.rawtime %evt.cpu %container.id %container.name %proc.name %proc.pid %thread.tid %evt.type %evt.args"
)

type observeOptions struct {
	stream.Options
	write  string
	count  uint64
	format string
	output string
	all    bool
	timed  bool
	file   capture.WriterOptions
	size   int64
}

func newObserveCommand() *cobra.Command {
	var opts observeOptions
	cmd := &cobra.Command{
		Use:   "observe [FILTER]",
		Short: "Show events as they happen, or record them",
		Long: `Show the events of this host and its containers as they happen, or those of a capture file.

FILTER is a condition like those of rules; without one every event is shown. With --write the
events go into a capture file that rollcage, sysdig and Stratoshark read. A live recording keeps the
events that change what is known of processes and descriptors even if they do not match, marked so that
they are not shown.`,
		Example: `  rollcage observe 'evt.type = execve and container.id != host'
  rollcage observe -w trace.scap.gz --rotate-size 100 --rotate-files 5
  rollcage observe -r trace.scap.gz -p '%evt.time %proc.name %fd.name' 'fd.name startswith /etc'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runObserve(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), &opts, strings.Join(args, " "))
		},
	}
	f := cmd.Flags()
	opts.AddFlags(f)
	addOutputFlag(cmd, &opts.output)
	f.StringVarP(&opts.write, "write", "w", "", "write events to the capture `FILE` instead of showing them; compressed if the name ends in .gz")
	f.Uint64VarP(&opts.count, "count", "n", 0, "stop after `N` events, 0 for never")
	f.StringVarP(&opts.format, "print", "p", "", "output `FORMAT`, for instance '%evt.time %proc.name %fd.name'")
	f.BoolVar(&opts.timed, "latency", false, "measure how long calls take, which goes into a recording; on by itself when FILTER or FORMAT has evt.latency; live only")
	f.BoolVar(&opts.all, "all-syscalls", false, "also system calls that have no event type of their own; live only")
	f.BoolVarP(&opts.file.Gzip, "compress", "z", false, "compress the capture file")
	f.Int64Var(&opts.size, "rotate-size", 0, "begin a new capture file after so many `MB`")
	f.DurationVar(&opts.file.MaxTime, "rotate-time", 0, "begin a new capture file after that `TIME`, for instance 10m")
	f.Uint64Var(&opts.file.MaxEvents, "rotate-events", 0, "begin a new capture file after `N` events")
	f.IntVar(&opts.file.MaxFiles, "rotate-files", 0, "keep the newest `N` capture files only, 0 for all")
	return cmd
}

func runObserve(ctx context.Context, stdout, stderr io.Writer, opts *observeOptions, condition string) error {
	o, err := newObserver(opts, condition)
	if err != nil {
		return err
	}
	src, err := opts.Open(o.interest)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	out := bufio.NewWriterSize(stdout, 64<<10)
	st, err := stream.New(src, opts.Live())
	if err != nil {
		return err
	}
	st.Idle = out.Flush
	if opts.write != "" {
		file := opts.file
		file.MaxBytes = opts.size * 1000 * 1000
		err = st.Record(ctx, opts.write, stream.Recording{
			File: file, Wrote: o.counted, KeepState: true,
			Match: func(he *host.Event) (bool, error) { return o.match(he), nil },
		})
	} else {
		err = o.show(ctx, st, out)
	}
	if ferr := out.Flush(); err == nil {
		err = ferr
	}
	stream.ReportLoss(stderr, src.Stats())
	return stream.End(err, &opts.Options)
}

// observer holds what observe was asked for, compiled.
type observer struct {
	opts     *observeOptions
	prog     *filter.Program
	cond     filter.CondID
	filtered bool
	format   *filter.Format
	interest event.Interest
	shown    uint64
}

func newObserver(opts *observeOptions, condition string) (*observer, error) {
	o := &observer{opts: opts, prog: filter.NewProgram()}
	for _, s := range event.Syscalls() {
		if len(s.Events) > 0 && (opts.all || !s.Generic()) {
			o.interest.Syscalls.Add(s.Code)
		}
	}
	if strings.TrimSpace(condition) != "" {
		if err := o.compile(condition); err != nil {
			return nil, err
		}
	}
	text := opts.format
	switch {
	case text == "" && opts.output == outputJSON:
		text = jsonFormat
	case text == "":
		text = observeFormat
	}
	var err error
	if o.format, err = filter.ParseFormat(text); err != nil {
		return nil, usage.Errorf("--print: %s", filter.Explain(text, err))
	}
	o.format.SetStyle(&field.Style{Limit: 80})
	o.interest.Latency = o.interest.Latency || opts.timed || o.format.UsesLatency()
	return o, nil
}

func (o *observer) compile(condition string) error {
	node, err := filter.Parse(condition)
	if err == nil {
		var warnings []filter.Warning
		o.cond, warnings, err = o.prog.Add(node)
		for _, w := range warnings {
			fmt.Fprintf(os.Stderr, "warning: %s\n", w.Msg)
		}
	}
	if err != nil {
		return usage.Errorf("%s", filter.Explain(condition, err))
	}
	o.filtered = true
	// Only what the condition can match is asked of the kernel.
	sel := filter.Select(node)
	if !sel.Types.Has(event.GENERIC_X) || len(sel.Names()) < event.Count()/2 {
		o.interest = event.Interest{Syscalls: sel.Codes, Types: sel.Types}
	}
	o.interest.Latency = filter.UsesLatency(node)
	return nil
}

// appendObject appends a JSON object with the fields of a format, and a line end.
func appendObject(b []byte, f *filter.Format, he *host.Event) []byte {
	b = append(b, '{')
	for i, field := range f.Fields() {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendQuote(b, field.Name)
		b = field.AppendJSON(append(b, ':'), he)
	}
	return append(b, '}', '\n')
}

func (o *observer) match(he *host.Event) bool { return !o.filtered || o.prog.Eval(o.cond, he) }

func (o *observer) show(ctx context.Context, st *stream.Stream, w *bufio.Writer) error {
	var line []byte
	return st.Run(ctx, func(he *host.Event) error {
		if !o.match(he) {
			return nil
		}
		line = line[:0]
		ok := true
		if o.opts.output == outputJSON {
			line = appendObject(line, o.format, he)
		} else if line, ok = o.format.AppendText(line, he); ok {
			line = append(line, '\n')
		}
		if ok {
			if _, err := w.Write(line); err != nil {
				return fmt.Errorf("writing the output: %w", err)
			}
		}
		return o.counted()
	}, nil)
}

// counted returns stream.ErrStop when as many events were shown as were asked for.
func (o *observer) counted() error {
	if o.shown++; o.opts.count > 0 && o.shown >= o.opts.count {
		return stream.ErrStop
	}
	return nil
}
