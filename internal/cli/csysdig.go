package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcage/internal/cli/stream"
	"rollcage/internal/cli/usage"
	"rollcage/internal/detect/field"
	"rollcage/internal/detect/filter"
	"rollcage/internal/inspect/view"
)

type csysdigOptions struct {
	viewOptions
	json, raw, fields, views, version bool
	from, to                          int
	print                             string
	ascii, hex                        bool
	resolve, noUsers                  bool
	delay                             int
	count                             uint64
}

func newCsysdigCommand() *cobra.Command {
	var opts csysdigOptions
	cmd := &cobra.Command{
		Use:   "csysdig [flags] [FILTER]",
		Short: "Run views with the command line of csysdig",
		Long: `Run views with the command line of csysdig, also under that name: a symbolic link named csysdig to
rollcage does the same. Without --json or --raw it is rollcage top.`,
		Example: `  rollcage csysdig -r trace.scap -v files -j
  rollcage csysdig -r trace.scap -v procs --raw container.id != host
  rollcage csysdig --list-views -j`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runCsysdig(cmd, &opts, strings.Join(args, " "))
		},
	}
	f := cmd.Flags()
	f.StringVarP(&opts.Read, "read", "r", "", "read events from the capture `FILE` instead of the kernel")
	f.StringVarP(&opts.view, "view", "v", "procs", "the `VIEW`; also echo for what was read and written, dig for the events")
	f.BoolVarP(&opts.json, "json", "j", false, "print JSON")
	f.BoolVar(&opts.raw, "raw", false, "print a plain table")
	f.BoolVar(&opts.views, "list-views", false, "list the views")
	f.BoolVarP(&opts.fields, "list", "l", false, "list the fields")
	f.IntVar(&opts.from, "from", 0, "first `ROW` of the JSON, from 0")
	f.IntVar(&opts.to, "to", -1, "last `ROW` of the JSON")
	f.StringVarP(&opts.print, "print", "p", "", "c: views tell containers apart")
	f.BoolVarP(&opts.ascii, "print-ascii", "A", false, "buffers as printable text with line ends")
	f.BoolVarP(&opts.hex, "print-hex-ascii", "X", false, "buffers in hexadecimal and as text")
	f.BoolVarP(&opts.resolve, "resolve-ports", "R", false, "names of services instead of ports")
	f.BoolVarP(&opts.noUsers, "exclude-users", "E", false, "no names of users and groups")
	f.IntVarP(&opts.delay, "delay", "d", 2000, "`MS` between two refreshes")
	f.Uint64VarP(&opts.count, "numevents", "n", 0, "stop after `N` events, 0 for never")
	f.IntVarP(&opts.Snaplen, "snaplen", "s", 80, "`BYTES` of I/O data kept per event; live only")
	f.BoolVar(&opts.version, "version", false, "print the version")
	opts.Runtimes = []string{stream.Auto}
	addIgnoredFlags(cmd, "force-term-compat", "modern-bpf", "page-faults", "large-environment")
	addIgnoredValueFlags(cmd, "logfile", "bpf", "cpus-for-each-buffer")
	return cmd
}

// addIgnoredFlags accepts flags that have no meaning here.
func addIgnoredFlags(cmd *cobra.Command, names ...string) {
	for _, n := range names {
		cmd.Flags().Bool(n, false, "accepted, without effect")
		_ = cmd.Flags().MarkHidden(n)
	}
}

func addIgnoredValueFlags(cmd *cobra.Command, names ...string) {
	for _, n := range names {
		cmd.Flags().String(n, "", "accepted, without effect")
		_ = cmd.Flags().MarkHidden(n)
	}
}

func runCsysdig(cmd *cobra.Command, opts *csysdigOptions, condition string) error {
	ctx, stdout, stderr := cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	switch {
	case opts.version:
		return runVersion(cmd, outputText)
	case opts.views:
		return listViews(stdout, opts.json)
	case opts.fields:
		return runFields(stdout, fieldsOptions{output: outputText, all: true}, nil)
	case opts.print != "" && opts.print != "c" && opts.print != "container":
		return usage.Errorf("-p%s: only -pc is known", opts.print)
	case opts.ascii && opts.hex:
		return usage.Errorf("-A and -X cannot be given together")
	case opts.delay < 100:
		return usage.Errorf("--delay %d: want 100 or more milliseconds", opts.delay)
	}
	o := &opts.viewOptions
	o.containers = opts.print != ""
	o.refresh = time.Duration(opts.delay) * time.Millisecond
	o.style = &field.Style{Services: opts.resolve, Limit: 80}
	switch {
	case opts.ascii:
		o.style.Buffer = field.BufferLinesInline
	case opts.hex:
		o.style.Buffer = field.BufferHexASCII
	}
	switch {
	case opts.json:
		return runPrinter(ctx, stdout, stderr, o, condition, opts.count, &slicePrinter{rows: view.Range{From: opts.from, To: opts.to}})
	case opts.raw || !isTerminal(stdout):
		return runPrinter(ctx, stdout, stderr, o, condition, opts.count, &rawPrinter{})
	}
	return runTop(ctx, stdout, stderr, &topOptions{viewOptions: *o, output: outputText}, condition)
}

func listViews(w io.Writer, asJSON bool) error {
	if asJSON {
		b, err := view.ListJSON()
		if err == nil {
			_, err = w.Write(append(b, '\n'))
		}
		return err
	}
	for _, v := range view.All() {
		if _, err := fmt.Fprintf(w, "%-24s %-20s %s\n", v.ID, v.Name, v.Description); err != nil {
			return err
		}
	}
	return nil
}

// viewOptions say which view is run over which events.
type viewOptions struct {
	stream.Options
	view       string
	containers bool
	refresh    time.Duration
	style      *field.Style
}

// find returns the view, nil for a pseudo view.
func (o *viewOptions) find() (*view.View, error) {
	if o.view == view.EchoView || o.view == view.DigView {
		return nil, nil
	}
	v, err := view.Find(o.view)
	var unknown *view.UnknownError
	if errors.As(err, &unknown) {
		return nil, usage.Errorf("%w; csysdig --list-views lists them", err)
	}
	return v, err
}

// conditionError words an error of view.New for the user.
func conditionError(condition string, err error) error {
	if errors.Is(err, view.ErrCondition) {
		return usage.Errorf("%s", filter.Explain(condition, err))
	}
	return err
}

// isTerminal reports whether a person looks at w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb" && os.Getenv("TERM") != ""
}

// printer writes what a view gives.
type printer interface {
	begin(w *bufio.Writer)
	result(w *bufio.Writer, r *view.Result, condition string, o *viewOptions, last bool)
	// entry writes one of a pseudo view; json says that text is JSON.
	entry(w *bufio.Writer, text []byte, json bool)
	end(w *bufio.Writer)
}
