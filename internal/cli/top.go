package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcage/internal/cli/screen"
	"rollcage/internal/cli/usage"
	"rollcage/internal/detect/field"
	"rollcage/internal/inspect/view"
)

type topOptions struct {
	viewOptions
	output string
	list   bool
	text   bool // print even on a terminal
}

func newTopCommand() *cobra.Command {
	var opts topOptions
	cmd := &cobra.Command{
		Use:   "top [VIEW] [FILTER]",
		Short: "Rank processes, files, connections, containers and more",
		Long: `Rank processes, files, connections, system calls, containers and more: live, or over a capture file.

On a terminal rows are sorted, filtered and opened by keys (? lists them). Elsewhere the rows are printed as
text or, with -o json, as JSON: those of a capture at its end, live ones at each refresh.
VIEW is the id of a view, procs if there is none; --list lists them. FILTER is a condition like those of rules.`,
		Example: `  rollcage top
  rollcage top files 'container.id != host'
  rollcage top syscalls -r trace.scap -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if opts.list {
				return listViews(cmd.OutOrStdout(), opts.output == outputJSON)
			}
			opts.view = "procs"
			if len(args) > 0 && isView(args[0]) {
				opts.view, args = args[0], args[1:]
			}
			return runTop(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), &opts, strings.Join(args, " "))
		},
	}
	f := cmd.Flags()
	opts.AddFlags(f)
	addOutputFlag(cmd, &opts.output)
	f.BoolVar(&opts.list, "list", false, "list the views")
	f.BoolVar(&opts.text, "plain", false, "print rows instead of taking over the terminal")
	f.BoolVarP(&opts.containers, "containers", "c", true, "tell containers apart")
	f.DurationVarP(&opts.refresh, "delay", "d", 2*time.Second, "`TIME` between two refreshes")
	return cmd
}

// isView reports whether an argument can only be meant as the id of a view:
// conditions have blanks, dots or operators.
func isView(arg string) bool {
	return arg != "" && strings.IndexFunc(arg, func(r rune) bool {
		return (r < 'a' || r > 'z') && r != '_' && (r < '0' || r > '9')
	}) < 0
}

func runTop(ctx context.Context, stdout, stderr io.Writer, opts *topOptions, condition string) error {
	if opts.refresh < 100*time.Millisecond {
		return usage.Errorf("--delay %s: want 100ms or more", opts.refresh)
	}
	if opts.style == nil {
		opts.style = &field.Style{Limit: 80}
	}
	if isTerminal(stdout) && isTerminal(os.Stdin) && opts.output == outputText && !opts.text {
		return runScreen(ctx, opts, condition)
	}
	if opts.output == outputJSON {
		return runPrinter(ctx, stdout, stderr, &opts.viewOptions, condition, 0, &objectPrinter{})
	}
	return runPrinter(ctx, stdout, stderr, &opts.viewOptions, condition, 0, &tablePrinter{})
}

// runScreen shows views on the terminal, steered by keys.
func runScreen(ctx context.Context, opts *topOptions, condition string) error {
	text := ""
	if opts.view == view.EchoView || opts.view == view.DigView {
		text, opts.view = opts.view, "procs"
	}
	v, err := opts.find()
	if err != nil {
		return err
	}
	if _, err := newFeed(v, &opts.viewOptions, condition, 0, true); err != nil {
		return err
	}
	feed, err := newScreenFeed(ctx, opts.viewOptions)
	if err != nil {
		return err
	}
	return screen.Run(ctx, feed, view.NewPath(v, condition), text, opts.Describe(), opts.containers)
}

// objectPrinter prints a line of JSON for each sample.
type objectPrinter struct{}

func (*objectPrinter) begin(*bufio.Writer) {}
func (*objectPrinter) end(*bufio.Writer)   {}

func (*objectPrinter) result(w *bufio.Writer, r *view.Result, _ string, _ *viewOptions, _ bool) {
	b := fmt.Appendf(nil, `{"view":%q,"seconds":%g,"left_out":%d,"rows":`, r.View.ID, r.Seconds, r.Left)
	b = r.AppendRowsJSON(b)
	w.Write(append(b, "}\n"...))
}

func (*objectPrinter) entry(w *bufio.Writer, text []byte, isJSON bool) {
	if !isJSON {
		text = field.AppendJSONString(nil, string(text))
	}
	w.Write(text)
	w.WriteByte('\n')
}

// tablePrinter prints a table with headings.
type tablePrinter struct{ samples int }

func (*tablePrinter) begin(*bufio.Writer) {}
func (*tablePrinter) end(*bufio.Writer)   {}

func (p *tablePrinter) result(w *bufio.Writer, r *view.Result, _ string, _ *viewOptions, _ bool) {
	if p.samples++; p.samples > 1 {
		w.WriteByte('\n')
	}
	text, widths := r.Texts()
	line := func(cells []string) {
		for j, c := range cells {
			pad := strings.Repeat(" ", max(0, widths[j]-len([]rune(c))))
			switch {
			case r.Numeric(j):
				w.WriteString(pad + c)
			case j < len(cells)-1:
				w.WriteString(c + pad)
			default:
				w.WriteString(c)
			}
			if j < len(cells)-1 {
				w.WriteString("  ")
			}
		}
		w.WriteByte('\n')
	}
	line(r.Names())
	for _, cells := range text {
		line(cells)
	}
	if r.Left > 0 {
		fmt.Fprintf(w, "(%d events are not in any row: there are too many)\n", r.Left)
	}
}

func (*tablePrinter) entry(w *bufio.Writer, text []byte, _ bool) {
	w.Write(text)
	w.WriteByte('\n')
}
